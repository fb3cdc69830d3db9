//! Songs that this process asks the sites for.
//!
//! Owns an application in a temporary folder, which is removed at the end together with everything that runs in it.

use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kmds_extract::choose::Accept;
use kmds_extract::link::SearchLink;
use kmds_extract::{Format as FileFormat, Kind, TrackId};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::song::{Answer, Format, List, Song, Trouble, in_order, of_stream, sort};
use crate::app::{self, App, CopyForm, Failure, FetchAsk, Key, NotServed, Prefetch, Want};
use crate::cli::Problem;
use crate::config::Config;

/// Running downloads are told to stop; a dead drive must not delay the end for longer.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// The beginning of its folder's name; the process and a mark of its own follow.
const FOLDER: &str = "kmds-yt-dlp-";
/// The file in it that is locked while its call lives.
const LOCK: &str = "lock";
/// Read and passed on at once.
const PIECE_BYTES: usize = 64 << 10;

pub struct Here {
    app: App,
    _folder: WorkFolder,
    stop: CancellationToken,
}

impl Here {
    /// # Errors
    /// The temporary folder cannot be made, or a setting cannot be used.
    pub async fn new(mut config: Config) -> Result<Self, Problem> {
        remove_dead_folders();
        let folder = WorkFolder::new()?;
        config.cache.dir = folder.path.join("cache");
        config.cache.client_path = None;
        config.state_dir = folder.path.join("state");
        config.webhook = None;
        let stop = CancellationToken::new();
        let app = crate::assemble(&config, stop.clone())?;
        let here = Self {
            app,
            _folder: folder,
            stop,
        };
        here.app.start_asked_only().await?;
        Ok(here)
    }

    pub async fn resolve(&self, link: &str, whole_list: bool) -> Result<Answer, Trouble> {
        let fetched = self.fetch(link, whole_list, None).await?;
        let list = fetched.list.clone().map(|list| {
            super::list(
                link,
                List {
                    site: fetched.site,
                    id: fetched.id.clone(),
                    link: fetched.link.clone(),
                    title: list.title,
                    artist: list.artist,
                    cover_url: list.cover_url,
                    is_search: SearchLink::parse(link).is_some(),
                },
            )
        });
        let missing = fetched
            .unavailable
            .iter()
            .map(|gone| (gone.number, gone.failure.clone().into()));
        let entries = in_order(fetched.songs.iter().map(song).collect(), missing.collect());
        Ok(Answer { list, entries })
    }

    async fn fetch(
        &self,
        link: &str,
        whole_list: bool,
        accept: Option<Accept>,
    ) -> Result<app::Fetched, Failure> {
        let ask = FetchAsk {
            link: link.to_owned(),
            whole_list,
            accept,
            prefetch: Some(Prefetch::None),
        };
        self.app.fetch(ask).await
    }

    /// The formats of a song, with the site's own addresses.
    pub async fn formats(&self, song: &Song) -> Result<Vec<Format>, Trouble> {
        let unknown = || Trouble::new(Kind::Internal, "this song has no id");
        let id = TrackId::new(song.site, &song.id).ok_or_else(unknown)?;
        let streams = self.app.streams(&id).await?;
        let mut formats: Vec<Format> = streams.iter().filter_map(of_stream).collect();
        // Audio only, unless there is none: this command is for music.
        if formats.iter().any(|format| !format.has_video) {
            formats.retain(|format| !format.has_video);
        }
        sort(song.site, &mut formats);
        Ok(formats)
    }

    /// A song's bytes, as they arrive.
    pub async fn send(
        &self,
        song: &Song,
        format: &Format,
        sink: &mut File,
    ) -> Result<u64, Trouble> {
        // The picked form first, then any other: nothing is converted.
        let first = FileFormat::parse(format.ext);
        let accept = Accept::new(first.into_iter().chain(FileFormat::ALL));
        let fetched = self.fetch(&song.link, false, accept).await?;
        let found = fetched.songs.first();
        let gone = || Trouble::new(Kind::NotFound, "the song was removed meanwhile; try again");
        self.read(&found.ok_or_else(gone)?.key, Want::Stream, sink)
            .await
    }

