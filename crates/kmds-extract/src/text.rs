//! Text of sites, servers and clients, made safe to show: on a terminal, in a log, in a playlist, in an error.
//!
//! Owns which characters control a terminal or a reader of lines. Values in replies are never changed: there a title
//! stays as the site has it.

use std::borrow::Cow;

/// `text` as one line without control characters: each run of controls and line ends (C0, DEL, C1, U+2028, U+2029)
/// becomes one space, and characters that change the direction of the following text are removed. Other text is
/// returned unchanged.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| acts(c) || turns(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut in_run = false;
    for c in text.chars().filter(|c| !turns(*c)) {
        if !acts(c) {
            shown.push(c);
        } else if !in_run {
            shown.push(' ');
        }
        in_run = acts(c);
    }
    Cow::Owned(shown)
}

/// JSON text without control characters in its strings: each is written as `\uXXXX`, so the value stays the same. The
/// line ends of the document stay.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let hides = |c: char| (acts(c) && c != '\n') || turns(c);
    if !json.contains(hides) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        // All of these are below U+10000, so each is one escape.
        if hides(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)))
        } else {
            shown.push(c)
        }
    }
    Cow::Owned(shown)
}

/// Whether this character controls a terminal, or begins a new line for a reader of lines.
const fn acts(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

/// Whether this character changes the direction of the following text.
const fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_not_shown_and_the_rest_is() {
        for (text, shown) in [
            ("Ordinary Days", "Ordinary Days"),
            (
                "Ünïcödé 日本 👩\u{200d}👧 می\u{200c}خواهم",
                "Ünïcödé 日本 👩\u{200d}👧 می\u{200c}خواهم",
            ),
            ("A\x1b]0;pwn\x07\x1b[31mRed", "A ]0;pwn [31mRed"),
            ("\u{9b}41mC1\u{85}\u{7f}x", " 41mC1 x"),
            ("a\r\n#EXTINF:1,b\0c", "a #EXTINF:1,b c"),
            ("a\u{2028}b\u{2029}c", "a b c"),
            ("gpj\u{202e}exe.\u{2066}\u{200f}\u{61c}", "gpjexe."),
            ("a\x1b\u{202e}\x1bb", "a b"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert!(matches!(printable("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn json_that_only_shows_has_the_same_value() {
        let value = serde_json::json!({ "title": "A\u{9b}1m\u{1b}[2J\u{202e}\u{7f}\u{2028}日\n", "n": [1, null] });
        for text in [
            value.to_string(),
            serde_json::to_string_pretty(&value).expect("JSON"),
        ] {
            let shown = printable_json(&text);
            assert!(
                !shown.contains(|c: char| (acts(c) && c != '\n') || turns(c)),
                "{shown}"
            );
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"),
                value
            );
        }
    }
}
