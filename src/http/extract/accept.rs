//! The media types that a request asks for.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Whether `media_type` is asked for by name. A client that accepts anything gets JSON.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types.any(|accepted| {
        let name = accepted.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case(media_type)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_type_counts_when_it_is_named() {
        for (accept, expected) in [
            ("application/octet-stream", true),
            ("text/html, Application/Octet-Stream;q=0.9", true),
            ("*/*", false),
            ("application/json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(accepts(&headers, "application/octet-stream"), expected, "{accept}");
        }
        assert!(!accepts(&HeaderMap::new(), "application/octet-stream"));
    }
}
