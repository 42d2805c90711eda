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

/// The account of a user of whom this secret was found. Takes milliseconds of CPU for a plain password. Whoever has no
/// password is checked against `nothing`, which no password fits: it may come in by other ways than that. What the user's
/// entry says of its login to the servers counts before what follows from the secret.
pub(super) fn account(user: &User, secret: &Secret, nothing: impl FnOnce() -> Verifier) -> Account {
    let (proof, towards_servers) = match Stored::of(secret) {
        Stored::Nothing => (Proof::Scram(nothing()), ServerProof::None),
        Stored::Plain(password) => {
            (Proof::Scram(Verifier::of_password(password.expose())), ServerProof::Password(password.clone()))
        }
        Stored::Md5(hash) => {
            // The name is part of it.
            let fits = user.server_user == user.name;
            let towards_servers = fits.then(|| ServerProof::Md5(Secret::new(hash.digits())));
            (Proof::Md5(hash), towards_servers.unwrap_or(ServerProof::None))
        }
        Stored::Scram(verifier) => (Proof::Scram(verifier), ServerProof::PassThrough),
    };
    let mut user = user.clone();
    if user.server_proof == ServerProof::None {
        user.server_proof = towards_servers;
    }
    Account { user: Arc::new(user), proof }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Timeouts;

    const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const MD5: &str = "md5aaaabbbbccccdddd0000111122223333";

    fn nothing() -> Verifier {
        Verifier { iterations: 1, salt: vec![1], stored_key: [1; 32], server_key: [1; 32] }
    }

    fn proof(secret: &str) -> String {
        let user = User::unlisted("app".into(), Timeouts::default());
        let account = account(&user, &Secret::new(secret), nothing);
        let kind = match account.proof {
            Proof::Scram(verifier) if verifier == nothing() => "nothing",
            Proof::Scram(_) => "scram",
            Proof::Md5(_) => "md5",
            Proof::Trust | Proof::Certificate => panic!("nobody said so"),
        };
        let towards_servers = match &account.user.server_proof {
            ServerProof::None => "none",
            ServerProof::Password(password) => password.expose(),
            ServerProof::PassThrough => "key",
            ServerProof::Md5(_) => "hash",
        };
        format!("{kind} {towards_servers}")
    }

    #[test]
    fn secrets_are_told_apart_as_postgresql_does() {
        assert_eq!(proof(SCRAM), "scram key");
        assert_eq!(proof(MD5), "md5 hash");
        assert_eq!(proof(""), "nothing none");
        for plain in ["secret", &MD5[..34], &MD5.to_uppercase(), &format!("{MD5}0"), &SCRAM[..90]] {
            assert_eq!(proof(plain), format!("scram {plain}"));
        }
    }

    #[test]
    fn what_an_entry_says_of_the_servers_counts_first() {
        let own = ServerProof::Password(Secret::new("own"));
        let user = User { server_proof: own.clone(), ..User::unlisted("app".into(), Timeouts::default()) };
        for secret in [SCRAM, "secret"] {
            assert_eq!(account(&user, &Secret::new(secret), nothing).user.server_proof, own);
        }
    }
}
