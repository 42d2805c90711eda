//! To which span of its application a statement belongs, by a comment in front of it or behind it, as sqlcommenter writes it:
//! `SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/`. W3C's Trace Context says what is in it.
//!
//! Only the two ends of the text are looked at, and nothing is decided by it but what a trace shows.

use super::hint::CommentsInFront;

/// How far from the end a comment may begin that ends the text.
const COMMENT_MAX: usize = 4096;

/// Version, trace, span and flags, with their dashes.
const LEN: usize = 55;

/// A span of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Its trace.
    pub trace: [u8; 16],
    /// Itself.
    pub span: [u8; 8],
    /// What else is said of it: the last bit is set where it is recorded.
    pub flags: u8,
}

impl TraceParent {
    /// Whether it is recorded.
    pub fn is_recorded(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// The span that a comment around the statement names.
pub fn trace_parent(sql: &[u8]) -> Option<TraceParent> {
    comment_behind(sql).into_iter().chain(CommentsInFront(sql)).find_map(in_comment)
}

/// What is in the comment that ends the text. An end such as this within a literal, or behind `--`, names nothing that counts.
fn comment_behind(sql: &[u8]) -> Option<&[u8]> {
    let sql = sql.trim_ascii_end();
    let sql = sql.strip_suffix(b";").unwrap_or(sql).trim_ascii_end();
    let text = sql.strip_suffix(b"*/")?;
    let text = &text[text.len().saturating_sub(COMMENT_MAX)..];
    let begin = text.windows(2).rposition(|two| two == b"/*")?;
    Some(&text[begin + 2..])
}

/// Pairs with commas between them: `key='value'`, as sqlcommenter demands, and `key=value` or `key:value`, as others write.
fn in_comment(text: &[u8]) -> Option<TraceParent> {
    text.split(|&byte| byte == b',').find_map(|pair| {
        let pair = pair.trim_ascii().strip_prefix(b"traceparent")?.trim_ascii_start();
        let value = pair.strip_prefix(b"=").or_else(|| pair.strip_prefix(b":"))?.trim_ascii();
        let value = value.strip_prefix(b"'").unwrap_or(value);
        read(&decoded(value.strip_suffix(b"'").unwrap_or(value))?)
    })
}

/// A value without its URL encoding; `None` for one that is too long.
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(LEN);
    let mut rest = value;
    while let Some((&byte, behind)) = rest.split_first() {
        if out.len() > 2 * LEN {
            return None;
        }
        rest = behind;
        match (byte, behind) {
            (b'%', [high, low, behind @ ..]) => {
                out.push(digit(*high)? << 4 | digit(*low)?);
                rest = behind;
            }
            _ => out.push(byte),
        }
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Reads `00-TRACE-SPAN-FLAGS`. A later version may have more behind it.
fn read(value: &[u8]) -> Option<TraceParent> {
    let (version, _) = value.split_at_checked(2)?;
    let dashes = [2, 35, 52].iter().all(|&at| value.get(at) == Some(&b'-'));
    let fits = value.len() == LEN || (version != b"00" && value.get(LEN) == Some(&b'-'));
    if version == b"ff" || !dashes || !fits || value.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let [_version] = bytes(value, 0)?;
    let (trace, span, [flags]) = (bytes(value, 3)?, bytes(value, 36)?, bytes(value, 53)?);
    (trace != [0; 16] && span != [0; 8]).then_some(TraceParent { trace, span, flags })
}

/// So many bytes, as hexadecimal digits tell them from here on.
fn bytes<const N: usize>(value: &[u8], at: usize) -> Option<[u8; N]> {
    let digits = value.get(at..at + 2 * N)?;
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_stands_in_front_or_behind() {
        let parent = TraceParent {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
            span: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
            flags: 1,
        };
        let encoded = PARENT.replace('-', "%2D");
        for sql in [
            format!("SELECT 1 /*traceparent='{PARENT}'*/"),
            format!("SELECT 1 /*action='%2Fa*d',traceparent='{PARENT}',tracestate='a%3Db'*/ ; "),
            format!("SELECT '/*' /*traceparent='{encoded}'*/"),
            format!("/* weir: replica */ -- note\n /* traceparent = {PARENT} */ SELECT 1"),
            format!("/*traceparent:{PARENT}*/SELECT 1 /* something else */"),
            format!("SELECT 1 /*traceparent='{}-more'*/", PARENT.replacen("00", "01", 1)),
        ] {
            assert_eq!(trace_parent(sql.as_bytes()), Some(parent), "{sql}");
        }
        let dropped = format!("SELECT 1 /*traceparent='{}0'*/", &PARENT[..LEN - 1]);
        assert_eq!(trace_parent(dropped.as_bytes()).map(|one| one.is_recorded()), Some(false));
    }

    #[test]
    fn what_is_no_parent_is_none() {
        let zero = PARENT.replace("00f067aa0ba902b7", "0000000000000000");
        for sql in [
            "SELECT 1".to_owned(),
            String::new(),
            "/*".to_owned(),
            "*/".to_owned(),
            format!("SELECT '/*traceparent=''{PARENT}''*/'"),
            format!("SELECT /*traceparent='{PARENT}'*/ 1"),
            format!("SELECT 1 /*traceparent='{}'*/", &PARENT[1..]),
            format!("SELECT 1 /*traceparent='{zero}'*/"),
            format!("SELECT 1 /*traceparent='{}'*/", PARENT.to_uppercase()),
            format!("SELECT 1 /*traceparent='{}'*/", PARENT.replacen("00", "ff", 1)),
            format!("SELECT 1 /*traceparent='{PARENT}-more'*/"),
            format!("SELECT 1 /*traceparent='{}'*/", "%2".repeat(200)),
            format!("SELECT 1 /*atraceparent='{PARENT}'*/"),
        ] {
            assert_eq!(trace_parent(sql.as_bytes()), None, "{sql}");
        }
    }
}
