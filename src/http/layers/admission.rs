//! Refuses requests while the server loads or drains, and counts the others as open until they are answered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::app::App;
use crate::http::held::hold;

pub(in crate::http) async fn admission(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    match app.admit() {
        Ok(admitted) => hold(next.run(request).await, admitted),
        Err(refused) => refused.into_response(),
    }
}
