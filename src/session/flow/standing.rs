//! Whether a server would let a client in that has proved who it is: a role may have lost its LOGIN, a database may take no
//! more connections, while weir has connections that were opened before.
//!
//! What is said here is said to those who come. Sessions that are there go on, as they do in PostgreSQL.

use crate::cluster::{DatabaseStanding, RoleStanding, Standing};
use crate::config::{Credential, User};
use crate::error::{Bar, Error, Result};
use crate::session::conversation::{Conversation, Who};

/// Asks the servers, for whoever comes now. Cancel safe.
///
/// # Errors
/// What PostgreSQL would say.
pub(super) async fn may_enter(conversation: &Conversation) -> Result<()> {
    let Who { user, server_database, .. } = &*conversation.who;
    let cluster = &conversation.shared.cluster;
    match cluster.standing(&user.server_user, server_database).await {
        Some(standing) => judge(standing, user, server_database),
        // Nobody says anything: the server says it, where a connection is opened.
        None => Ok(()),
    }
}

/// In PostgreSQL's order: a role that there is not, or whose password is not valid any more, fails by its password if it was
/// asked for one; then the role counts, then the database.
fn judge(standing: Standing, user: &User, database: &str) -> Result<()> {
    let has_password = !matches!(user.credential, Credential::Trust);
    let role = |bar| Err(Error::MayNotEnter(bar, user.server_user.to_string()));
    let into = |bar| Err(Error::MayNotEnter(bar, database.to_owned()));
    match (standing.role, standing.database) {
        (None | Some(RoleStanding::Expired | RoleStanding::BarredAndExpired), _) if has_password => {
            Err(Error::Authentication(user.name.to_string()))
        }
        (None, _) => role(Bar::NoRole),
        (Some(RoleStanding::Barred | RoleStanding::BarredAndExpired), _) => role(Bar::NoLogin),
        (Some(RoleStanding::Sound | RoleStanding::Expired), database) => match database {
            DatabaseStanding::Open => Ok(()),
            DatabaseStanding::Missing => into(Bar::NoDatabase),
            DatabaseStanding::Invalid => into(Bar::Invalid),
            DatabaseStanding::Closed => into(Bar::Closed),
            DatabaseStanding::Denied => into(Bar::Denied),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Timeouts;

    #[test]
    fn what_bars_the_way_is_told_in_postgresql_s_order() {
        use DatabaseStanding::{Closed, Denied, Invalid, Missing, Open};
        use RoleStanding::{Barred, BarredAndExpired, Expired, Sound};
        let told = |user: &User, role, database| match judge(Standing { role, database }, user, "shop") {
            Ok(()) => "enters".to_owned(),
            Err(error) => format!("{} {error}", error.sqlstate()),
        };
        let people =
            User { server_user: "role".into(), ..User::unlisted("people".into(), Timeouts::default()) };
        let trusted = User { credential: Credential::Trust, ..people.clone() };
        let failed = "28P01 password authentication failed for user \"people\"";
        for (role, by_password, by_trust) in [
            (Some(Sound), "enters", "enters"),
            (Some(Expired), failed, "enters"),
            (
                Some(Barred),
                "28000 role \"role\" is not permitted to log in",
                "28000 role \"role\" is not permitted to log in",
            ),
            (Some(BarredAndExpired), failed, "28000 role \"role\" is not permitted to log in"),
            (None, failed, "28000 role \"role\" does not exist"),
        ] {
            assert_eq!(told(&people, role, Open), by_password, "{role:?}");
            assert_eq!(told(&trusted, role, Open), by_trust, "{role:?}");
            // The role comes first.
            for database in [Missing, Closed] {
                let by_database = by_password == "enters";
                assert_eq!(
                    told(&people, role, database) == by_password,
                    !by_database,
                    "{role:?} {database:?}"
                );
            }
        }
        for (database, expected) in [
            (Missing, "3D000 database \"shop\" does not exist"),
            (Invalid, "55000 cannot connect to invalid database \"shop\""),
            (Closed, "55000 database \"shop\" is not currently accepting connections"),
            (Denied, "42501 permission denied for database \"shop\""),
        ] {
            assert_eq!(told(&people, Some(Sound), database), expected);
        }
    }
}
