//! Logging in to a server: from nothing to a backend connection that is ready for its first request.
//!
//! The server is not trusted: every length is bounded, every state is checked, and nothing that it sends makes
//! weir panic. PostgreSQL manual: "Start-up" and "SASL Authentication".

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use md5::{Digest, Md5};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::ScramSha256;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::proof::Proof;
use super::sasl::{Channel, Choice, WRONG_HALF, bound, mistrusted, nonce};
use crate::config::ChannelBinding;
use crate::error::{Error, NoPass, Result};
use crate::net::{Dialled, Handshake, Keepalive, ReadError, Stream, Target, TlsFailure, Way};
use crate::scram::{ClientFirst, PassKey};
use crate::wire::startup::{CancelKey, Parameter, cstring, put_startup};
use crate::wire::tag::server;

/// The longest message of a login, its length word included.
const MESSAGE_MAX: usize = 16 * 1024;
/// Errors and notices may be longer: they can quote what a user has written into the server's configuration.
const REPORT_MAX: usize = 1024 * 1024;
/// PostgreSQL reports about 15 parameters; extensions add some.
const PARAMETERS_MAX: usize = 1000;

/// As whom to log in, and where.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The user.
    pub user: &'a str,
    /// What proves that weir is it.
    pub proof: &'a Proof,
    /// The database.
    pub database: &'a str,
    /// Further startup parameters, such as `application_name`.
    pub parameters: &'a [(&'a str, &'a str)],
}

/// A backend connection that is idle, outside a transaction.
#[derive(Debug)]
pub struct Login<S = Stream> {
    /// The stream.
    pub stream: S,
    /// What the server has sent behind its first ReadyForQuery: usually nothing, else a notification or a notice.
    pub received: BytesMut,
    /// ParameterStatus as reported, in the server's order; names are unique.
    pub parameters: Vec<Parameter>,
    /// The key that cancels what runs on this connection; some poolers give none.
    pub key: Option<CancelKey>,
    /// How to make another connection that is as safe.
    pub way: Way,
}

/// Connects to a server as its `sslmode` says and logs in, not later than `deadline`.
///
/// Where the mode leaves a choice, a server that refuses the login by one way is asked by the other: its pg_hba.conf may have
/// `hostssl` or `hostnossl`. Dropping the future gives up and closes the connection.
pub async fn log_in(
    target: &Target<'_>,
    binding: ChannelBinding,
    credentials: &Credentials<'_>,
    keepalive: &Keepalive,
    deadline: Instant,
) -> Result<Login> {
    let way = target.first();
    let dialled = target.connect(way, keepalive, deadline).await.map_err(out_of_reach)?;
    let other = target.second(way, &dialled.encryption);
    let refused = match (log_in_dialled(dialled, way, credentials, binding, deadline).await, other) {
        (Err(error), Some(_)) if error.is_login_refused() => error,
        (outcome, _) => return outcome,
    };
    let Some(way) = other else { return Err(refused) };
    let outcome = match target.connect(way, keepalive, deadline).await {
        Ok(dialled) => log_in_dialled(dialled, way, credentials, binding, deadline).await,
        Err(error) => Err(out_of_reach(error)),
    };
    outcome.map_err(|error| more_telling(refused, error))
}

async fn log_in_dialled(
    dialled: Dialled,
    way: Way,
    credentials: &Credentials<'_>,
    binding: ChannelBinding,
    deadline: Instant,
) -> Result<Login> {
    let way = dialled.again(way);
    let Dialled { stream, encryption } = dialled;
    let channel = Channel { encryption: &encryption, binding };
    let login = timeout_at(deadline, log_in_over(stream, credentials, channel)).await;
    let login = login.unwrap_or_else(|late| Err(Error::Unreachable(late.into())))?;
    Ok(Login { way, ..login })
}

/// Of two refusals: that pg_hba.conf has no line for one way says less than what the other way came to.
fn more_telling(first: Error, second: Error) -> Error {
    match (first.sqlstate(), &second) {
        ("28000", Error::Refused { .. }) => second,
        _ => first,
    }
}

