//! The right to write one rendition.
//!
//! Owns a key's `.part` file and the note beside it that says how many of its bytes can be trusted. It also flushes and
//! resumes. It does not check audio and contacts no site. A lease that is dropped before publishing keeps the bytes and
//! frees the key.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::busy::patiently;
use super::cache_folder::flush;
use super::catalog::blocking;
use super::error::{self, SpaceLimit, StoreError, is_full};
use super::evict;
use super::key::Key;
use super::partial::{Outcome, Partial};
use super::shared::Shared;
use super::spot::Spot;

/// Bytes are flushed each time this many have arrived: a power cut loses no more.
const DURABLE_EVERY_BYTES: u64 = 8 << 20;

/// Room to evict when the drive is full in the middle of a write.
const ROOM_WHEN_FULL_BYTES: u64 = 8 << 20;

/// The writer of one key. At most one lives at a time.
#[derive(Debug)]
pub struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    kept: Option<Kept>,
    growing: Option<Growing>,
}

/// Bytes that are on the drive, and the file that they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub bytes: u64,
    pub validator: String,
    pub total: Option<u64>,
    /// The last [`Lease::mark`] within `bytes`.
    pub mark: Option<Mark>,
}

/// Separates a stream's validator from the version of its file.
const VERSION: &str = " version ";

/// The validator of the bytes: the stream, and the version of its file, if the site names one. Both make the etag.
#[must_use]
pub fn validator_of(stream: &str, version: Option<&str>) -> String {
    version.map_or_else(
        || stream.to_owned(),
        |version| format!("{stream}{VERSION}{version}"),
    )
}

impl Kept {
    /// Whether these are bytes of this stream, in any version.
    #[must_use]
    pub fn is_of(&self, stream: &str) -> bool {
        self.validator
            .strip_prefix(stream)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(VERSION))
    }
}

/// What a download needs to continue after `bytes`: the next segment's number, for example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub bytes: u64,
    pub text: String,
}

#[derive(Debug)]
struct Growing {
    partial: Arc<Partial>,
    note: Note,
}

/// `{song}.note`. A file's length can be trusted while the machine that wrote it keeps running; after that, only the
/// flushed bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    validator: String,
    total: Option<u64>,
    durable_bytes: u64,
    boot_id: String,
    /// The newest mark, and the newest one within `durable_bytes`.
    #[serde(default)]
    marks: Vec<Mark>,
}

impl Lease {
    /// Waits for a thread that reads the note of an earlier run.
    pub(super) async fn take(shared: Arc<Shared>, key: Key) -> Result<Self, StoreError> {
        shared.claims.begin_writing(&key)?;
        let mut lease = Self {
            shared: Arc::clone(&shared),
            key: key.clone(),
            kept: None,
            growing: None,
        };
        lease.kept = blocking(move || Ok(read_kept(&shared, &key))).await?;
        Ok(lease)
    }

    /// Reads the note again: other code has written it.
    pub(super) async fn look_again(&mut self) -> Result<(), StoreError> {
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        self.kept = blocking(move || Ok(read_kept(&shared, &key))).await?;
        Ok(())
    }

    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// What can be continued: the bytes of an earlier run, or those written under this lease.
    #[must_use]
    pub fn kept(&self) -> Option<Kept> {
        let Some(growing) = &self.growing else {
            return self.kept.clone();
        };
        let progress = growing.partial.progress();
        Some(Kept {
            bytes: progress.written,
            validator: growing.note.validator.clone(),
            total: progress.total,
            mark: growing.note.marks.last().cloned(),
        })
    }

    #[must_use]
    pub fn partial(&self) -> Option<Arc<Partial>> {
        self.growing
            .as_ref()
            .map(|growing| Arc::clone(&growing.partial))
    }

