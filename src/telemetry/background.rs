//! Figures of what goes on beside the requests: servers that are looked for, listeners, clients on their way from one weir to
//! another.

use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use super::registry::Register;

/// What is counted of it.
pub struct Background {
    discovery: IntGaugeVec,
    /// Sessions that listen by a connection which they share.
    pub listeners: IntGauge,
    /// Such connections.
    pub listen_connections: IntGauge,
    /// Clients that were taken over from the weir before.
    pub clients_taken: IntCounter,
}

impl Background {
    pub(super) fn new(r: &mut Register) -> Self {
        let help = "1 when all who were asked for servers answered at the last look, 0 when not, and who was known stays, by the kind of [discovery]. None where servers are static.";
        let discovery = r.gauges("discovery_up", help, &["kind"]);
        let listeners =
            r.gauge("listeners", "Sessions that have said LISTEN and wait by a connection that they share.");
        let help =
            "Connections to the primary by which sessions listen together; they are outside of pool sizes.";
        let listen_connections = r.gauge("listen_connections", help);
        // What the weir before has given away nobody could scrape there: its endpoint goes first.
        let help = "Clients that weir run --takeover has taken from the weir before.";
        let clients_taken = r.counter("takeover_clients_total", help);
        Self { discovery, listeners, listen_connections, clients_taken }
    }

    /// Whether all answered who were asked for servers, by the kind of asking; `None` where nobody is asked.
    pub fn set_discovery(&self, looked: Option<(&str, bool)>) {
        self.discovery.reset();
        if let Some((kind, answered)) = looked {
            self.discovery.with_label_values(&[kind]).set(i64::from(answered));
        }
    }
}
