//! Passwords that are sent as they are, or hashed by MD5: where a line of pg_hba.conf says so, and nowhere else.
//!
//! PostgreSQL manual: "Start-up", AuthenticationCleartextPassword and AuthenticationMD5Password; the words are those of
//! auth.c.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::scram::ask;
use crate::error::{Error, Result};
use crate::net::{Handshake, ReadError};
use crate::scram::{ClientKey, Verifier, hmac};
use crate::wire::reply;
use crate::wire::tag::client as tag;

/// The longest password message, its length word included (PG_MAX_AUTH_TOKEN_LENGTH).
const MESSAGE_MAX: usize = 65_535 + 4;

/// Asks a client for its password.
pub(super) async fn plain<S>(client: &mut Handshake<S>) -> Result<Zeroizing<Vec<u8>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    ask(client, reply::authentication_password).await?;
    response(client).await
}

/// Asks a client for its password hashed with a fresh salt, and whether it fits the hash that is kept: 32 hexadecimal
/// digits of MD5 over password and name.
pub(super) async fn hashed<S>(client: &mut Handshake<S>, kept: &str) -> Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let salt: [u8; 4] = rand::random();
    ask(client, |out| reply::authentication_md5(out, salt)).await?;
    let response = response(client).await?;
    Ok(answer(kept, salt).as_bytes().ct_eq(&response).into())
}

/// Whether a password, as it was sent, is the one of which this hash is kept.
pub(super) fn fits_hash(password: &[u8], name: &str, kept: &str) -> bool {
    let hash = Zeroizing::new(hex(&[password, name.as_bytes()]));
    hash.as_bytes().ct_eq(kept.as_bytes()).into()
}

/// Whether it is the one of this verifier, and the ClientKey of it then. Takes as long for a wrong password, and about as long
/// as a client takes for its proof: not on a thread that carries data.
pub(super) async fn fits_verifier(password: Zeroizing<Vec<u8>>, verifier: Verifier) -> Option<ClientKey> {
    spawn_blocking(move || client_key(&password, &verifier)).await.ok().flatten()
}

/// What postgres-protocol makes of the password as a client does, in an exchange that nobody else sees: its proof holds
/// ClientKey for whoever has the verifier.
pub(super) fn client_key(password: &[u8], verifier: &Verifier) -> Option<ClientKey> {
    let mut client = ScramSha256::new(password, ChannelBinding::unsupported());
    let bare = std::str::from_utf8(client.message().strip_prefix(b"n,,")?).ok()?.to_owned();
    let nonce = bare.strip_prefix("n=,r=")?;
    let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
    client.update(server_first.as_bytes()).ok()?;
    let client_final = std::str::from_utf8(client.message()).ok()?;
    let (without_proof, proof) = client_final.rsplit_once(",p=")?;
    let auth_message = [&*bare, ",", &*server_first, ",", without_proof].map(str::as_bytes);
    let signature = hmac(&verifier.stored_key, &auth_message);
    let mut key: [u8; 32] = STANDARD.decode(proof).ok()?.try_into().ok()?;
    key.iter_mut().zip(signature).for_each(|(key, signature)| *key ^= signature);
    let key = ClientKey::new(key);
    bool::from(key.fits(verifier)).then_some(key)
}

/// What a client answers that knows the password: `md5` and the digits.
fn answer(kept: &str, salt: [u8; 4]) -> String {
    format!("md5{}", hex(&[kept.as_bytes(), &salt]))
}

fn hex(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn response<S>(client: &mut Handshake<S>) -> Result<Zeroizing<Vec<u8>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match client.message(|_| MESSAGE_MAX).await {
        Ok((tag::PASSWORD, body)) => password(&body),
        Ok((other, _)) => Err(Error::PasswordExpected(other)),
        Err(ReadError::Length) => Err(Error::Protocol("invalid message length")),
        Err(ReadError::Lost(error)) => Err(Error::Lost(error)),
    }
}

fn password(body: &Bytes) -> Result<Zeroizing<Vec<u8>>> {
    match body.split_last() {
        Some((0, [])) => Err(Error::EmptyPassword),
        Some((0, password)) if !password.contains(&0) => Ok(Zeroizing::new(password.to_vec())),
        _ => Err(Error::Protocol("invalid password packet size")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_and_verifier_only() {
        let stored = postgres_protocol::password::md5(b"pencil", "alice");
        let kept = stored.strip_prefix("md5").unwrap();
        assert!(fits_hash(b"pencil", "alice", kept));
        assert!(!fits_hash(b"pencil", "bob", kept));
        assert!(!fits_hash(b"Pencil", "alice", kept));
        for password in ["pencil", "p\u{e4}ncil", "\u{fb01}sh\u{a0}"] {
            let verifier = Verifier::of_password(password);
            assert!(client_key(password.as_bytes(), &verifier).is_some());
            assert_eq!(client_key(b"Pencil", &verifier), None);
        }
    }

    #[test]
    fn an_answer_is_what_libpq_would_say() {
        let stored = postgres_protocol::password::md5(b"pencil", "alice");
        let said = postgres_protocol::authentication::md5_hash(b"alice", b"pencil", *b"salt");
        assert_eq!(answer(&stored[3..], *b"salt"), said);
    }

    #[test]
    fn packets() {
        let read = |bytes: &'static [u8]| password(&Bytes::from_static(bytes));
        assert_eq!(*read(b"pencil\0").unwrap(), b"pencil");
        assert_eq!(read(b"\0").unwrap_err().sqlstate(), "28P01");
        for wrong in [&b""[..], b"pencil", b"pen\0cil\0"] {
            assert_eq!(read(wrong).unwrap_err().to_string(), "invalid password packet size");
        }
    }
}
