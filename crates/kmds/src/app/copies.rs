//! Copies on request: another form, or the same with tags and cover.
//!
//! Owns which copy a wish names and how it is made from the finished original, which stays byte for byte as it is.
//! Hides ffmpeg and tag formats. Never downloads audio.

use std::sync::Arc;

use bytes::Bytes;
use kmds_extract::{Container, Kind, Track, TrackId};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::flight::Job;
use super::pump::{PumpError, check};
use super::treat::Source;
use super::words::{Key, NotServed, Song, State};
use super::work::{End, show};
use super::{App, Failure, Inner, forms, store_failure};
use crate::convert::Target;
use crate::media;
use crate::store::{self, Accepted, Lease, Publish, Reader, Row, Started, drive_error};
use crate::tag::{self, TagError};

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
        Some(Self {
            target,
            tags: tags || form.len() < rendition.len(),
        })
    }

    fn name(self) -> String {
        let form = self.target.map_or("original", Target::extension);
        format!("{form}{}", if self.tags { TAGGED } else { "" })
    }

    fn key(self, song: &Song) -> Result<Key, Failure> {
        Key::copy(song.key.track().clone(), &self.name())
            .ok_or_else(|| super::internal("a copy without a name"))
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
    pub async fn rendition(
        &self,
        id: &TrackId,
        rendition: &str,
        tags: bool,
    ) -> Result<Option<Key>, Failure> {
        match self.wished(id, rendition, tags).await? {
            Some(Wished::Copy(song, wish)) => self.inner.queue_copy(&song, wish).await.map(Some),
            Some(Wished::Plain(key)) => Ok(Some(key)),
            None => Ok(None),
        }
    }

    /// The same key, for those who only look: nothing is queued.
    /// # Errors
    /// As [`App::rendition`].
    pub async fn peek_rendition(
        &self,
        id: &TrackId,
        rendition: &str,
        tags: bool,
    ) -> Result<Option<Key>, Failure> {
        match self.wished(id, rendition, tags).await? {
            Some(Wished::Copy(song, wish)) => wish.key(&song).map(Some),
            Some(Wished::Plain(key)) => Ok(Some(key)),
            None => Ok(None),
        }
    }

    async fn wished(
        &self,
        id: &TrackId,
        rendition: &str,
        tags: bool,
    ) -> Result<Option<Wished>, Failure> {
        let unknown = || {
            let sentence = format!(
                "`{rendition}` is no form we make; use original, m4a, mp3, ogg, opus, flac or wav"
            );
            Failure::new(Kind::BadRequest, sentence)
        };
        let mut wish = Wish::parse(rendition, tags).ok_or_else(unknown)?;
        let Some(song) = self.song(id).await? else {
            return Ok(None);
        };
        if song.key.is_copy() {
            return Ok(Some(Wished::Plain(song.key)));
        }
        if let Some(target) = wish.target.filter(|_| !wish.tags) {
            // Asked of the site in this form before: it need not be made.
            let rows = self
                .inner
                .store
                .renditions(id)
                .await
                .map_err(store_failure)?;
            let fits = |row: &&Row| {
                !row.key.is_copy()
                    && row.ext == target.extension()
                    && row.state != store::State::Deleted
            };
            if let Some(row) = rows.iter().rev().find(fits) {
                return Ok(Some(Wished::Plain(row.key.clone())));
            }
        }
        if wish
            .target
            .is_some_and(|target| target.extension() == song.ext)
        {
            // What the site sent is in this form already: no encoder runs.
            wish.target = None;
        }
        let is_plain = wish
            == Wish {
                target: None,
                tags: false,
            };
        Ok(Some(if is_plain {
            Wished::Plain(song.key)
        } else {
            Wished::Copy(Box::new(song), wish)
        }))
    }
}

impl Inner {
    async fn queue_copy(&self, song: &Song, wish: Wish) -> Result<Key, Failure> {
        let (name, key) = (wish.name(), wish.key(song)?);
        let ext = wish
            .target
            .map_or_else(|| song.ext.clone(), |target| target.extension().to_owned());
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
        let rows = self
            .store
            .accept(vec![accepted])
            .await
            .map_err(store_failure)?;
        if rows.iter().any(|done| done.row.state.is_pending()) {
            self.jobs.enqueue(&key, 0, None);
        }
        Ok(key)
    }

