//! `Content-Disposition` with a name for people (RFC 6266, RFC 8187).
//!
//! Owns both spellings of a file name: an ASCII one for old clients, and the real one in UTF-8.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that are escaped in an extended value: all but the `attr-char` of RFC 8187.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header for a file with this `name`: a browser plays it in place, other clients save it under the name.
pub(in crate::http) fn inline(name: &str) -> HeaderValue {
    let value = format!(
        "inline; filename=\"{}\"; filename*=UTF-8''{}",
        ascii(name),
        utf8_percent_encode(name, EXTENDED)
    );
    // Both spellings are printable ASCII, so this cannot fail.
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("inline"))
}

/// The name with `_` for what is not plain ASCII; quotes, backslashes and `%` confuse old clients even when escaped.
fn ascii(name: &str) -> String {
    let plain = |c: char| {
        if (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%') {
            c
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One header, two spellings, of which the second is the name itself.
    #[test]
    fn fuzz_disposition() {
        kmds_fuzz::target("disposition", |input| {
            let name = String::from_utf8_lossy(input);
            let value = inline(&name);
            let text = value.to_str().expect("ASCII");
            let (plain, extended) = text
                .split_once("; filename*=UTF-8''")
                .expect("both spellings");
            let plain = plain
                .strip_prefix("inline; filename=\"")
                .and_then(|rest| rest.strip_suffix('"'))
                .expect("quoted");
            assert!(
                !plain.contains(['"', '\\', '%']) && plain.chars().count() == name.chars().count(),
                "{text}"
            );
            assert!(!extended.contains([' ', ';', ',', '"', '\'']), "{text}");
            let decoded = percent_encoding::percent_decode_str(extended).decode_utf8();
            assert_eq!(decoded.as_deref(), Ok(&*name));
        });
    }

    #[test]
    fn both_spellings_are_always_there_and_always_ascii() {
        for (name, wanted) in [
            (
                "Song.m4a",
                "inline; filename=\"Song.m4a\"; filename*=UTF-8''Song.m4a",
            ),
            (
                "Für Elise.m4a",
                "inline; filename=\"F_r Elise.m4a\"; filename*=UTF-8''F%C3%BCr%20Elise.m4a",
            ),
            (
                "夜.ogg",
                "inline; filename=\"_.ogg\"; filename*=UTF-8''%E5%A4%9C.ogg",
            ),
            (
                "a\"b\\c%41.mp3",
                "inline; filename=\"a_b_c_41.mp3\"; filename*=UTF-8''a%22b%5Cc%2541.mp3",
            ),
            (
                "x\r\nSet-Cookie: a.mp3",
                "inline; filename=\"x__Set-Cookie: a.mp3\"; filename*=UTF-8''x%0D%0ASet-Cookie%3A%20a.mp3",
            ),
            (
                "it's (1)*.mp3",
                "inline; filename=\"it's (1)*.mp3\"; filename*=UTF-8''it%27s%20%281%29%2A.mp3",
            ),
        ] {
            assert_eq!(inline(name), wanted);
        }
    }
}
