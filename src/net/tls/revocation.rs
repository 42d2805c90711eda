//! Servers' certificates that hold no more, by the lists of those who issued them.
//!
//! As strict as libpq with `sslcrl`: of each certificate between a server's and its root there must be a list, and no list may be
//! out of date.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, OtherError, RootCertStore};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder,
};

use super::pem::read_revocation_lists;

/// Lists of what is revoked.
#[derive(Clone)]
pub(super) struct Revoked(Arc<[CertRevocationList<'static>]>);

impl Revoked {
    /// Those of a file: at least one.
    pub(super) fn read(file: &Path) -> io::Result<Self> {
        let list = |der: &[u8]| {
            let list = OwnedCertRevocationList::from_der(der);
            list.map(CertRevocationList::from).map_err(|error| {
                io::Error::other(format!("{}: a revocation list cannot be read: {error}", file.display()))
            })
        };
        let lists = read_revocation_lists(file).map_err(io::Error::other)?;
        Ok(Self(lists.iter().map(|der| list(der.as_ref())).collect::<io::Result<_>>()?))
    }

    /// Whether a chain that leads to one of these roots is on none of the lists.
    pub(super) fn admits(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        (roots, algorithms): (&RootCertStore, &WebPkiSupportedAlgorithms),
        now: UnixTime,
    ) -> Result<(), Error> {
        let lists: Vec<_> = self.0.iter().collect();
        let options = RevocationOptionsBuilder::new(&lists)
            .map_err(|_| refusal(CertificateError::UnknownRevocationStatus))?
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build();
        let leaf = EndEntityCert::try_from(shown).map_err(|_| refusal(CertificateError::BadEncoding))?;
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms.all, &roots.roots, intermediates, now, usage, Some(options), None)
            .map(|_| ())
            .map_err(|error| refusal(reason(error)))
    }
}

fn reason(error: webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertRevoked => CertificateError::Revoked,
        webpki::Error::CrlExpired { .. } => CertificateError::ExpiredRevocationList,
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

fn refusal(reason: CertificateError) -> Error {
    Error::InvalidCertificate(reason)
}

impl fmt::Debug for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revoked({} lists)", self.0.len())
    }
}
