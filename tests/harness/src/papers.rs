//! Certificates: of an authority of our own, and of whoever listens on this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, IsCa, KeyPair};

use crate::scratch::{self, Owner};
use crate::{Failure, Result};

/// An authority, and what it has issued for 127.0.0.1 and localhost, in a directory that is gone when this is dropped.
pub struct Papers {
    authority: Vec<u8>,
    certificate: String,
    key: String,
    directory: PathBuf,
}

impl Papers {
    /// New ones.
    pub fn new() -> Result<Self> {
        let (authority, root, certificate, key) =
            issue().map_err(|error| Failure::new(format!("no certificates: {error}")))?;
        let directory = scratch::run_dir("t", Owner::ourselves())?;
        let papers = Self { authority, certificate, key, directory };
        fs::write(papers.root(), root)?;
        fs::write(papers.certificate_file(), &papers.certificate)?;
        fs::write(papers.key_file(), &papers.key)?;
        fs::set_permissions(papers.key_file(), fs::Permissions::from_mode(0o600))?;
        Ok(papers)
    }

    /// The authority's own certificate, in DER.
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// The certificate as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its key as PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The file of the authority's certificate.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root.crt")
    }

    /// The file of the certificate.
    pub fn certificate_file(&self) -> PathBuf {
        self.directory.join("own.crt")
    }

    /// The file of its key.
    pub fn key_file(&self) -> PathBuf {
        self.directory.join("own.key")
    }

    /// Where all of them are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The authority as DER and as PEM, and the certificate and the key that it issues.
fn issue() -> std::result::Result<(Vec<u8>, String, String, String), Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of the harness");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let certificate = params.signed_by(&key, &authority)?;
    Ok((authority.der().to_vec(), authority.pem(), certificate.pem(), key.serialize_pem()))
}

impl Drop for Papers {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Without the key.
impl fmt::Debug for Papers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Papers").field("directory", &self.directory).finish_non_exhaustive()
    }
}
