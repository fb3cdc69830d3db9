//! What requests for pages and for audio have in common: their headers, and which answers redirect.

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue};
use kmds_extract::OriginError;

/// Redirects of one cover or one audio request that are followed (field notes: YouTube 3.4).
pub(super) const MEDIA_REDIRECTS: u8 = 5;

pub(super) const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Headers as a map, with this service's own `Accept-Encoding`.
/// # Errors
/// A name or a value that no header can have.
pub(super) fn header_map(
    headers: &[(&'static str, String)],
    accept_encoding: &'static str,
) -> Result<HeaderMap, OriginError> {
    let mut map = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let bad = || OriginError::Failed(format!("the header {name} cannot be sent"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(name, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    map.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept_encoding));
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_encoding_stands_whatever_a_flow_asks_for() {
        let map = header_map(
            &[
                ("Accept-Encoding", "br".to_owned()),
                ("X-A", "1".to_owned()),
            ],
            "gzip",
        )
        .expect("valid");
        assert_eq!(
            map.get_all(ACCEPT_ENCODING).iter().collect::<Vec<_>>(),
            ["gzip"]
        );
        assert!(
            header_map(&[("X-A", "a\nb".to_owned())], "gzip").is_err(),
            "a header cannot be smuggled in"
        );
    }
}
