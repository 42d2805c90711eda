//! Settings that a session has and that no connection can be given any more, because their object was dropped or a right is
//! gone. PostgreSQL's session would simply keep them. Here what takes them back runs without them, and what would run under
//! them does not run at all.
//!
//! Pure.

use std::borrow::Cow;

use crate::backend::settings::{Refused, Settings};
use crate::session::model::restore::{AUTHORIZATION, IDENTITY, ROLE};
use crate::sql::{Kind, Scope, Statement};

/// What is known of settings that a server has refused.
#[derive(Debug)]
pub(crate) enum Unsettable {
    /// One of them was, among others: which one is to be found out.
    Suspected,
    /// These were.
    These(Vec<Refused>),
}

impl Unsettable {
    /// What of these settings a connection can be given.
    pub(crate) fn attainable<'a>(&self, wanted: &'a Settings) -> Cow<'a, Settings> {
        let of = |settings: Settings, refused: &Refused| match settings.get(&refused.name) {
            Some(value) if *value == refused.value => settings.with(&refused.name, None),
            _ => settings,
        };
        match self {
            Unsettable::Suspected => Cow::Borrowed(wanted),
            Unsettable::These(refused) => Cow::Owned(refused.iter().fold(wanted.clone(), of)),
        }
    }

    /// Whether any of these settings may be among them.
    pub(crate) fn concerns(&self, wanted: &Settings) -> bool {
        match self {
            Unsettable::Suspected => true,
            Unsettable::These(refused) => {
                refused.iter().any(|refused| wanted.get(&refused.name) == Some(&refused.value))
            }
        }
    }

    /// Whether a statement does the same without them: it takes settings back or gives others, or moves in a transaction.
    /// Where rights are missing that would be fewer than those of who logged in, it gives nothing that takes rights.
    pub(crate) fn spares(&self, statement: &Statement) -> bool {
        use Kind::{
            Begin, Commit, Deallocate, Discard, Release, Reset, Rollback, RollbackTo, Savepoint, Set,
            SetTransaction, SetWeir,
        };
        match statement.kind {
            Begin(_) | Commit { .. } | Rollback { .. } | Savepoint(_) | Release(_) | RollbackTo(_) => true,
            SetTransaction(_, Scope::Local) | SetWeir(..) | Reset(_) | Discard(_) | Deallocate(_) => true,
            Set | SetTransaction(_, Scope::Session) => {
                let mut settings = statement.effects.settings.iter();
                settings.all(|setting| match &*setting.name {
                    AUTHORIZATION => true,
                    ROLE if self.has(AUTHORIZATION) => {
                        matches!(&*setting.value.to_ascii_lowercase(), "default" | "'none'")
                    }
                    ROLE => true,
                    _ => !IDENTITY.iter().any(|name| self.has(name)),
                })
            }
            _ => false,
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Unsettable::Suspected => true,
            Unsettable::These(refused) => refused.iter().any(|refused| *refused.name == *name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::value::Value;
    use crate::error::Error;
    use crate::sql::{Classifier, StandardConformingStrings};

    fn refused(names: &[&str]) -> Unsettable {
        let refused = |name: &&str| Refused {
            name: (*name).into(),
            value: Value::Sql("'x'".into()),
            error: Error::ServerLost.into(),
        };
        Unsettable::These(names.iter().map(refused).collect())
    }

    #[test]
    fn what_takes_a_setting_back_does_not_need_it() {
        let spares = |unsettable: &Unsettable, sql: &str| {
            let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
            verdict.statements.iter().all(|statement| unsettable.spares(statement))
        };
        let (plain, role, user) =
            (refused(&["default_tablespace"]), refused(&["role"]), refused(&["session_authorization"]));
        for sql in [
            "RESET default_tablespace; RESET ALL",
            "DISCARD ALL",
            "SET default_tablespace TO DEFAULT",
            "BEGIN; SAVEPOINT a; ROLLBACK TO a; RELEASE a; COMMIT; ROLLBACK",
            "RESET ROLE; SET ROLE NONE; RESET SESSION AUTHORIZATION",
            "SET SESSION AUTHORIZATION b",
            "SET TRANSACTION READ ONLY",
            "SET weir.target = primary",
            "",
        ] {
            assert!([&plain, &role, &user].into_iter().all(|one| spares(one, sql)), "{sql}");
        }
        assert!(
            spares(&plain, "SET default_tablespace = 'y'") && spares(&plain, "SET LOCAL work_mem = '5MB'")
        );
        assert!(spares(&role, "SET ROLE b") && !spares(&role, "SET session_replication_role = replica"));
        assert!(!spares(&user, "SET ROLE b") && !spares(&user, "SET work_mem = '5MB'"));
        for sql in
            ["SELECT 1", "SHOW work_mem", "INSERT INTO t VALUES (1)", "RESET ALL; SELECT 1", "CALL p()"]
        {
            assert!(![&plain, &role, &user].into_iter().any(|one| spares(one, sql)), "{sql}");
        }
    }

    #[test]
    fn another_value_is_not_among_them() {
        let one = refused(&["role"]);
        let wanted = |role: &str| {
            let value = |text: &str| Some(Value::Sql(text.into()));
            Settings::default().with("role", value(role)).with("work_mem", value("'x'"))
        };
        assert_eq!(*one.attainable(&wanted("'x'")), wanted("'x'").with("role", None));
        assert_eq!(*one.attainable(&wanted("'y'")), wanted("'y'"));
        assert!(one.concerns(&wanted("'x'")) && !one.concerns(&wanted("'y'")));
    }
}
