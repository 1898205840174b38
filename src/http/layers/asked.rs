//! Gives every request its time of arrival and its accounts of memory: of its body until it is answered, and of its answer until that has
//! been sent.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::app::App;
use crate::http::extract::BodyMemory;
use crate::http::held::hold;
use crate::service::Asked;

pub(super) async fn asked(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let asked = Asked::at(app.clock.now());
    let body = BodyMemory::new();
    request.extensions_mut().insert(asked.clone());
    request.extensions_mut().insert(body.clone());
    let response = next.run(request).await;
    // Whatever is left of the request belongs to a job now, which has memory of its own.
    body.give_back();
    hold(response, asked)
}
