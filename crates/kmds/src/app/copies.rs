//! Copies on request: another form, or the same with tags and cover.
//!
//! Owns which copy a wish names and how it is made from the finished original, which stays byte for byte as it is.
//! Hides ffmpeg and tag formats. Never downloads audio.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kmds_extract::{Container, Kind, Track, TrackId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::flight::Job;
use super::pump::{PumpError, check};
use super::treat::Source;
use super::words::{Key, NotServed, Song, State};
use super::work::{End, show};
use super::{App, Failure, Inner, forms, store_failure};
use crate::convert::Target;
use crate::media;
use crate::store::{self, Accepted, Lease, Publish, Row, Started, drive_error};

/// Marks a copy with tags in its key.
const TAGGED: &str = "-tagged";
/// A piece of a file that is copied.
const PIECE_BYTES: usize = 64 << 10;

/// What a copy is made of: the form (`None`: the original's own), and whether tags go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    target: Option<Target>,
    tags: bool,
}

impl Wish {
    fn parse(rendition: &str, tags: bool) -> Option<Self> {
        let form = rendition.strip_suffix(TAGGED).unwrap_or(rendition);
        let target = match form {
            "original" | "" => None,
            word => Some(Target::parse(word)?),
        };
        Some(Self { target, tags: tags || form.len() < rendition.len() })
    }

    fn name(self) -> String {
        let form = self.target.map_or("original", Target::extension);
        format!("{form}{}", if self.tags { TAGGED } else { "" })
    }

    fn key(self, song: &Song) -> Result<Key, Failure> {
        Key::copy(song.key.track().clone(), &self.name()).ok_or_else(|| super::internal("a copy without a name"))
    }

    fn of_key(key: &Key) -> Option<Self> {
        Self::parse(key.rendition(), false)
    }
}

/// What a wish comes down to.
enum Wished {
    /// Something the site gave.
    Plain(Key),
    Copy(Box<Song>, Wish),
}

impl App {
    /// The key of a form made on request (`original`, `m4a`, `mp3`, `ogg`, `opus`, `flac`, `wav`; with or without tags,
    /// which `-tagged` after the form asks for too); queues its making unless it stands already. `None` for a song
    /// nobody asked for.
    /// # Errors
    /// An unknown form, or the catalog failed.
    pub async fn rendition(&self, id: &TrackId, rendition: &str, tags: bool) -> Result<Option<Key>, Failure> {
        match self.wished(id, rendition, tags).await? {
            Some(Wished::Copy(song, wish)) => self.inner.queue_copy(&song, wish).await.map(Some),
            Some(Wished::Plain(key)) => Ok(Some(key)),
            None => Ok(None),
        }
    }

    /// The same key, for those who only look: nothing is queued.
    /// # Errors
    /// As [`App::rendition`].
    pub async fn peek_rendition(&self, id: &TrackId, rendition: &str, tags: bool) -> Result<Option<Key>, Failure> {
        match self.wished(id, rendition, tags).await? {
            Some(Wished::Copy(song, wish)) => wish.key(&song).map(Some),
            Some(Wished::Plain(key)) => Ok(Some(key)),
            None => Ok(None),
        }
    }

    async fn wished(&self, id: &TrackId, rendition: &str, tags: bool) -> Result<Option<Wished>, Failure> {
        let unknown = || {
            let sentence = format!("`{rendition}` is no form we make; use original, m4a, mp3, ogg, opus, flac or wav");
            Failure::new(Kind::BadRequest, sentence)
        };
        let mut wish = Wish::parse(rendition, tags).ok_or_else(unknown)?;
        let Some(song) = self.song(id).await? else { return Ok(None) };
        if song.key.is_copy() {
            return Ok(Some(Wished::Plain(song.key)));
        }
        if let Some(target) = wish.target.filter(|_| !wish.tags) {
            // Asked of the site in this form before: it need not be made.
            let rows = self.inner.store.renditions(id).await.map_err(store_failure)?;
            let fits =
                |row: &&Row| !row.key.is_copy() && row.ext == target.extension() && row.state != store::State::Deleted;
            if let Some(row) = rows.iter().rev().find(fits) {
                return Ok(Some(Wished::Plain(row.key.clone())));
            }
        }
        if wish.target.is_some_and(|target| target.extension() == song.ext) {
            // What the site sent is in this form already: no encoder runs.
            wish.target = None;
        }
        let is_plain = wish == Wish { target: None, tags: false };
        Ok(Some(if is_plain { Wished::Plain(song.key) } else { Wished::Copy(Box::new(song), wish) }))
    }
}

