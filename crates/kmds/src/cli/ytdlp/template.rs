//! yt-dlp's output templates: `%(artist,uploader|unknown)s - %(title).100s`.
//!
//! Owns the common part of their grammar: alternatives, defaults, widths, `s d f j l q S`. Pure.

use serde_json::Value;

use super::fields::Fields;

/// Where the text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    Print,
    /// A path: a value adds no component, and a component with a value is a name. The template's own text stays.
    Path {
        ascii: bool,
    },
}

/// The largest width of a field.
const WIDEST: usize = 1000;

/// The template of a `--print`: a list of fields is each on a line of its own, `title=` tells the name too.
pub fn of_print(text: &str) -> String {
    let (names, told) = match text.strip_suffix('=') {
        Some(names) => (names, true),
        None => (text, false),
    };
    let is_name = |c: char| c.is_alphanumeric() || "_.:,-".contains(c);
    if names.is_empty() || !names.chars().all(is_name) {
        return text.to_owned();
    }
    let line = |name: &str| {
        if told {
            format!("{name} = %({name})j")
        } else {
            format!("%({name})s")
        }
    };
    names.split(',').map(line).collect::<Vec<_>>().join("\n")
}

/// Fills in a template.
/// # Errors
/// A sentence: the text is not a template, or has unknown parts.
pub fn fill(template: &str, fields: &Fields, missing: &str, goal: For) -> Result<String, String> {
    let mut text = String::with_capacity(template.len() + 32);
    let mut with_values = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(after) = behind.strip_prefix('%') {
            text.push('%');
            rest = after;
        } else if let Some(field) = behind.strip_prefix('(') {
            let end = field
                .find(')')
                .ok_or_else(|| wrong(template, "a bracket is not closed"))?;
            let (shape, after) = Shape::read(&field[end + 1..])
                .ok_or_else(|| wrong(template, "after a field write s, d, f, j, l, q or S"))?;
            with_values.push(text.matches('/').count());
            text.push_str(&value(&field[..end], &shape, fields, missing, goal));
            rest = after;
        } else {
            text.push('%');
            rest = behind;
        }
    }
    text.push_str(rest);
    Ok(match goal {
        For::Print => text,
        For::Path { .. } => guarded(&text, &with_values),
    })
}

/// A path whose components at these places are names, never empty, `.` or `..`: an empty first component would make the
/// path absolute, and the folder it is joined to would be dropped.
fn guarded(path: &str, with_values: &[usize]) -> String {
    let guard = |(place, part): (usize, &str)| {
        if with_values.contains(&place) && part.chars().all(|c| c == '.') {
            "_".repeat(part.len().max(1))
        } else {
            part.to_owned()
        }
    };
    let parts: Vec<_> = path.split('/').enumerate().map(guard).collect();
    parts.join("/")
}

fn wrong(template: &str, why: &str) -> String {
    format!("invalid output template \"{template}\": {why}; write fields like %(title)s")
}

/// `05d`, `-20.10s`.
struct Shape {
    left: bool,
    zeros: bool,
    plus: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

impl Shape {
    fn read(text: &str) -> Option<(Self, &str)> {
        let flags = text.len() - text.trim_start_matches(['-', '0', '+', ' ', '#']).len();
        let (flags, rest) = text.split_at(flags);
        let (width, rest) = digits(rest);
        let (precision, rest) = match rest.strip_prefix('.') {
            Some(rest) => {
                let (precision, rest) = digits(rest);
                (Some(precision.unwrap_or(0)), rest)
            }
            None => (None, rest),
        };
        let kind = rest
            .chars()
            .next()
            .filter(|kind| "sdifjlqSU".contains(*kind))?;
        let shape = Self {
            left: flags.contains('-'),
            zeros: flags.contains('0'),
            plus: flags.contains('+'),
            alternate: flags.contains('#'),
            width: width.unwrap_or(0).min(WIDEST),
            precision,
            kind,
        };
        Some((shape, rest.get(1..)?))
    }

    fn padded(&self, text: String, is_number: bool) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if missing == 0 {
            text
        } else if self.left {
            text + &" ".repeat(missing)
        } else if self.zeros && is_number {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            format!("{sign}{}{digits}", "0".repeat(missing))
        } else {
            " ".repeat(missing) + &text
        }
    }
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok(), rest)
}

