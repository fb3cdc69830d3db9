//! Copies on request: another form, or the same with tags and cover.
//!
//! Owns which copy a wish names and how it is made from the finished original, which stays byte for byte as it is.
//! Hides ffmpeg and tag formats. Never downloads audio.

use std::sync::Arc;

use bytes::Bytes;
use kmds_extract::{Container, Format, Kind, Track, TrackId};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::flight::Job;
use super::pump::{PumpError, check};
use super::treat::Source;
use super::words::{CopyForm, Key, NotServed, Song, State};
use super::work::{End, show};
use super::{App, Failure, Inner, forms, store_failure};
use crate::convert::writes_header_last;
use crate::media;
use crate::store::{Accepted, Lease, Publish, Reader, Rendition, Row, Started, drive_error};
use crate::tag::{self, TagError};

/// A piece of a file that is copied.
const PIECE_BYTES: usize = 64 << 10;

/// What the wish for a copy comes down to.
enum Wished {
    /// Something the site gave.
    Original(Key),
    Copy(Box<Song>, CopyForm),
}

impl App {
    /// The key of a copy; queues its making unless it stands already, or the site sent the song like that. `None` for a
    /// song that was never asked for.
    /// # Errors
    /// The catalog failed.
    pub async fn rendition(&self, id: &TrackId, form: CopyForm) -> Result<Option<Key>, Failure> {
        match self.wished(id, form).await? {
            Some(Wished::Copy(song, form)) => self.inner.queue_copy(&song, form).await.map(Some),
            Some(Wished::Original(key)) => Ok(Some(key)),
            None => Ok(None),
        }
    }

    /// The same key, for those who only look: nothing is queued.
    /// # Errors
    /// As [`App::rendition`].
    pub async fn peek_rendition(
        &self,
        id: &TrackId,
        form: CopyForm,
    ) -> Result<Option<Key>, Failure> {
        Ok(self.wished(id, form).await?.map(|wished| match wished {
            Wished::Copy(song, form) => Key::copy(song.key.track().clone(), form),
            Wished::Original(key) => key,
        }))
    }

    async fn wished(&self, id: &TrackId, mut form: CopyForm) -> Result<Option<Wished>, Failure> {
        let Some(song) = self.song(id).await? else {
            return Ok(None);
        };
        if song.key.is_copy() {
            return Ok(Some(Wished::Original(song.key)));
        }
        if let Some(format) = form.format.filter(|_| !form.tagged) {
            // Asked of the site in this format before: it need not be made.
            let rows = self
                .inner
                .store
                .renditions(id)
                .await
                .map_err(store_failure)?;
            let fits = |row: &&Row| {
                !row.key.is_copy() && row.format == format && row.state != State::Deleted
            };
            if let Some(row) = rows.iter().rev().find(fits) {
                return Ok(Some(Wished::Original(row.key.clone())));
            }
        }
        // Where the site sent it in this format already, no encoder runs.
        form.format = form.format.filter(|format| *format != song.format);
        Ok(Some(if form == CopyForm::default() {
            Wished::Original(song.key)
        } else {
            Wished::Copy(Box::new(song), form)
        }))
    }
}

impl Inner {
    async fn queue_copy(&self, song: &Song, form: CopyForm) -> Result<Key, Failure> {
        let key = Key::copy(song.key.track().clone(), form);
        let format = form.format.unwrap_or(song.format);
        let accepted = Accepted {
            key: key.clone(),
            track: song.track.clone(),
            listed: true,
            canonical_name: format!("{}.{}.{format}", key.track(), key.slug()),
            human_name: forms::rename(&song.file_name, format.ext()),
            format,
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
            self.jobs.add(&key, 0, None);
        }
        Ok(key)
    }

    /// Runs in a lane of its own: it may wait for the original's download.
    pub(super) async fn make_copy(
        self: &Arc<Self>,
        job: &Arc<Job>,
        track: &Track,
    ) -> Result<Format, End> {
        let Rendition::Copy(form) = job.key.rendition() else {
            return Err(End::Failed(super::internal("no copy")));
        };
        let original = self.original_of(job.key.track()).await?;
        let (row, reader) = match self.whole(&original).await {
            Ok(audio) => (self.store.row(&original).await?, audio.reader),
            Err(NotServed::Failed(failure)) => return Err(End::Failed(failure)),
            Err(_) => return Err(End::Stopped),
        };
        let row = row.ok_or(End::Stopped)?;
        let format = form.format.unwrap_or(row.format);
        let container = format.container();
        self.jobs
            .change(job, |status| status.state = State::Converting);
        self.store.set_state(&job.key, State::Converting).await?;
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
                    format,
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
            form,
            validator: &validator,
            format,
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
        let human_name = forms::rename(&row.human_name, format.ext());
        let published = Publish {
            track: track.clone(),
            format,
            human_name,
            stream,
            checked,
        };
        lease.publish(published).await?;
        Ok(format)
    }

    async fn original_of(&self, id: &TrackId) -> Result<Key, End> {
        let rows = self.store.renditions(id).await?;
        let plain = rows
            .into_iter()
            .rev()
            .find(|row| !row.key.is_copy() && row.state != State::Deleted);
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
        let Some(target) = fill.form.format else {
            // Only tags are wished for.
            return self.write_tagged(lease, original, fill).await;
        };
        if !writes_header_last(target) && !fill.form.tagged {
            // Readable as it comes out.
            self.jobs
                .change(fill.job, |status| show(status, partial, fill.format));
            return self
                .encode(fill.job, lease, &mut source, target, fill.duration)
                .await;
        }
        let name = format!("{}{}", fill.job.key.track(), fill.form);
        let scratch = self.store.scratch(&name).await?;
        let file = Arc::clone(&scratch.file);
        self.fill_scratch(&mut source, &file, target, fill.duration)
            .await?;
        if writes_header_last(target) {
            self.state_length(Arc::clone(&file), fill.format.container())
                .await?;
        }
        if fill.form.tagged {
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
        let (song, container) = (fill.track.clone(), fill.format.container());
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
        target: Format,
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
    form: CopyForm,
    validator: &'a str,
    format: Format,
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
