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
        let key = read_key(&file.0);
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
        let error = read_key(&file.0).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains(secret), "{name}: {error}");
    }
    let missing = read_key(Path::new("/nowhere/key.pem")).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/key.pem: No such file"), "{missing}");
}
