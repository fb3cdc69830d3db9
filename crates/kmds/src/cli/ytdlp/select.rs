//! Format selectors: `ba[acodec=opus]/ba[ext=m4a]/best`.
//!
//! Owns their grammar as yt-dlp has it, and which of a song's formats they pick. The filters in brackets are in
//! `filter`. Pure: a format is the JSON object that is printed for it.

use serde_json::Value;

use super::fields::Fields;
use super::filter::Filter;

/// People write no deeper selector.
const MOST_NESTED: usize = 32;

#[derive(Debug)]
pub struct Selector(Vec<Alternatives>);

/// The part between commas: the first alternative that picks something.
#[derive(Debug)]
struct Alternatives(Vec<Merge>);

/// The part between plus signs: all of them, or nothing.
#[derive(Debug)]
struct Merge(Vec<Atom>);

#[derive(Debug)]
struct Atom {
    what: What,
    filters: Vec<Filter>,
}

#[derive(Debug)]
enum What {
    Word(Word),
    Group(Selector),
}

#[derive(Debug)]
enum Word {
    All,
    Ranked {
        best: bool,
        kind: Kind,
        /// From 1.
        place: usize,
    },
    /// An extension, or the id of a format.
    Named(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `best`: audio and video; if a song has formats of one of them only, any format.
    Whole,
    /// `best*`.
    Any,
    Audio,
    /// `bestaudio*`.
    WithAudio,
    Video,
    /// `bestvideo*`.
    WithVideo,
}

impl Selector {
    pub fn read(text: &str) -> Result<Self, String> {
        let mut rest = Rest {
            text,
            at: 0,
            depth: 0,
        };
        let selector = rest.selector().and_then(|selector| match rest.peek() {
            None => Ok(selector),
            Some(_) => Err("a bracket that was not opened"),
        });
        let at = rest.at;
        selector.map_err(|why| {
            let before = text.get(..at).map_or(0, |before| before.chars().count());
            format!(
                "Invalid format specification: {why}\n\t{text}\n\t{}^",
                " ".repeat(before)
            )
        })
    }

    /// The formats that are picked, as places in `formats`, which stand worst first.
    pub fn pick(&self, formats: &[Fields]) -> Vec<usize> {
        let all: Vec<usize> = (0..formats.len()).collect();
        let has = |field| move |place: &usize| is_there(&formats[*place], field);
        let one_sided = !all.iter().any(has("vcodec")) || !all.iter().any(has("acodec"));
        self.among(formats, &all, one_sided)
    }

