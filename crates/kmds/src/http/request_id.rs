//! The id of a request, in the log and in the header `X-Request-Id` of its answer.

use http::HeaderName;
use http::header::HeaderMap;

use crate::random;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Ids that are longer are replaced; trace headers have 55 characters.
const LONGEST_ID: usize = 128;

/// The client's own id if it is one word that fits in a log line, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let fits_a_log_line = |id: &&str| {
        let plain = |byte: u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'<' | b'>')
        };
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)
    };
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(fits_a_log_line)
        .map_or_else(random::id, str::to_owned)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_request_id_is_echoed_when_it_fits_a_log_line() {
        for (sent, echoed) in [
            ("abc-1.2_3", true),
            ("job/7:retry=2,eu+west", true),
            (&*"x".repeat(128), true),
            (&*"x".repeat(129), false),
            ("a b", false),
            ("a\" level=error", false),
            ("<b>", false),
            ("", false),
        ] {
            let value = HeaderValue::from_str(sent).expect("a value");
            let headers = HeaderMap::from_iter([(REQUEST_ID, value)]);
            assert_eq!(request_id(&headers) == sent, echoed, "{sent}");
            assert_eq!(request_id(&HeaderMap::new()).len(), 16);
        }
    }
}