impl Inner {
    async fn queue_copy(&self, song: &Song, wish: Wish) -> Result<Key, Failure> {
        let (name, key) = (wish.name(), wish.key(song)?);
        let ext = wish.target.map_or_else(|| song.ext.clone(), |target| target.extension().to_owned());
        let accepted = Accepted {
            key: key.clone(),
            track: song.track.clone(),
            listed: true,
            canonical_name: format!("{}.{name}.r.{ext}", key.track()),
            human_name: forms::rename(&song.file_name, &ext),
            ext,
            total_bytes: None,
            approximate_bytes: None,
            accept: self.accept.clone(),
            requester: "0".to_owned(),
            enqueue: true,
        };
        let rows = self.store.accept(vec![accepted]).await.map_err(store_failure)?;
        if rows.iter().any(|done| done.row.state.is_pending()) {
            self.jobs.enqueue(&key, 0, None);
        }
        Ok(key)
    }

    /// Runs in a lane of its own: it may wait for the original's download.
    pub(super) async fn make_copy(self: &Arc<Self>, job: &Arc<Job>, track: &Track) -> Result<String, End> {
        let internal = || End::Failed(super::internal("a copy with an unknown name"));
        let wish = Wish::of_key(&job.key).ok_or_else(internal)?;
        let original = self.original_of(job.key.track()).await?;
        let (row, reader) = match self.whole(&original).await {
            Ok(audio) => (self.store.row(&original).await?, audio.reader),
            Err(NotServed::Failed(failure)) => return Err(End::Failed(failure)),
            Err(_) => return Err(End::Stopped),
        };
        let row = row.ok_or(End::Stopped)?;
        let ext = wish.target.map_or_else(|| row.ext.clone(), |target| target.extension().to_owned());
        let container = match wish.target {
            Some(target) => target.container(),
            None => row.container.unwrap_or(Container::Mp4),
        };
        self.jobs.change(job, |status| status.state = State::Converting);
        self.store.set_state(&job.key, store::State::Converting).await?;
        let mut lease = self.store.lease(&job.key).await?;
        lease.reserve(row.size_bytes).await?;
        let stream = format!("{} of {}", job.key.rendition(), row.stream.clone().unwrap_or_default());
        self.store.started(&job.key, Started { ext: ext.clone(), total_bytes: None, stream: stream.clone() }).await?;
        let validator = format!("{} as {}", row.etag.clone().unwrap_or_default(), job.key.rendition());
        let source = Source::finished(reader);
        let made = match self.fill_copy(job, &mut lease, source, wish, &ext, &validator, track, row.duration).await {
            Ok(()) => check(&mut lease, container, row.duration.or(track.duration)).await,
            Err(error) => Err(error),
        };
        let checked = match made {
            Ok(checked) => checked,
            Err(error) => {
                // The next try begins anew.
                let _ = lease.discard().await;
                return Err(copy_trouble(error));
            }
        };
        self.announce_length(&mut lease);
        let human_name = forms::rename(&row.human_name, &ext);
        let published = Publish { track: track.clone(), ext: ext.clone(), human_name, stream, checked };
        lease.publish(published).await?;
        Ok(ext)
    }

    async fn original_of(&self, id: &TrackId) -> Result<Key, End> {
        let rows = self.store.renditions(id).await?;
        let plain = rows.into_iter().rev().find(|row| !row.key.is_copy() && row.state != store::State::Deleted);
        plain.map(|row| row.key).ok_or(End::Stopped)
    }

