//! Exchanges byte by byte, with known nonces.

use super::*;
use crate::scram::{ClientKey, Verifier, recorded};

/// Of the password "pencil": computed with Python's hashlib.pbkdf2_hmac and hmac, as is the exchange below.
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const CLIENT_KEY: &str = "pg/JI9Z+hkSpLRa5btpe9GVrDHJcSEN0viVTVXaZbos=";

fn key(verifier: &str) -> Arc<PassKey> {
    let client_key = STANDARD.decode(CLIENT_KEY).unwrap().try_into().unwrap();
    Arc::new(PassKey::new(Verifier::parse(verifier).unwrap(), ClientKey::new(client_key)))
}

fn first(binding: Binding, nonce: &str) -> ClientFirst {
    ClientFirst::new(key(VERIFIER), binding, nonce.to_owned())
}

const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const CHALLENGE: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

/// RFC 7677's exchange, but for the name, which libpq leaves out.
#[test]
fn an_exchange_that_is_not_bound() {
    for (binding, header, last, outcome) in [
        (
            Binding::Unsupported,
            "n,,",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=",
            "v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=",
        ),
        (
            Binding::NotOffered,
            "y,,",
            "c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=VpuC5DGQa5ro9tXE9MnKs69NH1nxnuregZZcclqIGfM=",
            "v=FOmOj9BpTGwvnzwBtWQjBaPmVxT9I8IeHBOhcIPu3us=",
        ),
    ] {
        let first = first(binding, NONCE);
        assert_eq!(first.text(), format!("{header}n=,r={NONCE}"));
        let answer = first.answer(CHALLENGE).unwrap();
        assert_eq!(answer.text(), last);
        assert_eq!(answer.check(outcome.as_bytes()), Ok(()));
    }
}

#[test]
fn an_exchange_that_is_bound() {
    let [first_message, challenge, last, outcome] = recorded::MESSAGES;
    let client_key = STANDARD.decode(recorded::CLIENT_KEY).unwrap().try_into().unwrap();
    let key = PassKey::new(Verifier::parse(recorded::VERIFIER).unwrap(), ClientKey::new(client_key));
    let binding = Binding::EndPoint(recorded::END_POINT.to_vec());
    let first = ClientFirst::new(Arc::new(key), binding, recorded::CLIENT_NONCE.to_owned());
    assert_eq!(first.text(), first_message);
    let answer = first.answer(challenge.as_bytes()).unwrap();
    assert_eq!(answer.text(), last);
    assert_eq!(answer.check(outcome.as_bytes()), Ok(()));
    assert_eq!(
        answer.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        Err(Mistrust::WrongSignature)
    );
    assert_eq!(answer.check(b"e=invalid-proof"), Err(Mistrust::Malformed));
    assert_eq!(answer.check(b"v="), Err(Mistrust::WrongSignature));
}

fn mistrust(challenge: &str) -> Mistrust {
    first(Binding::Unsupported, "abc").answer(challenge.as_bytes()).map(|_| ()).unwrap_err()
}

#[test]
fn a_challenge_of_another_verifier_is_not_answered() {
    let right = "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert!(first(Binding::Unsupported, "abc").answer(format!("r=abcdef,{right}").as_bytes()).is_ok());
    assert_eq!(mistrust("r=abcdef,s=X22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), Mistrust::OtherSalt);
    assert_eq!(mistrust("r=abcdef,s=,i=4096"), Mistrust::OtherSalt);
    assert_eq!(mistrust("r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=8192"), Mistrust::OtherIterations);
    for broken in [
        "",
        "r=abcdef",
        "r=abcdef,s=%,i=4096",
        "e=other-error",
        &format!("r=abc,{right}"),
        &format!("r=abdef,{right}"),
        &format!("r=abcd\u{e9}f,{right}"),
        &format!("m=ext,r=abcdef,{right}"),
        &format!("r=abcdef,{right},x=y"),
        &format!("r=abcdef,{right}6000000000"),
    ] {
        assert_eq!(mistrust(broken), Mistrust::Malformed, "{broken}");
    }
}
