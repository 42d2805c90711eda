//! Statements about weir's own settings in words in which a server answers them as PostgreSQL answers those about its own.
//!
//! Pure: texts in, texts out.

use crate::session::model::positions::Rewritten;
use crate::session::model::settings::{is_weirs, plain};
use crate::session::model::shown::Shown;
use crate::session::model::weir_settings::{
    REFUSER, refused, refused_value, shown as shown_by, shown_later, value_of,
};
use crate::sql::{Kind, Scope, Statement, Verdict, split_statements};

/// The text for the server in the place of a simple query: statements about weir's own settings in the server's
/// words, and behind each one what `more` wants to follow it. All else is as the client wrote it.
pub(crate) fn queried_as(
    shown: &Shown,
    sql: &[u8],
    verdict: &Verdict,
    more: impl Fn(&Statement) -> Vec<String>,
    encoding: &str,
) -> Option<Rewritten> {
    let others = |statement| (in_servers_words(statement, Some(shown)), more(statement));
    let others: Vec<_> = verdict.statements.iter().map(others).collect();
    if others.iter().all(|(other, more)| other.is_none() && more.is_empty()) {
        return None;
    }
    let texts = split_statements(sql, shown.strings).ok().filter(|texts| texts.len() == others.len())?;
    let (mut all, mut at) = (Rewritten::default(), 0);
    for ((other, more), text) in others.into_iter().zip(texts) {
        // Each text is a part of the whole.
        let start = (text.as_ptr() as usize).checked_sub(sql.as_ptr() as usize)?;
        all.keeps(sql.get(at..start)?, encoding);
        match other {
            Some(other) => all.replaces(text, &other, encoding),
            None => all.keeps(text, encoding),
        }
        more.iter().for_each(|one| all.replaces(b"", &format!("; {one}"), encoding));
        at = start + text.len();
    }
    all.keeps(sql.get(at..)?, encoding);
    Some(all)
}

/// The text for the server in the place of a statement of the extended protocol.
pub(crate) fn parsed_as(verdict: &Verdict) -> Option<String> {
    match &*verdict.statements {
        [statement] => in_servers_words(statement, None),
        _ => None,
    }
}

/// A text that the server answers as PostgreSQL would answer `statement` if weir's settings were its own, where the
/// statement itself would not do. `now` has the values of what is shown; without it they are set in front later.
pub(crate) fn in_servers_words(statement: &Statement, now: Option<&Shown>) -> Option<String> {
    if let Some((setting, _)) = refused(statement) {
        let value = refused_value(&setting.name, &value_of(setting).as_ref().map_or_else(String::new, plain));
        return Some(match statement.kind {
            Kind::Set | Kind::SetWeir(..) | Kind::Reset(_) => format!("SET {REFUSER} TO {value}"),
            _ => format!("SELECT pg_catalog.set_config('{REFUSER}', {value}, false)"),
        });
    }
    match (&statement.kind, &*statement.effects.settings) {
        // To PostgreSQL some of the words are reserved ones.
        (Kind::Set | Kind::SetWeir(..), [setting]) if is_weirs(&setting.name) => {
            let local = if setting.scope == Scope::Local { "LOCAL " } else { "" };
            Some(format!("SET {local}{} TO {}", setting.name, setting.value))
        }
        (Kind::Show(_), _) => {
            let own = shown_by(statement)?;
            Some(now.map_or_else(|| shown_later(own), |answers| answers.at_once(own)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::model::weir_settings::WeirSetting;
    use crate::sql::{Classifier, StandardConformingStrings};

    #[test]
    fn a_query_gets_the_values_where_it_asks_for_them() {
        let mut answers = Shown::default();
        answers.put(WeirSetting::Lsn, Some("0/1".to_owned()));
        answers.put(WeirSetting::Consistency, Some("global".to_owned()));
        let queried = |sql: &str| {
            let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
            queried_as(&answers, sql.as_bytes(), &verdict, |_| Vec::new(), "")
                .map(|text| String::from_utf8(text.sql).unwrap())
        };
        let lsn = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN '0/1'::pg_catalog.text \
            WHEN pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL \
            THEN pg_catalog.set_config('client_min_messages', 'weir.lsn = uncommitted', true) \
            ELSE pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text END AS \"weir.lsn\"";
        assert_eq!(queried("show weir.LSN").as_deref(), Some(lsn));
        assert_eq!(queried("SELECT ';' ; SHOW weir.lsn;"), Some(format!("SELECT ';' ; {lsn};")));
        let shown = "SELECT 'global'::pg_catalog.text AS \"weir.consistency\"";
        assert_eq!(queried("SHOW weir.consistency").as_deref(), Some(shown));
        assert_eq!(queried("SET weir.target = primary").as_deref(), Some("SET weir.target TO 'primary'"));
        assert_eq!(
            queried("SET LOCAL weir.max_staleness = -1").as_deref(),
            Some("SET LOCAL weir.max_staleness TO '-1'")
        );
        let refused = "SET client_min_messages TO 'weir.consistency = bo''gus'";
        assert_eq!(queried("SET weir.consistency = 'bo''gus'").as_deref(), Some(refused));
        let refused = "SET client_min_messages TO 'weir.route = unknown'";
        assert_eq!(queried("SHOW weir.route").as_deref(), Some(refused), "of which nothing is known");
        let refused = "SELECT pg_catalog.set_config('client_min_messages', 'weir.foo = 1', false)";
        assert_eq!(queried("SELECT set_config('weir.foo', '1', true)").as_deref(), Some(refused));
        for sql in ["SELECT 1", "SHOW work_mem", "SHOW weir.foo", "RESET weir.target", "SET x.y = 1", ""] {
            assert_eq!(queried(sql), None, "{sql}");
        }
    }
}
