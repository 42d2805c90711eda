//! What PostgreSQL keeps of a password where `password_encryption` was `md5`.

use std::fmt;

use crate::config::Secret;

/// MD5 over password and name, in 32 hexadecimal digits: enough to check an answer, and enough to give one.
#[derive(Clone, PartialEq, Eq)]
pub struct Md5Hash(Secret);

impl Md5Hash {
    /// Reads `md5` and 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("md5")?;
        let is_hash = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_hash.then(|| Self(Secret::new(digits)))
    }

    /// The digits, for the one who checks an answer.
    pub fn digits(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Hash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_not_shown() {
        let hash = Md5Hash::parse(TEXT).unwrap();
        assert_eq!(format!("{hash:?}"), "Md5Hash(***)");
        assert_eq!(hash.digits(), &TEXT[3..]);
    }

    const TEXT: &str = "md5aaaabbbbccccdddd0000111122223333";
}
