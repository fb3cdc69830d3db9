//! Copies of a finished song, made on request: another format, or the same with tags and cover.
//!
//! Owns how a copy is made from the finished original, which stays byte for byte as it is. A copy's job runs in a lane
//! of its own, since it may wait for the original's download. It downloads no audio.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kmds_extract::{Container, Failure, Format, Kind, Track};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

use super::attempts::End;
use super::demand::Absent;
use super::fill::{FillError, Work, announce_length, check, lease};
use super::rewrite::{PIECE_BYTES, Pieces, RawReader};
use super::{internal, names};
use crate::convert::writes_header_last;
use crate::media;
use crate::store::{
    CopyForm, Key, Lease, Publish, Published, Reader, Rendition, Row, Started, State, drive_error,
};
use crate::tag::{self, TagError};

/// One copy with tags is written at a time: its cover is in memory meanwhile.
static TAGGING: Semaphore = Semaphore::const_new(1);

/// One copy under way.
struct Copying<'a> {
    work: Work<'a>,
    track: &'a Track,
    form: CopyForm,
    format: Format,
    duration: Option<Duration>,
}

/// Makes the copy that the job's key names; returns its format.
pub(super) async fn make(work: Work<'_>, track: &Track) -> Result<Format, End> {
    let Rendition::Copy(form) = work.job.key.rendition() else {
        return Err(End::Failed(internal("no copy")));
    };
    let Some(original) = original_of(work, form.format).await? else {
        return Err(without_original(work).await);
    };
    let original = match work.at.demand.finished(&original).await {
        Ok(original) => original,
        Err(Absent::Failed(failure)) => return Err(End::Failed(failure)),
        Err(Absent::Unknown) => return Err(without_original(work).await),
    };
    let copying = Copying {
        work,
        track,
        form,
        format: form.format.unwrap_or(original.row.format),
        duration: original.row.duration,
    };
    copying.make(original).await
}

/// The source of a copy in this format: the file from the site in the same format, if it is here, so that no encoder
/// runs; else the newest file from the site; `None` if the song was removed.
async fn original_of(work: Work<'_>, format: Option<Format>) -> Result<Option<Key>, End> {
    let rows = work.at.store.renditions(work.job.key.track()).await?;
    let is_original = |row: &&Row| !row.key.is_copy() && row.state != State::Deleted;
    let mut originals = rows.iter().rev().filter(is_original);
    let newest = originals.clone().next();
    let same = originals.find(|row| row.state == State::Ready && Some(row.format) == format);
    Ok(same.or(newest).map(|original| original.key.clone()))
}

/// A copy is removed with its song. After a kill during the removal, its row may still wait; a job for such a row would
/// start again for ever.
async fn without_original(work: Work<'_>) -> End {
    let (store, key) = (&work.at.store, &work.job.key);
    let removed = async {
        store.delete_pending(key).await?;
        store.purge(key, true).await
    };
    match removed.await {
        Ok(()) => End::Stopped,
        Err(error) => error.into(),
    }
}