    fn among(&self, formats: &[Fields], places: &[usize], one_sided: bool) -> Vec<usize> {
        let alternative = |merge: &Merge| merge.among(formats, places, one_sided);
        self.0
            .iter()
            .flat_map(|choice| {
                choice
                    .0
                    .iter()
                    .map(alternative)
                    .find(|picked| !picked.is_empty())
                    .unwrap_or_default()
            })
            .collect()
    }
}

impl Merge {
    fn among(&self, formats: &[Fields], places: &[usize], one_sided: bool) -> Vec<usize> {
        let picked: Vec<Vec<usize>> = self
            .0
            .iter()
            .map(|atom| atom.among(formats, places, one_sided))
            .collect();
        // Nothing is merged here: the first of them has the audio, or all do.
        if picked.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        picked.into_iter().next().unwrap_or_default()
    }
}

impl Atom {
    fn among(&self, formats: &[Fields], places: &[usize], one_sided: bool) -> Vec<usize> {
        let kept = places.iter().copied();
        let kept = kept.filter(|place| {
            self.filters
                .iter()
                .all(|filter| filter.lets(&formats[*place]))
        });
        let kept: Vec<usize> = kept.collect();
        match &self.what {
            What::Group(selector) => selector.among(formats, &kept, one_sided),
            What::Word(word) => word.among(formats, &kept, one_sided),
        }
    }
}

impl Word {
    fn among(&self, formats: &[Fields], places: &[usize], one_sided: bool) -> Vec<usize> {
        let of = |keep: &dyn Fn(&Fields) -> bool| -> Vec<usize> {
            places
                .iter()
                .copied()
                .filter(|place| keep(&formats[*place]))
                .collect()
        };
        match self {
            Self::All => places.iter().rev().copied().collect(),
            Self::Named(name) => {
                let is = |field: &str, fields: &Fields| {
                    fields.get(field).and_then(Value::as_str) == Some(name)
                };
                let found = of(&|fields| is("format_id", fields));
                let found = if found.is_empty() {
                    of(&|fields| is("ext", fields))
                } else {
                    found
                };
                found.last().copied().into_iter().collect()
            }
            Self::Ranked { best, kind, place } => {
                let mut found = of(&|fields| kind.fits(fields));
                if found.is_empty() && *kind == Kind::Whole && one_sided {
                    found = places.to_vec();
                }
                if *best {
                    found.reverse();
                }
                found.get(place - 1).copied().into_iter().collect()
            }
        }
    }
}

impl Kind {
    fn fits(self, fields: &Fields) -> bool {
        let (audio, video) = (is_there(fields, "acodec"), is_there(fields, "vcodec"));
        match self {
            Self::Whole => audio && video,
            Self::Any => true,
            Self::Audio => audio && !video,
            Self::WithAudio => audio,
            Self::Video => video && !audio,
            Self::WithVideo => video,
        }
    }
}

/// Whether a format has this half.
fn is_there(fields: &Fields, codec: &str) -> bool {
    fields
        .get(codec)
        .and_then(Value::as_str)
        .is_some_and(|codec| codec != "none")
}

struct Rest<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Rest<'_> {
    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..)?;
        let bare = rest.trim_start();
        self.at += rest.len() - bare.len();
        bare.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.at += wanted.len_utf8();
        }
        is
    }

    fn selector(&mut self) -> Result<Selector, &'static str> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err("too many brackets");
        }
        let mut choices = vec![self.choice()?];
        while self.take(',') {
            choices.push(self.choice()?);
        }
        self.depth -= 1;
        Ok(Selector(choices))
    }

    fn choice(&mut self) -> Result<Alternatives, &'static str> {
        let mut merges = vec![self.merge()?];
        while self.take('/') {
            merges.push(self.merge()?);
        }
        Ok(Alternatives(merges))
    }

    fn merge(&mut self) -> Result<Merge, &'static str> {
        let mut atoms = vec![self.atom()?];
        while self.take('+') {
            atoms.push(self.atom()?);
        }
        Ok(Merge(atoms))
    }

    fn atom(&mut self) -> Result<Atom, &'static str> {
        let what = match self.peek() {
            Some('(') => {
                self.take('(');
                let group = self.selector()?;
                if !self.take(')') {
                    return Err("a bracket is not closed");
                }
                What::Group(group)
            }
            Some('[') => What::Word(word("best")?),
            _ => What::Word(word(self.name())?),
        };
        let mut filters = Vec::new();
        while self.take('[') {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let end = rest.find(']').ok_or("a bracket is not closed")?;
            filters.push(Filter::read(rest.get(..end).unwrap_or_default())?);
            self.at += end + 1;
        }
        Ok(Atom { what, filters })
    }

    fn name(&mut self) -> &str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |c: char| c.is_whitespace() || "/+,()[]".contains(c);
        let name = rest
            .get(..rest.find(ends).unwrap_or(rest.len()))
            .unwrap_or_default();
        self.at += name.len();
        name
    }
}

