//! One line of `pg_hba.conf`, and what it rules for whom it matches.

use std::sync::Arc;

use super::address::Address;
use super::mistake::Place;
use super::names::Name;

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) connection: Connection,
    pub(super) databases: Vec<Name>,
    pub(super) users: Vec<Name>,
    pub(super) ruling: Ruling,
}

/// The kind of connection that a line is for, and from where; GSSAPI encryption there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// `local`: over a Unix socket.
    Local,
    /// `host` and `hostnogssenc`: TCP, encrypted or not.
    Host(Address),
    /// `hostssl`: TCP with TLS.
    HostSsl(Address),
    /// `hostnossl`: TCP without.
    HostNoSsl(Address),
    /// `hostgssenc`, which nobody is.
    HostGss,
}

/// What the first matching line says of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// How it proves who it is.
    pub method: Method,
    /// `clientcert` and `clientname`.
    pub certificate: CertificateCheck,
    /// `map`: by which map of `pg_ident.conf` a name that was proved may be another user here.
    pub map: Option<Arc<str>>,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// It is refused.
    Reject,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// By an MD5 hash, or by SCRAM-SHA-256 where that is what its password is kept as.
    Md5,
    /// By the password itself.
    Password,
    /// By its certificate.
    Certificate,
    /// By the user that its process runs as.
    Peer,
}

/// What is asked of a client's certificate, whatever else it proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateCheck {
    /// Nothing.
    #[default]
    None,
    /// `verify-ca`: that there is one. That its issuer is known was seen when it was shown.
    Issuer,
    /// `verify-full`: that its subject's common name is the user's as well.
    CommonName,
    /// The same of the whole subject: `clientname=DN`.
    DistinguishedName,
    /// That its common name or one of its alternative names is the user's. No file says this: it is what holds without one.
    AnyName,
}
