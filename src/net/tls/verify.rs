//! Whether a server is who it should be: its certificate's chain, and its name.
//!
//! The chain is webpki's affair. Two kinds of certificates it does not take, though OpenSSL does and PostgreSQL's manual makes
//! them: version 1, signed by the root itself, and one that is its own root. Those are looked at here, and no other: a chain
//! that webpki has judged is not judged again.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::{ASN1Time, FromDer, X509Version};

use super::failure::Mismatch;
use super::host_name::HostNames;
use super::revocation::Revoked;

/// Whom a server's certificate must come from, and whom it must be for.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// Anybody.
    Anyone,
    /// One of these.
    Issuers(Roots),
    /// One of these, and for the host that was meant.
    Host(Roots),
}

/// Certificates that are trusted by themselves.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    anchors: Arc<RootCertStore>,
    whole: Arc<[CertificateDer<'static>]>,
}

impl Roots {
    /// These. One that cannot be read is passed over, as OpenSSL does.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut anchors = RootCertStore::empty();
        anchors.add_parsable_certificates(certificates.iter().cloned());
        Self { anchors: Arc::new(anchors), whole: certificates.into() }
    }
}

/// Judges servers' certificates.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    trust: Trust,
    revoked: Option<Revoked>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    pub(super) fn new(trust: Trust, revoked: Option<Revoked>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, revoked, algorithms }
    }

    fn chain(
        &self,
        roots: &Roots,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let by_webpki = ParsedCertificate::try_from(shown).and_then(|parsed| {
            let (anchors, algorithms) = (&roots.anchors, self.algorithms.all);
            verify_server_cert_signed_by_trust_anchor(&parsed, anchors, intermediates, now, algorithms)
        });
        let error = match (by_webpki, &self.revoked) {
            (Ok(()), None) => return Ok(()),
            (Ok(()), Some(revoked)) => {
                return revoked.admits(shown, intermediates, (&roots.anchors, &self.algorithms), now);
            }
            (Err(error), None) => error,
            // Of what webpki does not take no list is asked: nothing of it is taken where there are lists.
            (Err(error), Some(_)) => return Err(error),
        };
        let leaf = parse(shown)?;
        if roots.whole.iter().any(|root| root.as_ref() == shown.as_ref()) {
            return is_root(&leaf, now);
        }
        if leaf.version() == X509Version::V1 { issued_by_root(&leaf, roots, now) } else { Err(error) }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Anyone => {}
            Trust::Issuers(roots) => self.chain(roots, shown, intermediates, now)?,
            Trust::Host(roots) => {
                self.chain(roots, shown, intermediates, now)?;
                let (names, host) = (HostNames::of(&parse(shown)?), host.to_str());
                if !names.include(&host) {
                    let (host, certificate) = (host.into_owned(), names.first().to_owned());
                    return Err(refusal(CertificateError::Other(OtherError(Arc::new(Mismatch {
                        host,
                        certificate,
                    })))));
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if ParsedCertificate::try_from(certificate).is_ok() {
            return verify_tls13_signature(message, certificate, signed, &self.algorithms);
        }
        // Of version 1: its key is where that of any other is.
        let parsed = parse(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A server that shows a certificate which we trust by itself. It is a root's, so that no other restrictions are in it than
/// its time.
fn is_root(leaf: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    in_time(leaf, now)?;
    if leaf.subject().as_raw() != leaf.issuer().as_raw() {
        return Err(refusal(CertificateError::UnknownIssuer));
    }
    let purposes = leaf.extended_key_usage().map_err(|_| refusal(CertificateError::BadEncoding))?;
    if purposes.is_some_and(|purposes| !purposes.value.any && !purposes.value.server_auth) {
        return Err(refusal(CertificateError::InvalidPurpose));
    }
    signed_by(leaf, leaf)
}

/// A certificate of version 1, which has no extensions, so that only its issuer says what it is good for.
fn issued_by_root(leaf: &X509Certificate<'_>, roots: &Roots, now: UnixTime) -> Result<(), Error> {
    in_time(leaf, now)?;
    for root in roots.whole.iter().filter_map(|root| parse(root).ok()) {
        let issues = root.version() == X509Version::V1 || root.is_ca();
        let signs = root.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
        let confined = !matches!(root.name_constraints(), Ok(None));
        let named = root.subject().as_raw() == leaf.issuer().as_raw();
        if named
            && issues
            && signs
            && !confined
            && in_time(&root, now).is_ok()
            && signed_by(leaf, &root).is_ok()
        {
            return Ok(());
        }
    }
    Err(refusal(CertificateError::UnknownIssuer))
}

/// Whether the issuer's key has signed it, and not with a hash that can be forged.
fn signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Result<(), Error> {
    let algorithm = &certificate.signature_algorithm.algorithm;
    if *algorithm == OID_PKCS1_SHA1WITHRSA || *algorithm == OID_SHA1_WITH_RSA {
        return Err(refusal(CertificateError::BadSignature));
    }
    let verified = certificate.verify_signature(Some(issuer.public_key()));
    verified.map_err(|_| refusal(CertificateError::BadSignature))
}

fn in_time(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let now = now.ok_or_else(|| refusal(CertificateError::NotValidYet))?;
    let validity = certificate.validity();
    if now < validity.not_before {
        Err(refusal(CertificateError::NotValidYet))
    } else if now > validity.not_after {
        Err(refusal(CertificateError::Expired))
    } else {
        Ok(())
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(certificate.as_ref()) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(refusal(CertificateError::BadEncoding)),
    }
}

fn refusal(reason: CertificateError) -> Error {
    Error::InvalidCertificate(reason)
}
