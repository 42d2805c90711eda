//! A client as it goes along from one weir to the next: what it is, has set and has prepared, as values that describe
//! themselves, so that a reader of another version finds what it knows and takes the rest as not said.
//!
//! Pure. What is on a server's connection is in none of this: who has such stays where it is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::backend::prepared::Shape;
use crate::backend::settings::Settings;
use crate::backend::value::Value;

/// Grows when a reader of before would take what is said for something else.
pub(crate) const VERSION: u32 = 1;

/// Bytes of any encoding, which may be a secret: printed never.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableSetting {
    name: Box<str>,
    /// As SQL, or the value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sql: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<Box<str>>,
}

/// Settings, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableSettings(Vec<PortableSetting>);

impl From<&Settings> for PortableSettings {
    fn from(settings: &Settings) -> Self {
        let one = |(name, value): (&str, &Value)| match value.clone() {
            Value::Sql(text) => PortableSetting { name: name.into(), sql: Some(text), raw: None },
            Value::Raw(text) => PortableSetting { name: name.into(), sql: None, raw: Some(text) },
        };
        Self(settings.iter().map(one).collect())
    }
}

impl From<PortableSettings> for Settings {
    fn from(settings: PortableSettings) -> Self {
        let one = |one: PortableSetting| {
            let value = one.sql.map(Value::Sql).or(one.raw.map(Value::Raw))?;
            Some((one.name, value))
        };
        Settings::new(settings.0.into_iter().filter_map(one).collect())
    }
}

/// What a client was told of a statement, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableShape {
    parameters: Option<u64>,
    result: u64,
}

impl From<Shape> for PortableShape {
    fn from(Shape { parameters, result }: Shape) -> Self {
        Self { parameters, result }
    }
}

impl From<PortableShape> for Shape {
    fn from(PortableShape { parameters, result }: PortableShape) -> Self {
        Self { parameters, result }
    }
}

/// A prepared statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableStatement {
    /// The client's name for it; none of the unnamed one.
    #[serde(default)]
    pub name: Blob,
    pub sql: Blob,
    /// The types of its parameters as the client said them, and as it was told them.
    #[serde(default)]
    pub types: Blob,
    #[serde(default)]
    pub told_types: Option<Blob>,
    #[serde(default)]
    pub told: Option<PortableShape>,
    /// The settings by which it was prepared, where they are known.
    #[serde(default)]
    pub by: Option<PortableSettings>,
}

/// How the client logged in to the servers by its own proof: verifier and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableKey {
    pub iterations: u32,
    pub salt: Blob,
    pub stored: Blob,
    pub server: Blob,
    pub client: Blob,
}

/// Settings as the client has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableWishes {
    pub wanted: PortableSettings,
    pub own: PortableSettings,
    pub startup: PortableSettings,
    pub own_startup: PortableSettings,
}

/// What it has where it has set nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableDefaults {
    pub told: Vec<(Box<str>, Box<str>)>,
    pub written: Box<str>,
    pub others: Vec<(Box<str>, Box<str>)>,
}

/// Who a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableWho {
    pub user: String,
    pub database: String,
    pub server_database: String,
    /// The address of the listener by which it came.
    pub listener: String,
    /// The key that it was given for cancel requests.
    pub pid: i32,
    pub secret: Blob,
    #[serde(default)]
    pub key: Option<PortableKey>,
}

/// A client between two requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Portable {
    pub who: PortableWho,
    pub settings: PortableWishes,
    #[serde(default)]
    pub defaults: Option<PortableDefaults>,
    #[serde(default)]
    pub statements: Vec<PortableStatement>,
    #[serde(default)]
    pub unnamed: Option<PortableStatement>,
    /// Whether the server said at its login that backslashes in strings are escapes.
    #[serde(default)]
    pub escapes: bool,
    /// Custom settings of which it has spoken; an empty name stands for any.
    #[serde(default)]
    pub spoken: Vec<Box<str>>,
    /// What it has sent of its next request.
    #[serde(default)]
    pub received: Blob,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blob() -> impl Strategy<Value = Blob> {
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Blob)
    }

    fn settings() -> impl Strategy<Value = Settings> {
        let value = prop_oneof![
            ".{0,12}".prop_map(|text| Value::Raw(text.into())),
            ".{0,12}".prop_map(|text| Value::Sql(text.into()))
        ];
        prop::collection::btree_map("[a-z.]{1,9}".prop_map(Box::<str>::from), value, 0..6)
            .prop_map(Settings::new)
    }

    fn statement() -> impl Strategy<Value = PortableStatement> {
        let shape = (any::<Option<u64>>(), any::<u64>());
        let told =
            prop::option::of(shape.prop_map(|(parameters, result)| PortableShape { parameters, result }));
        let by = prop::option::of(settings().prop_map(|settings| PortableSettings::from(&settings)));
        (blob(), blob(), blob(), prop::option::of(blob()), told, by).prop_map(
            |(name, sql, types, told_types, told, by)| PortableStatement {
                name,
                sql,
                types,
                told_types,
                told,
                by,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            statements in prop::collection::vec(statement(), 0..5),
            unnamed in prop::option::of(statement()),
            wanted in settings(),
            received in blob(),
            (user, spoken) in (".{0,20}", prop::collection::vec(".{0,9}".prop_map(Box::<str>::from), 0..3)),
        ) {
            let who = PortableWho { user, secret: received.clone(), pid: 7, ..PortableWho::default() };
            let settings = PortableWishes { wanted: (&wanted).into(), ..PortableWishes::default() };
            let one = Portable { who, settings, statements, unnamed, spoken, received, ..Portable::default() };
            let read: Portable = serde_json::from_slice(&serde_json::to_vec(&one).unwrap()).unwrap();
            prop_assert_eq!(&read, &one);
            prop_assert_eq!(Settings::from(read.settings.wanted), wanted);
        }
    }

    #[test]
    fn what_another_version_says_besides_is_passed_over_and_what_it_does_not_say_is_not_there() {
        let text = r#"{"who": {"user": "app", "database": "d", "server_database": "d", "listener": "x",
            "pid": 9, "secret": "AAAA", "mood": "good"}, "settings": {"wanted": [{"name": "a",
            "raw": "b", "since": 3}], "own": [], "startup": [], "own_startup": []}, "later": [1, 2]}"#;
        let read: Portable = serde_json::from_str(text).unwrap();
        assert_eq!((&*read.who.user, read.who.pid, read.statements.len()), ("app", 9, 0));
        assert_eq!(Settings::from(read.settings.wanted).get("a"), Some(&Value::Raw("b".into())));
        assert!(serde_json::from_str::<Portable>(r#"{"who": {}}"#).is_err());
    }
}
