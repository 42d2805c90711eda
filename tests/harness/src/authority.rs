//! Who issues certificates for tests: good ones, and others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, Error,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::Result;

/// Who issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, as PEM.
    pub certificate: String,
    /// Its key, as PEM.
    pub key: String,
    /// What its issuer knows it by.
    serial: Option<u64>,
}

impl Authority {
    /// One of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(made(CertifiedIssuer::self_signed(params, made(KeyPair::generate()))))
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its own certificate, as DER.
    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// For a server of these names.
    pub fn server(&self, names: &[&str]) -> Issued {
        self.issue(params(names))
    }

    /// The same, years too late.
    pub fn expired(&self, names: &[&str]) -> Issued {
        let mut params = params(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.issue(params)
    }

    /// For a client of this common name.
    pub fn client(&self, name: &str) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// For whomever else.
    pub fn issue(&self, mut params: CertificateParams) -> Issued {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = made(KeyPair::generate());
        let certificate = made(params.signed_by(&key, &self.0)).pem();
        Issued { certificate, key: key.serialize_pem(), serial: Some(serial) }
    }

    /// The list of those of its certificates that hold no more, as PEM.
    pub fn revocation_list(&self, revoked: &[&Issued]) -> String {
        let serials = revoked.iter().filter_map(|issued| issued.serial);
        let revoked = |serial: u64| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        made(list.signed_by(&self.0).and_then(|list| list.pem()))
    }
}

impl Issued {
    /// What somebody else has made.
    pub fn elsewhere(certificate: String, key: String) -> Self {
        Self { certificate, key, serial: None }
    }

    /// A certificate that nobody has issued but itself.
    pub fn by_itself(names: &[&str]) -> Self {
        let key = made(KeyPair::generate());
        Self::elsewhere(made(params(names).self_signed(&key)).pem(), key.serialize_pem())
    }

    /// Writes both as `NAME.crt` and `NAME.key`, the key for nobody else to read; where they are then.
    pub fn write(&self, directory: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        fs::write(&certificate, &self.certificate)?;
        fs::write(&key, &self.key)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        Ok((certificate, key))
    }
}

fn params(names: &[&str]) -> CertificateParams {
    made(CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()))
}

fn made<T>(made: std::result::Result<T, Error>) -> T {
    made.unwrap_or_else(|error| panic!("no certificate: {error}"))
}
