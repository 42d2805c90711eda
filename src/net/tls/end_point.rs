//! What binds a login to the certificate of the stream that it comes over: tls-server-end-point of RFC 5929.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_parser::oid_registry as oid;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The hash of a certificate in DER that channel binding compares: by the hash of its own signature, or SHA-256 where that
/// is a weak one. None when its kind of signature has no hash (Ed25519): then PostgreSQL has no channel binding either.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let signature = &parsed.signature_algorithm;
    match SignatureAlgorithm::try_from(signature) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
            hashed(parameters.hash_algorithm_oid(), certificate)
        }
        _ => hashed(&signature.algorithm, certificate),
    }
}

/// The hash of `bytes`, by that of a signature of this kind or by that which this names itself.
fn hashed(kind: &Oid<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    const WEAK_OR_SHA256: [Oid<'_>; 8] = [
        oid::OID_PKCS1_MD5WITHRSAENC,
        oid::OID_PKCS1_SHA1WITHRSA,
        oid::OID_SHA1_WITH_RSA,
        oid::OID_SIG_DSA_WITH_SHA1,
        oid::OID_HASH_SHA1,
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_SIG_ECDSA_WITH_SHA256,
        oid::OID_NIST_HASH_SHA256,
    ];
    const SHA384: [Oid<'_>; 3] =
        [oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384, oid::OID_NIST_HASH_SHA384];
    const SHA512: [Oid<'_>; 3] =
        [oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512, oid::OID_NIST_HASH_SHA512];
    const SHA224: [Oid<'_>; 2] = [oid::OID_PKCS1_SHA224WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA224];
    let is = |kinds: &[Oid<'_>]| kinds.contains(kind);
    match () {
        () if is(&WEAK_OR_SHA256) => Some(Sha256::digest(bytes).to_vec()),
        () if is(&SHA384) => Some(Sha384::digest(bytes).to_vec()),
        () if is(&SHA512) => Some(Sha512::digest(bytes).to_vec()),
        () if is(&SHA224) => Some(Sha224::digest(bytes).to_vec()),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::default().self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_signature_s_hash_counts() {
        let of = |algorithm| {
            let der = certificate(algorithm);
            (end_point(&der), der)
        };
        let (found, der) = of(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(found.unwrap(), Sha256::digest(&der).to_vec());
        let (found, der) = of(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(found.unwrap(), Sha384::digest(&der).to_vec());
        assert_eq!(of(&PKCS_ED25519).0, None);
    }

    #[test]
    fn a_weak_hash_is_not_used() {
        for kind in [oid::OID_PKCS1_SHA1WITHRSA, oid::OID_PKCS1_MD5WITHRSAENC] {
            assert_eq!(hashed(&kind, b"x").unwrap(), Sha256::digest(b"x").to_vec());
        }
        assert_eq!(hashed(&oid::OID_PKCS1_SHA512WITHRSA, b"x").unwrap(), Sha512::digest(b"x").to_vec());
    }

    #[test]
    fn what_is_no_certificate_binds_nothing() {
        assert_eq!(end_point(b"no certificate"), None);
    }
}
