//! Towards clients: whether somebody comes in is the same by a verifier, by a key and by the password itself.

use postgres_protocol::authentication::sasl::ChannelBinding;
use proptest::prelude::*;

use super::*;
use crate::frontend::password::client_key;
use crate::scram::Binding;
use crate::scram::agreement::{Attempt, Reference, Server, attempts};
use crate::users::Keys;

/// weir's half, and the key that it has learnt.
struct Ours<'a> {
    verifier: Verifier,
    selected: Selected<'a>,
    challenge: Option<Challenge>,
    learnt: &'a mut Option<ClientKey>,
}

impl Server for Ours<'_> {
    fn challenge(&mut self, first: &str) -> Option<String> {
        let known = (self.verifier.clone(), Standing::Known);
        let challenge = Challenge::new(first.as_bytes(), known, self.selected, &random_nonce()).ok()?;
        Some(self.challenge.insert(challenge).text().to_owned())
    }

    fn check(&mut self, last: &str) -> Option<String> {
        let (outcome, key) = self.challenge.take()?.check(last.as_bytes()).ok()?;
        *self.learnt = Some(key);
        Some(outcome)
    }
}

fn selected(binding: &Binding) -> Selected<'_> {
    match binding {
        Binding::Unsupported | Binding::NotOffered => Selected::Plain,
        Binding::EndPoint(hash) => Selected::Bound(hash),
    }
}

fn channel(binding: &Binding) -> ChannelBinding {
    match binding {
        Binding::Unsupported => ChannelBinding::unsupported(),
        Binding::NotOffered => ChannelBinding::unrequested(),
        Binding::EndPoint(hash) => ChannelBinding::tls_server_end_point(hash.clone()),
    }
}

/// Whether the client by `which` and weir take each other, and what weir has learnt.
fn outcome(attempt: &Attempt, which: &str) -> (bool, Option<ClientKey>) {
    let mut learnt = None;
    let selected = selected(&attempt.binding);
    let ours = Ours { verifier: attempt.verifier(), selected, challenge: None, learnt: &mut learnt };
    let succeeds = match which {
        "password" => attempt.succeeds(attempt.by_password(channel(&attempt.binding)), ours),
        _ => attempt.succeeds(attempt.by_key(), ours),
    };
    (succeeds, learnt)
}

proptest! {
    #[test]
    fn verifier_key_and_password_decide_alike(attempt in attempts()) {
        let expected = attempt.fits() && attempt.tampering.is_none();
        let key = attempt.key();
        for which in ["password", "key"] {
            let (succeeds, learnt) = outcome(&attempt, which);
            prop_assert_eq!(succeeds, expected, "by {}", which);
            // The last message is the client's to doubt: weir has learnt the key by then, which is the right one.
            prop_assert!(learnt.is_some() || !expected);
            prop_assert!(learnt.is_none_or(|learnt| learnt == key.client_key && attempt.fits()));
        }
        // Nobody is in between where the password itself is sent.
        let by_itself = client_key(attempt.tried.said.as_bytes(), &attempt.verifier());
        prop_assert_eq!(by_itself.is_some(), attempt.fits());
        prop_assert!(by_itself.is_none_or(|by_itself| by_itself == key.client_key));
    }

    #[test]
    fn what_a_login_proves_logs_in_elsewhere(attempt in attempts()) {
        let Some(learnt) = outcome(&attempt, "password").1 else { return Ok(()) };
        let kept = Keys::default().proved("somebody", attempt.verifier(), learnt);
        prop_assert_eq!(&*kept, &attempt.key());
        let attempt = attempt.unhindered();
        prop_assert!(attempt.succeeds(attempt.by_key(), Reference::new(attempt.verifier(), &attempt.binding)));
    }
}
