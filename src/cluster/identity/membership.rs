//! Which roles a role is a member of: what is asked, and what the answer means.
//!
//! A superuser is a member of no role by that alone, as PostgreSQL has it where pg_hba.conf asks. Whether rights are inherited
//! does not matter.

use std::sync::Arc;

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::rounds::Question;

/// Everybody may read this, of all roles. Names are cut off where PostgreSQL cuts them off.
const MEMBERSHIPS: &str = "
    WITH RECURSIVE asked AS (
        SELECT q.role::pg_catalog.name AS role, q.nth
          FROM ROWS FROM (pg_catalog.unnest($1)) WITH ORDINALITY AS q(role, nth)
    ), held(nth, role) AS (
        SELECT asked.nth, r.oid
          FROM asked JOIN pg_catalog.pg_roles AS r ON r.rolname OPERATOR(pg_catalog.=) asked.role
        UNION
        SELECT held.nth, m.roleid
          FROM held JOIN pg_catalog.pg_auth_members AS m ON m.member OPERATOR(pg_catalog.=) held.role
    )
    SELECT ARRAY(
               SELECT r.rolname::pg_catalog.text
                 FROM held JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) held.role
                WHERE held.nth OPERATOR(pg_catalog.=) asked.nth)
      FROM asked
     ORDER BY asked.nth";

/// Of whom it is asked, by its name on the servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::cluster) struct RoleMember(pub(in crate::cluster) Arc<str>);

impl Question for RoleMember {
    /// The role itself is among them; an empty list is that of a role that there is not.
    type Answer = Arc<[String]>;

    const ABOUT: &str = "who is a member of which role";

    /// Who makes names up, and need not even have a password, pushes out nobody.
    fn is_kept(roles: &Self::Answer) -> bool {
        !roles.is_empty()
    }

    async fn ask(connection: &Object, questions: &[Self]) -> Result<Vec<Self::Answer>, Error> {
        let statement = connection.prepare_typed_cached(MEMBERSHIPS, &[Type::TEXT_ARRAY]).await?;
        let roles: Vec<&str> = questions.iter().map(|Self(role)| &**role).collect();
        let rows = connection.query(&statement, &[&roles]).await?;
        rows.iter().map(|row| Ok(row.try_get::<_, Vec<String>>(0)?.into())).collect()
    }
}
