//! What each `SHOW` answers: its columns, which are known before it runs, and its rows.

mod config;
mod connections;
mod own;
mod pools;
mod stats;

use super::command::Shown;
use super::desk::{Console, Right};
use super::table::{Column, Table, Type, value};
use super::talk::{Outcome, Refusal};
use Type::{Big, Bytes, Int, Text};

/// For people; what there is in PgBouncer's words first.
const HELP: &str = "
\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION
\tSHOW PEERS|PEER_POOLS
\tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE
\tSHOW DNS_HOSTS|DNS_ZONES
\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS
\tSHOW ROUTES        requests by where they went, and why
\tSHOW SHAPES        the statements that cost most: where, why, whose, and what to change
\tSHOW PINS          sessions that keep their connection, and why
\tSHOW FRESHNESS     servers: role, health, how far behind, connections
\tSHOW TRANSACTIONS  transactions by how they ran
\tSHOW DISCOVERY     servers that were found: by whom, what is said of them, what is the matter
\tSHOW EVENTS        what happened lately
\tSET key = value
\tRELOAD
\tPAUSE [<db>]
\tRESUME [<db>]
\tDISABLE <db>
\tENABLE <db>
\tRECONNECT [<db>]
\tKILL [<db>]
\tKILL_CLIENT <client_id>
\tSUSPEND
\tSHUTDOWN
\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS
\tWAIT_CLOSE [<db>]";

/// The columns; `None` where there are none.
pub(super) fn columns(shown: Shown) -> Option<Vec<Column>> {
    let columns: &[Column] = match shown {
        Shown::Help => return None,
        Shown::Clients | Shown::Servers => connections::SOCKET,
        Shown::Sockets | Shown::ActiveSockets => {
            return Some([connections::SOCKET, connections::BUFFERS].concat());
        }
        Shown::Config => config::CONFIG,
        Shown::Databases => pools::DATABASES,
        Shown::Discovery => own::DISCOVERY,
        Shown::DnsHosts => &[("hostname", Text), ("ttl", Big), ("addrs", Text)],
        Shown::DnsZones => &[("zonename", Text), ("serial", Big), ("count", Int)],
        Shown::Events => own::EVENTS,
        Shown::Fds => &[
            ("fd", Int),
            ("task", Text),
            ("user", Text),
            ("database", Text),
            ("addr", Text),
            ("port", Int),
            ("cancel", Big),
            ("link", Int),
            ("client_encoding", Text),
            ("std_strings", Text),
            ("datestyle", Text),
            ("timezone", Text),
            ("password", Text),
            ("scram_client_key", Bytes),
            ("scram_server_key", Bytes),
        ],
        Shown::Freshness => own::FRESHNESS,
        Shown::Lists => &[("list", Text), ("items", Int)],
        Shown::Mem => &[("name", Text), ("size", Int), ("used", Int), ("free", Int), ("memtotal", Int)],
        Shown::PeerPools => &[
            ("peer_id", Int),
            ("cl_active_cancel_req", Int),
            ("cl_waiting_cancel_req", Int),
            ("sv_active_cancel", Int),
            ("sv_login", Int),
        ],
        Shown::Peers => &[("peer_id", Int), ("host", Text), ("port", Int), ("pool_size", Int)],
        Shown::Pins => own::PINS,
        Shown::Pools => pools::POOLS,
        Shown::Routes => own::ROUTES,
        Shown::Shapes => own::SHAPES,
        Shown::State => &[("key", Text), ("value", Text)],
        Shown::Stats => stats::STATS,
        Shown::StatsAverages | Shown::StatsTotals => stats::PARTS,
        Shown::Totals => stats::TOTALS,
        Shown::Transactions => own::TRANSACTIONS,
        Shown::Users => pools::USERS,
        Shown::Version => &[("version", Text)],
    };
    Some(columns.to_vec())
}

/// Columns and rows.
pub(super) async fn show(shown: Shown, console: &Console, right: Right) -> Result<Outcome, Refusal> {
    let Some(columns) = columns(shown) else {
        let help = ("Console usage".to_owned(), Some(HELP.to_owned()));
        return Ok(Outcome { notices: vec![help], ..Outcome::done("SHOW") });
    };
    let mut table = Table::new(&columns);
    let shared = &console.shared;
    match shown {
        Shown::Help => {}
        Shown::Clients => connections::clients(&mut table, shared),
        Shown::Servers => connections::servers(&mut table, shared),
        Shown::Sockets | Shown::ActiveSockets => {
            connections::clients(&mut table, shared);
            connections::servers(&mut table, shared);
            connections::as_sockets(&mut table);
        }
        Shown::Config => config::config(&mut table, shared),
        Shown::Databases => pools::databases(&mut table, shared),
        Shown::Discovery => own::discovery(&mut table, &console.daemon.found()),
        Shown::DnsHosts => own::dns_hosts(&mut table, &console.daemon.found()),
        // Names of servers that are not to be found are looked up anew for each connection: none is kept.
        Shown::DnsZones => {}
        Shown::Peers | Shown::PeerPools => {}
        Shown::Events => own::events(&mut table, shared),
        // In PgBouncer the way to hand sockets over; it tells secrets.
        Shown::Fds if right != Right::Operate => {
            return Err(Refusal { code: "42501", ..Refusal::new("admin access needed") });
        }
        Shown::Fds => {}
        Shown::Freshness => own::freshness(&mut table, shared).await,
        Shown::Lists => pools::lists(&mut table, shared),
        Shown::Mem => config::memory(&mut table, shared),
        Shown::Pins => own::pins(&mut table, shared),
        Shown::Pools => pools::pools(&mut table, shared),
        Shown::Routes => own::routes(&mut table, shared),
        Shown::Shapes => own::shapes(&mut table, shared),
        Shown::State => config::state(&mut table, shared),
        Shown::Stats => stats::stats(&mut table, shared),
        Shown::StatsAverages => stats::averages(&mut table, shared),
        Shown::StatsTotals => stats::totals_by_database(&mut table, shared),
        Shown::Totals => stats::totals(&mut table, shared),
        Shown::Transactions => own::transactions(&mut table, shared),
        Shown::Users => pools::users(&mut table, shared),
        Shown::Version => table.row([value(concat!("weir ", env!("CARGO_PKG_VERSION")))]),
    }
    Ok(Outcome { table: Some(table), ..Outcome::done("SHOW") })
}
