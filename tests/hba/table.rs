//! The table: who knocks, and what both doors say.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use harness::client::Client;
use harness::{Authority, Cluster, Options, Stop, Weir, WeirSetup, free_port};

use super::knock::{Door, Knock};
use super::tls::equip;

const HBA: &str = r#"
# the harness itself
local   all             postgres                              trust

local   all             alice                                 scram-sha-256
local   app             bob                                   peer map=m
local   all             "{me}_ro"                             peer map=m
local   "other db"      all                                   trust
local   all             dora                                  password
local   postgres        all                                   reject
local   app             all                                   ident
host    all             alice           127.0.0.1/32          scram-sha-256
host    app             bob,"carol"     127.0.0.2/32          md5  # with a verifier that is SCRAM
host    "all"           bob             127.0.0.3/32          trust
host    sameuser        all             127.0.0.4/32          trust
host    app, "other db" all             127.0.0.5 255.255.255.255 trust
host    all             @users          127.0.0.6/32          trust
host    replication     all             127.0.0.7/32          trust
host    all             "all"           127.0.0.8/32          trust
host    all             all             127.0.0.9/32          reject
host    all             all             127.0.0.0/28          scram-sha-256
host    all             all             127.0.1.0/24 \
                                                              trust
hostnossl app           app_trust       127.0.2.0 255.255.255.0  trust
hostssl all             all             127.0.3.1/32          trust
hostgssenc all          all             127.0.3.0/24          trust
hostnogssenc app        app_trust       127.0.3.2/32          trust
host    all             bob             .example.com          trust
host    all             dora,nobody     127.0.4.1/32          md5
host    all             dora            127.0.4.2/32          scram-sha-256
host    all             +staff          127.0.5.1/32          trust
host    samerole        all             127.0.5.2/32          trust
host    all             +company,"+staff" 127.0.5.3/32        trust
host    all             "+staff"        127.0.5.4/32          trust
host    app             +nobody,+,+staff 127.0.5.5/32         reject
host    samegroup,app   +company,bob    127.0.5.5/32          scram-sha-256
host    all             all             localhost             md5
host    "other db"      all             samenet               reject
host    other           all             samehost              reject
host    all             all             ::1/128               scram-sha-256
"#;

const IDENT: &str = r#"
# map   system user     user here
other   {me}            carol
m       nobody          all
m       "{me}"          bob
m       /^(.+)$         \1_ro
"#;

