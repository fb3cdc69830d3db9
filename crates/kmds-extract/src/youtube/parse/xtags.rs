//! `xtags`: what kind of copy a format is (field notes, 2.6).
//!
//! Owns the base64 protobuf list of (key, value). It does not guess: an unreadable value counts as missing.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The value of a key, as in `acont=original`.
pub(crate) fn value(xtags: &str, key: &str) -> Option<String> {
    let bytes = GeneralPurpose::new(&URL_SAFE, LENIENT)
        .decode(xtags)
        .or_else(|_| GeneralPurpose::new(&STANDARD, LENIENT).decode(xtags))
        .ok()?;
    let mut rest = bytes.as_slice();
    while let Some((1, pair, after)) = next_field(rest) {
        let (first, name, inner) = next_field(pair)?;
        let (second, text, _) = next_field(inner)?;
        if first == 1 && second == 2 && name == key.as_bytes() {
            return String::from_utf8(text.to_vec()).ok();
        }
        rest = after;
    }
    None
}

/// One length-delimited field with a number and a length of one byte each: all there is in here.
fn next_field(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if tag & 0x87 != 2 || length & 0x80 != 0 {
        return None;
    }
    rest.split_at_checked(usize::from(length))
        .map(|(content, after)| (tag >> 3, content, after))
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn recorded_values_are_read() {
        assert_eq!(value("CggKA2RyYxIBMQ", "drc").as_deref(), Some("1"));
        let original = "ChEKBWFjb250EghvcmlnaW5hbAoNCgRsYW5nEgVlbi1VUw";
        assert_eq!(value(original, "acont").as_deref(), Some("original"));
        assert_eq!(value(original, "lang").as_deref(), Some("en-US"));
        assert_eq!(value(original, "drc"), None);
    }

    #[test]
    fn nonsense_is_nothing() {
        for text in ["", "!!", "CggKA2Ry", "/////w==", "AAAA"] {
            assert_eq!(value(text, "drc"), None, "{text}");
        }
    }
}
