//! How clients come: `[listen]`, `[[peers]]`, `[console]`, `[log]`.

use std::net::IpAddr;
use std::path::Path;

use super::draft::{Draft, Keys};
use super::ini::{Ini, pairs};
use super::values::{Limit, beside, is_on, limit, list};

pub(super) fn write(draft: &mut Draft, ini: &Ini, file: &Path) {
    let mut listen = Keys::default();
    addresses(draft, ini, &mut listen);
    if let Some(limit) = ini.setting("max_client_conn").and_then(|text| text.parse::<u32>().ok()) {
        listen.put("client_limit", limit);
    }
    if let Limit::Of(time) = limit(ini.setting("client_login_timeout")) {
        listen.put("login_timeout", time);
    }
    tls(draft, ini, file, &mut listen);
    peer_id(draft, ini, &mut listen);
    draft.table("[listen]", listen);
    peers(draft, ini);
    let mut console = Keys::default();
    for (from, to) in [("admin_users", "users"), ("stats_users", "stats_users")] {
        let names = list(ini.setting(from).unwrap_or_default());
        if !names.is_empty() {
            console.list(to, &names);
        }
    }
    draft.table("[console]", console);
    let mut log = Keys::default();
    match ini.setting("verbose").and_then(|text| text.parse::<u32>().ok()) {
        None | Some(0) => {}
        Some(1) => log.text("filter", "debug"),
        Some(_) => log.text("filter", "trace"),
    }
    draft.table("[log]", log);
}

fn addresses(draft: &mut Draft, ini: &Ini, listen: &mut Keys) {
    let port = ini.setting("listen_port").unwrap_or("6432");
    let mut addresses = Vec::new();
    for address in list(ini.setting("listen_addr").unwrap_or_default()) {
        addresses.push(match (address, address.parse::<IpAddr>()) {
            ("*", _) => format!("*:{port}"),
            ("localhost", _) => format!("127.0.0.1:{port}"),
            (_, Ok(IpAddr::V6(address))) => format!("[{address}]:{port}"),
            (_, Ok(IpAddr::V4(address))) => format!("{address}:{port}"),
            _ => {
                draft.remark(format!(
                    "listen_addr names {address:?}, and weir listens at addresses: put its address into [listen] address"
                ));
                continue;
            }
        });
    }
    if addresses.is_empty() && port != "6432" {
        draft.remark(format!(
            "without an address weir's socket is called .s.PGSQL.6432: clients that look for {port} need one"
        ));
    }
    listen.list("address", &addresses.iter().map(String::as_str).collect::<Vec<_>>());
    match ini.setting("unix_socket_dir").unwrap_or("/tmp") {
        "" => {}
        directory => {
            listen.text("unix_socket", directory);
            if let Some(mode) = ini.setting("unix_socket_mode") {
                listen.text("unix_socket_mode", mode);
            }
            if let Some(group) = ini.setting("unix_socket_group").filter(|group| !group.is_empty()) {
                listen.text("unix_socket_group", group);
            }
        }
    }
    if is_on(ini.setting("so_reuseport")) {
        listen.put("reuse_port", true);
    }
}

fn tls(draft: &mut Draft, ini: &Ini, file: &Path, listen: &mut Keys) {
    let mode = ini.setting("client_tls_sslmode").unwrap_or("disable");
    if mode == "disable" {
        return;
    }
    listen.text("tls", if ["allow", "prefer"].contains(&mode) { "allow" } else { "require" });
    let mut path = |from: &str, to: &str| {
        if let Some(path) = ini.setting(from).filter(|path| !path.is_empty()) {
            listen.text(to, &beside(file, path).to_string_lossy());
        }
    };
    path("client_tls_cert_file", "tls_certificate");
    path("client_tls_key_file", "tls_key");
    let by_certificate = ["cert", "hba"].contains(&ini.setting("auth_type").unwrap_or_default());
    let is_verified = mode.starts_with("verify");
    if is_verified || by_certificate {
        path("client_tls_ca_file", "tls_ca");
    }
    if is_verified && !by_certificate {
        draft.remark(
            "client_tls_sslmode verify-...: weir verifies a certificate that a client shows, and lets in those without; \
             hostssl lines with clientcert=verify-ca in [auth] hba_file insist on one",
        );
    }
    let protocols = ini.setting("client_tls_protocols").unwrap_or_default().to_ascii_lowercase();
    if protocols.contains("1.3") && !["1.0", "1.1", "1.2"].iter().any(|old| protocols.contains(old)) {
        listen.text("tls_min_version", "1.3");
    }
}

fn peer_id(draft: &mut Draft, ini: &Ini, listen: &mut Keys) {
    match ini.setting("peer_id").map(str::parse::<u32>) {
        None | Some(Ok(0) | Err(_)) => {}
        Some(Ok(id @ 1..=255)) => listen.put("peer_id", id),
        Some(Ok(id)) => {
            draft.remark(format!("peer_id {id}: weir's go up to 255; give its copies other numbers"))
        }
    }
}

fn peers(draft: &mut Draft, ini: &Ini) {
    let own = ini.setting("peer_id").is_some_and(|id| id != "0");
    for peer in ini.section("peers").filter(|_| own) {
        let Some(id) = peer.key.parse::<u32>().ok().filter(|id| (1..=255).contains(id)) else { continue };
        let pairs = pairs(&peer.value);
        let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let mut keys = Keys::default();
        keys.put("id", id);
        keys.text("host", value("host").unwrap_or_default());
        if let Some(port) = value("port") {
            keys.put("port", port);
        }
        draft.table("[[peers]]", keys);
        draft.remark("[[peers]] are those of PgBouncer: copies of weir and of PgBouncer do not know each other's clients");
    }
}
