//! Towards servers: a login by a key comes to what a login by its password comes to, whoever is in between and whatever the
//! server is.

use proptest::prelude::*;

use super::*;
use crate::scram::Verifier;
use crate::scram::agreement::{Attempt, Reference, attempts};

fn outcomes(attempt: &Attempt, verifier: &Verifier) -> [bool; 2] {
    let server = || Reference::new(verifier.clone(), &attempt.binding);
    [
        attempt.succeeds(attempt.by_password(bound(attempt.binding.clone())), server()),
        attempt.succeeds(attempt.by_key(), server()),
    ]
}

proptest! {
    #[test]
    fn key_and_password_log_in_alike(attempt in attempts()) {
        let expected = attempt.fits() && attempt.tampering.is_none();
        prop_assert_eq!(outcomes(&attempt, &attempt.verifier()), [expected; 2]);
    }

    /// One that has stolen StoredKey can check the proof, and cannot make its own.
    #[test]
    fn a_server_that_does_not_know_the_verifier_is_not_taken(attempt in attempts(), made_up in any::<[u8; 32]>()) {
        let impostor = Verifier { server_key: made_up, ..attempt.verifier() };
        prop_assert_eq!(outcomes(&attempt, &impostor), [false; 2]);
    }

    /// Of another salt, or another count, the key knows nothing, and the password would be told no more than that it is wrong.
    #[test]
    fn a_key_is_not_shown_to_another_verifier(attempt in attempts(), more in 1..100u32) {
        let attempt = attempt.unhindered();
        let verifier = attempt.verifier();
        let salted = Verifier { salt: [&verifier.salt[..], b"!"].concat(), ..verifier.clone() };
        let counted = Verifier { iterations: verifier.iterations + more, ..verifier };
        prop_assert_eq!([outcomes(&attempt, &salted), outcomes(&attempt, &counted)], [[false; 2]; 2]);
    }
}
