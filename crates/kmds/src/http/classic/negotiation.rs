//! Content negotiation by `Accept` (RFC 9110, 12.5.1): a page for browsers, JSON for programs.

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether a client with these `Accept` headers prefers HTML to JSON.
pub(in crate::http) fn prefers_html(headers: &HeaderMap) -> bool {
    let all: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let all = all.join(",");
    quality(&all, "text", "html") > quality(&all, "application", "json")
}

/// The quality of a media type, in thousandths: that of the most specific entry. Without a header all types are equal.
fn quality(accept: &str, kind: &str, subtype: &str) -> u16 {
    if accept.trim().is_empty() {
        return 1000;
    }
    let entries = accept.split(',').filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let (entry_kind, entry_subtype) = parts.next()?.split_once('/')?;
        let specific = match (
            entry_kind.eq_ignore_ascii_case(kind),
            entry_subtype.eq_ignore_ascii_case(subtype),
        ) {
            (true, true) => 2,
            (true, false) if entry_subtype == "*" => 1,
            (false, false) if entry_kind == "*" && entry_subtype == "*" => 0,
            _ => return None,
        };
        let weight =
            parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight
            .map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0))
            .clamp(0.0, 1.0);
        Some((specific, (weight * 1000.0) as u16))
    });
    entries.max().map_or(0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_clients_that_prefer_a_page_get_one() {
        let firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, page) in [
            (firefox, true),
            ("text/html", true),
            ("*/*", false),
            ("application/json, text/html", false),
            ("application/json, text/html;q=0.5", false),
            ("text/*, application/json;q=0.2", true),
            ("text/html;q=0, */*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_html(&headers), page, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
