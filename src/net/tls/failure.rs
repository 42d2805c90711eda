//! Why no encrypted connection to a server came about, in libpq's words where it has some. Whatever text the server gave without
//! encryption is not in them: anybody could have written it (CVE-2024-10977).

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, OtherError};

/// The reason. Its words may be read by anyone; names are in its source.
#[derive(Debug, thiserror::Error)]
pub enum TlsFailure {
    /// The server has no TLS.
    #[error("server does not support SSL, but SSL was required")]
    Unsupported,
    /// It answered with an error what is to be answered with one letter.
    #[error("server sent an error response during SSL exchange")]
    ErrorResponse,
    /// It answered neither.
    #[error("received invalid response to SSL negotiation")]
    Response,
    /// Something stood behind its answer, which would have been taken for encrypted.
    #[error("received unencrypted data after SSL response")]
    EarlyData,
    /// TLS from the first byte on must be told from what else may listen there.
    #[error("direct SSL connection was established without ALPN protocol negotiation extension")]
    NoAlpn,
    /// Its certificate was not accepted.
    #[error("certificate verify failed: {0}")]
    Certificate(&'static str, #[source] Option<Mismatch>),
    /// What goes wrong with TLS besides.
    #[error("SSL error: {0}")]
    Handshake(String),
    /// weir's own certificates.
    #[error("the files for SSL cannot be used")]
    Files(#[source] Arc<io::Error>),
}

/// A certificate that is for another host.
#[derive(Clone, Debug, thiserror::Error)]
#[error("server certificate for \"{certificate}\" does not match host name \"{host}\"")]
pub struct Mismatch {
    /// The host that was meant.
    pub host: String,
    /// The first name in the certificate.
    pub certificate: String,
}

impl TlsFailure {
    /// Whether an error of a connection is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether a handshake was begun and failed, or its certificate was not accepted.
    pub(super) fn is_of_handshake(error: &io::Error) -> bool {
        matches!(Self::of(error), Some(Self::Handshake(_) | Self::Certificate(..)))
    }

    /// What the error of a handshake means.
    pub(super) fn from_handshake(error: io::Error) -> io::Error {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(reason)) => Self::from_certificate(reason).into(),
            Some(rustls::Error::AlertReceived(alert)) => Self::Handshake(refused(*alert)).into(),
            Some(other) => Self::Handshake(other.to_string()).into(),
            None => Self::Handshake(error.to_string()).into(),
        }
    }

    fn from_certificate(reason: &CertificateError) -> Self {
        use CertificateError as Reason;
        let words = match reason {
            Reason::Expired | Reason::ExpiredContext { .. } => "certificate has expired",
            Reason::NotValidYet | Reason::NotValidYetContext { .. } => "certificate is not yet valid",
            Reason::UnknownIssuer => "its issuer is not among the trusted root certificates",
            Reason::BadSignature => "its signature is wrong",
            Reason::InvalidPurpose | Reason::InvalidPurposeContext { .. } => "it is not for a server",
            Reason::BadEncoding => "it cannot be read",
            Reason::Revoked => "certificate revoked",
            Reason::UnknownRevocationStatus => "no revocation list of its issuer is there",
            Reason::ExpiredRevocationList | Reason::ExpiredRevocationListContext { .. } => {
                "the revocation list of its issuer has expired"
            }
            Reason::Other(OtherError(inner)) => {
                let mismatch = inner.downcast_ref::<Mismatch>().cloned();
                return Self::Certificate("it is for another host", mismatch);
            }
            other => return Self::Handshake(other.to_string()),
        };
        Self::Certificate(words, None)
    }
}

/// A server that did not like what it was shown says it by an alert.
fn refused(alert: AlertDescription) -> String {
    format!("the server refused the handshake: {alert:?}")
}

impl From<TlsFailure> for io::Error {
    fn from(failure: TlsFailure) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, failure)
    }
}

/// An error and its sources in one line.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Some say what they wrap.
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}
