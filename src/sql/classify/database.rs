//! Statements for which a database must have no other connections (PostgreSQL manual, "Managing Databases").

use crate::sql::text::Cursor;

/// The database that nobody else may be connected to while `first ... ` runs, with the cursor behind `first`.
pub(super) fn vacated(first: &[u8], mut cursor: Cursor<'_, '_>) -> Option<Box<str>> {
    if !cursor.take_word("database") {
        return None;
    }
    match first {
        b"drop" => {
            cursor.take_words(&["if", "exists"]);
            cursor.take_name()
        }
        b"alter" => {
            let name = cursor.take_name()?;
            let moves = cursor.take_words(&["rename", "to"]) || cursor.take_words(&["set", "tablespace"]);
            moves.then_some(name)
        }
        b"create" => {
            cursor.take_name()?;
            while !cursor.at_end() {
                if cursor.take_word("template") {
                    cursor.take_symbol("=");
                    return cursor.take_name();
                }
                cursor.take();
            }
            Some("template1".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::{Classifier, StandardConformingStrings};

    fn vacated(sql: &str) -> Option<String> {
        let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
        verdict.statements[0].vacates.as_deref().map(str::to_owned)
    }

    #[test]
    fn a_database_is_vacated_where_postgresql_wants_it_empty() {
        assert_eq!(vacated("DROP DATABASE IF EXISTS Shop WITH (FORCE)").as_deref(), Some("shop"));
        assert_eq!(vacated("create database a with owner b template = \"Shop\"").as_deref(), Some("Shop"));
        assert_eq!(vacated("CREATE DATABASE a ENCODING 'UTF8'").as_deref(), Some("template1"));
        assert_eq!(vacated("ALTER DATABASE a RENAME TO b").as_deref(), Some("a"));
        assert_eq!(vacated("ALTER DATABASE a SET work_mem TO '1MB'"), None);
        assert_eq!(vacated("DROP TABLE database"), None);
    }
}
