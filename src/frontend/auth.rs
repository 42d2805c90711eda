//! Proving who a client is: what pg_hba.conf asks of it, or its own entry where there is no such file.
//!
//! A name that nobody has is asked for the same as any other; what fails is told in PostgreSQL's words, which do not say why.
//! PostgreSQL manual: "Client Authentication", "SASL Authentication" and "Start-up"; the order of things is that of auth.c.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use super::greet::Greeting;
use super::password;
use super::ruling::{origin, ruling, system_user};
use super::scram::{Failure, Offer, Standing, exchange};
use crate::config::User;
use crate::error::{Error, Result};
use crate::hba::{CertificateCheck, CertificateName, Method, Rules, Ruling};
use crate::net::{ClientCertificate, Encryption, Handshake, Peer, PeerAddress};
use crate::scram::Verifier;
use crate::users::{Account, Found, Proof, Users};
use crate::wire::reply;

/// Who a client says it is, and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// What it has said.
    pub greeting: &'a Greeting,
    /// Where it is.
    pub peer: &'a Peer,
}

/// What decides who comes in.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Who there is.
    pub users: &'a Users,
    /// Who may come from where, and by which proof; without them, each user by its own from everywhere.
    pub rules: Option<&'a Rules>,
}

/// Authenticates a client that claims to be somebody.
///
/// What ends the exchange (AuthenticationSASLFinal, AuthenticationOk) is appended to `welcome` and not sent, so
/// that it can go out in one write with what follows it. Not cancel safe: a client whose authentication is given up
/// is refused.
pub async fn authenticate<S>(
    client: &mut Handshake<S>,
    claim: &Claim<'_>,
    gate: Gate<'_>,
    welcome: &mut BytesMut,
) -> Result<Arc<User>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = &claim.greeting.user;
    let ruled = match gate.rules {
        Some(rules) => Some(ruling(claim, rules).await?.clone()),
        None => None,
    };
    if let Some(ruling) = &ruled {
        turn_away(claim, ruling)?;
    }
    let (account, decoy) = match gate.users.find(name, &claim.greeting.database).await {
        Found::Account(account) => (Some(account), gate.users.decoy(name)),
        Found::Nobody(decoy) => (None, decoy),
        Found::Refused(error) => return Err(error),
    };
    let ruling = ruled.unwrap_or_else(|| of_account(account.as_ref()));
    let kept = Kept { account: account.as_ref(), decoy };
    match ruling.method {
        Method::Trust | Method::Certificate => {}
        Method::Reject => return Err(Error::Rejected(Box::new(origin(claim)))),
        Method::ScramSha256 | Method::Md5 => challenge(client, kept, (claim, gate), welcome).await?,
        Method::Password => ask_password(client, kept, name).await?,
        Method::Peer => check_process(claim, gate, &ruling).await?,
    }
    check_certificate(claim, gate, &ruling)?;
    let account = account.ok_or_else(|| Error::NoRole(name.clone()))?;
    reply::authentication_ok(welcome);
    Ok(account.user)
}

/// What holds without a file: what the user's entry says. Whoever has none is asked for a password.
fn of_account(account: Option<&Account>) -> Ruling {
    let (method, certificate) = match account.map(|account| &account.proof) {
        Some(Proof::Trust) => (Method::Trust, CertificateCheck::None),
        Some(Proof::Certificate) => (Method::Certificate, CertificateCheck::Name),
        Some(Proof::Scram(_) | Proof::Md5(_)) | None => (Method::ScramSha256, CertificateCheck::None),
    };
    Ruling { method, certificate, certificate_name: CertificateName::Common, map: None }
}

/// Refuses a client that need not be asked for anything.
fn turn_away(claim: &Claim, ruling: &Ruling) -> Result<()> {
    if ruling.certificate != CertificateCheck::None && certificate(claim.peer).is_none() {
        return Err(Error::NoCertificate);
    }
    match (ruling.method, &claim.peer.encryption, claim.peer.address) {
        (Method::Reject, ..) => Err(Error::Rejected(Box::new(origin(claim)))),
        (Method::Password, Encryption::None, PeerAddress::Tcp(_)) => Err(Error::PlainPassword),
        _ => Ok(()),
    }
}

