//! Private keys that are encrypted by a passphrase: PKCS#8, which is what OpenSSL has written since 1.0.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &[u8] = b"-----END ENCRYPTED PRIVATE KEY-----";
/// OpenSSL's own format, which says it in a header.
const OLD: &[u8] = b"Proc-Type: 4,ENCRYPTED";

/// What a private key is encrypted by. Wiped when it is dropped, and printed never.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// This one.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(***)")
    }
}

/// Why a key stays closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("the private key is encrypted, and no passphrase is given: store it decrypted")]
    NoPassphrase,
    #[error(
        "the private key is encrypted in OpenSSL's old format: store it in that of PKCS#8 (openssl pkcs8 -topk8)"
    )]
    Old,
    #[error("the encrypted private key is not well formed, or encrypted in a way that weir does not know")]
    Unknown,
    #[error("the private key is not encrypted by the passphrase that is given")]
    Wrong,
}

/// The key of a file's text, where that has an encrypted one.
pub(super) fn open(
    text: &[u8],
    passphrase: Option<&Passphrase>,
) -> Option<Result<PrivateKeyDer<'static>, Closed>> {
    let (begin, old) = (find(text, BEGIN), find(text, OLD));
    match (begin, old, passphrase) {
        (None, None, _) => None,
        (_, _, None) => Some(Err(Closed::NoPassphrase)),
        (None, Some(_), Some(_)) => Some(Err(Closed::Old)),
        (Some(begin), _, Some(passphrase)) => Some(decrypt(&text[begin + BEGIN.len()..], passphrase)),
    }
}

fn decrypt(behind: &[u8], Passphrase(passphrase): &Passphrase) -> Result<PrivateKeyDer<'static>, Closed> {
    let section = find(behind, END).and_then(|end| behind.get(..end)).ok_or(Closed::Unknown)?;
    let lines: Vec<u8> = section.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let encrypted = STANDARD.decode(lines).map_err(|_| Closed::Unknown)?;
    let encrypted =
        EncryptedPrivateKeyInfoRef::try_from(encrypted.as_slice()).map_err(|_| Closed::Unknown)?;
    let key = encrypted.decrypt(passphrase.as_bytes()).map_err(|error| match error {
        // A wrong passphrase may give something that only looks decrypted.
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            Closed::Wrong
        }
        _ => Closed::Unknown,
    })?;
    Ok(PrivateKeyDer::Pkcs8(key.as_bytes().to_vec().into()))
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|part| part == mark)
}