    /// Makes sure that `need` bytes (unknown: a guess) can be written, and evicts the files that were not read for the
    /// longest time. The room is reserved until the lease ends, or gives it back; call it again when the length becomes
    /// known.
    /// # Errors
    /// [`StoreError::DiskFull`], and then nothing was evicted.
    pub async fn reserve(&self, need: Option<u64>) -> Result<(), StoreError> {
        let written = self
            .growing
            .as_ref()
            .map_or(0, |growing| growing.partial.progress().written);
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        blocking(move || evict::reserve(&shared, &key, need, written)).await
    }

    /// [`Lease::reserve`], but waits for other downloads and readers if their end will free the room. Call it while
    /// this lease has reserved nothing: two leases that wait for each other's room wait until one loses `patience`.
    /// # Errors
    /// As there, if no end of another download or reader would help, or none did within `patience`.
    pub async fn room(&self, need: Option<u64>, patience: Duration) -> Result<(), StoreError> {
        let (until, mut told) = (Instant::now() + patience, false);
        loop {
            let mut let_go = pin!(self.shared.claims.let_go());
            let_go.as_mut().enable();
            let refused = match self.reserve(need).await {
                Err(error @ StoreError::DiskFull { .. }) => error,
                done => return done,
            };
            let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
            let comes =
                blocking(move || evict::may_come(&shared, &shared.catalog(), &key, need)).await?;
            if comes && !std::mem::replace(&mut told, true) {
                tracing::info!(song = %self.key, "waiting until other songs free room: {refused}");
            }
            // If no claim is in the way, one may have ended meanwhile: so try again.
            let last = if comes { until } else { Instant::now() };
            let pause = self.shared.claims.next_pause().map(Instant::from_std);
            let look = pause.map_or(last, |pause| pause.min(last));
            if tokio::time::timeout_at(look, let_go).await.is_err() && look == last {
                return Err(refused);
            }
        }
    }

    /// Gives back the room that is not filled yet, while the song waits for its bytes: call [`Lease::room`] before they
    /// come.
    pub fn give_room_back(&self) {
        self.shared.claims.give_back(&self.key);
    }

    /// Opens the growing file. `from` 0 starts a new file, else the kept bytes up to `from` are continued, which need
    /// the same validator. If it continues where the last write under this lease ended, readers stay.
    /// # Errors
    /// [`StoreError::Gone`] if `from` bytes of this validator are not there: begin at 0.
    pub async fn begin(
        &mut self,
        validator: &str,
        total: Option<u64>,
        from: u64,
    ) -> Result<Arc<Partial>, StoreError> {
        let kept = self.kept();
        if from > 0
            && !kept
                .as_ref()
                .is_some_and(|kept| kept.validator == validator && from <= kept.bytes)
        {
            return Err(StoreError::Gone);
        }
        if let Some(growing) = &mut self.growing {
            if from == growing.partial.progress().written && growing.note.validator == validator {
                growing.partial.announce(total);
                return Ok(Arc::clone(&growing.partial));
            }
            growing.partial.end(Outcome::Restarted);
        }
        let mut marks = self
            .growing
            .take()
            .map_or_else(Vec::new, |growing| growing.note.marks);
        marks.extend(kept.and_then(|kept| kept.mark));
        marks.retain(|mark| mark.bytes <= from);
        let note = Note {
            validator: validator.to_owned(),
            total,
            // Opening flushes the kept bytes.
            durable_bytes: from,
            boot_id: self.shared.boot_id.clone(),
            marks,
        };
        let (shared, key, written) = (Arc::clone(&self.shared), self.key.clone(), note.clone());
        let file = match blocking(move || open_part(&shared, &key, &written, from)).await {
            Ok(file) => file,
            Err(error) => return Err(self.spoilt(error).await),
        };
        let partial = Arc::new(Partial::new(
            self.key.clone(),
            note.validator.clone(),
            file,
            from,
            total,
        ));
        self.shared
            .claims
            .set_partial(&self.key, Some(Arc::clone(&partial)));
        self.growing = Some(Growing {
            partial: Arc::clone(&partial),
            note,
        });
        Ok(partial)
    }

