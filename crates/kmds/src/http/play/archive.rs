//! A list of songs as one ZIP, song by song as they arrive.
//!
//! Owns the order of its files, their names, and the list of missing songs. At most one piece of one song is in memory.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};

use super::super::audio::{self, Cut, Denied, Sending};
use super::super::error::Refusal;
use super::zip::Writer;
use crate::app::{App, CopyForm, Fetched, Filed, Key, NotServed, Song, Want, filed, sanitize};
use crate::text::printable;

/// The largest piece that is read at a time.
const PIECE_BYTES: usize = 64 << 10;
const MISSING: &str = "MISSING.txt";

/// The files of an archive, and their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// As the site sent them, one beside the other: `01 Title`.
    Plain,
    /// Tagged copies, to be unpacked in a music folder: `Artist/Album/01 Title`.
    Library,
}

/// An archive under way.
pub(super) struct Archive {
    app: App,
    layout: Layout,
    /// Title of the list.
    list: Option<String>,
    songs: VecDeque<(String, Song)>,
    zip: Writer,
    /// Bytes that are ready to go out.
    ready: Option<Bytes>,
    current: Option<Current>,
    /// One line per song that is not in it.
    missing: Vec<String>,
    names: HashSet<String>,
    finished: bool,
}

/// The song being sent, and how far.
struct Current {
    sending: Sending,
    at: u64,
}

impl Archive {
    /// Waits for the first available song.
    /// # Errors
    /// The first song's failure, if no song is available.
    pub(super) async fn open(app: App, fetched: Fetched, layout: Layout) -> Result<Self, Refusal> {
        let unavailable = fetched.unavailable.iter().map(|missing| {
            let title = missing.title.as_deref().unwrap_or("(title unknown)");
            format!(
                "{:02} {}: {}",
                missing.number,
                printable(title),
                missing.failure.sentence
            )
        });
        let mut archive = Self {
            app,
            layout,
            list: fetched.list.as_ref().and_then(|list| list.title.clone()),
            missing: unavailable.collect(),
            songs: number(Arc::unwrap_or_clone(fetched.songs)),
            zip: Writer::default(),
            ready: None,
            current: None,
            names: HashSet::new(),
            finished: false,
        };
        let mut first_failure = None;
        while let Some((label, song)) = archive.songs.pop_front() {
            match archive.begin(&label, &song).await {
                Ok(bytes) => {
                    archive.ready = Some(bytes);
                    return Ok(archive);
                }
                Err(denied) => {
                    archive.miss(&label, &song, &denied);
                    first_failure.get_or_insert(denied);
                }
            }
        }
        Err(first_failure.map_or_else(
            || Refusal::not_found("there is no song in this list"),
            Denied::for_link,
        ))
    }

    /// Opens a song and waits for its first bytes, which come with the head before them.
    async fn begin(&mut self, label: &str, song: &Song) -> Result<Bytes, Denied> {
        let key = self.form(song).await?;
        let audio = self.app.audio(&key, Want::Stream).await?;
        let ext = audio
            .file_name
            .rsplit_once('.')
            .map_or(song.format.ext(), |(_, ext)| ext)
            .to_owned();
        let mut sending = Sending::new(audio, &self.app);
        let first = match sending.read_at(0, PIECE_BYTES).await {
            Ok(first) => first,
            Err(broken) => {
                return Err(audio::why_it_broke(&self.app, &key, &broken).await.into());
            }
        };
        let name = self.unique(&self.stem(label, song), &ext);
        let mut bytes = self.zip.begin(&name);
        self.zip.contents(&first);
        bytes.extend_from_slice(&first);
        self.current = Some(Current {
            sending,
            at: first.len() as u64,
        });
        Ok(bytes.into())
    }

    /// The form of the song that goes into the archive.
    async fn form(&self, song: &Song) -> Result<Key, Denied> {
        if self.layout == Layout::Plain {
            return Ok(song.key.clone());
        }
        let key = self
            .app
            .form(&song.track.id, &CopyForm::TAGGED.into())
            .await;
        Ok(key.map_err(Refusal::from)?.ok_or(NotServed::Unknown)?)
    }

    /// The song's name in the archive, without its extension.
    fn stem(&self, label: &str, song: &Song) -> String {
        if self.layout == Layout::Plain {
            return format!("{label} {}", sanitize(&song.track.title));
        }
        filed(&Filed::of(song, self.list.as_deref())).join("/")
    }

    fn unique(&mut self, stem: &str, ext: &str) -> String {
        let names = (1..).map(|count| match count {
            1 => format!("{stem}.{ext}"),
            count => format!("{stem} ({count}).{ext}"),
        });
        for name in names {
            if self.names.insert(name.to_lowercase()) {
                return name;
            }
        }
        stem.to_owned()
    }

    fn miss(&mut self, label: &str, song: &Song, denied: &Denied) {
        let why = match denied {
            Denied::NotServed(NotServed::Failed(failure)) => failure.sentence.clone(),
            Denied::NotServed(NotServed::Unfinished { .. }) => "did not arrive in time".to_owned(),
            Denied::NotServed(NotServed::Unknown) => "was deleted meanwhile".to_owned(),
            Denied::Refused(refusal) => refusal.failure.sentence.clone(),
        };
        self.missing
            .push(format!("{label} {}: {why}", printable(&song.track.title)));
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        if let Some(ready) = self.ready.take() {
            return Ok(Some(ready));
        }
        if let Some(current) = &mut self.current {
            let bytes = current.sending.read_at(current.at, PIECE_BYTES).await?;
            current.at += bytes.len() as u64;
            self.zip.contents(&bytes);
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            self.current = None;
            return Ok(Some(self.zip.end().into()));
        }
        while let Some((label, song)) = self.songs.pop_front() {
            match self.begin(&label, &song).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(denied) => self.miss(&label, &song, &denied),
            }
        }
        Ok(self.close())
    }

    /// The bytes after the last song.
    fn close(&mut self) -> Option<Bytes> {
        if self.finished {
            return None;
        }
        let mut bytes = Vec::new();
        if !self.missing.is_empty() {
            let lines = self.missing.join("\n");
            let text = format!("These songs of the list are not in this archive:\n\n{lines}\n");
            bytes = self.zip.begin(MISSING);
            self.zip.contents(text.as_bytes());
            bytes.extend_from_slice(text.as_bytes());
            bytes.extend(self.zip.end());
        }
        bytes.extend(self.zip.finish());
        self.finished = true;
        Some(bytes.into())
    }

    /// The bytes of the archive; an error cuts the connection.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Cut>> + Send + 'static {
        unfold(Some(self), |archive| async move {
            let mut archive = archive?;
            match archive.next().await {
                Ok(bytes) => bytes.map(|bytes| (Ok(bytes), Some(archive))),
                Err(cut) => Some((Err(cut), None)),
            }
        })
    }
}

/// Songs with the numbers their names start with: of the album, else their place, all equally wide.
fn number(songs: Vec<Song>) -> VecDeque<(String, Song)> {
    let numbers: Vec<u32> = (1..)
        .zip(&songs)
        .map(|(place, song)| song.track.number.unwrap_or(place))
        .collect();
    let width = numbers
        .iter()
        .max()
        .map_or(2, |most| most.to_string().len().max(2));
    numbers
        .into_iter()
        .zip(songs)
        .map(|(number, song)| (format!("{number:0width$}"), song))
        .collect()
}