fn word(name: &str) -> Result<Word, &'static str> {
    if name.is_empty() {
        return Err("a selector is missing here");
    }
    if name == "all" || name == "mergeall" {
        return Ok(Word::All);
    }
    let (head, place) = match name.rsplit_once('.') {
        Some((head, digits)) => (head, digits.parse().ok().filter(|place| *place > 0)),
        None => (name, Some(1)),
    };
    let kind = match head {
        "best" | "b" | "worst" | "w" => Some(Kind::Whole),
        "best*" | "b*" | "worst*" | "w*" => Some(Kind::Any),
        "bestaudio" | "ba" | "worstaudio" | "wa" => Some(Kind::Audio),
        "bestaudio*" | "ba*" | "worstaudio*" | "wa*" => Some(Kind::WithAudio),
        "bestvideo" | "bv" | "worstvideo" | "wv" => Some(Kind::Video),
        "bestvideo*" | "bv*" | "worstvideo*" | "wv*" => Some(Kind::WithVideo),
        _ => None,
    };
    Ok(match (kind, place) {
        (Some(kind), Some(place)) => Word::Ranked {
            best: head.starts_with('b'),
            kind,
            place,
        },
        _ => Word::Named(name.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The formats of a YouTube song, worst first.
    fn song() -> Vec<Fields> {
        [
            json!({"format_id": "139", "ext": "m4a", "acodec": "mp4a.40.5", "vcodec": "none", "abr": 48.8, "filesize": 1_000_000}),
            json!({"format_id": "249", "ext": "webm", "acodec": "opus", "vcodec": "none", "abr": 50.0}),
            json!({"format_id": "140", "ext": "m4a", "acodec": "mp4a.40.2", "vcodec": "none", "abr": 129.7}),
            json!({"format_id": "251", "ext": "webm", "acodec": "opus", "vcodec": "none", "abr": 105.0}),
        ]
        .into_iter()
        .filter_map(|value| value.as_object().cloned())
        .collect()
    }

    fn picked(selector: &str) -> Vec<String> {
        let formats = song();
        let places = Selector::read(selector)
            .unwrap_or_else(|why| panic!("{why}"))
            .pick(&formats);
        places
            .into_iter()
            .filter_map(|place| Some(formats[place].get("format_id")?.as_str()?.to_owned()))
            .collect()
    }

    #[test]
    fn the_selectors_that_bots_write_pick_what_yt_dlp_picks() {
        for (selector, id) in [
            ("ba", "251"),
            ("bestaudio/best", "251"),
            ("best", "251"),
            ("worst", "139"),
            ("wa", "139"),
            ("bv*+ba/b", "251"),
            ("bestvideo+bestaudio/best", "251"),
            ("ba[ext=m4a]", "140"),
            ("ba[acodec^=mp4a]/ba", "140"),
            ("bestaudio[abr<100]", "249"),
            ("ba[abr<=?48.8]", "139"),
            ("ba[abr>0][vcodec=none]/best", "251"),
            ("[height<=?720]", "251"),
            ("ba[filesize<2M]", "139"),
            ("ba[acodec=opus]/ba[ext=m4a]/ba/18", "251"),
            ("(ba[ext=flac]/ba[ext=m4a])[abr<100]", "139"),
            ("140", "140"),
            ("18/22/m4a", "140"),
            ("ba.2", "140"),
            (" ba [ext=m4a] / best ", "140"),
            ("ba[acodec!=opus]", "140"),
            ("ba[acodec!^=mp4a][abr<60]", "249"),
        ] {
            assert_eq!(picked(selector), [id], "{selector}");
        }
        assert_eq!(picked("140,251"), ["140", "251"]);
        for nothing in [
            "bv",
            "bestvideo+bestaudio",
            "ba[ext=flac]",
            "18",
            "ba[height>1]",
            "ba.9",
        ] {
            assert!(picked(nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn what_is_no_selector_is_shown_with_its_place() {
        for (text, why) in [
            ("ba[", "not closed"),
            ("ba)", "not opened"),
            ("/ba", "missing"),
            ("ba+", "missing"),
            ("(ba", "not closed"),
            ("ba[abr]", "filter"),
            ("", "missing"),
        ] {
            let said = Selector::read(text).expect_err(text);
            assert!(
                said.starts_with("Invalid format specification") && said.contains(why),
                "{text}: {said}"
            );
        }
        assert!(Selector::read(&"(".repeat(100_000)).is_err());
    }
}