/// From where, who, to which database, with which password.
const KNOCKS: &[(&str, &str, &str, &str)] = &[
    // One user, from one address.
    ("127.0.0.1", "alice", "app", "alice"),
    ("127.0.0.1", "alice", "alice", "alice"),
    ("127.0.0.1", "alice", "app", "wrong"),
    ("127.0.0.1", "alice", "app", ""),
    ("127.0.0.1", "alice", "nowhere", "alice"),
    ("127.0.0.1", "alice", "nowhere", "wrong"),
    ("127.0.0.1", "bob", "app", "bob"),
    ("127.0.0.1", "bob", "app", "alice"),
    ("127.0.0.1", "nobody", "app", "x"),
    ("127.0.0.1", "Alice", "app", "alice"),
    ("127.0.0.1", "app_trust", "app", ""),
    // Lists, and md5 for whom SCRAM is kept.
    ("127.0.0.2", "bob", "app", "bob"),
    ("127.0.0.2", "bob", "app", "wrong"),
    ("127.0.0.2", "carol", "app", "carol"),
    ("127.0.0.2", "carol", "postgres", "carol"),
    ("127.0.0.2", "carol", "postgres", "wrong"),
    ("127.0.0.2", "alice", "app", "alice"),
    // Keywords in quotes.
    ("127.0.0.3", "bob", "all", "x"),
    ("127.0.0.3", "bob", "app", "bob"),
    ("127.0.0.3", "bob", "app", "wrong"),
    ("127.0.0.3", "alice", "all", "wrong"),
    ("127.0.0.8", "all", "app", "x"),
    ("127.0.0.8", "all", "all", "x"),
    ("127.0.0.8", "bob", "app", "wrong"),
    ("127.0.0.8", "bob", "app", "bob"),
    // sameuser.
    ("127.0.0.4", "alice", "alice", "x"),
    ("127.0.0.4", "alice", "app", "x"),
    ("127.0.0.4", "alice", "app", "alice"),
    ("127.0.0.4", "nobody", "nobody", "x"),
    ("127.0.0.4", "all", "all", "x"),
    // Blanks in names, a mask of its own.
    ("127.0.0.5", "alice", "other db", "x"),
    ("127.0.0.5", "nobody", "other db", "x"),
    ("127.0.0.5", "bob", "app", "x"),
    ("127.0.0.5", "bob", "alice", "x"),
    ("127.0.0.5", "bob", "other", "x"),
    // Users in a file.
    ("127.0.0.6", "alice", "app", "x"),
    ("127.0.0.6", "carol", "app", "x"),
    ("127.0.0.6", "bob", "app", "x"),
    ("127.0.0.6", "bob", "app", "bob"),
    // replication is no database.
    ("127.0.0.7", "alice", "app", "wrong"),
    ("127.0.0.7", "alice", "replication", "alice"),
    // Turned away.
    ("127.0.0.9", "alice", "app", "alice"),
    ("127.0.0.9", "nobody", "app", "x"),
    ("127.0.0.9", "alice", "nowhere", "x"),
    ("127.0.0.10", "alice", "app", "alice"),
    ("127.0.0.15", "alice", "app", "wrong"),
    // The networks and addresses of this machine, and no line at all.
    ("127.0.0.17", "alice", "other db", "alice"),
    ("127.0.0.17", "alice", "other", "alice"),
    ("127.0.0.16", "alice", "app", "alice"),
    ("127.0.0.16", "nobody", "nowhere", "x"),
    // A line that goes on.
    ("127.0.1.1", "alice", "app", "x"),
    ("127.0.1.255", "nobody", "app", "x"),
    ("127.0.1.7", "alice", "nowhere", "x"),
    // Kinds of encryption.
    ("127.0.2.1", "app_trust", "app", "x"),
    ("127.0.2.1", "alice", "app", "alice"),
    ("127.0.3.1", "app_trust", "app", "x"),
    ("127.0.3.2", "app_trust", "app", "x"),
    ("127.0.3.2", "alice", "app", "x"),
    ("127.0.3.3", "alice", "app", "x"),
    // MD5 for whom a hash is kept.
    ("127.0.4.1", "dora", "app", "dora"),
    ("127.0.4.1", "dora", "app", "wrong"),
    ("127.0.4.1", "dora", "app", ""),
    ("127.0.4.1", "nobody", "app", "dora"),
    ("127.0.4.2", "dora", "app", "dora"),
    ("127.0.0.1", "dora", "app", "dora"),
    // Members of roles: by themselves, by another role, and a superuser, who is a member of none.
    ("127.0.5.1", "alice", "app", "x"),
    ("127.0.5.1", "staff", "app", "x"),
    ("127.0.5.1", "bob", "app", "x"),
    ("127.0.5.1", "carol", "app", "x"),
    ("127.0.5.1", "boss", "app", "x"),
    ("127.0.5.1", "nobody", "app", "x"),
    ("127.0.5.2", "alice", "staff", "x"),
    ("127.0.5.2", "alice", "alice", "x"),
    ("127.0.5.2", "alice", "app", "x"),
    ("127.0.5.2", "alice", "company", "x"),
    ("127.0.5.2", "bob", "staff", "x"),
    ("127.0.5.2", "bob", "bob", "x"),
    ("127.0.5.2", "boss", "staff", "x"),
    ("127.0.5.2", "nobody", "nobody", "x"),
    ("127.0.5.3", "alice", "app", "x"),
    ("127.0.5.3", "carol", "app", "x"),
    ("127.0.5.3", "bob", "app", "x"),
    ("127.0.5.4", "alice", "app", "x"),
    ("127.0.5.5", "alice", "app", "alice"),
    ("127.0.5.5", "alice", "staff", "alice"),
    ("127.0.5.5", "carol", "app", "carol"),
    ("127.0.5.5", "bob", "app", "bob"),
    ("127.0.5.5", "bob", "staff", "bob"),
    // Unix sockets.
    ("local", "alice", "app", "alice"),
    ("local", "alice", "app", "wrong"),
    ("local", "bob", "app", ""),
    ("local", "bob", "alice", ""),
    ("local", "carol", "app", "carol"),
    ("local", "nobody", "app", "x"),
    ("local", "{me}_ro", "app", ""),
    ("local", "{me}_ro", "nowhere", ""),
    ("local", "carol", "other db", ""),
    ("local", "nobody", "other db", ""),
    ("local", "carol", "postgres", ""),
    ("local", "nobody", "postgres", "x"),
    ("local", "carol", "all", "carol"),
    ("local", "dora", "app", "dora"),
    ("local", "dora", "app", "wrong"),
    ("local", "dora", "app", ""),
    // IPv6.
    ("::1", "alice", "app", "alice"),
    ("::1", "alice", "app", "wrong"),
    ("::1", "nobody", "app", "x"),
    ("::1", "bob", "all", "bob"),
];

