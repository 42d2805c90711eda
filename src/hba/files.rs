//! The files themselves: where they are read from, and all that was read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ident::{Entry, Maps};
use super::mistake::{Mistake, Mistakes};
use super::names::{Name, Who};
use super::rule::{CertificateCheck, Connection, Method, Rule};
use super::tokens::{Files, Line, Tokenized, tokenize};
use super::{Rules, parse};
use crate::config::{HbaFiles, Watched};

/// Reads the files. With the outcome come all files and directories that were looked at: when one of them changes, the
/// outcome may be another.
///
/// # Errors
/// All mistakes at once.
pub fn load(paths: &HbaFiles) -> (Result<Rules, Mistakes>, Watched) {
    let mut disk = Disk::default();
    let rules = read(paths, &mut disk);
    (rules, disk.seen)
}

fn read(paths: &HbaFiles, files: &mut dyn Files) -> Result<Rules, Mistakes> {
    let Tokenized { lines: hba, mut mistakes } = tokenize(&paths.hba, files);
    let lines = parse_all(&hba, parse::rule, &mut mistakes);
    if hba.is_empty() && mistakes.is_empty() {
        let problem = format!("configuration file \"{}\" contains no entries", paths.hba.display());
        mistakes.push(Mistake { place: None, problem });
    }
    let ident = paths.ident.as_deref().map(|file| tokenize(file, files)).unwrap_or_default();
    mistakes.extend(ident.mistakes);
    let maps = Maps { lines: parse_all(&ident.lines, Entry::read, &mut mistakes) };
    if !mistakes.is_empty() {
        return Err(Mistakes { file: paths.hba.clone(), list: mistakes });
    }
    let warnings = lines.iter().filter_map(|line| warning(line, &maps)).collect();
    Ok(Rules { lines, maps, warnings })
}

fn parse_all<T>(
    lines: &[Line],
    parse: impl Fn(&Line) -> Result<T, String>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<T> {
    let mut parsed = Vec::with_capacity(lines.len());
    for line in lines {
        match parse(line) {
            Ok(one) => parsed.push(one),
            Err(problem) => mistakes.push(Mistake { place: Some(line.place.clone()), problem }),
        }
    }
    parsed
}

/// What PostgreSQL takes as well, but is hardly meant.
fn warning(line: &Rule, maps: &Maps) -> Option<Mistake> {
    let map = line.ruling.map.as_ref().filter(|map| !maps.has(map));
    let problem = match (&line.connection, map) {
        (Connection::HostGss, _) => {
            "hostgssenc record cannot match because GSSAPI is not supported by weir".to_owned()
        }
        (_, Some(map)) => format!("no line of ident_file is of the map \"{map}\", so nobody gets in by it"),
        _ => return None,
    };
    Some(Mistake { place: Some(line.place.clone()), problem })
}

/// What the listeners have that lines may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// No listener has TLS.
    Nothing,
    /// One has it, but none can tell whose certificate a client shows.
    Tls,
    /// One can.
    Certificates,
}

impl Rules {
    /// Lines that let nobody in because no listener has what they ask for. PostgreSQL takes them as well.
    pub fn unmet(&self, offered: Offered) -> Vec<Mistake> {
        let problem = |line: &Rule| match (&line.connection, line.ruling.certificate, offered) {
            (Connection::HostSsl(_), _, Offered::Nothing) => {
                Some("hostssl record cannot match because no listener has TLS")
            }
            (_, CertificateCheck::None, _) => None,
            (_, _, Offered::Nothing | Offered::Tls) => {
                Some("no client certificate can be checked, because no listener has tls_ca")
            }
            (_, _, Offered::Certificates) => None,
        };
        let told = |line: &Rule| {
            Some(Mistake { place: Some(line.place.clone()), problem: problem(line)?.to_owned() })
        };
        self.lines.iter().filter_map(told).collect()
    }
}

impl Rules {
    /// Whether a line may let somebody be this user. Which databases there are, who comes from where and whose member one is,
    /// is not known here.
    pub fn may_admit(&self, user: &str) -> bool {
        let lets_in =
            |line: &&Rule| line.ruling.method != Method::Reject && line.connection != Connection::HostGss;
        let who = Who { user, roles: None };
        self.lines.iter().filter(lets_in).any(|line| Name::is_any(&line.users, user, &who) != Some(false))
    }
}

/// The file system, and what has been looked at in it.
#[derive(Default)]
struct Disk {
    seen: Watched,
}

impl Files for Disk {
    fn read(&mut self, file: &Path) -> io::Result<String> {
        self.seen.look_at(file);
        fs::read_to_string(file)
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        self.seen.look_at(directory);
        let entries: Vec<_> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
        Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| !path.is_dir()).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tokens::tests::Shelf;
    use super::*;

    /// What these texts of the two files say.
    pub(in crate::hba) fn rules(hba: &str, ident: &str) -> Result<Rules, Mistakes> {
        let paths = HbaFiles { hba: "/etc/hba".into(), ident: Some("/etc/ident".into()) };
        read(&paths, &mut Shelf::of(&[("/etc/hba", hba), ("/etc/ident", ident)]))
    }
}