    /// A copy in another form, or with tags, once it is made.
    pub async fn send_copy(
        &self,
        song: &Song,
        format: Option<FileFormat>,
        tagged: bool,
        sink: &mut File,
    ) -> Result<u64, Trouble> {
        let unknown = || Trouble::new(Kind::NotFound, "this song was not resolved yet");
        let id = TrackId::new(song.site, &song.id).ok_or_else(unknown)?;
        let form = CopyForm { format, tagged };
        let key = self.app.form(&id, &form.into()).await?;
        let key = key.ok_or_else(unknown)?;
        self.read(&key, Want::WholeWithin(Duration::MAX), sink)
            .await
    }

    async fn read(&self, key: &Key, want: Want, sink: &mut File) -> Result<u64, Trouble> {
        let mut audio = self.app.audio(key, want).await?;
        let mut sent = 0;
        loop {
            let piece = audio.reader.read_at(sent, PIECE_BYTES).await;
            let piece = match piece {
                Ok(piece) if piece.is_empty() => return Ok(sent),
                Ok(piece) => piece,
                // The job knows the reason.
                Err(error) => {
                    let why = self
                        .app
                        .audio(key, Want::Peek)
                        .await
                        .err()
                        .map(Trouble::from);
                    return Err(
                        why.unwrap_or_else(|| Trouble::new(Kind::Internal, error.to_string()))
                    );
                }
            };
            let written = sink.write_all(&piece).await;
            written.map_err(super::save::unwritten)?;
            sent += piece.len() as u64;
        }
    }

    pub async fn end(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(STOP_WITHIN, self.app.stopped()).await;
    }
}

/// A folder that only this user may enter. A drop removes it; the lock in it ends with the process, in every PID
/// namespace.
struct WorkFolder {
    path: PathBuf,
    _lock: OwnedFd,
}

impl WorkFolder {
    fn new() -> std::io::Result<Self> {
        let (process, mark) = (std::process::id(), crate::random::id());
        let path = std::env::temp_dir().join(format!("{FOLDER}{process}-{mark}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        // Another call that finds the lock's name must find it locked. If the system has no locks, the file has no
        // name.
        let unnamed = path.join("lock.new");
        let lock = OwnedFd::from(std::fs::File::create_new(&unnamed)?);
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            std::fs::rename(&unnamed, path.join(LOCK))?;
        }
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of calls that were killed.
fn remove_dead_folders() {
    let entries = std::fs::read_dir(std::env::temp_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(FOLDER);
        if is_ours && is_dead(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether the call of this folder has ended: its lock can be taken.
fn is_dead(folder: &Path) -> bool {
    // The folder may be another user's: no link is followed, and a pipe is not waited for.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = rustix::fs::open(folder.join(LOCK), flags, Mode::empty());
    lock.is_ok_and(|lock| flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok())
}

fn song(song: &app::Song) -> Song {
    let track = &song.track;
    Song {
        site: track.id.site(),
        id: track.id.id().to_owned(),
        link: track.link.clone(),
        title: track.title.clone(),
        artist: track.artist.clone(),
        album: track.album.clone(),
        album_artist: track.album_artist.clone(),
        number: track.number,
        seconds: track.duration.map(|length| length.as_secs_f64()),
        date: track.date.clone(),
        cover_url: track.cover_url.clone(),
        formats: Vec::new(),
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.sentence)
    }
}

impl From<NotServed> for Trouble {
    fn from(not_served: NotServed) -> Self {
        match not_served {
            NotServed::Failed(failure) => failure.into(),
            NotServed::Unfinished { .. } => {
                Self::new(Kind::Truncated, "the download was interrupted; try again")
            }
            NotServed::Unknown => {
                Self::new(Kind::Cancelled, "the song was removed meanwhile; try again")
            }
        }
    }
}
