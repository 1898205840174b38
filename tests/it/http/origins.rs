//! What a page of another origin can send without asking first (Fetch standard, "CORS-safelisted request-header"): no route works on it.

use serde_json::{Value, json};

use crate::harness::client::Request;
use crate::harness::server::Server;

/// The types that need no permission, and no type at all.
const SIMPLE: [Option<&str>; 4] = [
    Some("text/plain"),
    Some("application/x-www-form-urlencoded"),
    Some("multipart/form-data; boundary=x"),
    None,
];

#[tokio::test]
async fn no_route_works_on_what_a_page_of_another_origin_can_send() {
    let server = Server::start().await;
    let document: Value = server.get("/openapi.json").await.expect(200);
    let mut sent = 0;
    for target in written(&document) {
        for content_type in SIMPLE {
            let request = Request::new("POST", &target).header("origin", "https://elsewhere.example");
            let request = match content_type {
                Some(content_type) => request.header("content-type", content_type),
                None => request,
            };
            let answer = server.send(request.body("{}")).await;
            let (_, message) = answer.refused(415, "unsupported_media_type");
            assert!(message.contains("application/json"), "{target} {content_type:?}: {message}");
            sent += 1;
        }
    }
    assert!(sent > 15 * SIMPLE.len(), "the document has few routes: {sent} requests");
    assert_eq!(server.get("/v1/sessions").await.expect(200)["data"], json!([]));
}

/// Every route that takes a POST, but those of admins, who have a key that no page knows. The other methods are never sent without
/// permission.
fn written(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let posts = paths.filter(|(path, methods)| methods["post"].is_object() && !path.starts_with("/admin/"));
    posts.map(|(path, _)| path.replace("{id}", "s")).collect()
}