/// What a password is checked against.
struct Kept<'a> {
    account: Option<&'a Account>,
    decoy: Verifier,
}

impl Kept<'_> {
    /// The verifier of whoever has one; of whoever has none, one that nothing fits.
    fn verifier(self) -> (Verifier, Standing) {
        match self.account.map(|account| &account.proof) {
            Some(Proof::Scram(verifier)) => (verifier.clone(), Standing::Known),
            Some(Proof::Trust | Proof::Certificate | Proof::Md5(_)) | None => (self.decoy, Standing::Decoy),
        }
    }
}

/// SCRAM-SHA-256, bound to the stream where it can be.
async fn challenge<S>(
    client: &mut Handshake<S>,
    kept: Kept<'_>,
    (claim, gate): (&Claim<'_>, Gate<'_>),
    welcome: &mut BytesMut,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (verifier, standing) = kept.verifier();
    let proven = exchange(client, verifier, standing, Offer::to(claim.peer), welcome).await?;
    if matches!(proven, Err(Failure::WrongProof)) {
        gate.users.disproved(&claim.greeting.user, &claim.greeting.database);
    }
    proven.map(drop).map_err(|failure| failure.explain(&claim.greeting.user))
}

/// The password itself.
async fn ask_password<S>(client: &mut Handshake<S>, kept: Kept<'_>, name: &str) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let said = password::plain(client).await?;
    let (verifier, standing) = kept.verifier();
    match password::fits_verifier(said, verifier).await {
        Some(_) if standing == Standing::Known => Ok(()),
        _ => Err(Error::Authentication(name.to_owned())),
    }
}

/// The user that the client's process runs as.
async fn check_process(claim: &Claim<'_>, gate: Gate<'_>, ruling: &Ruling) -> Result<()> {
    let name = &claim.greeting.user;
    let user = match claim.peer.address {
        PeerAddress::Unix(peer) => system_user(peer).await,
        PeerAddress::Tcp(_) => None,
    };
    match user {
        Some(user) if may_be(gate, ruling, &user, name) => Ok(()),
        _ => Err(Error::Method("Peer", name.clone())),
    }
}

/// The user that the client's certificate names, where that is asked for.
fn check_certificate(claim: &Claim, gate: Gate, ruling: &Ruling) -> Result<()> {
    let name = &claim.greeting.user;
    let certificate = match ruling.certificate {
        CertificateCheck::None => return Ok(()),
        CertificateCheck::Issuer => return certificate(claim.peer).map(drop).ok_or(Error::NoCertificate),
        CertificateCheck::Name => certificate(claim.peer).ok_or(Error::NoCertificate)?,
    };
    let named = match ruling.certificate_name {
        CertificateName::Common => certificate.common_name.as_deref().unwrap_or_default(),
        CertificateName::Distinguished => &certificate.distinguished_name,
    };
    if !named.is_empty() && may_be(gate, ruling, named, name) {
        return Ok(());
    }
    Err(match ruling.method {
        Method::Trust => Error::Method("\"trust\"", name.clone()),
        Method::Certificate => Error::Method("certificate", name.clone()),
        _ => Error::Authentication(name.clone()),
    })
}

fn certificate(peer: &Peer) -> Option<&ClientCertificate> {
    match &peer.encryption {
        Encryption::Tls(tls) => tls.certificate.as_ref(),
        Encryption::None => None,
    }
}

/// Whether who has proved one name may be the user of another. Why not is for the operator alone.
fn may_be(gate: Gate, ruling: &Ruling, proved: &str, user: &str) -> bool {
    let nothing = Rules::default();
    let outcome = gate.rules.unwrap_or(&nothing).may_be(ruling, proved, user);
    if let Err(why) = &outcome {
        tracing::info!(proved, user, map = ruling.map.as_deref(), "{why}");
    }
    outcome.is_ok()
}

pub(super) async fn ask<S>(client: &mut Handshake<S>, write: impl FnOnce(&mut BytesMut)) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    write(&mut out);
    client.send(&out).await.map_err(Error::Lost)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