    #[expect(clippy::too_many_arguments, reason = "each is one fact of one call")]
    async fn fill_copy(
        self: &Arc<Self>,
        job: &Arc<Job>,
        lease: &mut Lease,
        mut source: Source,
        wish: Wish,
        ext: &str,
        validator: &str,
        track: &Track,
        duration: Option<std::time::Duration>,
    ) -> Result<(), PumpError> {
        lease.restart().await?;
        let partial = lease.begin(validator, None, 0).await?;
        if let (Some(target), false) = (wish.target.filter(|target| !target.is_headed_last()), wish.tags) {
            // Readable as it comes out.
            self.jobs.change(job, |status| show(status, partial, ext));
            return self.encode(job, lease, &mut source, target, duration).await;
        }
        let scratch = Scratch::new(self.store.scratch(&format!("{}{}", job.key.track(), wish.name())), ext);
        self.fill_scratch(&mut source, &scratch.0, wish.target, duration).await?;
        if let Some(target) = wish.target.filter(|target| target.is_headed_last()) {
            self.state_length(&scratch.0, target.container()).await?;
        }
        if wish.tags {
            self.write_tags(&scratch.0, track).await?;
        }
        let mut file = tokio::fs::File::open(&scratch.0).await.map_err(drive_error("read a copy back"))?;
        loop {
            let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
            if file.read_buf(&mut piece).await.map_err(drive_error("read a copy back"))? == 0 {
                return Ok(());
            }
            lease.write(piece.freeze()).await?;
        }
    }

    /// Writes the length into a head that was made before it was known.
    async fn state_length(&self, path: &Path, container: Container) -> Result<(), PumpError> {
        let path = path.to_owned();
        let stated = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::options().read(true).write(true).open(path)?;
            media::state_length(&file, container)
        });
        Ok(stated.await.map_err(|error| PumpError::Broken(error.to_string()))??)
    }

    async fn write_tags(&self, path: &Path, track: &Track) -> Result<(), PumpError> {
        let cover = match self.cover_of(track).await {
            Ok(cover) => cover.map(|cover| cover.bytes),
            Err(failure) => {
                tracing::info!(track = %track.id, "tagged without a cover: {failure}");
                None
            }
        };
        let (path, song) = (path.to_owned(), track.clone());
        let convert = |sentence: String| PumpError::Convert(Failure::new(Kind::ConversionFailed, sentence));
        // A thread for this alone: the library reads the whole file into memory, and glibc keeps some of that for each
        // thread that ever did so; of the eight threads for the drive it was 10 MB for ever.
        let (done, tagged) = tokio::sync::oneshot::channel();
        let write = move || drop(done.send(crate::tag::write(&path, &song, cover.as_deref())));
        std::thread::Builder::new().name("tags".to_owned()).spawn(write).map_err(|error| convert(error.to_string()))?;
        tagged.await.map_err(|error| convert(error.to_string()))?.map_err(|error| convert(error.to_string()))
    }

    /// The audio into a temporary file: tags are written in place.
    async fn fill_scratch(
        &self,
        source: &mut Source,
        path: &Path,
        target: Option<Target>,
        duration: Option<std::time::Duration>,
    ) -> Result<(), PumpError> {
        let refused = |error| PumpError::Store(drive_error("write a copy")(error));
        let mut file = tokio::fs::File::create(path).await.map_err(refused)?;
        match target {
            None => {
                while let Some(piece) = source.next().await? {
                    file.write_all(&piece).await.map_err(refused)?;
                }
            }
            Some(target) => {
                let (sender, mut pieces) = tokio::sync::mpsc::channel(1);
                let writing = async {
                    while let Some(piece) = pieces.recv().await {
                        let piece: Bytes = piece;
                        file.write_all(&piece).await.map_err(refused)?;
                    }
                    Ok(())
                };
                tokio::try_join!(self.encode_into(source, target, duration, sender), writing)?;
            }
        }
        file.flush().await.map_err(refused)
    }
}

fn copy_trouble(error: PumpError) -> End {
    match error {
        PumpError::Store(error) => error.into(),
        PumpError::Convert(failure) => End::Failed(failure),
        PumpError::Broken(what) => {
            End::Failed(Failure::new(Kind::ConversionFailed, format!("the copy is not whole: {what}")))
        }
        PumpError::Download(error) => End::Failed(Failure::new(error.kind(), error.to_string())),
    }
}

/// A temporary file, removed whatever happens.
struct Scratch(PathBuf);

impl Scratch {
    /// The extension tells the tag library what it is.
    fn new(path: PathBuf, ext: &str) -> Self {
        Self(path.with_extension(ext))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