/// Why a server could not be connected to.
pub(super) fn out_of_reach(error: io::Error) -> Error {
    if TlsFailure::of(&error).is_some() { Error::Insecure(error) } else { Error::Unreachable(error) }
}

/// Logs in over a stream that is connected already. Has no time limit of its own.
pub async fn log_in_over<S>(
    stream: S,
    credentials: &Credentials<'_>,
    channel: Channel<'_>,
) -> Result<Login<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut server = Handshake::new(stream);
    let mut startup = BytesMut::new();
    let who = [("user", credentials.user), ("database", credentials.database)];
    let parameters = who.iter().chain(credentials.parameters);
    put_startup(&mut startup, parameters.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    send(&mut server, &startup).await?;
    authenticate(&mut server, credentials, channel).await?;
    settle(server).await
}

/// What an Authentication message asks for.
enum Demand {
    Nothing,
    CleartextPassword,
    Md5Password([u8; 4]),
    Sasl(Bytes),
    SaslContinue(Bytes),
    SaslFinal(Bytes),
}

/// Proves who weir is. Each server demands one proof at most.
async fn authenticate<S>(
    server: &mut Handshake<S>,
    credentials: &Credentials<'_>,
    channel: Channel<'_>,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match next_demand(server).await? {
        Demand::Nothing => {
            return channel.admits_unbound("channel binding is required, and the server asks for no proof");
        }
        Demand::CleartextPassword => {
            let password = password(credentials, channel, NoPass::CleartextWanted)?;
            send_password(server, password.as_bytes()).await?;
        }
        Demand::Md5Password(salt) => {
            let answer = match credentials.proof {
                Proof::Md5(hash) => {
                    channel.admits_unbound(UNBOUND)?;
                    md5_answer(hash.expose(), salt)
                }
                _ => {
                    let password = password(credentials, channel, NoPass::Md5Wanted)?;
                    md5_hash(credentials.user.as_bytes(), password.as_bytes(), salt)
                }
            };
            send_password(server, answer.as_bytes()).await?;
        }
        Demand::Sasl(mechanisms) => scram(server, &mechanisms, credentials, channel).await?,
        Demand::SaslContinue(_) | Demand::SaslFinal(_) => return Err(OUT_OF_ORDER),
    }
    match next_demand(server).await? {
        Demand::Nothing => Ok(()),
        _ => Err(OUT_OF_ORDER),
    }
}

const UNBOUND: &str = "channel binding is required, and the server asks for a password without it";

/// What proves to know the hash of a password, as libpq makes it of the password itself.
fn md5_answer(hash: &str, salt: [u8; 4]) -> String {
    let digest = Md5::new().chain_update(hash).chain_update(salt).finalize();
    digest.iter().fold("md5".to_owned(), |answer, byte| format!("{answer}{byte:02x}"))
}

/// The password, which the server is to be shown, or a hash of it.
fn password<'a>(credentials: &'a Credentials<'_>, channel: Channel<'_>, wanted: NoPass) -> Result<&'a str> {
    channel.admits_unbound(UNBOUND)?;
    match credentials.proof {
        Proof::Password(password) => Ok(password.expose()),
        proof => Err(no_pass(credentials.user, proof, wanted)),
    }
}

/// Why there is nothing to show to a server that wants this.
fn no_pass(user: &str, proof: &Proof, wanted: NoPass) -> Error {
    let why = match proof {
        Proof::Key(_) => wanted,
        Proof::Unproved => NoPass::Unproved,
        Proof::Md5(_) => {
            return Error::ServerAuthentication(
                "it asks for more than an MD5 hash, and of this user's password nothing else is known",
            );
        }
        Proof::None | Proof::Password(_) => {
            return Error::ServerAuthentication(
                "it asks for a password, and the configuration has none for this user",
            );
        }
    };
    Error::PassThrough { user: user.to_owned(), why }
}

const OUT_OF_ORDER: Error = Error::ServerProtocol("an authentication message out of order");
const MALFORMED: Error = Error::ServerProtocol("a malformed message during login");

