//! What a call prints for each song, and whether it keeps the song.
//!
//! Owns the order: format, JSON, `--get-…`, `--print`, the file.

use kmds_extract::Kind;
use serde_json::Value;

use super::call::{Call, Dump, Get, When};
use super::fields::{self, Fields, Place};
use super::save::{self, SavedSong};
use super::select::Selector;
use super::song::{Answer, Entry, List, Song, Trouble};
use super::template::{For, fill, of_print};
use super::{Source, failure, json, out};

pub struct Printer<'a> {
    pub asked: &'a Call,
    pub source: &'a Source,
    pub selector: &'a Selector,
}

/// A line for standard error.
type Why = String;

impl Printer<'_> {
    /// One link. Returns false if one of its songs failed; the error is printed already.
    pub async fn link(&self, word: &str, link: &str) -> Result<bool, Why> {
        let asked = self.asked;
        let resolved = self.source.resolve(link, !asked.one_song, asked.flat).await;
        let Answer { list, entries } =
            resolved.map_err(|trouble| failure::of_link(link, &trouble))?;
        let Some(list) = list else {
            let Some(Entry::Song(song)) = entries.into_iter().next() else {
                return Err(format!("{link}: there is no song in it"));
            };
            let fields = self.song(*song, word, None).await?;
            if asked.dump == Dump::Links {
                self.dump(fields)?;
            }
            return Ok(true);
        };
        self.list(word, &list, entries).await
    }

    async fn list(&self, word: &str, list: &List, entries: Vec<Entry>) -> Result<bool, Why> {
        let asked = self.asked;
        let total = entries.len();
        let mut places = asked.items.of(total);
        places.truncate(asked.most.unwrap_or(usize::MAX));
        let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
        let (mut printed, mut failed) = (Vec::new(), false);
        for (at, index) in places.iter().copied().enumerate() {
            if !out::is_read() || failed && asked.stop_at_failure {
                break;
            }
            let place = Place {
                list,
                index,
                autonumber: at + 1,
                meant: places.len(),
                total,
            };
            let done = match entries.get_mut(index - 1).and_then(Option::take) {
                Some(Entry::Song(song)) => self.song(*song, word, Some(place)).await,
                Some(Entry::Missing(trouble)) => {
                    Err(failure::of_song(list.site, &index.to_string(), &trouble))
                }
                None => continue,
            };
            let fields = done.map(Value::Object).unwrap_or_else(|why| {
                out::say(format!("ERROR: {why}"));
                failed = true;
                Value::Null
            });
            if asked.dump == Dump::Links {
                printed.push(fields);
            }
        }
        let is_whole = places.iter().copied().eq(1..=total);
        let meant = (!is_whole).then_some(places.as_slice());
        let fields = fields::list(list, word, printed, total, meant);
        self.prints(When::Playlist, &fields)?;
        if asked.dump == Dump::Links {
            self.dump(fields)?;
        }
        Ok(!failed)
    }

    /// One song: its output and its file. Returns its fields if `-J` will print them.
    async fn song(
        &self,
        mut song: Song,
        word: &str,
        place: Option<Place<'_>>,
    ) -> Result<Fields, Why> {
        let asked = self.asked;
        let (site, id) = (song.site, song.id.clone());
        let why = |trouble: Trouble| failure::of_song(site, &id, &trouble);
        if asked.flat && place.is_some() {
            let fields = fields::flat(&song, place);
            self.tell(&fields)?;
            return Ok(fields);
        }
        let completing = Box::pin(self.source.complete(&mut song));
        completing.await.map_err(why)?;
        let formats: Vec<Fields> = song
            .formats
            .iter()
            .map(|one| fields::format(one, song.seconds))
            .collect();
        if asked.list_formats {
            self.formats(&song, &formats);
            return Ok(Fields::new());
        }
        let picked = self.selector.pick(&formats);
        let mut first = None;
        for at in picked {
            let (Some(format), Some(chosen)) = (song.formats.get(at), formats.get(at)) else {
                continue;
            };
            let mut fields = fields::song(&song, word, place, Some(chosen));
            let path = save::path(asked, &fields)?;
            let name = path.map_or_else(|| "-".to_owned(), |path| path.display().to_string());
            fields.insert("filename".to_owned(), name.clone().into());
            fields.insert("_filename".to_owned(), name.into());
            self.tell(&fields)?;
            if !asked.only_tells() {
                let keeping = save::keep(asked, self.source, &song, format, &fields);
                let kept = Box::pin(keeping).await.map_err(why)?;
                if let SavedSong::Saved(path) = kept {
                    let path = std::path::absolute(&path).unwrap_or(path);
                    fields.insert("filepath".to_owned(), path.display().to_string().into());
                }
                self.prints(When::AfterMove, &fields)?;
            }
            first = first.or(Some(fields));
        }
        first.ok_or_else(|| {
            let sentence = "Requested format is not available. Use --list-formats for a list of available formats";
            why(Trouble::new(Kind::BadRequest, sentence))
        })
    }

    /// The output for a song before its file is kept.
    fn tell(&self, fields: &Fields) -> Result<(), Why> {
        self.prints(When::Video, fields)?;
        for what in &self.asked.gets {
            self.get(*what, fields)?;
        }
        if self.asked.dump == Dump::Songs {
            self.dump(fields.clone())?;
        }
        Ok(())
    }

    fn dump(&self, mut fields: Fields) -> Result<(), Why> {
        fields.insert("_version".to_owned(), fields::version());
        json(&Value::Object(fields))
    }

    fn prints(&self, when: When, fields: &Fields) -> Result<(), Why> {
        let missing = self.asked.missing.as_deref().unwrap_or("NA");
        for (_, template) in self.asked.prints.iter().filter(|(at, _)| *at == when) {
            let text = fill(&of_print(template), fields, missing, For::Print)?;
            text.lines().for_each(out::line);
        }
        Ok(())
    }

    fn get(&self, what: Get, fields: &Fields) -> Result<(), Why> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let said = match what {
            Get::Title => text("title"),
            Get::Id => text("id"),
            Get::Url => {
                self.warn_of_addresses()?;
                text("url")
            }
            Get::Thumbnail => text("thumbnail"),
            Get::Description => Some(text("description").unwrap_or_default()),
            Get::FileName => text("filename"),
            Get::Duration => {
                let seconds = fields.get("duration").and_then(Value::as_f64);
                seconds
                    .into_iter()
                    .for_each(|seconds| out::line(fields::clock(seconds)));
                None
            }
            Get::Format => text("format"),
        };
        said.into_iter().for_each(out::line);
        Ok(())
    }

    /// An address alone has no token, and a socket has no address.
    fn warn_of_addresses(&self) -> Result<(), Why> {
        let Source::There(there) = self.source else {
            return Ok(());
        };
        if !there.has_addresses() {
            return Err("the server listens on a socket in the file system, so no address leads to its songs; use -o -, or a server with a port".to_owned());
        }
        if there.wants_headers() && !self.asked.no_warnings {
            out::say(
                "WARNING: the server wants the token of KMDS_TOKEN with each request; -j tells it in http_headers",
            );
        }
        Ok(())
    }

    fn formats(&self, song: &Song, formats: &[Fields]) {
        out::line(format!("[info] Available formats for {}:", song.id));
        out::line(format!(
            "{:<14} {:<5} {:<10} {:>6}  {:>10}",
            "ID", "EXT", "ACODEC", "ABR", "FILESIZE"
        ));
        for fields in formats {
            let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
            let number = |name: &str| fields.get(name).and_then(Value::as_f64);
            let size = number("filesize").or_else(|| number("filesize_approx"));
            out::line(format!(
                "{:<14} {:<5} {:<10} {:>5}k  {:>7} KiB",
                text("format_id"),
                text("ext"),
                text("acodec"),
                number("abr").map_or_else(|| "?".to_owned(), |rate| format!("{rate:.0}")),
                size.map_or_else(|| "?".to_owned(), |bytes| format!("{:.0}", bytes / 1024.0)),
            ));
        }
    }
}
