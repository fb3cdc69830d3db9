//! JSON as sites send it, read even if some value in it is broken.
//!
//! Owns the repair of a text that cannot be read: half a surrogate pair, unknown escapes, bare control characters,
//! bytes that are not UTF-8, numbers beyond any type, unknown words, endless nesting, a field that stands there twice.
//! Each loses only that value, not the page. Structure is not repaired: a text that is cut off, or closed by the wrong
//! bracket, stays unreadable.

use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Error, Value};

/// Lists and objects inside each other; deeper ones read as `null`. Sites need some forty, serde_json takes 127.
const DEEPEST: usize = 100;
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one value, and nothing behind it but blanks.
/// # Errors
/// The text is no JSON even when its broken values are mended, or is another thing than a `T`.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    serde_json::from_slice(text).or_else(|error| {
        let text = String::from_utf8_lossy(text);
        match mend(&text) {
            Some((mended, rest)) if rest.trim().is_empty() => typed(&mended),
            _ => Err(error),
        }
    })
}

/// The value at the start of a text, with any text after it: scripts contain JSON among other things.
pub(crate) fn first(text: &str) -> Option<Value> {
    mend(text).and_then(|(mended, _)| serde_json::from_str(&mended).ok())
}

fn typed<T: DeserializeOwned>(mended: &str) -> Result<T, Error> {
    serde_json::from_str(mended).or_else(|_| {
        // For a type, a field that stands there twice is an error; for a value, the last one counts.
        let value: Value = serde_json::from_str(mended)?;
        T::deserialize(value).map_err(|error| Error::custom(format!("not readable JSON: {error}")))
    })
}

/// The first value of a text with its broken parts mended, and what follows it; `None` if it does not end.
fn mend(text: &str) -> Option<(String, &str)> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut depth = 0_usize;
    while let Some(next) = rest.chars().next() {
        // Values that are too deep are skipped, not kept.
        let mut dropped = String::new();
        let kept = if depth > DEEPEST {
            &mut dropped
        } else {
            &mut out
        };
        match next {
            '"' => rest = string(rest.get(1..)?, kept)?,
            '{' | '[' => {
                depth += 1;
                kept.push_str(if depth > DEEPEST {
                    "null"
                } else {
                    rest.get(..1)?
                });
                rest = rest.get(1..)?;
                continue;
            }
            '}' | ']' => {
                depth = depth.checked_sub(1)?;
                if depth < DEEPEST {
                    out.push(next);
                }
                rest = rest.get(1..)?;
            }
            ',' | ':' => {
                kept.push(next);
                rest = rest.get(1..)?;
                continue;
            }
            _ if next.is_ascii_whitespace() => {
                kept.push(next);
                rest = rest.get(1..)?;
                continue;
            }
            _ => {
                let end = rest
                    .find(|c: char| c.is_ascii_whitespace() || "{}[],:\"".contains(c))
                    .unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end)?;
                let broken = serde_json::from_str::<Value>(word).is_err();
                // A text that starts with a broken word is another kind of page.
                if broken && depth == 0 {
                    return None;
                }
                kept.push_str(if broken { "null" } else { word });
                rest = after;
            }
        }
        if depth == 0 {
            return Some((out, rest));
        }
    }
    None
}

/// Repairs the string after its opening quote, into `out`; gives back the text after its end.
fn string<'a>(mut rest: &'a str, out: &mut String) -> Option<&'a str> {
    const REPLACED: char = char::REPLACEMENT_CHARACTER;
    out.push('"');
    loop {
        let plain = rest.find(|c: char| c < ' ' || matches!(c, '"' | '\\'))?;
        out.push_str(rest.get(..plain)?);
        rest = rest.get(plain..)?;
        match rest.as_bytes() {
            [b'"', ..] => {
                out.push('"');
                return rest.get(1..);
            }
            [
                b'\\',
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                ..,
            ] => {
                out.push_str(rest.get(..2)?);
                rest = rest.get(2..)?;
            }
            [b'\\', b'u', ..] => match unit(rest) {
                Some(high @ 0xD800..=0xDBFF) => {
                    let low = unit(rest.get(6..)?).filter(|low| (0xDC00..=0xDFFF).contains(low));
                    let whole = low.and_then(|low| {
                        char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
                    });
                    out.push(whole.unwrap_or(REPLACED));
                    rest = rest.get(if whole.is_some() { 12 } else { 6 }..)?;
                }
                Some(0xDC00..=0xDFFF) => {
                    out.push(REPLACED);
                    rest = rest.get(6..)?;
                }
                Some(_) => {
                    out.push_str(rest.get(..6)?);
                    rest = rest.get(6..)?;
                }
                None => {
                    out.push(REPLACED);
                    rest = rest.get(2..)?;
                }
            },
            // A letter that needed no escape.
            [b'\\', ..] => rest = rest.get(1..)?,
            // A bare control character.
            _ => {
                out.push(' ');
                rest = rest.get(1..)?;
            }
        }
    }
}

