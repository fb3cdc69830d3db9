//! Filters of format selectors: `[abr<128]`, `[acodec^=mp4a]`, `[filesize<?10M]`.
//!
//! Owns their operators. Hides how sizes are written. Pure.

use super::fields::Fields;

#[derive(Debug)]
pub struct Filter {
    field: String,
    test: Test,
    /// With `?`: a format without a known value passes.
    unknown_passes: bool,
}

#[derive(Debug)]
enum Test {
    Number(Comparison, f64),
    Text {
        negated: bool,
        at: MatchAt,
        text: String,
    },
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
    Other,
}

#[derive(Debug, Clone, Copy)]
enum MatchAt {
    Whole,
    Begin,
    End,
    Anywhere,
}

const NO_FILTER: &str =
    "no filter is written like that; write [abr<128], [ext=m4a] or [acodec^=mp4a]";

impl Filter {
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let ends = |c: char| !(c.is_alphanumeric() || "_.-".contains(c));
        let text = text.trim();
        let (field, rest) = text.split_at(text.find(ends).ok_or(NO_FILTER)?);
        if field.is_empty() {
            return Err(NO_FILTER);
        }
        let (word, rest) = operator(rest.trim_start()).ok_or(NO_FILTER)?;
        let rest = rest.trim_start();
        let (unknown_passes, rest) = match rest.strip_prefix('?') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let value = rest.trim();
        let quoted = |mark: char| value.strip_prefix(mark)?.strip_suffix(mark);
        let text = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        if value.is_empty() {
            return Err(NO_FILTER);
        }
        Ok(Self {
            field: field.to_owned(),
            test: test(&word, text)?,
            unknown_passes,
        })
    }

    /// Whether a format passes.
    pub fn lets(&self, fields: &Fields) -> bool {
        let value = fields.get(&self.field).filter(|value| !value.is_null());
        let Some(value) = value else {
            return self.unknown_passes;
        };
        match &self.test {
            Test::Number(order, wanted) => match value.as_f64() {
                Some(number) => order.holds(number, *wanted),
                // Equal and not equal compare words too, like `[format_id=140]`.
                None => value.as_str().is_some_and(|text| match order {
                    Comparison::Equal => text.parse() == Ok(*wanted),
                    Comparison::Other => text.parse() != Ok(*wanted),
                    _ => false,
                }),
            },
            Test::Text { negated, at, text } => {
                let owned = value.to_string();
                let value = value.as_str().unwrap_or(&owned);
                let holds = match at {
                    MatchAt::Whole => value == text,
                    MatchAt::Begin => value.starts_with(text),
                    MatchAt::End => value.ends_with(text),
                    MatchAt::Anywhere => value.contains(text),
                };
                holds != *negated
            }
        }
    }
}

/// The operator at the beginning, without blanks, and what follows.
fn operator(text: &str) -> Option<(String, &str)> {
    let (negation, rest) = match text.strip_prefix('!') {
        Some(rest) => ("!", rest.trim_start()),
        None => ("", text),
    };
    let words = ["<=", ">=", "^=", "$=", "*=", "~=", "<", ">", "="];
    let word = words.into_iter().find(|word| rest.starts_with(word))?;
    Some((format!("{negation}{word}"), rest.get(word.len()..)?))
}

fn test(word: &str, text: &str) -> Result<Test, &'static str> {
    let order = match word {
        "<" => Some(Comparison::Below),
        "<=" => Some(Comparison::AtMost),
        ">" => Some(Comparison::Above),
        ">=" => Some(Comparison::AtLeast),
        "=" => Some(Comparison::Equal),
        "!=" => Some(Comparison::Other),
        _ => None,
    };
    match (order, size(text)) {
        (Some(order), Some(number)) => return Ok(Test::Number(order, number)),
        (Some(Comparison::Equal | Comparison::Other) | None, _) => {}
        (Some(_), None) => return Err("this filter needs a number"),
    }
    let (negated, bare) = match word.strip_prefix('!') {
        Some(bare) => (true, bare),
        None => (false, word),
    };
    let at = match bare {
        "=" => MatchAt::Whole,
        "^=" => MatchAt::Begin,
        "$=" => MatchAt::End,
        "*=" => MatchAt::Anywhere,
        "~=" => return Err("no filter reads regular expressions here; use =, ^=, $= or *="),
        _ => return Err(NO_FILTER),
    };
    Ok(Test::Text {
        negated,
        at,
        text: text.to_owned(),
    })
}

/// `10`, `1.5M`, `500KiB`.
fn size(text: &str) -> Option<f64> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim_end_matches(['b', 'B']).to_ascii_lowercase();
    let (letter, base) = match unit.strip_suffix('i') {
        Some(letter) => (letter, 1024_f64),
        None => (unit.as_str(), 1000_f64),
    };
    let power = ["", "k", "m", "g", "t", "p"]
        .iter()
        .position(|known| *known == letter)?;
    Some(number * base.powi(i32::try_from(power).ok()?))
}

impl Comparison {
    fn holds(self, number: f64, wanted: f64) -> bool {
        let equal = (number - wanted).abs() < 1e-9;
        match self {
            Self::Below => number < wanted,
            Self::AtMost => number <= wanted,
            Self::Above => number > wanted,
            Self::AtLeast => number >= wanted,
            Self::Equal => equal,
            Self::Other => !equal,
        }
    }
}
