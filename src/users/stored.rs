//! What is kept of a password, in the forms of PostgreSQL's `pg_authid.rolpassword`.

use std::sync::Arc;

use super::{Account, Md5Hash, Proof, Verifier};
use crate::config::{Secret, ServerProof, User};

/// What a secret is. PostgreSQL tells them apart in the same way (`get_password_type`).
enum Stored<'a> {
    Nothing,
    Plain(&'a Secret),
    Md5(Md5Hash),
    Scram(Verifier),
}

impl<'a> Stored<'a> {
    fn of(secret: &'a Secret) -> Self {
        let text = secret.expose();
        match (Verifier::parse(text), Md5Hash::parse(text)) {
            (Some(verifier), _) => Stored::Scram(verifier),
            (None, Some(hash)) => Stored::Md5(hash),
            // An empty password is none: PostgreSQL lets nobody in by one.
            (None, None) if text.is_empty() => Stored::Nothing,
            (None, None) => Stored::Plain(secret),
        }
    }
}

/// The account of a user of whom this secret was found; `None` if it lets nobody in. Takes milliseconds of CPU for a plain
/// password. What the user's entry says of its login to the servers counts before what follows from the secret.
pub(super) fn account(user: &User, secret: &Secret) -> Option<Account> {
    let (proof, towards_servers) = match Stored::of(secret) {
        Stored::Nothing => return None,
        Stored::Plain(password) => {
            (Proof::Scram(Verifier::of_password(password.expose())), ServerProof::Password(password.clone()))
        }
        Stored::Md5(hash) => (Proof::Md5(hash), ServerProof::None),
        Stored::Scram(verifier) => (Proof::Scram(verifier), ServerProof::PassThrough),
    };
    let mut user = user.clone();
    if user.server_proof == ServerProof::None {
        user.server_proof = towards_servers;
    }
    Some(Account { user: Arc::new(user), proof })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Timeouts;

    const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const MD5: &str = "md5aaaabbbbccccdddd0000111122223333";

    fn proof(secret: &str) -> Option<String> {
        let user = User::unlisted("app".into(), Timeouts::default());
        let account = account(&user, &Secret::new(secret))?;
        let kind = match account.proof {
            Proof::Trust => "trust",
            Proof::Certificate => "certificate",
            Proof::Scram(_) => "scram",
            Proof::Md5(_) => "md5",
        };
        Some(format!("{kind} {}", account.user.server_proof.password().map_or("", Secret::expose)))
    }

    #[test]
    fn secrets_are_told_apart_as_postgresql_does() {
        assert_eq!(proof(SCRAM).as_deref(), Some("scram "));
        assert_eq!(proof(MD5).as_deref(), Some("md5 "));
        assert_eq!(proof("").as_deref(), None);
        for plain in ["secret", &MD5[..34], &MD5.to_uppercase(), &format!("{MD5}0"), &SCRAM[..90]] {
            assert_eq!(proof(plain), Some(format!("scram {plain}")));
        }
    }

    #[test]
    fn what_an_entry_says_of_the_servers_counts_first() {
        let own = ServerProof::Password(Secret::new("own"));
        let user = User { server_proof: own.clone(), ..User::unlisted("app".into(), Timeouts::default()) };
        for secret in [SCRAM, "secret"] {
            assert_eq!(account(&user, &Secret::new(secret)).unwrap().user.server_proof, own);
        }
    }
}
