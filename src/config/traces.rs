//! `[traces]`: where spans of requests are sent, and of how many.

use std::sync::Arc;

use config::{Value, ValueKind};

use super::kinds::{text, unexpected};
use super::section::Section;

/// `[traces]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Who is told; nobody by default.
    pub collector: Option<Collector>,
    /// The share of requests that are traced whose application says nothing of it.
    pub sampled: f64,
    /// As whom weir speaks of itself.
    pub service_name: Arc<str>,
}

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Host and port.
    pub authority: Arc<str>,
    /// Where it takes traces.
    pub path: Arc<str>,
}

/// Where collectors take traces unless more is said.
const PATH: &str = "/v1/traces";

/// The port of OTLP over HTTP.
const PORT: &str = "4318";

pub(super) fn traces(s: &mut Section) -> Traces {
    Traces {
        collector: s.read("endpoint", collector),
        sampled: s.read("sampled", share).unwrap_or(0.01),
        service_name: s.read("service_name", text).unwrap_or_else(|| "weir".to_owned()).into(),
    }
}

/// `http://HOST`, with a port and a path if they are not the usual ones.
fn collector(value: &Value) -> Result<Collector, String> {
    let url = text(value)?;
    let expected = || {
        unexpected(
            "a URL such as \"http://127.0.0.1:4318\"; a collector beside weir can pass spans on by https",
            value,
        )
    };
    let rest = url.strip_prefix("http://").ok_or_else(expected)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host_only = !authority.contains(':') || authority.ends_with(']');
    let plain = |c: char| c.is_ascii_graphic() && !"@?#\"\\".contains(c);
    if authority.is_empty() || !(has_port || host_only) || !rest.chars().all(plain) {
        return Err(expected());
    }
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:{PORT}") };
    let path = if path.trim_end_matches('/').is_empty() { PATH } else { path };
    Ok(Collector { authority: authority.into(), path: path.into() })
}

/// From none to all.
fn share(value: &Value) -> Result<f64, String> {
    let share = match &value.kind {
        ValueKind::Float(share) => Some(*share),
        ValueKind::I64(share) => Some(*share as f64),
        ValueKind::String(text) if super::kinds::is_variable(value) => text.trim().parse().ok(),
        _ => None,
    };
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| unexpected("a share from 0.0 to 1.0", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(String, String), String> {
        let value = Value::new(None, url);
        collector(&value).map(|it| (it.authority.to_string(), it.path.to_string()))
    }

    #[test]
    fn an_endpoint_is_a_url() {
        for (url, authority, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318", PATH),
            ("http://collector/", "collector:4318", PATH),
            ("http://[::1]", "[::1]:4318", PATH),
            ("http://collector:80/otlp/v1/traces", "collector:80", "/otlp/v1/traces"),
        ] {
            assert_eq!(read(url), Ok((authority.to_owned(), path.to_owned())), "{url}");
        }
        for url in [
            "collector:4318",
            "https://collector",
            "http://",
            "http://a b",
            "http://u:p@collector",
            "http://c:x",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
