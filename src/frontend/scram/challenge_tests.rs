//! Exchanges byte by byte, with known nonces, and what is said of messages that break the rules.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use sha2::{Digest, Sha256};

use super::*;
use crate::error::Error;
use crate::scram::recorded;

const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn begin(first: &[u8], selected: Selected<'_>) -> Result<Challenge, Failure> {
    Challenge::new(first, (pencil(), Standing::Known), selected, NONCE)
}

fn exchange(password: &str, verifier: Verifier, standing: Standing) -> Result<ClientKey, Failure> {
    let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let challenge = Challenge::new(client.message(), (verifier, standing), Selected::Plain, NONCE)?;
    client.update(challenge.text().as_bytes()).unwrap();
    let (outcome, key) = challenge.check(client.message())?;
    client.finish(outcome.as_bytes()).expect("the client must accept the server's proof");
    Ok(key)
}

fn pencil() -> Verifier {
    Verifier::of_password("pencil")
}

#[test]
fn the_right_password_passes_and_gives_its_key_and_a_wrong_one_does_not() {
    let verifier = pencil();
    let key = exchange("pencil", verifier.clone(), Standing::Known).unwrap();
    assert!(bool::from(key.fits(&verifier)));
    assert_eq!(exchange("Pencil", verifier.clone(), Standing::Known), Err(Failure::WrongProof));
    assert_eq!(exchange("", verifier, Standing::Known), Err(Failure::WrongProof));
}

#[test]
fn a_decoy_fails_even_with_a_proof_that_fits() {
    assert_eq!(exchange("pencil", pencil(), Standing::Decoy), Err(Failure::WrongProof));
}

#[test]
fn malformed_first_messages() {
    for (first, detail) in [
        ("", "The message is empty."),
        ("n\0", "Message length does not match input length."),
        ("n", "Comma expected, but found character \"0x00\"."),
        ("n,,", "Expected attribute \"n\" but found \"0x00\"."),
        ("n,,n=,x=abc", "Expected attribute \"r\" but found \"'x'\"."),
        ("n,,n=,r", "Expected character \"=\" for attribute \"r\"."),
        ("n,,n=,r=abc,=", "Attribute expected, but found invalid character \"'='\"."),
        ("n,x,n=,r=abc", "Unexpected attribute \"'x'\" in client-first-message."),
        ("x,,n=,r=abc", "Unexpected channel-binding flag \"'x'\"."),
        ("\u{e9},,n=,r=abc", "Unexpected channel-binding flag \"0xc3\"."),
        (
            "p=tls-server-end-point,,n=,r=abc",
            "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding \
             data.",
        ),
    ] {
        let failure = begin(first.as_bytes(), Selected::Plain).map(|_| ()).unwrap_err();
        assert_eq!(failure, Failure::Malformed(detail.to_owned()), "{first:?}");
    }
    for nonce in ["", "a b", "caf\u{e9}"] {
        let first = format!("n,,n=,r={nonce}");
        assert_eq!(begin(first.as_bytes(), Selected::Plain).map(|_| ()).unwrap_err(), Failure::Nonce);
    }
    for first in ["n,,m=ext,n=,r=abc", "n,a=other,n=,r=abc"] {
        let failure = begin(first.as_bytes(), Selected::Plain).map(|_| ()).unwrap_err();
        assert!(matches!(failure, Failure::Unsupported(_)), "{first:?}");
    }
    assert!(begin(b"n,,n=,r=\xff", Selected::Plain).is_err());
    assert!(begin(b"n,,n=,r=abc,x=ignored", Selected::Plain).is_ok());
}

#[test]
fn final_messages_that_do_not_belong() {
    let check = |last: &dyn Fn(&str) -> String| {
        let challenge = begin(b"n,,n=,r=abc", Selected::Plain).unwrap();
        let nonce = challenge.nonce.clone();
        assert_eq!(nonce, format!("abc{NONCE}"), "the server adds its own nonce");
        challenge.check(last(&nonce).as_bytes()).unwrap_err()
    };
    let is_malformed = |failure| matches!(failure, Failure::Malformed(_));
    let proof = STANDARD.encode([0; 32]);
    assert!(is_malformed(check(&|_| String::new())));
    assert!(is_malformed(check(&|nonce| format!("c=biws,r={nonce}"))));
    assert!(is_malformed(check(&|nonce| format!("c=biws,r={nonce},p=%%%"))));
    assert!(is_malformed(check(&|nonce| format!("c=biws,r={nonce},p=AAAA"))));
    assert!(is_malformed(check(&|nonce| format!("c=biws,r={nonce},p={proof},x=y"))));
    assert_eq!(check(&|_| format!("c=biws,r=abc,p={proof}")), Failure::Unrelated);
    assert_eq!(check(&|nonce| format!("c=biws,r={nonce}x,p={proof}")), Failure::Unrelated);
    assert_eq!(check(&|nonce| format!("c=biws,r={nonce},p={proof}")), Failure::WrongProof);
    assert_eq!(check(&|nonce| format!("c=biws,r={nonce},x=y,p={proof}")), Failure::WrongProof);
}

