//! `prefetch`: how many songs of a list KMDS queues at once for a client. Both faces read it in the same way.

use serde_json::Value;

use super::error::Refusal;
use crate::app::Prefetch;

const WORDS: &str = "\"all\", \"none\" or a whole number";

/// From the value of a body's key, which refusals name.
/// # Errors
/// Another value.
pub(super) fn from_body(key: &str, value: &Value) -> Result<Prefetch, Refusal> {
    let read = match value {
        Value::String(word) => from_word(word),
        Value::Number(number) => number.as_u64().map(from_number),
        _ => None,
    };
    read.ok_or_else(|| Refusal::bad_request(format!("\"{key}\" has to be {WORDS}")))
}

/// From the parameter of an address: `all`, `none` or a number.
/// # Errors
/// Another text.
pub(super) fn from_query(text: &str) -> Result<Prefetch, Refusal> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| from_number(text.parse().unwrap_or(u64::MAX)));
    from_word(text).or(number).ok_or_else(|| {
        Refusal::bad_request(
            "prefetch is how many songs of a list are queued at once; use all, none or a number",
        )
    })
}

fn from_word(word: &str) -> Option<Prefetch> {
    match word {
        "all" => Some(Prefetch::All),
        "none" => Some(Prefetch::None),
        _ => None,
    }
}

fn from_number(number: u64) -> Prefetch {
    match usize::try_from(number).unwrap_or(usize::MAX) {
        0 => Prefetch::None,
        count => Prefetch::Ahead(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_an_address_is_what_it_is_in_a_body() {
        for (text, wanted) in [
            ("all", Prefetch::All),
            ("none", Prefetch::None),
            ("0", Prefetch::None),
            ("3", Prefetch::Ahead(3)),
            ("99999999999999999999999", Prefetch::Ahead(usize::MAX)),
        ] {
            assert_eq!(from_query(text), Ok(wanted), "{text}");
        }
        for text in ["", "-1", "+1", "1.5", "some"] {
            let refusal = from_query(text).expect_err(text);
            assert_eq!(refusal.status.as_u16(), 400, "{text}");
        }
    }
}
