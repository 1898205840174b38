//! The page at `/`: the files of `web/`, embedded in the binary. It calls the API as any client does, with URLs relative to its own.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::{Path, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::extract::quality;
use crate::api::error::ErrorCode;

/// Only what this server serves runs or is loaded, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file by its name, with what it holds.
type File = (&'static str, &'static str);

/// Lists files of `web/` with their contents.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../web/", $name)))),*]
    };
}

/// The files of `web/`.
const FILES: &[File] = files![
    "app.css",
    "app.js",
    "bars.js",
    "calls.js",
    "chart.js",
    "compare.js",
    "dom.js",
    "en.js",
    "figures.js",
    "generate.js",
    "heat.js",
    "icon.svg",
    "index.html",
    "inside.js",
    "ja.js",
    "key.js",
    "language.js",
    "server.js",
    "snippets.js",
    "states.js",
    "typing.js",
    "widgets.js",
    "write.js",
];

/// The page itself. A client that asks for JSON by name gets the error of a route that does not exist.
pub(super) async fn index(headers: HeaderMap, request: Request) -> Result<Response, ApiError> {
    let html = quality(&headers, &axum::http::header::ACCEPT, &["text/html", "text/*", "*/*"]);
    let asks_for_something_else = headers.contains_key(axum::http::header::ACCEPT) && html.is_none();
    if asks_for_something_else {
        return Err(super::routes::unknown_route(request).await);
    }
    serve("index.html", &headers)
}

/// A file that the page loads.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    serve(&name, &headers)
}

fn serve(name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let Some((name, text)) = FILES.iter().find(|(file, _)| *file == name) else {
        let message = format!("the route `/web/{name}` does not exist; the page at `/` loads what does");
        return Err(ApiError::new(ErrorCode::RouteNotFound, message));
    };
    let tag = tag(text);
    // A browser asks each time whether its copy is still the same, so that a new binary is never mixed with files of an old one.
    let common =
        [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
    let is_known =
        headers.get_all(IF_NONE_MATCH).iter().any(|known| known.as_bytes().ends_with(tag.as_bytes()));
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, common, [(ETAG, tag)]).into_response());
    }
    let kind = [(CONTENT_TYPE, media_type(name)), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((common, kind, [(ETAG, tag)], *text).into_response())
}

fn tag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => unreachable!("bug: `{name}` in web/ has no media type"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::http::tests::{app_with, ask, request};
    use crate::http::{App, router};

    #[test]
    fn every_file_of_web_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let on_disk: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let embedded: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(on_disk, embedded);
    }

    /// The name of an XML vocabulary is a name, not something that is loaded.
    #[test]
    fn no_file_names_a_foreign_url() {
        for (name, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http://", "https://", "\"//", "'//", "`//", "(//", "@import"] {
                assert!(!text.contains(foreign), "web/{name} contains `{foreign}`");
            }
        }
    }

    /// Behind a path prefix, a URL that begins with `/` leads out of it.
    #[test]
    fn every_url_is_relative_to_the_page() {
        for (name, text) in FILES {
            for absolute in ["href=\"/", "src=\"/", "from \"/", "url(/", "fetch(\"/"] {
                assert!(!text.contains(absolute), "web/{name} contains `{absolute}`");
            }
        }
    }

    /// What the Content-Security-Policy would block.
    #[test]
    fn no_script_or_style_is_inline() {
        let html = FILES.iter().find(|(name, _)| *name == "index.html").unwrap().1;
        for inline in ["<style", " style=\"", " onclick=", " onload=", "javascript:"] {
            assert!(!html.contains(inline), "{inline}");
        }
        assert_eq!(html.matches("<script").count(), html.matches("<script type=\"module\" src=").count());
    }

    #[tokio::test]
    async fn the_page_answers_while_the_models_are_being_loaded_and_loads_only_its_own() {
        let app = App::new(Config::default(), crate::clock::Clock::system());
        for (uri, kind) in
            [("/", "text/html; charset=utf-8"), ("/web/app.js", "text/javascript; charset=utf-8")]
        {
            let answer = ask(router(app.clone()), request("GET", uri, &[], "")).await;
            assert_eq!(answer.status, 200, "{uri}");
            assert_eq!(answer.headers["content-type"], kind);
            assert_eq!(answer.headers["content-security-policy"], POLICY);
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        }
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let app = app_with(Config::default());
        let first = ask(router(app.clone()), request("GET", "/web/app.css", &[], "")).await;
        let tag = first.headers["etag"].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}")] {
            let again = ask(
                router(app.clone()),
                request("GET", "/web/app.css", &[("if-none-match", known.as_str())], ""),
            );
            let again = again.await;
            assert_eq!((again.status.as_u16(), again.text().as_str()), (304, ""));
        }
        let other = request("GET", "/web/app.css", &[("if-none-match", "\"0\"")], "");
        assert_eq!(ask(router(app), other).await.status, 200);
    }

    #[tokio::test]
    async fn a_client_that_asks_for_json_is_told_that_the_route_does_not_exist() {
        let app = app_with(Config::default());
        for (accept, status) in [("application/json", 404), ("text/html,*/*;q=0.8", 200), ("*/*", 200)] {
            let answer = ask(router(app.clone()), request("GET", "/", &[("accept", accept)], "")).await;
            assert_eq!(answer.status, status, "{accept}");
        }
        let missing = ask(router(app), request("GET", "/web/missing.js", &[], "")).await;
        assert_eq!((missing.status.as_u16(), missing.code().as_str()), (404, "route_not_found"));
    }
}