/// Signs messages as a client would that knows the key, whatever they say.
fn signed(challenge: &Challenge, client_first_bare: &str, without_proof: &str) -> String {
    let auth = format!("{client_first_bare},{},{without_proof}", challenge.text());
    let signature = hmac(&challenge.verifier.stored_key, &[auth.as_bytes()]);
    let proof: Vec<u8> = [5u8; 32].iter().zip(signature).map(|(k, s)| k ^ s).collect();
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

/// Of an exchange that is right but for what it says of channel binding.
fn bound(header: &str, selected: Selected<'_>, attribute: &[u8]) -> Result<(), Failure> {
    let verifier = Verifier { stored_key: Sha256::digest([5u8; 32]).into(), ..pencil() };
    let first = format!("{header}n=,r=abc");
    let challenge = Challenge::new(first.as_bytes(), (verifier, Standing::Known), selected, NONCE)?;
    let without_proof = format!("c={},r={}", STANDARD.encode(attribute), challenge.nonce);
    let last = signed(&challenge, "n=,r=abc", &without_proof);
    challenge.check(last.as_bytes()).map(|_| ())
}

#[test]
fn channel_binding_must_be_what_the_first_message_said() {
    let end_point = [9; 32];
    let whole = |header: &[u8], hash: &[u8]| [header, hash].concat();
    let (plus, header) = (Selected::Bound(&end_point), "p=tls-server-end-point,,");
    assert_eq!(bound("n,,", Selected::Plain, b"n,,"), Ok(()));
    assert_eq!(bound("n,,", Selected::Unbound, b"n,,"), Ok(()), "it may do without");
    assert_eq!(bound("y,,", Selected::Plain, b"y,,"), Ok(()), "nothing was offered");
    assert_eq!(bound(header, plus, &whole(header.as_bytes(), &end_point)), Ok(()));

    assert_eq!(bound("n,,", Selected::Plain, b"y,,"), Err(Failure::OtherBinding));
    assert_eq!(bound("y,,", Selected::Plain, b"n,,"), Err(Failure::OtherBinding));
    assert_eq!(bound("n,,", Selected::Plain, b""), Err(Failure::OtherBinding));
    // Somebody in between shows another certificate, or none.
    assert_eq!(bound(header, plus, &whole(header.as_bytes(), &[8; 32])), Err(Failure::OtherEndPoint));
    assert_eq!(bound(header, plus, header.as_bytes()), Err(Failure::OtherEndPoint));
    assert_eq!(bound(header, plus, b"n,,"), Err(Failure::OtherEndPoint));
}

#[test]
fn a_client_that_was_made_to_believe_that_it_cannot_bind_is_refused() {
    assert_eq!(bound("y,,", Selected::Unbound, b"y,,"), Err(Failure::Downgrade));
    for flag in ["n,,", "y,,"] {
        let failure = bound(flag, Selected::Bound(&[9; 32]), flag.as_bytes()).unwrap_err();
        let words = "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.";
        assert_eq!(failure, Failure::Malformed(words.to_owned()));
    }
    let failure = bound("p=tls-unique,,", Selected::Bound(&[9; 32]), b"").unwrap_err();
    assert_eq!(failure, Failure::BindingType("tls-unique".to_owned()));
}

#[test]
fn it_is_refused_in_postgresqls_words() {
    let told = |failure: Failure| {
        let error: Error = failure.explain("u");
        (error.sqlstate().to_owned(), error.to_string(), error.detail().map(str::to_owned))
    };
    let (code, message, detail) = told(Failure::Downgrade);
    assert_eq!((&*code, &*message), ("28000", "SCRAM channel binding negotiation error"));
    assert_eq!(
        detail.unwrap(),
        "The client supports SCRAM channel binding but thinks the server does not.  However, this server does support \
         channel binding."
    );
    let (code, message, _) = told(Failure::OtherEndPoint);
    assert_eq!((&*code, &*message), ("28000", "SCRAM channel binding check failed"));
    let (code, message, _) = told(Failure::BindingType("tls-unique".into()));
    assert_eq!((&*code, &*message), ("08P01", "unsupported SCRAM channel-binding type \"tls-unique\""));
    let (code, message, detail) = told(Failure::Malformed("The message is empty.".into()));
    assert_eq!((&*code, &*message), ("08P01", "malformed SCRAM message"));
    assert_eq!(detail.as_deref(), Some("The message is empty."));
}

const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const CLIENT_KEY: &str = "pg/JI9Z+hkSpLRa5btpe9GVrDHJcSEN0viVTVXaZbos=";

/// The client's two messages and the server's, and the key that comes of them.
fn transcript(
    (verifier, client_key): (&str, &str),
    selected: Selected<'_>,
    nonce: &str,
    [first, challenge, last, outcome]: [&str; 4],
) {
    let verifier = Verifier::parse(verifier).unwrap();
    let started = Challenge::new(first.as_bytes(), (verifier, Standing::Known), selected, nonce).unwrap();
    assert_eq!(started.text(), challenge);
    let (text, key) = started.check(last.as_bytes()).unwrap();
    assert_eq!(text, outcome);
    let expected: [u8; 32] = STANDARD.decode(client_key).unwrap().try_into().unwrap();
    assert_eq!(key, ClientKey::new(expected));
}

/// RFC 7677, section 3. The verifier and ClientKey are computed with Python's hashlib.pbkdf2_hmac and hmac.
#[test]
fn the_exchange_of_rfc_7677() {
    let messages = [
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ];
    let stored = (VERIFIER, CLIENT_KEY);
    transcript(stored, Selected::Plain, NONCE, messages);
    // Who does not ask for a channel binding may have been offered one.
    transcript(stored, Selected::Unbound, NONCE, messages);
}

#[test]
fn an_exchange_that_is_bound() {
    let (stored, selected) =
        ((recorded::VERIFIER, recorded::CLIENT_KEY), Selected::Bound(&recorded::END_POINT));
    transcript(stored, selected, recorded::SERVER_NONCE, recorded::MESSAGES);
}
