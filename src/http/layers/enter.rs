//! What a request for work passes before its handler: its key, the phase of the server, what its route takes, and whether its session is
//! as a shared store has it.
//!
//! One layer, because each costs every request several allocations.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::session_id::{Asked, Params};
use super::{Accepted, Gate};
use crate::http::held::hold;

/// The way in.
#[derive(Clone)]
pub(in crate::http) struct Entrance {
    /// Finds the key.
    pub(in crate::http) gate: Gate,
    /// What the routes behind it take.
    pub(in crate::http) accepted: Arc<Accepted>,
}

/// The layer. While the server loads or drains, it refuses requests; the others count as open until they are answered.
pub(in crate::http) async fn enter(
    State(entrance): State<Entrance>,
    params: Params,
    request: Request,
    next: Next,
) -> Response {
    let Entrance { gate, accepted } = entrance;
    let app = gate.app();
    let work = |request| async move {
        let admitted = match app.admit() {
            Ok(admitted) => admitted,
            Err(refused) => return refused.into_response(),
        };
        if let Err(refused) = accepted.check(&request) {
            return hold(refused.into_response(), admitted);
        }
        let asked = Asked::by(&request, params, app);
        let answer = match asked.meet().await {
            Ok(()) => next.run(request).await,
            Err(refused) => refused.into_response(),
        };
        hold(asked.name_in(answer), admitted)
    };
    gate.through(request, work).await
}
