//! What a `SHOW` answers: columns with their types, and rows, in either format of the protocol. Pure.

use bytes::BytesMut;

use crate::wire::reply;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// `text`
    Text,
    /// `bool`
    Bool,
    /// `int4`
    Int,
    /// `int8`
    Big,
    /// `numeric`
    Number,
    /// `float8`
    Real,
    /// `bytea`
    Bytes,
}

impl Type {
    fn oid(self) -> u32 {
        match self {
            Type::Text => 25,
            Type::Bool => 16,
            Type::Int => 23,
            Type::Big => 20,
            Type::Number => 1700,
            Type::Real => 701,
            Type::Bytes => 17,
        }
    }

    /// A value in the binary format of its type.
    fn binary(self, value: &str) -> Vec<u8> {
        match self {
            Type::Text | Type::Bytes => value.as_bytes().to_vec(),
            Type::Bool => vec![u8::from(value == "t")],
            Type::Int => value.parse::<i32>().unwrap_or(i32::MAX).to_be_bytes().to_vec(),
            Type::Big => value.parse::<i64>().unwrap_or(i64::MAX).to_be_bytes().to_vec(),
            Type::Real => value.parse::<f64>().unwrap_or_default().to_be_bytes().to_vec(),
            Type::Number => numeric(value.parse().unwrap_or(u64::MAX)),
        }
    }
}

/// A whole number as `numeric` is sent: digits of base 10,000, the greatest first.
fn numeric(mut value: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    while value > 0 {
        digits.push((value % 10_000) as u16);
        value /= 10_000;
    }
    digits.reverse();
    let count = digits.len() as u16;
    // How many digits, the first one's power, the sign, and no digit behind the point.
    let head = [count, count.saturating_sub(1), 0, 0];
    head.into_iter().chain(digits).flat_map(u16::to_be_bytes).collect()
}

/// A column's name and type.
pub(super) type Column = (&'static str, Type);

/// One value of a row.
pub(super) type Value = Option<String>;

/// Something as a value.
pub(super) fn value(of: impl ToString) -> Value {
    Some(of.to_string())
}

/// Rows under columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Table {
    /// No rows yet.
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One row more.
    pub(super) fn row(&mut self, values: impl IntoIterator<Item = Value>) {
        self.rows.push(values.into_iter().collect());
    }
}

/// In which format each column is sent (manual: "Bind", the result-column format codes).
#[derive(Clone, Debug, Default)]
pub(super) struct Formats(pub(super) Vec<i16>);

impl Formats {
    fn of(&self, nth: usize) -> i16 {
        match &self.0[..] {
            [] => 0,
            [all] => *all,
            each => each.get(nth).copied().unwrap_or(0),
        }
    }
}

/// RowDescription.
pub(super) fn describe(out: &mut BytesMut, columns: &[Column], formats: &Formats) {
    let described =
        columns.iter().enumerate().map(|(nth, (name, kind))| (*name, kind.oid(), formats.of(nth)));
    reply::typed_row_description(out, described);
}

/// DataRow.
pub(super) fn put_row(out: &mut BytesMut, columns: &[Column], row: &[Value], formats: &Formats) {
    let encoded = |(nth, (value, (_, kind))): (usize, (&Value, &Column))| {
        let value = value.as_deref()?;
        Some(if formats.of(nth) == 1 { kind.binary(value) } else { value.as_bytes().to_vec() })
    };
    let values: Vec<Option<Vec<u8>>> = row.iter().zip(columns).enumerate().map(encoded).collect();
    reply::row_of_bytes(out, &values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_binary_are_postgresql_s() {
        assert_eq!(Type::Int.binary("258"), [0, 0, 1, 2]);
        assert_eq!(Type::Big.binary("-1"), [255; 8]);
        assert_eq!(numeric(0), [0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(numeric(10_001), [0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1]);
        assert_eq!(numeric(20_000), [0, 2, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0]);
    }
}
