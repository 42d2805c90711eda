//! A data directory made once per user, version and revision of this file, and copied for every server.
//!
//! initdb takes more than a second; a copy takes a tenth of that.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::scratch::{self, Owner};
use crate::{Failure, Postgres, Result};

/// Changes whenever what is below does, so that a template of an older harness is not used.
const REVISION: u32 = 2;

/// Roles and databases, one statement a line: single-user mode ends a statement at the end of its line.
const SETUP: &str = "\
ALTER ROLE postgres PASSWORD 'postgres'
CREATE ROLE app LOGIN PASSWORD 'app'
CREATE ROLE app_plain LOGIN PASSWORD 'app_plain' IN ROLE app
CREATE ROLE app_trust LOGIN IN ROLE app
SET password_encryption = 'md5'
CREATE ROLE app_md5 LOGIN PASSWORD 'app_md5' IN ROLE app
CREATE DATABASE app OWNER app
";

/// Everybody may do everything over the Unix sockets: the directory they are in lets nobody else enter.
const ACCESS: &str = "\
local all all trust
local replication all trust
host all app_md5 127.0.0.1/32 md5
host all app_plain 127.0.0.1/32 password
host all app_trust 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
host all all 10.77.0.0/16 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
";

/// The template's data directory, made if it is not there yet.
pub(super) fn prepared(postgres: &Postgres, owner: Owner) -> Result<PathBuf> {
    let base = scratch::base()?;
    let place: String =
        postgres.bin().to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let template = base.join(format!("template{place}_{REVISION}"));
    if template.join("PG_VERSION").exists() {
        return Ok(template);
    }
    // Others may make it at the same time: each makes its own, and the first one to rename wins.
    let random = RandomState::new().hash_one("template");
    let draft = base.join(format!("draft-{}-{random:016x}", std::process::id()));
    owner.create_dir(&draft)?;
    make(postgres, owner, &draft)?;
    if fs::rename(&draft, &template).is_err() {
        fs::remove_dir_all(&draft)?;
    }
    Ok(template)
}

fn make(postgres: &Postgres, owner: Owner, data: &Path) -> Result<()> {
    let mut initdb = owner.command(&postgres.program("initdb")?);
    initdb.args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync", "-D"]);
    finish(initdb.arg(data), "")?;
    fs::write(data.join("pg_hba.conf"), ACCESS)?;
    let mut single = owner.command(&postgres.program("postgres")?);
    finish(
        single.args(["--single", "-j", "-F", "-D"]).arg(data).arg("postgres"),
        &SETUP.replace('\n', ";\n\n"),
    )
}

/// Runs a program to its end with this input; its words when it fails.
fn finish(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    let words = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    // Single-user mode ends well whatever became of its statements.
    if !status.success() || words.contains("ERROR:") || words.contains("FATAL:") {
        return Err(Failure::new(format!("{:?} failed:\n{words}", command.get_program())));
    }
    Ok(())
}
