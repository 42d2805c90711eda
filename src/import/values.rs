//! Values of PgBouncer's as weir has them. Pure.

use std::path::{Path, PathBuf};

/// Seconds, which may have a fraction, as a time with its unit; `None` when it is no number, or nothing.
pub(super) fn time(seconds: &str) -> Option<String> {
    let seconds: f64 = seconds.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)?;
    let whole = seconds.fract() == 0.0;
    Some(if whole { format!("\"{seconds}s\"") } else { format!("\"{}ms\"", (seconds * 1000.0).round()) })
}

/// What is said of a time that may be 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// So long, as weir writes it.
    Of(String),
    /// 0.
    Zero,
    /// Not written, or no number.
    Unsaid,
}

pub(super) fn limit(seconds: Option<&str>) -> Limit {
    match seconds.map(|text| (text.parse::<f64>(), time(text))) {
        Some((_, Some(time))) => Limit::Of(time),
        Some((Ok(0.0), None)) => Limit::Zero,
        _ => Limit::Unsaid,
    }
}

/// PgBouncer's booleans.
pub(super) fn is_on(value: Option<&str>) -> bool {
    value.is_some_and(|value| {
        ["1", "yes", "true", "on", "y", "t"].contains(&value.to_ascii_lowercase().as_str())
    })
}

/// The parts of a list that commas separate.
pub(super) fn list(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// A file that PgBouncer was told of. It starts at its working directory, most often its configuration's.
pub(super) fn beside(ini: &Path, path: &str) -> PathBuf {
    let path = ini.with_file_name("").join(path);
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_times() {
        assert_eq!(time("120"), Some("\"120s\"".to_owned()));
        assert_eq!(time("15.0"), Some("\"15s\"".to_owned()));
        assert_eq!(time("0.5"), Some("\"500ms\"".to_owned()));
        assert_eq!((time("0"), time("x"), time("-1")), (None, None, None));
        assert_eq!(
            (limit(Some("0.0")), limit(Some("x")), limit(None)),
            (Limit::Zero, Limit::Unsaid, Limit::Unsaid)
        );
        assert!(is_on(Some("Yes")) && !is_on(Some("0")) && !is_on(None));
    }
}
