//! Who may connect to a server, and how encrypted: its pg_hba.conf and its certificates, changed while it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Cluster, Server};
use crate::Result;

/// What the harness itself needs, in front of whatever a test has.
const OURS: &str = "\
local all all trust
local replication all trust
";

impl Cluster {
    /// Has a server speak TLS by this certificate and key, and take the certificates of clients from these authorities; all of
    /// it as PEM.
    pub fn secure(
        &self,
        server: usize,
        certificate: &str,
        key: &str,
        authorities: Option<&str>,
    ) -> Result<()> {
        let place = &self.servers[server];
        self.put(place, "server.crt", certificate)?;
        self.put(place, "server.key", key)?;
        if let Some(authorities) = authorities {
            self.put(place, "root.crt", authorities)?;
            self.set(server, "ssl_ca_file", "'root.crt'")?;
        }
        // The files are read anew as well.
        self.set(server, "ssl", "on")
    }

    /// Has a server speak no TLS any more.
    pub fn unsecure(&self, server: usize) -> Result<()> {
        self.set(server, "ssl", "off")
    }

    /// Gives a server these lines as its pg_hba.conf, behind those for the harness itself.
    pub fn admit(&self, server: usize, lines: &str) -> Result<()> {
        self.put(&self.servers[server], "pg_hba.conf", &format!("{OURS}{lines}"))?;
        // Whatever is set, all is read anew.
        self.set(server, "log_statement_sample_rate", "1")
    }

    fn put(&self, server: &Server, name: &str, text: &str) -> Result<()> {
        let file = server.data().join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        self.owner.own(&file)
    }
}