/// The directories and doors of a server and a weir.
pub(crate) struct Doors {
    pub(crate) server: Door,
    pub(crate) weir: Door,
    _running: Weir,
    cluster: Cluster,
}

impl Doors {
    /// Starts both with these files, and with TLS where there is who signs.
    pub(crate) fn open(hba: &str, ident: &str, authority: Option<&Authority>) -> Self {
        let options = Options::new(1).replica_setting("listen_addresses", "127.0.0.1, ::1");
        let cluster = Cluster::with(options).unwrap();
        let mut admin = cluster.admin(0).unwrap();
        let ours_too = format!("{}_ro", me());
        let users = || USERS.into_iter().chain([ours_too.as_str()]);
        populate(&mut admin, users());
        cluster.wait_caught_up().unwrap();
        let data = PathBuf::from(cluster.sql(1, "SHOW data_directory").unwrap().value());
        write_files(&data, hba, ident);
        if let Some(authority) = authority {
            equip(authority, &data);
            for setting in ["ssl = on", "ssl_ca_file = 'root.crt'"] {
                cluster.sql(1, &format!("ALTER SYSTEM SET {setting}")).unwrap();
            }
        }
        cluster.stop(1, Stop::Fast).unwrap();
        cluster.restart(1).unwrap();

        let ours = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hba-{}", cluster.port(0)));
        write_files(&ours, hba, ident);
        let ipv6_port = free_port().unwrap();
        let mut tables = String::new();
        for user in users() {
            let _ = writeln!(tables, "[[users]]\nname = \"{user}\"\npassword = \"{user}\"");
        }
        let _ = writeln!(tables, "[[users]]\nname = \"app_trust\"\nauth = \"trust\"");
        let hash = postgres_protocol::password::md5(b"dora", "dora");
        fs::write(ours.join("userlist.txt"), format!("\"dora\" \"{hash}\"\n")).unwrap();
        // The server behind weir has a line for MD5 that is for this user alone.
        let server = "server_user = \"app_md5\"\nserver_password = \"app_md5\"";
        let _ = writeln!(tables, "[[users]]\nname = \"dora\"\n{server}");
        let _ = writeln!(tables, "[[listeners]]\naddress = \"[::1]:{ipv6_port}\"");
        let quoted = |name: &str| format!("{:?}", ours.join(name).display().to_string());
        let setup = WeirSetup::in_front_of(&cluster, [0])
            .set("auth", "hba_file", &quoted("pg_hba.conf"))
            .set("listen", "unix_socket", &format!("{:?}", ours.display().to_string()))
            .set("auth", "userlist", &quoted("userlist.txt"))
            .set("auth", "ident_file", &quoted("pg_ident.conf"));
        let setup = match authority {
            Some(authority) => {
                equip(authority, &ours);
                setup
                    .set("listen", "tls_certificate", &quoted("server.crt"))
                    .set("listen", "tls_key", &quoted("server.key"))
                    .set("listen", "tls_ca", &quoted("root.crt"))
            }
            None => setup,
        };
        let running = setup.append(&tables).start(env!("CARGO_BIN_EXE_weir")).unwrap();
        let door = |ipv4: u16, ipv6: u16, unix: PathBuf| Door {
            ipv4: (Ipv4Addr::LOCALHOST, ipv4).into(),
            ipv6: (Ipv6Addr::LOCALHOST, ipv6).into(),
            unix,
        };
        let port = cluster.port(1);
        Self {
            server: door(port, port, cluster.directory().join(format!(".s.PGSQL.{port}"))),
            weir: door(running.port(), ipv6_port, ours.join(format!(".s.PGSQL.{}", running.port()))),
            _running: running,
            cluster,
        }
    }
}