/// `artist,uploader&by {}|none`: the first known field, the text around it, and the default if no field is known.
fn value(spec: &str, shape: &Shape, fields: &Fields, missing: &str, goal: For) -> String {
    let (spec, default) = match spec.split_once('|') {
        Some((spec, default)) => (spec, Some(default)),
        None => (spec, None),
    };
    let (names, replacement) = match spec.split_once('&') {
        Some((names, replacement)) => (names, Some(replacement)),
        None => (spec, None),
    };
    let found = names.split(',').find_map(|name| {
        let (name, dates) = match name.split_once('>') {
            Some((name, dates)) => (name, Some(dates)),
            None => (name, None),
        };
        let value = look_up(fields, name.trim())?;
        Some(dates.map_or_else(|| value.clone(), |dates| dated(value, dates)))
    });
    let safe = |text: String| match goal {
        For::Path { ascii } => safe(&text, ascii),
        For::Print => text,
    };
    let Some(found) = found else {
        let text = default.unwrap_or(if shape.kind == 'j' { "null" } else { missing });
        return shape.padded(safe(text.to_owned()), false);
    };
    // The user may write an empty default; an empty value comes from the site or the server.
    let is_path = goal != For::Print;
    let found = match plain(&found) {
        text if is_path && text.is_empty() => "_".into(),
        _ => found,
    };
    if let Some(replacement) = replacement {
        return shape.padded(safe(replacement.replace("{}", &plain(&found))), false);
    }
    let (text, is_number) = shaped(&found, shape);
    shape.padded(safe(text), is_number)
}

/// A value by the path of its keys, like `formats.0.url`.
fn look_up<'a>(fields: &'a Fields, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let mut value = fields.get(keys.next()?)?;
    for key in keys {
        value = match value {
            Value::Object(inner) => inner.get(key)?,
            Value::Array(inner) => {
                let place: i64 = key.parse().ok()?;
                let length = i64::try_from(inner.len()).ok()?;
                let place = if place < 0 { length + place } else { place };
                inner.get(usize::try_from(place).ok()?)?
            }
            _ => return None,
        };
    }
    (!value.is_null()).then_some(value)
}

/// `%Y-%m-%d` of a date like `20260203`; any other value stays.
fn dated(value: &Value, pattern: &str) -> Value {
    let date = value
        .as_str()
        .and_then(|text| jiff::civil::Date::strptime("%Y%m%d", text).ok());
    match date.and_then(|date| jiff::fmt::strtime::format(pattern, date).ok()) {
        Some(text) => text.into(),
        None => value.clone(),
    }
}

