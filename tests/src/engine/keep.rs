//! A kept connection of the load: one request after another, and a new connection when the server closes it.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout_at;

use super::exchange::{Connection, limit};
use super::{PATIENCE, Shared};
use crate::events::now;
use crate::records::{Kind, Outcome};

/// A connection, and whether anything was answered on it. Until then, its end is a loss.
struct Kept {
    connection: Connection,
    answered: bool,
}

/// Sends a request at each time of `dues`, until the sender is dropped.
///
/// A connection is opened before it is needed, so that connections without a first request are tested too.
/// It is replaced when an answer says `Connection: close` or the server closes it while it is idle.
pub(super) async fn run(shared: Arc<Shared>, mut dues: UnboundedReceiver<u64>) {
    let mut kept = open(&shared).await;
    loop {
        let due = match &mut kept {
            None => dues.recv().await,
            // The end is checked first, as a client does before it writes.
            Some(idle) => tokio::select! {
                biased;
                outcome = idle.connection.idle() => {
                    let outcome = if idle.answered { outcome } else { Outcome::Eof };
                    shared.record(Kind::Keep, now(), now(), Err(outcome));
                    kept = open(&shared).await;
                    continue;
                }
                due = dues.recv() => due,
            },
        };
        let Some(due) = due else { return };
        let begun = now();
        let exchanged = timeout_at(limit(due, PATIENCE), async {
            let mut current = match kept.take() {
                Some(current) => current,
                None => Kept { connection: Connection::open(&shared.plan.target).await?, answered: false },
            };
            let (identity, close) = current.connection.exchange("/", false).await?;
            current.answered = true;
            Ok((identity, (!close).then_some(current)))
        });
        match exchanged.await.unwrap_or(Err(Outcome::Timeout)) {
            Ok((identity, current)) => {
                shared.record(Kind::Keep, due, begun, Ok(identity));
                kept = current;
            }
            Err(outcome) => shared.record(Kind::Keep, due, begun, Err(outcome)),
        }
        if kept.is_none() {
            kept = open(&shared).await;
        }
    }
}

/// Opens a new connection. If that fails, it is a loss too, and the next request tries again.
async fn open(shared: &Shared) -> Option<Kept> {
    let begun = now();
    let opened = timeout_at(limit(begun, PATIENCE), Connection::open(&shared.plan.target));
    match opened.await.unwrap_or(Err(Outcome::Timeout)) {
        Ok(connection) => Some(Kept { connection, answered: false }),
        Err(outcome) => {
            shared.record(Kind::Keep, begun, begun, Err(outcome));
            None
        }
    }
}