    /// The length became known (or more exactly known) after [`Lease::begin`].
    pub fn announce(&mut self, total: u64) {
        if let Some(growing) = &mut self.growing {
            growing.note.total = Some(total);
            growing.partial.announce(Some(total));
        }
    }

    /// Appends bytes and wakes readers. If the future is dropped, the bytes may or may not be on the drive, which does
    /// no harm.
    /// # Errors
    /// [`StoreError::DiskFull`] when the drive is full and nothing can be evicted.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let Some(growing) = &mut self.growing else {
            return Err(StoreError::Gone);
        };
        let partial = Arc::clone(&growing.partial);
        let at = partial.progress().written;
        let after = at + bytes.len() as u64;
        let is_due = after - growing.note.durable_bytes >= DURABLE_EVERY_BYTES;
        let (shared, key, file, mut note) = (
            Arc::clone(&self.shared),
            self.key.clone(),
            partial.file()?,
            growing.note.clone(),
        );
        let written = blocking(move || {
            append(&shared, &file, &bytes, at)?;
            if is_due {
                flush(&file).map_err(error::io("flush a partial file"))?;
                note.durable_bytes = after;
                note.write(&shared, &key)?;
            }
            Ok(note)
        });
        match written.await {
            Ok(note) => {
                growing.note.durable_bytes = note.durable_bytes;
                partial.grew(after);
                Ok(())
            }
            Err(error) => Err(self.spoilt(error).await),
        }
    }

    /// Whether the growing file has these bytes at `at`.
    /// # Errors
    /// [`StoreError::Gone`] if there is none.
    pub async fn holds(&self, at: u64, bytes: Bytes) -> Result<bool, StoreError> {
        let file = self.partial().ok_or(StoreError::Gone)?.file()?;
        blocking(move || {
            let mut there = vec![0; bytes.len()];
            let read = file.read_exact_at(&mut there, at);
            Ok(read.is_ok() && there == bytes)
        })
        .await
    }

    /// Records `text` for a later run that continues here.
    /// # Errors
    /// As [`Lease::write`].
    pub async fn mark(&mut self, text: &str) -> Result<(), StoreError> {
        let Some(growing) = &mut self.growing else {
            return Err(StoreError::Gone);
        };
        let bytes = growing.partial.progress().written;
        growing.note.push(Mark {
            bytes,
            text: text.to_owned(),
        });
        let (shared, key, note) = (
            Arc::clone(&self.shared),
            self.key.clone(),
            growing.note.clone(),
        );
        match blocking(move || note.write(&shared, &key)).await {
            Err(error) => Err(self.spoilt(error).await),
            done => done,
        }
    }

    /// After an error of the drive no byte of the file is relied on.
    async fn spoilt(&mut self, error: StoreError) -> StoreError {
        if error.spoils() {
            // If a file cannot be removed, it has no note, or the next try removes it.
            let _ = self.restart().await;
        }
        error
    }

    /// Drops every byte; readers learn that the source changed. [`Lease::begin`] starts the next try.
    /// # Errors
    /// [`StoreError::Io`] if the old file cannot be removed.
    pub async fn restart(&mut self) -> Result<(), StoreError> {
        if let Some(growing) = self.growing.take() {
            growing.partial.end(Outcome::Restarted);
        }
        self.shared.claims.set_partial(&self.key, None);
        self.kept = None;
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        blocking(move || shared.remove_part(&key)).await
    }

    /// Ends the lease and removes the bytes, which are useless.
    /// # Errors
    /// As [`Lease::restart`].
    pub async fn discard(self) -> Result<(), StoreError> {
        if let Some(growing) = &self.growing {
            growing.partial.end(Outcome::Failed);
        }
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        blocking(move || shared.remove_part(&key)).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(growing) = &self.growing {
            growing.partial.end(Outcome::Failed);
        }
        self.shared.claims.end_writing(&self.key);
    }
}