async fn next_demand<S>(server: &mut Handshake<S>) -> Result<Demand>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut body = match next_message(server).await? {
        (b'R', body) => body,
        _ => return Err(Error::ServerProtocol("expected an authentication message")),
    };
    match body.try_get_u32().map_err(|_| MALFORMED)? {
        0 => Ok(Demand::Nothing),
        3 => Ok(Demand::CleartextPassword),
        5 => body.as_ref().try_into().map(Demand::Md5Password).map_err(|_| MALFORMED),
        10 => Ok(Demand::Sasl(body)),
        11 => Ok(Demand::SaslContinue(body)),
        12 => Ok(Demand::SaslFinal(body)),
        2 | 7 | 8 => Err(Error::ServerAuthentication("it asks for Kerberos or GSSAPI")),
        9 => Err(Error::ServerAuthentication("it asks for SSPI")),
        _ => Err(Error::ServerAuthentication("it asks for a method that weir does not know")),
    }
}

/// SCRAM-SHA-256, bound to the stream where that can be. The server must prove that it knows the verifier before its
/// AuthenticationOk counts.
async fn scram<S>(
    server: &mut Handshake<S>,
    mechanisms: &[u8],
    credentials: &Credentials<'_>,
    channel: Channel<'_>,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let choice = channel.choose(mechanisms)?;
    match credentials.proof {
        Proof::Password(password) => scram_by_password(server, choice, password.expose()).await,
        Proof::Key(key) => scram_by_key(server, choice, key, credentials.user).await,
        proof @ (Proof::None | Proof::Md5(_) | Proof::Unproved) => {
            Err(no_pass(credentials.user, proof, NoPass::Unproved))
        }
    }
}

async fn scram_by_password<S>(server: &mut Handshake<S>, choice: Choice, password: &str) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut scram = ScramSha256::new(password.as_bytes(), bound(choice.binding));
    let challenge = challenged(server, choice.mechanism, scram.message()).await?;
    // PBKDF2 takes milliseconds of CPU. On a worker thread it would hold up every client that the thread serves.
    let answered = tokio::task::spawn_blocking(move || scram.update(&challenge).map(|()| scram)).await;
    let answered = answered.map_err(|_| Error::ServerAuthentication("the login was abandoned"))?;
    let mut scram = answered.map_err(|_| Error::ServerAuthentication(WRONG_HALF))?;
    let outcome = concluded(server, scram.message()).await?;
    scram.finish(&outcome).map_err(|_| Error::ServerAuthentication(WRONG_HALF))
}

async fn scram_by_key<S>(
    server: &mut Handshake<S>,
    choice: Choice,
    key: &Arc<PassKey>,
    user: &str,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let first = ClientFirst::new(key.clone(), choice.binding, nonce());
    let challenge = challenged(server, choice.mechanism, first.text().as_bytes()).await?;
    let last = first.answer(&challenge).map_err(|mistrust| mistrusted(user, mistrust))?;
    let outcome = concluded(server, last.text().as_bytes()).await?;
    last.check(&outcome).map_err(|mistrust| mistrusted(user, mistrust))
}

/// Sends the first message of an exchange; returns the challenge.
async fn challenged<S>(server: &mut Handshake<S>, mechanism: &str, first: &[u8]) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    frontend::sasl_initial_response(mechanism, first, &mut out).map_err(|_| MALFORMED)?;
    send(server, &out).await?;
    match next_demand(server).await? {
        Demand::SaslContinue(challenge) => Ok(challenge),
        _ => Err(OUT_OF_ORDER),
    }
}

/// Sends the last message of an exchange; returns the server's.
async fn concluded<S>(server: &mut Handshake<S>, last: &[u8]) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    frontend::sasl_response(last, &mut out).map_err(|_| MALFORMED)?;
    send(server, &out).await?;
    match next_demand(server).await? {
        Demand::SaslFinal(outcome) => Ok(outcome),
        _ => Err(OUT_OF_ORDER),
    }
}