impl Copying<'_> {
    async fn make(&self, original: Published) -> Result<Format, End> {
        let (work, key, format) = (self.work, &self.work.job.key, self.format);
        let Published { reader, row, .. } = original;
        work.change(|status| status.loudness_db = self.track.loudness_db);
        work.converts().await?;
        let mut lease = lease(&work.at.store, key).await?;
        lease.reserve(row.size_bytes).await?;
        let stream = format!("{} of {}", key.rendition(), row.stream.unwrap_or_default());
        let started = Started {
            format,
            total_bytes: None,
            stream: stream.clone(),
        };
        work.started(started).await?;
        let validator = format!("{} as {}", row.etag.unwrap_or_default(), key.rendition());
        let target = self.form.format.filter(|format| *format != row.format);
        let made = match self.fill(&mut lease, reader, &validator, target).await {
            Ok(()) => {
                let expected = self.duration.or(self.track.duration);
                check(&mut lease, format.container(), expected).await
            }
            Err(error) => Err(error),
        };
        let checked = match made {
            Ok(checked) => checked,
            Err(error) => {
                // The next try starts from the beginning.
                let _ = lease.discard().await;
                return Err(end_of(error));
            }
        };
        announce_length(&mut lease);
        let published = Publish {
            track: self.track.clone(),
            format,
            human_name: names::rename(&row.human_name, format.ext()),
            stream,
            checked,
        };
        lease.publish(published).await?;
        Ok(format)
    }

    async fn fill(
        &self,
        lease: &mut Lease,
        reader: Reader,
        validator: &str,
        target: Option<Format>,
    ) -> Result<(), FillError> {
        lease.restart().await?;
        let partial = lease.begin(validator, None, 0).await?;
        let original = reader.file()?;
        let mut source = RawReader::finished(reader);
        let Some(target) = target else {
            // Only tags are asked for: the original has the format already.
            return self.write_tagged(lease, original).await;
        };
        if !writes_header_last(target) && !self.form.tagged {
            // Readable while it is made.
            self.work.show(partial, self.format);
            return self
                .work
                .encode(lease, &mut source, target, self.duration)
                .await;
        }
        let name = format!("{}{}", self.work.job.key.track(), self.form);
        let scratch = self.work.at.store.scratch(&name).await?;
        let file = Arc::clone(&scratch.file);
        self.fill_scratch(&mut source, &file, target).await?;
        if writes_header_last(target) {
            state_length(Arc::clone(&file), self.format.container()).await?;
        }
        if self.form.tagged {
            return self.write_tagged(lease, file).await;
        }
        copy_whole(lease, &file).await
    }

    /// The audio of `file` after its new tags, passed on as it is read.
    async fn write_tagged(
        &self,
        lease: &mut Lease,
        file: Arc<std::fs::File>,
    ) -> Result<(), FillError> {
        let cover = match self.work.at.covers.of(self.track).await {
            Ok(cover) => cover.map(|cover| cover.bytes),
            Err(failure) => {
                tracing::info!(track = %self.track.id, "tagged without a cover: {failure}");
                None
            }
        };
        let _one = TAGGING.acquire().await.map_err(interrupted)?;
        let (sender, mut pieces) = mpsc::channel(2);
        let (song, container) = (self.track.clone(), self.format.container());
        let write = move || {
            let mut out = std::io::BufWriter::with_capacity(PIECE_BYTES, Pieces(sender));
            tag::copy(&file, container, &song, cover.as_deref(), &mut out)?;
            std::io::Write::flush(&mut out).map_err(TagError::from)
        };
        // Its own thread: it waits for the lease, whose writes need the other threads.
        let (done, tagged) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("tags".to_owned());
        thread
            .spawn(move || done.send(write()))
            .map_err(interrupted)?;
        while let Some(piece) = pieces.recv().await {
            lease.write(piece).await?;
        }
        let tagged = tagged.await.map_err(interrupted)?;
        tagged.map_err(|error| match error {
            TagError::NotTaken(_) => {
                FillError::Convert(Failure::new(Kind::ConversionFailed, error.to_string()))
            }
            TagError::Drive(error) => FillError::Store(drive_error("write tags")(error)),
        })
    }

    /// Writes ffmpeg's output into a temporary file, since its length or its tags must be written before it.
    async fn fill_scratch(
        &self,
        source: &mut RawReader,
        file: &std::fs::File,
        target: Format,
    ) -> Result<(), FillError> {
        let refused = |error| FillError::Store(drive_error("write a copy")(error));
        let mut file = shared_file(file).map_err(refused)?;
        let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
        let writing = async {
            while let Some(piece) = pieces.recv().await {
                file.write_all(&piece).await.map_err(refused)?;
            }
            file.flush().await.map_err(refused)
        };
        let encoding = self.work.encode_into(source, target, self.duration, sender);
        tokio::try_join!(encoding, writing)?;
        Ok(())
    }
}

/// Copies a finished temporary file into the lease.
async fn copy_whole(lease: &mut Lease, file: &std::fs::File) -> Result<(), FillError> {
    let unread = || drive_error("read a copy back");
    let mut file = shared_file(file).map_err(unread())?;
    file.rewind().await.map_err(unread())?;
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        if file.read_buf(&mut piece).await.map_err(unread())? == 0 {
            return Ok(());
        }
        lease.write(piece.freeze()).await?;
    }
}

/// Writes the length into a header that was made before it was known.
async fn state_length(file: Arc<std::fs::File>, container: Container) -> Result<(), FillError> {
    let stated = tokio::task::spawn_blocking(move || media::state_length(&file, container));
    Ok(stated.await.map_err(interrupted)??)
}

fn interrupted(error: impl std::fmt::Display) -> FillError {
    tracing::error!("a copy was interrupted: {error}");
    FillError::Internal("making the copy was interrupted")
}

fn end_of(error: FillError) -> End {
    match error {
        FillError::Store(error) => error.into(),
        FillError::Convert(failure) => End::Failed(failure),
        FillError::Internal(what) => End::Failed(internal(what)),
        FillError::Broken(what) => End::Failed(Failure::new(
            Kind::ConversionFailed,
            format!("the copy is not whole: {what}"),
        )),
        FillError::Download(error) => End::Failed(Failure::new(error.kind(), error.to_string())),
    }
}

/// The same open file, for reading while it is written.
fn shared_file(file: &std::fs::File) -> std::io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(file.try_clone()?))
}