impl Note {
    fn push(&mut self, mark: Mark) {
        let durable = self
            .marks
            .iter()
            .rfind(|mark| mark.bytes <= self.durable_bytes)
            .cloned();
        self.marks = durable.into_iter().chain([mark]).collect();
    }

    /// What a note says, and how many bytes of its part can be trusted. A part with a second name may be another
    /// program's file, and would be written into.
    pub(super) fn trusted(shared: &Shared, note: &Spot, part: &Spot) -> Option<(Self, u64)> {
        let note: Self = serde_json::from_slice(&shared.cache.read(note).ok()?).ok()?;
        let part = shared.cache.look(part).ok()??;
        if !part.is_plain || part.is_shared {
            return None;
        }
        let trusted = if note.boot_id == shared.boot_id {
            part.bytes
        } else {
            part.bytes.min(note.durable_bytes)
        };
        let bytes = note.total.map_or(trusted, |total| trusted.min(total));
        (bytes > 0).then_some((note, bytes))
    }

    /// Whether both are of one file.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.validator == other.validator
    }

    /// The note of so many bytes that were copied from another instance.
    pub(super) fn taken_over(mut self, shared: &Shared, bytes: u64) -> Self {
        self.marks.retain(|mark| mark.bytes <= bytes);
        Self {
            durable_bytes: bytes,
            boot_id: shared.boot_id.clone(),
            ..self
        }
    }

    pub(super) fn write(&self, shared: &Shared, key: &Key) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let note = shared.layout.note(key);
        patiently(|| shared.cache.write_whole(&note, &text, false))
            .map_err(error::io("note a partial file"))
    }
}

/// The bytes that an earlier run left of this key, if they can be trusted. A part with a second hard link may be
/// another program's file, which must not be changed.
fn read_kept(shared: &Shared, key: &Key) -> Option<Kept> {
    let (note, part) = (shared.layout.note(key), shared.layout.part(key));
    let (note, bytes) = Note::trusted(shared, &note, &part)?;
    let mark = note.marks.into_iter().rfind(|mark| mark.bytes <= bytes);
    Some(Kept {
        bytes,
        validator: note.validator,
        total: note.total,
        mark,
    })
}

/// A new file for a fresh start, so that readers keep the old one; to continue, the old file cut to `from`.
fn open_part(shared: &Shared, key: &Key, note: &Note, from: u64) -> Result<File, StoreError> {
    let part = shared.layout.part(key);
    let file = if from == 0 {
        shared.remove_part(key)?;
        shared.make_work_folder()?;
        shared.cache.create(&part)
    } else {
        shared
            .cache
            .open_to_write(&part)
            .and_then(|file| file.set_len(from).map(|()| file))
    };
    let file = file.map_err(error::io("open a partial file"))?;
    if from > 0 {
        // The note will say that this many bytes survive a power cut.
        flush(&file).map_err(error::io("flush a partial file"))?;
    }
    note.write(shared, key)?;
    Ok(file)
}

/// Writes at `at`; if the drive is full, eviction gets one chance.
fn append(shared: &Shared, file: &File, bytes: &Bytes, at: u64) -> Result<(), StoreError> {
    let first = file.write_all_at(bytes, at);
    match first {
        Err(error) if is_full(&error) => {}
        other => return other.map_err(error::io("write a partial file")),
    }
    evict::after_full(shared, ROOM_WHEN_FULL_BYTES);
    file.write_all_at(bytes, at).map_err(|error: io::Error| {
        if is_full(&error) {
            let have_bytes = shared.cache.space().map_or(0, |(free, _)| free);
            let held = shared.catalog().held_sum(Timestamp::now());
            StoreError::DiskFull {
                need_bytes: bytes.len() as u64,
                have_bytes,
                held_bytes: held.map_or(0, |held| held.bytes),
                limit: SpaceLimit::Drive,
            }
        } else {
            error::io("write a partial file")(error)
        }
    })
}
