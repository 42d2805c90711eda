//! Whose lines in the log are whose: each client has a span, from its first byte until all that it has left is settled.
//!
//! The span holds what a client says of itself, and never a secret or a statement. It is at the level of errors so that
//! no filter that lets a line through takes away whose it is; each turn of the task enters it, which is only remembered
//! until something is said.

use tracing::Span;
use tracing::field::Empty;

use super::greet::Greeting;
use crate::net::PeerAddress;

/// What a client says of itself is cut after this many bytes, as PostgreSQL cuts names (`NAMEDATALEN`): it has not proved
/// anything yet.
const NAME_MAX: usize = 63;

/// A client's span. Its names are entered when they are known.
pub(crate) fn client_span(address: PeerAddress) -> Span {
    tracing::error_span!("client", %address, user = Empty, database = Empty, application_name = Empty)
}

/// Enters who the client says it is in the span that it is in.
pub(super) fn enter_names(greeting: &Greeting) {
    let span = Span::current();
    span.record("user", cut(&greeting.user));
    span.record("database", cut(&greeting.database));
    if let Some(name) = greeting.parameter("application_name") {
        span.record("application_name", cut(&String::from_utf8_lossy(name)));
    }
}

fn cut(name: &str) -> &str {
    let end = (0..=NAME_MAX.min(name.len())).rfind(|at| name.is_char_boundary(*at)).unwrap_or(0);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("app"), "app");
        assert_eq!(cut(&"é".repeat(100)).len(), 62);
    }
}
