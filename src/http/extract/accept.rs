//! What a request says that it accepts (RFC 9110, section 12.5).

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderName};

/// Whether `media_type` is asked for by name, and JSON is not preferred to it. A client that accepts anything gets JSON.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let of_type = quality(headers, &ACCEPT, &[media_type]).unwrap_or(0.0);
    let of_json = quality(headers, &ACCEPT, &["application/json", "application/*", "*/*"]).unwrap_or(0.0);
    of_type > 0.0 && of_type >= of_json
}

/// The quality, from 0 to 1, that the header `name` gives to the first of `ranges` that it lists, if it lists one.
pub(in crate::http) fn quality(headers: &HeaderMap, name: &HeaderName, ranges: &[&str]) -> Option<f32> {
    ranges.iter().find_map(|range| listed(headers, name, range))
}

fn listed(headers: &HeaderMap, name: &HeaderName, range: &str) -> Option<f32> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut entries = values.flat_map(|value| value.split(','));
    entries.find_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_range = parts.next()?.eq_ignore_ascii_case(range);
        is_range.then(|| parts.find_map(weight).unwrap_or(1.0))
    })
}

/// The number of `q=0.5`. A number that is out of range counts as none.
fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    let value: f32 = value.parse().ok().filter(|value| (0.0..=1.0).contains(value))?;
    name.eq_ignore_ascii_case("q").then_some(value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_type_counts_when_it_is_named_and_json_is_not_preferred() {
        for (accept, expected) in [
            ("application/octet-stream", true),
            ("text/html, Application/Octet-Stream;q=0.9", true),
            ("application/octet-stream, application/json", true),
            ("application/octet-stream;q=0.9, */*;q=0.1", true),
            ("application/octet-stream;q=2", true),
            ("application/octet-stream;q=0", false),
            ("application/octet-stream ; Q=0.0", false),
            ("application/json, application/octet-stream;q=0.5", false),
            ("application/octet-stream;q=0.5, */*", false),
            ("application/octet-stream;q=0.5, application/*;q=0.6", false),
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
