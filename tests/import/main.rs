//! `weir import`: every key of PgBouncer's, and a PgBouncer whose clients go on with weir.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod beside;
mod text;

use std::collections::BTreeSet;
use std::process::Command;

use weir::import::KEYS;

fn documented() -> BTreeSet<(String, String)> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in include_str!("keys.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('[') {
            Some(name) => section = name.trim_end_matches(']').to_owned(),
            None => keys.extend(line.split_whitespace().map(|key| (section.clone(), key.to_owned()))),
        }
    }
    keys
}

#[test]
fn every_key_is_in_the_table() {
    let known: BTreeSet<_> = KEYS.iter().map(|key| (key.section.to_owned(), key.name.to_owned())).collect();
    assert_eq!(known.len(), KEYS.len(), "each of them once");
    assert_eq!(known, documented());
    for key in KEYS {
        assert!(key.becomes.is_some() || !key.remark.is_empty(), "{} has no reason", key.name);
    }
}

/// What a key becomes is there, where it is a key of weir's.
#[test]
fn what_keys_become_exists() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml")).unwrap();
    for key in KEYS.iter().filter_map(|key| key.becomes) {
        let (section, name) = key.rsplit_once("] ").unwrap_or((key, ""));
        let section = format!("{}]", section.split(']').next().unwrap_or_default());
        let section = if section.starts_with("[[") { format!("{section}]") } else { section };
        assert!(file.contains(&section), "{key}: {section} is not in proxy.toml");
        for name in name.split(',').map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('[')) {
            assert!(file.contains(name), "{key}: {name} is not in proxy.toml");
        }
    }
}

/// The manual page of the PgBouncer that is installed, where one is, names nothing else.
#[test]
fn the_installed_manual_names_no_other_key() {
    let page = Command::new("zcat").arg("/usr/share/man/man5/pgbouncer.5.gz").output();
    let Some(page) = page.ok().filter(|page| page.status.success() && !page.stdout.is_empty()) else {
        eprintln!("not looked at: the manual page of PgBouncer is not installed");
        return;
    };
    let page = String::from_utf8_lossy(&page.stdout).replace("\\-", "-").replace("\\_", "_");
    let known: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
    let named: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SS ")).collect();
    assert!(named.len() > 80, "{named:?}");
    let is_key =
        |name: &&&str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let unknown: Vec<_> = named.iter().filter(is_key).filter(|name| !known.contains(**name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
