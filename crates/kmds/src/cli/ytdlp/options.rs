//! The arguments of yt-dlp's command line.
//!
//! Owns which options are supported, which are accepted without effect, and the sentence for any other; also short
//! options in one word and values after `=`. It only reads the arguments.

use super::call::{BadCall, Call, Dump, When};
use super::table::{self, Takes};

impl Call {
    pub fn read(words: impl IntoIterator<Item = String>) -> Result<Self, BadCall> {
        let mut asked = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                asked.links.extend(words.by_ref());
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (format!("--{name}"), Some(value.to_owned())),
                    None => (word.clone(), None),
                };
                asked.option(&name, value, &mut words)?;
            } else if word.len() > 1 && word.starts_with('-') {
                asked.cluster(&word, &mut words)?;
            } else {
                asked.links.push(word);
            }
        }
        Ok(asked)
    }

    /// `-qJ`, `-fba`: short options in one word. The first that takes a value takes the rest.
    fn cluster(
        &mut self,
        word: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<(), BadCall> {
        for (at, letter) in word.char_indices().skip(1) {
            let name = format!("-{letter}");
            let rest = word.get(at + letter.len_utf8()..).unwrap_or_default();
            let takes = table::find(&name).map(|option| option.takes);
            if takes == Some(Takes::Value) && !rest.is_empty() {
                let value = rest.strip_prefix('=').unwrap_or(rest).to_owned();
                return self.option(&name, Some(value), words);
            }
            self.option(&name, None, words)?;
        }
        Ok(())
    }

    fn option(
        &mut self,
        name: &str,
        value: Option<String>,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<(), BadCall> {
        let unknown = || BadCall(format!("no such option: {name}"));
        let option = table::find(name).ok_or_else(unknown)?;
        let value = match option.takes {
            Takes::Nothing if value.is_some() => {
                return Err(BadCall(format!("{name} option does not take a value")));
            }
            Takes::Nothing => String::new(),
            Takes::Value => {
                let lacks = || BadCall(format!("{name} option requires 1 argument"));
                value.or_else(|| words.next()).ok_or_else(lacks)?
            }
        };
        (option.does)(self, name, value)
    }

    /// Whether nothing is downloaded.
    pub fn only_tells(&self) -> bool {
        let asks = self.dump != Dump::None && !self.dump_and_keep
            || self.list_formats
            || !self.gets.is_empty();
        let prints =
            !self.prints.is_empty() && self.prints.iter().all(|(when, _)| *when == When::Video);
        self.skip_download || self.simulate.unwrap_or(asks || prints)
    }

    /// Whether only the requested output is printed.
    pub fn is_quiet(&self) -> bool {
        let asks = self.dump != Dump::None || !self.gets.is_empty() || !self.prints.is_empty();
        self.quiet.unwrap_or(asks) || self.output.as_deref() == Some("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Call, BadCall> {
        Call::read(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn what_songbird_runs_is_read() {
        let words = [
            "-j",
            "ytsearch1:a b",
            "-f",
            "ba[abr>0][vcodec=none]/best",
            "--no-playlist",
        ];
        let asked = read(&words).expect("a call");
        assert_eq!(asked.links, ["ytsearch1:a b"]);
        assert_eq!((asked.dump, asked.one_song), (Dump::Songs, true));
        assert_eq!(asked.format.as_deref(), Some("ba[abr>0][vcodec=none]/best"));
        assert!(asked.only_tells() && asked.is_quiet());
    }

    #[test]
    fn values_stand_behind_an_equals_sign_a_space_or_the_letter() {
        for words in [
            &["--format=ba"][..],
            &["--format", "ba"],
            &["-f", "ba"],
            &["-fba"],
            &["-qf=ba"],
        ] {
            assert_eq!(
                read(words).expect("a call").format.as_deref(),
                Some("ba"),
                "{words:?}"
            );
        }
        let asked = read(&["-qJ", "--", "-dashed"]).expect("a call");
        assert_eq!((asked.dump, asked.quiet), (Dump::Links, Some(true)));
        assert_eq!(asked.links, ["-dashed"]);
    }

    #[test]
    fn an_unknown_option_is_named_and_a_value_that_lacks_is_told() {
        for (words, said) in [
            (&["--exec", "rm"][..], "no such option: --exec"),
            (&["-qZ"], "no such option: -Z"),
            (&["-f"], "-f option requires 1 argument"),
            (&["--quiet=1"], "--quiet option does not take a value"),
            (&["-I", "a"], "invalid playlist items \"a\""),
        ] {
            let error = read(words).expect_err("a refusal").0;
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_plain_call_downloads_and_one_that_asks_does_not() {
        assert!(!read(&["x"]).expect("a call").only_tells());
        assert!(
            !read(&["--print", "after_move:filepath", "x"])
                .expect("a call")
                .only_tells()
        );
        assert!(
            !read(&["-j", "--no-simulate", "x"])
                .expect("a call")
                .only_tells()
        );
        for words in [
            &["-g", "x"][..],
            &["-J", "x"],
            &["--print", "title", "x"],
            &["-s", "x"],
        ] {
            assert!(read(words).expect("a call").only_tells(), "{words:?}");
        }
    }
}
