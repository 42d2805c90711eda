//! What pgAdmin asks of any server when it connects, known by what it reads. The answers say that there is one database, and
//! that its user may do nothing there that pgAdmin would offer. Pure.

use super::table::{Column, Table, Type, value};

/// A question of its, by the columns that it asks for: its versions ask for more and less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question(Vec<Answer>);

/// A column and what stands in it.
type Answer = (&'static str, Type, Given);

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    This(&'static str),
    Null,
    Database,
    User,
}

const NO: Given = Given::This("f");

/// It sets `bytea_output`, by reading settings.
const SET: [Answer; 1] = [("set_config", Type::Text, Given::This("hex"))];

/// The relation or function that it reads, and the columns that it knows there. By the first two it is recognised.
const KNOWN: [(&str, &[Answer]); 7] = [
    ("pg_show_all_settings", &SET),
    ("pg_settings", &SET),
    (
        "pg_database",
        &[
            ("did", Type::Int, Given::This("1")),
            ("datname", Type::Text, Given::Database),
            ("datallowconn", Type::Bool, Given::This("t")),
            ("serverencoding", Type::Text, Given::This("UTF8")),
            ("cancreate", Type::Bool, NO),
            ("datlastsysoid", Type::Int, Given::This("0")),
            ("datistemplate", Type::Bool, NO),
        ],
    ),
    ("pg_stat_gssapi", &[("gss_authenticated", Type::Bool, NO), ("encrypted", Type::Bool, NO)]),
    (
        "pg_roles",
        &[
            ("id", Type::Int, Given::This("10")),
            ("name", Type::Text, Given::User),
            ("is_superuser", Type::Bool, NO),
            ("can_create_role", Type::Bool, NO),
            ("can_create_db", Type::Bool, NO),
            ("can_signal_backend", Type::Bool, NO),
        ],
    ),
    ("pg_user", &[("inrecovery", Type::Bool, NO), ("isreplaypaused", Type::Bool, NO)]),
    ("pg_replication_slots", &[("type", Type::Text, Given::Null)]),
];

/// The question that these words of a `SELECT` are, in lower case; `None` where it is no such question.
pub(super) fn question(words: &[&str]) -> Option<Question> {
    let says = |name: &str| words.iter().any(|word| word.rsplit('.').next() == Some(name));
    let asks = |(name, ..): &&Answer| says(name);
    let (_, columns) =
        KNOWN.iter().find(|(of, columns)| says(of) && columns.iter().take(2).all(|one| asks(&one)))?;
    Some(Question(columns.iter().filter(asks).copied().collect()))
}

impl Question {
    pub(super) fn columns(&self) -> Vec<Column> {
        self.0.iter().map(|(name, kind, _)| (*name, *kind)).collect()
    }

    /// The one row, for this user in this database.
    pub(super) fn answer(&self, database: &str, user: &str) -> Table {
        let mut table = Table::new(&self.columns());
        table.row(self.0.iter().map(|(.., given)| match given {
            Given::This(text) => value(text),
            Given::Null => None,
            Given::Database => value(database),
            Given::User => value(user),
        }));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str) -> Option<Vec<&'static str>> {
        let words: Vec<&str> =
            text.split([' ', ',', '(', ')', '=']).filter(|word| !word.is_empty()).collect();
        Some(question(&words)?.columns().into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn a_question_is_known_by_what_it_reads_and_answered_as_far_as_it_asks() {
        let old = "db.oid as did, db.datname, db.datallowconn, pg_encoding_to_char(db.encoding) as serverencoding, \
                   has_database_privilege(db.oid, create) as cancreate, datlastsysoid from pg_database db";
        let names = ["did", "datname", "datallowconn", "serverencoding", "cancreate", "datlastsysoid"];
        assert_eq!(columns(old).unwrap(), names);
        assert_eq!(columns("set_config(bytea_output,hex,false) from pg_settings").unwrap(), ["set_config"]);
        for other in
            ["datname from pg_catalog.pg_database", "name, setting from pg_settings", "1 from pg_roles"]
        {
            assert_eq!(columns(other), None, "{other}");
        }
    }

    #[test]
    fn the_answer_is_one_row_of_as_many_values() {
        let words = ["roles.oid", "as", "id", "rolname", "as", "name", "from", "pg_catalog.pg_roles"];
        let table = question(&words).unwrap().answer("weir", "ann");
        assert_eq!(table.rows, [[value(10), value("ann")]]);
    }
}