fn shaped(value: &Value, shape: &Shape) -> (String, bool) {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let plus = |number: f64| if shape.plus && number >= 0.0 { "+" } else { "" };
    match (shape.kind, number) {
        ('d' | 'i', Some(number)) => (format!("{}{}", plus(number), number.trunc()), true),
        ('f', Some(number)) => {
            let places = shape.precision.unwrap_or(6).min(WIDEST);
            (format!("{}{number:.places$}", plus(number)), true)
        }
        ('j', _) => {
            let pretty = || serde_json::to_string_pretty(value).unwrap_or_default();
            (
                if shape.alternate {
                    pretty()
                } else {
                    value.to_string()
                },
                false,
            )
        }
        ('q', _) => (quoted(&plain(value)), false),
        ('S', _) => (safe(&plain(value), shape.alternate), false),
        (_, _) => {
            let text = plain(value);
            let most = shape.precision.unwrap_or(usize::MAX);
            (text.chars().take(most).collect(), false)
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

/// For a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// A part of a path's component: separators are replaced as in yt-dlp, and a text of which nothing is left is `_`.
fn safe(text: &str, ascii: bool) -> String {
    let wide = |c: char| match c {
        '/' => '\u{29f8}',
        '\\' => '\u{29f9}',
        c => char::from_u32(u32::from(c) + 0xfee0).unwrap_or('_'),
    };
    let kept = text.chars().filter(|c| !c.is_control());
    let mut safe: String = kept
        .map(|c| match c {
            c if ascii && !(c.is_ascii_alphanumeric() || "-_.+=@~".contains(c)) => '_',
            c if "\"*:<>?|/\\".contains(c) => wide(c),
            c => c,
        })
        .collect();
    if ascii {
        while safe.contains("__") {
            safe = safe.replace("__", "_");
        }
    }
    if safe.is_empty() && !text.is_empty() {
        safe.push('_');
    }
    // `..` leads out of a folder.
    if !safe.is_empty() && safe.chars().all(|c| c == '.') {
        safe = "_".repeat(safe.len());
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use super::*;
    use serde_json::json;

    fn fields() -> Fields {
        json!({"title": "A/B: C?", "id": "x-1", "duration": 187.3, "album": null, "playlist_index": 3,
            "uploader": "Ada", "upload_date": "20260203", "artists": ["Ada", "Bob"], "formats": [{"url": "u"}], "up": ".."})
        .as_object()
        .cloned()
        .unwrap_or_default()
    }

    #[test]
    fn fields_are_filled_in_as_yt_dlp_does() {
        for (template, text) in [
            ("%(title)s", "A/B: C?"),
            ("%(id)s-%(nothing)s", "x-1-NA"),
            ("%(album,uploader)s", "Ada"),
            ("%(album|none)s", "none"),
            ("%(uploader&by {}|)s|%(album&on {}|)s", "by Ada|"),
            (
                "%(duration)d %(duration)05d %(duration).1f %(duration)s",
                "187 00187 187.3 187.3",
            ),
            ("%(playlist_index)03d", "003"),
            ("%(title).3s", "A/B"),
            ("%(id)-6s|%(id)6s", "x-1   |   x-1"),
            (
                "%(duration)j %(artists)j %(album)j",
                "187.3 [\"Ada\",\"Bob\"] null",
            ),
            ("%(artists)l", "Ada, Bob"),
            ("%(formats.0.url)s %(formats.-1.url)s", "u u"),
            ("%(upload_date>%Y-%m-%d)s", "2026-02-03"),
            ("%(title)q", "'A/B: C?'"),
            ("100%% %(id)s 5%", "100% x-1 5%"),
        ] {
            assert_eq!(
                fill(template, &fields(), "NA", For::Print).as_deref(),
                Ok(text),
                "{template}"
            );
        }
        for bad in ["%(title", "%(title)", "%(title)x"] {
            assert!(fill(bad, &fields(), "NA", For::Print).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_never_leads_to_another_folder() {
        let path = |template: &str, ascii| {
            fill(template, &fields(), "NA", For::Path { ascii }).expect("a path")
        };
        assert_eq!(
            path("%(uploader)s/%(title)s.m4a", false),
            "Ada/A⧸B： C？.m4a"
        );
        assert_eq!(path("%(title)s", true), "A_B_C_");
        assert_eq!(path("%(up)s/%(id)s", false), "__/x-1");
    }

    #[test]
    fn no_value_makes_a_path_absolute_or_adds_a_component() {
        let hostile = [
            "",
            "\u{1}",
            "\0",
            "\u{7f}\u{9f}",
            ".",
            "..",
            "...",
            "\u{1}..",
            ".\u{1}.",
            "/",
            "//etc",
            "../..",
            "a/../b",
            "/\u{1}",
        ];
        let templates = [
            "%(a)s/%(b)s/%(c)s.m4a",
            "%(a)s%(b)s/%(c)s",
            "%(a|)s%(b|)s/%(nothing|)s/x.m4a",
            "%(nothing|)s/%(a)s",
            "%(a&{}|)s/%(b&{}|)s%(a)s/%(a).1s%(b).0s/x",
            "%(a).0s/%(b)-0s/%(c)S",
            ".%(a)s/%(b).2s.%(nothing|)s/x",
            ".%(nothing|)s./.%(nothing|)s/x",
            "%(list.0)s/%(list)l/%(list.0)q/x",
            "music/%(a)s/%(b)s",
        ];
        for (a, b, template) in hostile
            .iter()
            .flat_map(|a| hostile.iter().map(move |b| (a, b)))
            .flat_map(|(a, b)| templates.iter().map(move |template| (a, b, template)))
        {
            let fields = json!({"a": a, "b": b, "c": a, "list": [a]});
            let fields = fields.as_object().cloned().unwrap_or_default();
            for ascii in [false, true] {
                for missing in ["NA", "", ".."] {
                    let path = fill(template, &fields, missing, For::Path { ascii });
                    let path = path.expect("a path");
                    let about = format!("{template} with {a:?} and {b:?}: {path:?}");
                    let parts: Vec<_> = Path::new(&path).components().collect();
                    assert_eq!(parts.len(), template.split('/').count(), "{about}");
                    let is_name = |part: &Component| matches!(part, Component::Normal(_));
                    assert!(parts.iter().all(is_name), "{about}");
                    assert!(!path.contains(char::is_control), "{about}");
                }
            }
        }
    }

    #[test]
    fn an_empty_value_is_an_underscore_in_a_path_and_an_empty_default_stays() {
        let fields = json!({"empty": "", "control": "\u{1}", "title": "T", "album": "etc"});
        let fields = fields.as_object().cloned().unwrap_or_default();
        for (template, text) in [
            ("%(control)s/%(album)s/%(title)s", "_/etc/T"),
            ("%(empty)s - %(title)s", "_ - T"),
            ("%(empty&{}|)s - %(title)s", "_ - T"),
            ("%(nothing&{} - |)s%(title)s", "T"),
            ("%(nothing|)s/%(title)s", "_/T"),
            // The template's own parts are the user's.
            ("/music/../%(title)s", "/music/../T"),
            (".././%(title)s//x", ".././T//x"),
        ] {
            let path = fill(template, &fields, "NA", For::Path { ascii: false });
            assert_eq!(path.as_deref(), Ok(text), "{template}");
        }
        let printed = fill("%(empty)s|%(control)s", &fields, "NA", For::Print);
        assert_eq!(printed.as_deref(), Ok("|\u{1}"));
    }

    #[test]
    fn a_print_may_be_names_alone() {
        assert_eq!(of_print("title"), "%(title)s");
        assert_eq!(of_print("title,id"), "%(title)s\n%(id)s");
        assert_eq!(of_print("id="), "id = %(id)j");
        assert_eq!(of_print("%(id)s x"), "%(id)s x");
    }
}