/// The code unit of `\uXXXX` at the start of a text.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn one_broken_value_costs_that_value_and_not_the_text() {
        let deep = |brackets: usize| format!("{}{}", "[".repeat(brackets), "]".repeat(brackets));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(3_000), "}".repeat(3_000));
        for (broken, reads_as) in [
            (r#""abc \ud83d""#, json!("abc \u{fffd}")),
            (r#""\udc00x""#, json!("\u{fffd}x")),
            (r#""\udc00\ud83d""#, json!("\u{fffd}\u{fffd}")),
            (r#""\ud83d\u0041""#, json!("\u{fffd}A")),
            (r#""\ud83d\ud83d\ude00""#, json!("\u{fffd}\u{1f600}")),
            (r#""\uD83d\n\"""#, json!("\u{fffd}\n\"")),
            (r#""\u12 \uZZZZ""#, json!("\u{fffd}12 \u{fffd}ZZZZ")),
            (r#""it\'s \x41""#, json!("it's x41")),
            ("\"a\u{1}b\u{1b}c\nd\te\"", json!("a b c d e")),
            ("1e999", json!(null)),
            ("-1E+999", json!(null)),
            (&"9".repeat(400), json!(null)),
            ("NaN", json!(null)),
            ("-Infinity", json!(null)),
            ("undefined", json!(null)),
            ("007", json!(null)),
            (".5", json!(null)),
            ("'text'", json!(null)),
            (&objects, json!(null)),
            (&deep(100_000), json!(null)),
        ] {
            let text = format!(
                r#"{{"id": 7, "odd": {broken}, "list": [{broken}, 1], "last": "\ud83d\ude00"}}"#
            );
            let read: Value =
                read(text.as_bytes()).unwrap_or_else(|error| panic!("{broken:.20}: {error}"));
            assert_eq!(
                (&read["id"], &read["list"][1], &read["last"]),
                (&json!(7), &json!(1), &json!("\u{1f600}"))
            );
            if broken.len() < 1_000 {
                assert_eq!(
                    (&read["odd"], &read["list"][0]),
                    (&reads_as, &reads_as),
                    "{broken}"
                );
            }
        }
    }

    #[test]
    fn marks_foreign_bytes_and_names_are_mended_too() {
        assert_eq!(
            read::<Value>(b"\xef\xbb\xbf{\"a\": 1}\r\n").expect("JSON"),
            json!({"a": 1})
        );
        // Half a pair as bytes, as some programs write it.
        assert_eq!(
            read::<Value>(b"[\"a\xed\xa0\xbd\xff\", 2]").expect("JSON")[1],
            json!(2)
        );
        assert_eq!(
            read::<Value>(br#"{"\ud83d": 1, "b": 2}"#).expect("JSON"),
            json!({"\u{fffd}": 1, "b": 2})
        );
        assert_eq!(
            first("[1, {\"a\": \"]\\udc00\"}];</script>"),
            Some(json!([1, {"a": "]\u{fffd}"}]))
        );
    }

    #[test]
    fn of_a_field_that_stands_there_twice_the_last_counts() {
        #[derive(serde::Deserialize)]
        struct Song {
            title: String,
        }
        let song: Song =
            read(br#"{"title": "one", "title": "two", "x": "\udc00"}"#).expect("a song");
        assert_eq!(song.title, "two");
    }

    #[test]
    fn what_is_cut_off_or_followed_by_something_stays_unreadable() {
        for text in [
            "",
            " ",
            "{",
            "[1, 2",
            "{\"a\": \"b",
            "{\"a\": 1e999",
            "\"\\ud83d",
            "\"\\",
            "[1}x",
            "{\"a\": 1} {\"b\": 2}",
            "[1e999]]",
            "{a: 1}",
            "<html>",
            "Please slow down.",
            "NaN",
            "[1,]",
            "[\"\\ud83d\" 1]",
            "]",
        ] {
            assert!(
                read::<Value>(text.as_bytes()).is_err_and(|error| !error.to_string().is_empty()),
                "{text}"
            );
        }
    }

    /// A readable text stays the same when it is repaired; a repaired text is no longer than four times the original.
    #[test]
    fn fuzz_json() {
        kmds_fuzz::target("json", |input| {
            let strict = serde_json::from_slice::<Value>(input);
            let read = read::<Value>(input);
            let text = String::from_utf8_lossy(input);
            let mended = mend(&text);
            if let Some((mended, rest)) = &mended {
                assert!(
                    mended.len() <= 4 * text.len(),
                    "{} of {}",
                    mended.len(),
                    text.len()
                );
                assert!(text.ends_with(rest));
            }
            let Ok(strict) = strict else { return };
            assert_eq!(read.as_ref().ok(), Some(&strict));
            let (mended, _) = mended.expect("a whole value");
            let again: Value = serde_json::from_str(&mended).expect("mended");
            assert!(again == strict || mended.contains("null"), "{mended}");
        });
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_stands_beside_half_a_pair_is_read(beside in values()) {
            let text = format!(r#"{{"odd": "\ud83d", "beside": {beside}}}"#);
            let read: Value = read(text.as_bytes()).expect("JSON");
            prop_assert_eq!(&read["beside"], &beside);
            prop_assert_eq!(&read["odd"], "\u{fffd}");
        }

        #[test]
        fn mending_never_panics(text in "[\\[\\]{},:\"\\\\uD83dcx0-9e+. -]{0,80}") {
            let _ = read::<Value>(text.as_bytes());
        }
    }
}
