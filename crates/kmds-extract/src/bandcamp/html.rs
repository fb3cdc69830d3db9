//! The few places of Bandcamp's HTML that KMDS reads, found by plain search.
//!
//! Owns attributes with escaped JSON, the one `ld+json` script, and unescaping. It builds no tree: a page has up to
//! half a megabyte, and one attribute has all data.

/// The raw value of the first `name="…"`, with the quotes and the equals sign: `data-tralbum-collect-info` stands
/// before `data-tralbum`. `None` without an opening or a closing quote.
pub(super) fn attribute<'page>(page: &'page str, name: &str) -> Option<&'page str> {
    attributes(page, name).next()
}

/// The raw values of every `name="…"`, as [`attribute`] finds the first.
pub(super) fn attributes<'page>(page: &'page str, name: &str) -> impl Iterator<Item = &'page str> {
    let mut rest = page;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find(name)?;
            // A longer name may end in this one: `x-data-tralbum`.
            let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let whole = rest
                .get(..at)
                .is_none_or(|before| !before.ends_with(inside));
            rest = rest.get(at + name.len()..)?;
            if let Some(value) = rest.strip_prefix("=\"").filter(|_| whole) {
                let (value, after) = value.split_once('"')?;
                rest = after;
                return Some(value);
            }
        }
    })
}

/// The text of the one `<script type="application/ld+json">`; its JSON is not escaped.
pub(super) fn ld_json(page: &str) -> Option<&str> {
    let (_, after) = page.split_once("application/ld+json")?;
    let (_, text) = after.split_once('>')?;
    text.split_once("</script").map(|(text, _)| text)
}

/// Undoes HTML escapes, exactly once: `&amp;quot;` becomes `&quot;`. What is no escape stays as it is.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match entity(after) {
            Some((character, length)) => {
                plain.push(character);
                rest = after.get(length..).unwrap_or_default();
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Longest reference between `&` and `;`: `#x10FFFF`, with room for leading zeros.
const LONGEST_ENTITY: usize = 12;

/// The character that `after` starts with, being what follows an `&`, and how many bytes it took with its semicolon.
fn entity(after: &str) -> Option<(char, usize)> {
    let end = after
        .bytes()
        .take(LONGEST_ENTITY)
        .position(|byte| byte == b';')?;
    let name = after.get(..end)?;
    let character = match name {
        "quot" => '"',
        "amp" => '&',
        "apos" => '\'',
        "lt" => '<',
        "gt" => '>',
        "nbsp" => '\u{a0}',
        _ => numeric(name.strip_prefix('#')?)?,
    };
    Some((character, end + 1))
}

fn numeric(digits: &str) -> Option<char> {
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()?
        }
        None if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    char::from_u32(code).filter(|character| *character != '\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longer_attribute_before_it_is_not_taken_for_the_release() {
        let page = r#"<script data-tralbum-collect-info="{1}" x-data-tralbum="{2}" data-tralbum="{3}" data-x="{4}">"#;
        assert_eq!(attribute(page, "data-tralbum"), Some("{3}"));
        assert!(attributes("<a b=\"1\" b=2><c b=\"3\" b=\"", "b").eq(["1", "3"]));
        assert_eq!(attribute(page, "data-band"), None);
        assert_eq!(attribute("data-tralbum=\"{cut", "data-tralbum"), None);
        assert_eq!(attribute("\ndata-tralbum=\"\"", "data-tralbum"), Some(""));
    }

    #[test]
    fn escapes_are_undone_once() {
        for (escaped, plain) in [
            ("{&quot;a&quot;:1}", "{\"a\":1}"),
            ("Rock &amp;amp; Roll", "Rock &amp; Roll"),
            ("&amp;quot;", "&quot;"),
            ("it&#39;s &#x27;so&#X27;", "it's 'so'"),
            ("&lt;b&gt; &#60;", "<b> <"),
            ("&#128512;", "\u{1F600}"),
            (
                "A & B; &c; &; &#; &#x; &#xD800; &#0; &#99999999999; &",
                "A & B; &c; &; &#; &#x; &#xD800; &#0; &#99999999999; &",
            ),
            ("&\u{e4};", "&\u{e4};"),
        ] {
            assert_eq!(unescape(escaped), plain, "{escaped}");
        }
    }

    proptest! {
        #[test]
        fn unescaping_undoes_escaping(text in "\\PC{0,200}") {
            let escaped = text.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;").replace('<', "&lt;");
            prop_assert_eq!(unescape(&escaped), text);
        }

        #[test]
        fn numeric_references_give_their_character(character in any::<char>().prop_filter("no NUL", |c| *c != '\0')) {
            let code = u32::from(character);
            prop_assert_eq!(unescape(&format!("a&#{code};&#x{code:x};b")), format!("a{character}{character}b"));
        }

        #[test]
        fn unescaping_never_panics_and_never_grows(text in "[&#;xqa0-9u\\PC]{0,200}") {
            prop_assert!(unescape(&text).len() <= text.len());
        }

        #[test]
        fn searching_never_panics(text in ".{0,200}") {
            let _ = attribute(&text, "data-tralbum");
            let _ = attribute(&format!("data-tralbum{text}"), "data-tralbum");
            let _ = ld_json(&format!("application/ld+json{text}"));
        }
    }
}
