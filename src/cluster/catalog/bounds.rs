//! The bound on what is read of one database.

use tokio_postgres::{Client, Error, Row};

/// Most rows of any query: the bound on what one database's catalog may cost. Where functions exceed it, none is known,
/// and likewise relations: where some are missing, what is said of the others means nothing.
pub(super) const ROWS_MAX: usize = 100_000;

/// The rows of a query, or `None` when they are too many.
pub(super) async fn bounded(client: &Client, query: &str) -> Result<Option<Vec<Row>>, Error> {
    let rows = client.query_typed(query, &[]).await?;
    Ok(Some(rows).filter(|rows| rows.len() < ROWS_MAX))
}
