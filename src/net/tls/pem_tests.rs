use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::test_certificates::Authority;
use super::*;

/// A file of a test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str, mode: u32) -> Self {
        let path = std::env::temp_dir().join(format!("weir-pem-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_chain_keeps_its_order() {
    let authority = Authority::new();
    let signed = authority.server();
    let root = Authority::new();
    let text = format!("# ours\n{}\n{}", signed.certificate.pem(), root.pem());
    let file = Scratch::new("chain", &text, 0o644);
    let chain = read_certificates(&file.0).unwrap();
    assert_eq!(chain, [signed.certificate.der().clone(), root.der()]);
}

#[test]
fn a_key_is_read_that_nobody_else_may_read() {
    let pem = Authority::new().server().key.serialize_pem();
    for (mode, fine) in [(0o600, true), (0o400, true), (0o644, false), (0o660, false), (0o604, false)] {
        let file = Scratch::new(&format!("key-{mode:o}"), &pem, mode);
        let key = read_key(&file.0, None);
        assert_eq!(key.is_ok(), fine, "{mode:o}");
        if let Err(error) = key {
            assert!(error.to_string().contains("has group or world access"), "{error}");
        }
    }
}

#[test]
fn a_group_may_read_a_key_that_root_owns() {
    let file = Scratch::new("rule", "", 0o640);
    let open = File::open(&file.0).unwrap();
    let metadata = open.metadata().unwrap();
    let owner = metadata.uid();
    let fine = may_hold_a_key(&metadata, owner).is_ok();
    assert_eq!(fine, owner == 0, "0640 is for root's files only");
    if owner != 0 {
        assert!(matches!(may_hold_a_key(&metadata, owner + 1), Err(Why::Owner)));
    }
    let directory = fs::metadata(std::env::temp_dir()).unwrap();
    assert!(matches!(may_hold_a_key(&directory, owner), Err(Why::NotAFile)));
}

#[test]
fn what_is_no_key_is_said_without_quoting_it() {
    let secret = "c2VjcmV0c2VjcmV0";
    let cases = [
        (
            "encrypted",
            format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{secret}\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            "encrypted",
        ),
        (
            "old",
            format!(
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n{secret}\n-----END RSA PRIVATE KEY-----\n"
            ),
            "encrypted",
        ),
        ("none", "nothing".to_owned(), "no private key"),
        ("open", format!("-----BEGIN PRIVATE KEY-----\n{secret}\n"), "no end"),
        ("not64", format!("-----BEGIN PRIVATE KEY-----\n{secret}!?\n-----END PRIVATE KEY-----\n"), "base64"),
    ];
    for (name, text, said) in cases {
        let file = Scratch::new(name, &text, 0o600);
        let error = read_key(&file.0, None).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains(secret), "{name}: {error}");
    }
    let missing = read_key(Path::new("/nowhere/key.pem"), None).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/key.pem: No such file"), "{missing}");
}

/// By `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` and `openssl pkcs8 -topk8 -v2 CIPHER`, with what
/// OpenSSL 3.0 takes by itself (PBKDF2 with HMAC-SHA-256) and with scrypt.
#[test]
fn an_encrypted_key_is_opened_by_its_passphrase_alone() {
    let right = Passphrase::new("a pass\u{f6}");
    let plain = Scratch::new("opened", ENCRYPTED[0], 0o600);
    let expected = read_key(&plain.0, Some(&right)).expect("a passphrase that nobody needs does no harm");
    for (number, text) in ENCRYPTED[1..].iter().enumerate() {
        let file = Scratch::new(&format!("closed-{number}"), text, 0o600);
        let opened = read_key(&file.0, Some(&right)).unwrap();
        assert_eq!(opened.secret_der(), expected.secret_der(), "{number}");
        for (passphrase, said) in [
            (None, "no passphrase is given"),
            (Some("another"), "not encrypted by the passphrase"),
            (Some(""), "not encrypted by the passphrase"),
        ] {
            let passphrase = passphrase.map(Passphrase::new);
            let error = read_key(&file.0, passphrase.as_ref()).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("another"), "{error}");
        }
    }
    for (name, text, said) in [
        ("cut", &ENCRYPTED[1][..200], "not well formed"),
        ("old", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "OpenSSL's old format"),
    ] {
        let file = Scratch::new(&format!("closed-{name}"), text, 0o600);
        let error = read_key(&file.0, Some(&right)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(format!("{right:?}"), "Passphrase(***)");
}

/// One key, plain and encrypted by "a pass\u{f6}".
const ENCRYPTED: [&str; 4] = [
    "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg68xjdgaNl03mAATu\n\
C4/YS8EMSdWeAPov/fvglvqEXpehRANCAATeu5t7iospA1FJbhUor5FjAIxxviHG\n\
3Wc7Ff3vVkLfPccbbq4T0VO+WXDNdZsWOpd97Y/gXn6WEaUDmMGQIBgk\n\
-----END PRIVATE KEY-----\n",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgCXcX+/Li8wgICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDydov0cR2clvTCFIzbYdHcEgZAR\n\
Sk6oRuj/YKOgg4mmI9C1bSU/G2KHe3vGmkxMiPbIwE44zE1qXhbP86gSCGGK0vts\n\
yxNxjoOBiag3sxl2VCR7qgR2j+KnYuboLxq2luBviLUk1qvWoS7j7P6Ix9J+ajJH\n\
0LwAhZsuh8wbyCaqcbl3BbZyEeAJDCtUYxtHadktEfmMNjItb3E54NZsKd7q9jI=\n\
-----END ENCRYPTED PRIVATE KEY-----\n",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhXRoMtMKX7CwICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEMEfD8Y45pnmCabvFVKvsygEgZC4\n\
lQTxHhLo3Q2QgDN/yO9jCifdG3tbJHygYdXM7msUWacQSkOZSMXlcihNTwdjMrRb\n\
4YxijSNVuOYaNDFndPLbIBWZCQzarlq7hTaH5vWSrpI2BsQtJnRhnTKgwpvADLDl\n\
F/PRC7qUQ81RMb5gGtEMkMSVKKLdus7ZVaS9tr0Itt4aOQqZ6LzO2SL+o5Mzc9s=\n\
-----END ENCRYPTED PRIVATE KEY-----\n",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAjeaJtAHvCbOAICBAAC\n\
AQgCAQEwHQYJYIZIAWUDBAEqBBBFkdRIIBm9GeTXQlzFkC1rBIGQVpzi7mqJqEVy\n\
a+w7XcHWL4u+ErW8wOW9ZeLuGdZwO0hZ689PRMQreABJzk/oobUPUIHs1TUFCBrr\n\
6kWd/ZFh7H8I6K2LMmr5j+imX85R/kAELOBJANUC2KCIsSZVn9pn3NrEdVEy9+Kb\n\
6xunnUVOz7SvLMnpXio8csT7YuAWTp40x6LqC8j7J+qf7RV2NZMA\n\
-----END ENCRYPTED PRIVATE KEY-----\n",
];
