//! What is asked of `/explain`, as a request carries it: who would ask stands behind the path, each name in percent-encoding, and
//! the statements are the body. Both ends read and write it here.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Statements, and on whose behalf they would be sent. What is not said is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The user.
    pub user: String,
    /// The database, by the name that clients use.
    pub database: String,
    /// The session's application_name.
    pub application_name: String,
    /// One statement, or several that are sent one after the other.
    pub sql: Vec<u8>,
}

impl Question {
    /// From what stands behind the `?` of a request, and its body.
    ///
    /// # Errors
    /// What of it makes no sense.
    pub(super) fn read(query: &str, sql: Vec<u8>) -> Result<Self, String> {
        let mut question = Self { sql, ..Self::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match key {
                "user" => &mut question.user,
                "database" => &mut question.database,
                "application_name" => &mut question.application_name,
                _ => return Err("ask with user, database and application_name".to_owned()),
            };
            let decoded = percent_decode_str(value).decode_utf8();
            *place = decoded.map_err(|_| format!("{key} is not UTF-8"))?.into_owned();
        }
        Ok(question)
    }

    /// Path and query of a request.
    pub(super) fn target(&self) -> String {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let Self { user, database, application_name, .. } = self;
        format!(
            "/explain?user={}&database={}&application_name={}",
            encoded(user),
            encoded(database),
            encoded(application_name)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let question = Question {
            user: "j&r=x".to_owned(),
            database: "bücher? #1".to_owned(),
            application_name: String::new(),
            sql: b"SELECT 1".to_vec(),
        };
        let target = question.target();
        let query = target.strip_prefix("/explain?").unwrap();
        assert_eq!(Question::read(query, question.sql.clone()), Ok(question));
        assert_eq!(Question::read("", Vec::new()), Ok(Question::default()));
        assert!(Question::read("password=x", Vec::new()).is_err());
        assert!(Question::read("user=%ff", Vec::new()).is_err());
    }
}