    /// Runs in a lane of its own: it may wait for the original's download.
    pub(super) async fn make_copy(
        self: &Arc<Self>,
        job: &Arc<Job>,
        track: &Track,
    ) -> Result<String, End> {
        let internal = || End::Failed(super::internal("a copy with an unknown name"));
        let wish = Wish::of_key(&job.key).ok_or_else(internal)?;
        let original = self.original_of(job.key.track()).await?;
        let (row, reader) = match self.whole(&original).await {
            Ok(audio) => (self.store.row(&original).await?, audio.reader),
            Err(NotServed::Failed(failure)) => return Err(End::Failed(failure)),
            Err(_) => return Err(End::Stopped),
        };
        let row = row.ok_or(End::Stopped)?;
        let ext = wish
            .target
            .map_or_else(|| row.ext.clone(), |target| target.extension().to_owned());
        let container = match wish.target {
            Some(target) => target.container(),
            None => row.container.unwrap_or(Container::Mp4),
        };
        self.jobs
            .change(job, |status| status.state = State::Converting);
        self.store
            .set_state(&job.key, store::State::Converting)
            .await?;
        let mut lease = self.store.lease(&job.key).await?;
        lease.reserve(row.size_bytes).await?;
        let stream = format!(
            "{} of {}",
            job.key.rendition(),
            row.stream.clone().unwrap_or_default()
        );
        self.store
            .started(
                &job.key,
                Started {
                    ext: ext.clone(),
                    total_bytes: None,
                    stream: stream.clone(),
                },
            )
            .await?;
        let validator = format!(
            "{} as {}",
            row.etag.clone().unwrap_or_default(),
            job.key.rendition()
        );
        let fill = Fill {
            job,
            wish,
            container,
            validator: &validator,
            ext: &ext,
            track,
            duration: row.duration,
        };
        let made = match self.fill_copy(&mut lease, reader, &fill).await {
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
        let published = Publish {
            track: track.clone(),
            ext: ext.clone(),
            human_name,
            stream,
            checked,
        };
        lease.publish(published).await?;
        Ok(ext)
    }

    async fn original_of(&self, id: &TrackId) -> Result<Key, End> {
        let rows = self.store.renditions(id).await?;
        let plain = rows
            .into_iter()
            .rev()
            .find(|row| !row.key.is_copy() && row.state != store::State::Deleted);
        plain.map(|row| row.key).ok_or(End::Stopped)
    }

    async fn fill_copy(
        self: &Arc<Self>,
        lease: &mut Lease,
        reader: Reader,
        fill: &Fill<'_>,
    ) -> Result<(), PumpError> {
        lease.restart().await?;
        let partial = lease.begin(fill.validator, None, 0).await?;
        let original = reader.file()?;
        let mut source = Source::finished(reader);
        let Some(target) = fill.wish.target else {
            // Only tags are wished for.
            return self.write_tagged(lease, original, fill).await;
        };
        if !target.is_headed_last() && !fill.wish.tags {
            // Readable as it comes out.
            self.jobs
                .change(fill.job, |status| show(status, partial, fill.ext));
            return self
                .encode(fill.job, lease, &mut source, target, fill.duration)
                .await;
        }
        let name = format!("{}{}", fill.job.key.track(), fill.wish.name());
        let scratch = self.store.scratch(&name).await?;
        let file = Arc::clone(&scratch.file);
        self.fill_scratch(&mut source, &file, target, fill.duration)
            .await?;
        if target.is_headed_last() {
            self.state_length(Arc::clone(&file), fill.container).await?;
        }
        if fill.wish.tags {
            return self.write_tagged(lease, file, fill).await;
        }
        let mut file = shared_file(&file).map_err(drive_error("read a copy back"))?;
        file.rewind()
            .await
            .map_err(drive_error("read a copy back"))?;
        loop {
            let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
            if file
                .read_buf(&mut piece)
                .await
                .map_err(drive_error("read a copy back"))?
                == 0
            {
                return Ok(());
            }
            lease.write(piece.freeze()).await?;
        }
    }

    /// Writes the length into a head that was made before it was known.
    async fn state_length(
        &self,
        file: Arc<std::fs::File>,
        container: Container,
    ) -> Result<(), PumpError> {
        let stated = tokio::task::spawn_blocking(move || media::state_length(&file, container));
        Ok(stated
            .await
            .map_err(|error| PumpError::Broken(error.to_string()))??)
    }

    /// The audio of `file` behind tags of its own, passed on as it is read. One at a time: the cover is in it.
    async fn write_tagged(
        &self,
        lease: &mut Lease,
        file: Arc<std::fs::File>,
        fill: &Fill<'_>,
    ) -> Result<(), PumpError> {
        static ONE: Semaphore = Semaphore::const_new(1);
        let broken = |error: String| PumpError::Broken(error);
        let cover = match self.cover_of(fill.track).await {
            Ok(cover) => cover.map(|cover| cover.bytes),
            Err(failure) => {
                tracing::info!(track = %fill.track.id, "tagged without a cover: {failure}");
                None
            }
        };
        let _one = ONE
            .acquire()
            .await
            .map_err(|error| broken(error.to_string()))?;
        let (sender, mut pieces) = mpsc::channel(2);
        let (song, container) = (fill.track.clone(), fill.container);
        let write = move || {
            let mut out = std::io::BufWriter::with_capacity(PIECE_BYTES, Pieces(sender));
            tag::copy(&file, container, &song, cover.as_deref(), &mut out)?;
            std::io::Write::flush(&mut out).map_err(TagError::from)
        };
        // A thread for this alone: it waits for the lease, whose writes need the others.
        let (done, tagged) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("tags".to_owned());
        thread
            .spawn(move || done.send(write()))
            .map_err(|error| broken(error.to_string()))?;
        while let Some(piece) = pieces.recv().await {
            lease.write(piece).await?;
        }
        tagged
            .await
            .map_err(|error| broken(error.to_string()))?
            .map_err(|error| match error {
                TagError::NotTaken(_) => {
                    PumpError::Convert(Failure::new(Kind::ConversionFailed, error.to_string()))
                }
                TagError::Drive(error) => PumpError::Store(drive_error("write tags")(error)),
            })
    }

    /// What ffmpeg makes, in a temporary file: its length or its tags come to stand before it.
    async fn fill_scratch(
        &self,
        source: &mut Source,
        file: &std::fs::File,
        target: Target,
        duration: Option<std::time::Duration>,
    ) -> Result<(), PumpError> {
        let refused = |error| PumpError::Store(drive_error("write a copy")(error));
        let mut file = shared_file(file).map_err(refused)?;
        let (sender, mut pieces) = mpsc::channel(1);
        let writing = async {
            while let Some(piece) = pieces.recv().await {
                let piece: Bytes = piece;
                file.write_all(&piece).await.map_err(refused)?;
            }
            file.flush().await.map_err(refused)
        };
        tokio::try_join!(self.encode_into(source, target, duration, sender), writing)?;
        Ok(())
    }
}

/// What is made, of what.
struct Fill<'a> {
    job: &'a Arc<Job>,
    wish: Wish,
    container: Container,
    validator: &'a str,
    ext: &'a str,
    track: &'a Track,
    duration: Option<std::time::Duration>,
}

/// Hands on what is written, as fast as it is taken.
struct Pieces(mpsc::Sender<Bytes>);

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A cover is one large write.
        let piece = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.0
            .blocking_send(Bytes::copy_from_slice(piece))
            .map_err(gone)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn copy_trouble(error: PumpError) -> End {
    match error {
        PumpError::Store(error) => error.into(),
        PumpError::Convert(failure) => End::Failed(failure),
        PumpError::Broken(what) => End::Failed(Failure::new(
            Kind::ConversionFailed,
            format!("the copy is not whole: {what}"),
        )),
        PumpError::Download(error) => End::Failed(Failure::new(error.kind(), error.to_string())),
    }
}

/// The same open file, for reading and writing along.
fn shared_file(file: &std::fs::File) -> std::io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(file.try_clone()?))
}