async fn send_password<S>(server: &mut Handshake<S>, password: &[u8]) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    frontend::password_message(password, &mut out)
        .map_err(|_| Error::ServerAuthentication("the configured password holds a zero byte"))?;
    send(server, &out).await
}

/// Reads what a server says of itself, up to ReadyForQuery.
async fn settle<S>(mut server: Handshake<S>) -> Result<Login<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut parameters = Vec::new();
    let mut key = None;
    loop {
        match next_message(&mut server).await? {
            (server::PARAMETER_STATUS, body) => note_parameter(&mut parameters, &body)?,
            (server::BACKEND_KEY_DATA, body) => key = Some(read_key(body)?),
            (server::READY, body) if body.as_ref() == b"I" => break,
            (server::READY, _) => return Err(Error::ServerProtocol("a transaction right after login")),
            _ => return Err(Error::ServerProtocol("an unexpected message during login")),
        }
    }
    let (stream, received) = server.into_parts();
    Ok(Login { stream, received, parameters, key, way: Way::Plain })
}

fn note_parameter(parameters: &mut Vec<Parameter>, body: &Bytes) -> Result<()> {
    let (name, rest) = cstring(body).ok_or(MALFORMED)?;
    let (value, rest) = cstring(rest).ok_or(MALFORMED)?;
    if !rest.is_empty() {
        return Err(MALFORMED);
    }
    // Copied: a slice would keep the whole read buffer for the connection's life.
    let value = Bytes::copy_from_slice(value);
    if let Some((_, old)) = parameters.iter_mut().find(|(known, _)| known == name) {
        *old = value;
    } else if parameters.len() < PARAMETERS_MAX {
        parameters.push((Bytes::copy_from_slice(name), value));
    } else {
        return Err(Error::ServerProtocol("too many parameters"));
    }
    Ok(())
}

fn read_key(mut body: Bytes) -> Result<CancelKey> {
    let pid = body.try_get_i32().map_err(|_| MALFORMED)?;
    CancelKey::new(pid, Bytes::copy_from_slice(&body)).ok_or(MALFORMED)
}

/// The next message that matters: notices are dropped, NegotiateProtocolVersion as well (weir asks for 3.0 without
/// options, so there is nothing to lose), and an error ends the login.
async fn next_message<S>(server: &mut Handshake<S>) -> Result<(u8, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limit = |tag| if matches!(tag, server::ERROR | server::NOTICE) { REPORT_MAX } else { MESSAGE_MAX };
    loop {
        match server.message(limit).await {
            Ok((server::NOTICE | b'v', _)) => {}
            Ok((server::ERROR, body)) => return Err(refusal(&body)),
            Ok(message) => return Ok(message),
            Err(ReadError::Length) => return Err(Error::ServerProtocol("an invalid message length")),
            Err(ReadError::Lost(error)) => return Err(Error::Unreachable(error)),
        }
    }
}

/// The server's own words, from the fields of an ErrorResponse. What is missing from them is filled in: a broken server
/// must not break weir.
pub fn refusal(mut fields: &[u8]) -> Error {
    let mut sqlstate = "08006".to_owned();
    let mut message = "the server refused the connection".to_owned();
    let (mut detail, mut hint) = (None, None);
    while let Some((&field, rest)) = fields.split_first().filter(|&(&field, _)| field != 0) {
        let Some((value, rest)) = cstring(rest) else { break };
        match field {
            b'C' if value.len() == 5 && value.is_ascii() => sqlstate = lossy(value),
            b'M' => message = lossy(value),
            b'D' => detail = Some(lossy(value)),
            b'H' => hint = Some(lossy(value)),
            _ => {}
        }
        fields = rest;
    }
    Error::Refused { sqlstate, message, detail, hint }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn send<S>(server: &mut Handshake<S>, bytes: &[u8]) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match server.send(bytes).await {
        Ok(()) => Ok(()),
        // A server that is full or shutting down says so and closes without reading: its words are still there.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => match next_message(server).await {
            Err(refused @ Error::Refused { .. }) => Err(refused),
            _ => Err(Error::Unreachable(error)),
        },
        Err(error) => Err(Error::Unreachable(error)),
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
