//! What to change so that reads go to replicas, for each reason why they do not. Pure.

/// What to do about a reason; empty where there is nothing to do.
pub(crate) fn advice(reason: &str) -> &'static str {
    match reason {
        "volatile_function" => {
            "it calls a function that is VOLATILE: declare it STABLE or IMMUTABLE if it only reads, or list it in routing.read_functions"
        }
        "unknown_function" => {
            "it calls a function that the catalog does not know: list it in routing.read_functions if it only reads"
        }
        "built_in_function" => {
            "it calls a function of PostgreSQL's that acts: move that into a statement of its own"
        }
        "write_function" => {
            "it calls a function that routing.write_functions lists: take it from there if it only reads"
        }
        "unknown_relation" => {
            "relations or code were defined a moment ago: it goes to replicas once the catalog has been read again"
        }
        "unlogged" => {
            "replicas have no unlogged tables: ALTER TABLE ... SET LOGGED if it is to be read there"
        }
        "row_lock" | "table_lock" => {
            "it locks: leave FOR UPDATE or LOCK out where nothing is written after it"
        }
        "sequence" => "it draws from a sequence: use RETURNING in the statement that inserts",
        "server_state" => {
            "it asks about the server it runs on (pg_stat_activity, a foreign table ...): the primary's answer is wanted"
        }
        "in_transaction" => {
            "something before it in its transaction needed the primary: read before that, or outside of the transaction"
        }
        "begin" => {
            "its transactions are on the primary: transactions = \"lazy\" lets them read on replicas, or BEGIN READ ONLY"
        }
        "repeatable_read" => "say READ ONLY with REPEATABLE READ: then it runs on one replica",
        "serializable" => "replicas refuse SERIALIZABLE: REPEATABLE READ READ ONLY can run there",
        "pinned" => "the session keeps its connection to the primary: SHOW PINS says why",
        "stale" => {
            "no replica had what it must see in time: SHOW FRESHNESS tells how far they are; consistency = \"session\" or \"eventual\", or a longer freshness_wait, ask for less"
        }
        "likely_write" => "its transaction mostly writes, and no replica was fresh enough at once: see stale",
        "pipelined_write" => "a write stands behind it in the same pipeline: send the read by itself",
        "no_replica" => {
            "no replica could be used: SHOW FRESHNESS and SHOW EVENTS tell what is the matter with them"
        }
        "learned" => "a replica refused it before: look for what it writes or calls",
        "rerun" => "a replica refused it: look for what it writes or calls",
        "replica_lost" => "the replica that ran it was lost: SHOW EVENTS",
        "multi_statement" => {
            "several statements in one string, not all of them reads: send the read by itself"
        }
        "unparsable" => "weir cannot read it: look at its syntax, or say /* weir: replica */ in front of it",
        "too_long" => "its text is too long: pass values as parameters",
        "hint_primary" => "a comment in front of it asks for the primary",
        "set_target" | "startup_target" => "the session asks for the primary (weir.target)",
        "listener_target" => "its listener has target = \"primary\"",
        "database_target" => "its database has target = \"primary\"",
        "user_target" => "its user has target = \"primary\"",
        "rule" => "a rule of routing.rules sends it to the primary",
        _ => of_pins(reason),
    }
}

/// Of what keeps a session on its connection.
fn of_pins(reason: &str) -> &'static str {
    match reason {
        "temporary" => {
            "temporary tables keep the session on the primary: DROP them or DISCARD TEMP when done"
        }
        "notification" => {
            "LISTEN keeps a connection: UNLISTEN when done, or listen on a connection of its own"
        }
        "advisory_lock" => "session advisory locks keep a connection: use pg_advisory_xact_lock, or unlock",
        "prepared" => {
            "SQL's PREPARE keeps a connection: use the protocol's prepared statements, or DEALLOCATE"
        }
        "hold_cursor" => "cursors WITH HOLD keep a connection: CLOSE them",
        "session_state" => {
            "state was left in the server process: see routing.stateless_functions if it was not"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Reason;

    #[test]
    fn each_piece_of_advice_is_for_a_reason_that_there_is() {
        let with_advice = Reason::ALL.iter().filter(|reason| !advice(reason.as_str()).is_empty()).count();
        assert_eq!(with_advice, 38, "a reason was renamed, or has come without advice");
        for about_reads in ["volatile_function", "stale", "in_transaction", "pinned", "no_replica"] {
            assert!(!advice(about_reads).is_empty());
        }
    }
}
