//! Certificates and keys from PEM files.
//!
//! Who else may read a key's file is PostgreSQL's rule, which is libpq's too. No key's bytes are in any error.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::passphrase::{Closed, Passphrase, open};

/// Much more than any such file has; what a wrong path leads to is not read to its end.
const FILE_MAX: u64 = 16 << 20;

/// Why a file gives nothing.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct PemError {
    path: PathBuf,
    #[source]
    why: Why,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Unread(#[from] io::Error),
    #[error("it is larger than any certificate or key")]
    Size,
    #[error("it has no certificate in PEM format")]
    NoCertificate,
    #[error("it has no certificate revocation list in PEM format")]
    NoRevocationList,
    #[error("it has no private key in PEM format")]
    NoKey,
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error("it is not in PEM format: {0}")]
    Broken(String),
    #[error("a private key file must be a regular file")]
    NotAFile,
    #[error("a private key file must be owned by the user that weir runs as, or by root")]
    Owner,
    #[error(
        "the private key file has group or world access; it must have permissions u=rw (0600) or less if owned by the \
         user that weir runs as, or permissions u=rw,g=r (0640) or less if owned by root"
    )]
    Access,
}

/// The certificates of a file, in their order: at least one.
///
/// # Errors
/// When there is none, or one of them is broken.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    all(path, Why::NoCertificate)
}

/// The certificate revocation lists of a file: at least one.
///
/// # Errors
/// When there is none, or one of them is broken.
pub fn read_revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    all(path, Why::NoRevocationList)
}

/// The private key of a file, which nobody else may read; where it is encrypted, by this passphrase.
///
/// # Errors
/// When others may read it, it has no key, or an encrypted one that the passphrase does not open.
pub fn read_key(path: &Path, passphrase: Option<&Passphrase>) -> Result<PrivateKeyDer<'static>, PemError> {
    key(path, passphrase).map_err(|why| PemError { path: path.to_owned(), why })
}

fn all<T: PemObject>(path: &Path, none: Why) -> Result<Vec<T>, PemError> {
    let found = read(path, |_| Ok(())).and_then(|text| {
        let found = T::pem_slice_iter(&text).collect::<Result<Vec<T>, _>>().map_err(broken)?;
        if found.is_empty() { Err(none) } else { Ok(found) }
    });
    found.map_err(|why| PemError { path: path.to_owned(), why })
}

fn key(path: &Path, passphrase: Option<&Passphrase>) -> Result<PrivateKeyDer<'static>, Why> {
    let text = read(path, |file| may_hold_a_key(file, geteuid().as_raw()))?;
    if let Some(opened) = open(&text, passphrase) {
        return Ok(opened?);
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(Why::NoKey),
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: pem::Error) -> Why {
    // Others quote what they have found, which may be of a key.
    Why::Broken(match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end".to_owned(),
        pem::Error::Base64Decode(_) => "a section is not in base64".to_owned(),
        _ => "a section is not well formed".to_owned(),
    })
}

/// PostgreSQL's rule, for a user that runs as `me`.
fn may_hold_a_key(file: &Metadata, me: u32) -> Result<(), Why> {
    const ROOT: u32 = 0;
    if !file.is_file() {
        return Err(Why::NotAFile);
    }
    let denied = match file.uid() {
        ROOT => 0o037,
        owner if owner == me => 0o077,
        _ => return Err(Why::Owner),
    };
    if file.mode() & denied == 0 { Ok(()) } else { Err(Why::Access) }
}

fn read(
    path: &Path,
    permitted: impl FnOnce(&Metadata) -> Result<(), Why>,
) -> Result<Zeroizing<Vec<u8>>, Why> {
    let file = File::open(path)?;
    // Of what is open: what the path leads to may change.
    permitted(&file.metadata()?)?;
    // Room for all of it at once: what a growing buffer leaves behind is not wiped.
    let size = file.metadata()?.len().min(FILE_MAX);
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    file.take(FILE_MAX).read_to_end(&mut text)?;
    if text.len() as u64 == FILE_MAX { Err(Why::Size) } else { Ok(text) }
}

#[cfg(test)]
#[path = "pem_tests.rs"]
mod tests;
