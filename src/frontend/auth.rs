//! Proving who a client is: what pg_hba.conf asks of it, or its own entry where there is no such file.
//!
//! A name that nobody has is asked for the same as any other; what fails is told in PostgreSQL's words, which do not say why.
//! PostgreSQL manual: "Client Authentication", "SASL Authentication" and "Start-up"; the order of things is that of auth.c.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use super::claim::{Claim, Gate, Means};
use super::password;
use super::ruling::{Ruled, origin, ruled, system_user};
use super::scram::{Offer, Standing, exchange};
use crate::config::{ServerProof, User};
use crate::error::{Error, Result};
use crate::hba::{CertificateCheck, Method, Ruling};
use crate::net::{ClientCertificate, Encryption, Handshake, Peer, PeerAddress};
use crate::scram::{ClientKey, PassKey, Verifier};
use crate::users::{Account, Found, Md5Hash, Proof};
use crate::wire::reply;

/// Somebody who may come in.
#[derive(Debug)]
pub struct Entrant {
    /// Who it is.
    pub user: Arc<User>,
    /// The key that it has proved, or has proved before while it is in use; where it logs in to the servers by that.
    pub key: Option<Arc<PassKey>>,
    /// By what it has proved that.
    pub means: Means,
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
) -> Result<Entrant>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = &claim.greeting.user;
    let ruled = ruled(claim, gate).await?;
    if let Some(ruled) = &ruled {
        turn_away(claim, &ruled.ruling)?;
    }
    let (account, decoy) = match gate.users.find(name, &claim.greeting.database).await {
        Found::Account(account) => (Some(account), gate.users.decoy(name)),
        Found::Nobody(decoy) => (None, decoy),
        Found::Refused(error) => return Err(error),
    };
    let ruled = ruled.unwrap_or_else(|| Ruled::by_itself(of_account(account.as_ref())));
    let method = ruled.ruling.method;
    let kept = Kept { account: account.as_ref(), decoy };
    let mut proven = None;
    match method {
        Method::Trust | Method::Certificate => {}
        Method::Reject => return Err(Error::Rejected(Box::new(origin(claim)))),
        Method::ScramSha256 | Method::Md5 | Method::Password => {
            let outcome = prove_password(client, claim, (method, kept), welcome).await;
            if matches!(outcome, Err(Error::Authentication(_))) {
                gate.users.disproved(name, &claim.greeting.database);
            }
            proven = outcome?;
        }
        Method::Peer => check_process(claim, &ruled).await?,
    }
    if let Err(error) = check_certificate(claim, &ruled) {
        // The password was right, and weir's own proof of it is owed, as PostgreSQL has sent it by then.
        client.send(welcome).await.map_err(Error::Lost)?;
        return Err(error);
    }
    let account = account.ok_or_else(|| Error::NoRole(name.clone()))?;
    let keys = gate.users.keys();
    let key = match (&account.user.server_proof, proven) {
        (ServerProof::None | ServerProof::Password(_) | ServerProof::Md5(_), _) => None,
        (ServerProof::PassThrough, None) => keys.known(name),
        (ServerProof::PassThrough, Some((verifier, key))) => Some(keys.proved(name, verifier, key)),
    };
    reply::authentication_ok(welcome);
    Ok(Entrant { user: account.user, means: means(method), key })
}

fn means(method: Method) -> Means {
    match method {
        Method::Trust | Method::Reject => Means::Nothing,
        Method::ScramSha256 | Method::Md5 | Method::Password => Means::Password,
        Method::Certificate => Means::Certificate,
        Method::Peer => Means::Process,
    }
}

/// What holds without a file: what the user's entry says. Whoever has none is asked for a password.
fn of_account(account: Option<&Account>) -> Ruling {
    let (method, certificate) = match account.map(|account| &account.proof) {
        Some(Proof::Trust) => (Method::Trust, CertificateCheck::None),
        Some(Proof::Certificate) => (Method::Certificate, CertificateCheck::AnyName),
        // Who has written a hash down wants it used; nothing else can be checked against it.
        Some(Proof::Md5(_)) => (Method::Md5, CertificateCheck::None),
        Some(Proof::Scram(_)) | None => (Method::ScramSha256, CertificateCheck::None),
    };
    Ruling { method, certificate, map: None }
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

    fn hash(&self) -> Option<&Md5Hash> {
        match self.account.map(|account| &account.proof) {
            Some(Proof::Md5(hash)) => Some(hash),
            _ => None,
        }
    }
}

/// A password, by one of the methods that ask for one; the key that it proves, and the verifier of it. A name of which no
/// password is known is asked for it by SCRAM: it is how most are kept.
async fn prove_password<S>(
    client: &mut Handshake<S>,
    claim: &Claim<'_>,
    (method, kept): (Method, Kept<'_>),
    welcome: &mut BytesMut,
) -> Result<Option<(Verifier, ClientKey)>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = &claim.greeting.user;
    let wrong = || Error::Authentication(name.clone());
    let fits = match (method, kept.hash()) {
        (Method::Md5, Some(hash)) => password::hashed(client, hash.digits()).await?,
        (Method::Password, Some(hash)) => {
            password::fits_hash(&password::plain(client).await?, name, hash.digits())
        }
        (Method::Password, None) => {
            let said = password::plain(client).await?;
            let (verifier, standing) = kept.verifier();
            let key = password::fits_verifier(said, verifier.clone()).await;
            let key = key.filter(|_| standing == Standing::Known).ok_or_else(wrong)?;
            return Ok(Some((verifier, key)));
        }
        _ => {
            let (verifier, standing) = kept.verifier();
            let offer = Offer::to(claim.peer);
            let outcome = exchange(client, verifier.clone(), standing, offer, welcome).await?;
            let key = outcome.map_err(|failure| failure.explain(name))?;
            return Ok(Some((verifier, key)));
        }
    };
    if fits { Ok(None) } else { Err(wrong()) }
}

/// The user that the client's process runs as.
async fn check_process(claim: &Claim<'_>, ruled: &Ruled<'_>) -> Result<()> {
    let name = &claim.greeting.user;
    let user = match claim.peer.address {
        PeerAddress::Unix(peer) => system_user(peer).await,
        PeerAddress::Tcp(_) => None,
    };
    match user {
        Some(user) if ruled.may_be(&user, name) => Ok(()),
        _ => Err(Error::Method("Peer", name.clone())),
    }
}

/// The user that the client's certificate names, where that is asked for.
fn check_certificate(claim: &Claim, ruled: &Ruled) -> Result<()> {
    let (name, ruling) = (&claim.greeting.user, &ruled.ruling);
    if ruling.certificate == CertificateCheck::None {
        return Ok(());
    }
    let certificate = certificate(claim.peer).ok_or(Error::NoCertificate)?;
    let common = certificate.common_name.as_deref().unwrap_or_default();
    let is_users = |named: &str| !named.is_empty() && ruled.may_be(named, name);
    let named = match ruling.certificate {
        CertificateCheck::None | CertificateCheck::Issuer => true,
        CertificateCheck::CommonName => is_users(common),
        CertificateCheck::DistinguishedName => is_users(&certificate.distinguished_name),
        CertificateCheck::AnyName => certificate.names.contains(name) || is_users(common),
    };
    if named {
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

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "auth_rules_tests.rs"]
mod rules_tests;
