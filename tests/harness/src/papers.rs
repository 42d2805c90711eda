//! Certificates in files: of an authority of our own, and of whoever listens on this machine.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use crate::scratch::{self, Owner};
use crate::{Authority, Issued, Result};

/// An authority, and what it has issued for 127.0.0.1 and localhost, in a directory that is gone when this is dropped.
pub struct Papers {
    authority: Authority,
    own: Issued,
    directory: PathBuf,
}

impl Papers {
    /// New ones.
    pub fn new() -> Result<Self> {
        let authority = Authority::new("authority of the harness");
        let own = authority.server(&["127.0.0.1", "localhost"]);
        let directory = scratch::run_dir("t", Owner::ourselves())?;
        let papers = Self { authority, own, directory };
        fs::write(papers.root(), papers.authority.pem())?;
        papers.own.write(&papers.directory, "own")?;
        Ok(papers)
    }

    /// The authority's own certificate, in DER.
    pub fn authority(&self) -> Vec<u8> {
        self.authority.der()
    }

    /// The certificate as PEM.
    pub fn certificate(&self) -> &str {
        &self.own.certificate
    }

    /// Its key as PEM.
    pub fn key(&self) -> &str {
        &self.own.key
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