/// Makes the users, the databases, and who is whose member.
fn populate<'a>(admin: &mut Client, users: impl Iterator<Item = &'a str>) {
    for user in users {
        admin.query(&format!("CREATE ROLE \"{user}\" LOGIN PASSWORD '{user}'")).unwrap();
    }
    admin.query("SET password_encryption = 'md5'").unwrap();
    admin.query("CREATE ROLE dora LOGIN PASSWORD 'dora'").unwrap();
    for database in ["alice", "all", "other db", "staff"] {
        admin.query(&format!("CREATE DATABASE \"{database}\"")).unwrap();
    }
    for membership in [
        "ALTER ROLE boss SUPERUSER",
        "CREATE ROLE company",
        "GRANT company TO staff",
        "GRANT staff TO alice",
        "ALTER ROLE carol NOINHERIT",
        "GRANT company TO carol",
    ] {
        admin.query(membership).unwrap();
    }
}

const USERS: [&str; 6] = ["alice", "bob", "carol", "all", "boss", "staff"];

/// Who we are to the system.
fn me() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Files that are there already keep their owner.
fn write_files(directory: &Path, hba: &str, ident: &str) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("pg_hba.conf"), hba).unwrap();
    fs::write(directory.join("pg_ident.conf"), ident).unwrap();
    fs::write(directory.join("users"), "# some\nalice\ncarol, \"nobody else\"\n").unwrap();
}

#[test]
fn both_say_the_same_to_everybody() {
    let me = me();
    let doors = Doors::open(&HBA.replace("{me}", &me), &IDENT.replace("{me}", &me), None);
    let (mut differences, mut told) = (String::new(), String::new());
    for (from, user, database, password) in KNOCKS.iter().copied() {
        let knock = Knock { from, user: &user.replace("{me}", &me), database, password, tls: None };
        let (there, here) = (knock.at(&doors.server), knock.at(&doors.weir));
        let _ = writeln!(told, "{there}");
        if there != here {
            let _ = writeln!(differences, "{knock:?}\n  PostgreSQL: {there}\n  weir:       {here}");
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    // The table is of some use only if everything happens in it.
    for words in [
        "asked [] in",
        "asked [10 11 12] in",
        "asked [5] in",
        "asked [5] FATAL 28P01 password authentication failed for user \"dora\"",
        "asked [10 11] FATAL 28P01 password authentication failed for user \"dora\"",
        "asked [10 11] FATAL 28P01 password authentication failed for user \"nobody\"",
        "FATAL 28000 no pg_hba.conf entry for host \"127.0.0.16\", user \"",
        "FATAL 28000 pg_hba.conf rejects connection for host \"127.0.0.9\", user \"",
        "FATAL 28000 Peer authentication failed for user \"carol\"",
        "FATAL 28000 no pg_hba.conf entry for host \"[local]\", user \"carol\"",
        "FATAL 28000 pg_hba.conf rejects connection for host \"[local]\", user \"carol\"",
        "asked [3] in",
        "asked [3] FATAL 28P01 password authentication failed for user \"dora\"",
        "asked [3] FATAL 28P01 empty password returned by client",
        "FATAL 28000 role \"nobody\" does not exist",
        "FATAL 3D000 database \"nowhere\" does not exist",
    ] {
        assert!(told.contains(words), "{words} is nowhere in\n{told}");
    }
    assert!(KNOCKS.len() >= 60, "{}", KNOCKS.len());

    // Who is a member no more is out at the next login, and who has become one is in.
    let mut admin = doors.cluster.admin(0).unwrap();
    for (change, user, told) in [
        ("REVOKE staff FROM alice", "alice", "no pg_hba.conf entry"),
        ("GRANT alice TO bob; GRANT staff TO alice", "bob", "asked [] in"),
    ] {
        admin.query(change).unwrap();
        doors.cluster.wait_caught_up().unwrap();
        let knock = Knock { from: "127.0.5.1", user, database: "app", password: "x", tls: None };
        let (there, here) = (knock.at(&doors.server), knock.at(&doors.weir));
        assert!(there.contains(told), "{there}");
        assert_eq!(here, there);
    }
}
