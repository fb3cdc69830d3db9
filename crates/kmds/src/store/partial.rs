//! Partial files: audio that is still arriving.
//!
//! Owns the growing file as its readers see it, how far it is written, and waking them when it grows. It does not
//! decide what to fetch and does not write: the lease does.

use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::error::StoreError;
use super::key::{Key, etag};

/// The progress of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that can be read.
    pub written: u64,
    /// Bytes of the whole file, if the site said it.
    pub total: Option<u64>,
    /// Set once, at the end.
    pub done: Option<Outcome>,
    /// Another node brings the rest: nodes that read the file here read it there.
    pub is_elsewhere: bool,
}

impl Progress {
    /// Whether no more bytes will come.
    pub(super) fn has_all(&self) -> bool {
        self.done.is_some() || self.total == Some(self.written)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Whole, checked, and on the drive under its final name.
    Published,
    /// No more bytes will arrive.
    Failed,
    /// The source changed: these bytes belong to no file any more; a new partial begins.
    Restarted,
}

/// The open file that a writer and its readers share. It is closed while the file is renamed (some drives rename no
/// open file), and is the renamed file afterwards, so that readers continue.
#[derive(Debug)]
pub(super) struct SharedFile(Mutex<Option<Arc<File>>>);

impl SharedFile {
    /// `None` while the file is renamed.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.lock().clone()
    }

    fn set(&self, file: Option<Arc<File>>) {
        *self.lock() = file;
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Option<Arc<File>>> {
        self.0.lock()
    }
}

/// A growing file: one writer, many readers. Readers keep it open, so that an eviction does not disturb them.
#[derive(Debug)]
pub struct Partial {
    key: Key,
    validator: String,
    held: Arc<SharedFile>,
    progress: watch::Sender<Progress>,
    /// [`Progress::has_all`], for readers that are not to be woken by each byte.
    has_all: watch::Sender<bool>,
}

impl Partial {
    pub(super) fn new(
        key: Key,
        validator: String,
        file: File,
        written: u64,
        total: Option<u64>,
    ) -> Self {
        let progress = watch::Sender::new(Progress {
            written,
            total,
            ..Progress::default()
        });
        Self {
            key,
            validator,
            held: Arc::new(SharedFile(Mutex::new(Some(Arc::new(file))))),
            progress,
            has_all: watch::Sender::new(total == Some(written)),
        }
    }

    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The validator of the bytes, see [`kmds_extract::Stream::validator`].
    #[must_use]
    pub fn validator(&self) -> &str {
        &self.validator
    }

    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// The newest progress, and a wake-up at each change; a slow subscriber costs nothing.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// A wake-up when no more bytes will come.
    pub(super) fn subscribe_to_end(&self) -> watch::Receiver<bool> {
        self.has_all.subscribe()
    }

    /// Whether a reader of the growing file is there.
    pub(super) fn is_read(&self) -> bool {
        self.progress.receiver_count() > 0
    }

    fn tell_of_the_end(&self) {
        let has_all = self.progress().has_all();
        self.has_all
            .send_if_modified(|before| std::mem::replace(before, has_all) != has_all);
    }

    /// The strong etag, as soon as the length is known.
    #[must_use]
    pub fn etag(&self) -> Option<String> {
        Some(etag(&self.key, &self.validator, self.progress().total?))
    }

    /// The open file, to check its bytes.
    /// # Errors
    /// [`StoreError::Gone`] while it gets its final name.
    pub fn file(&self) -> Result<Arc<File>, StoreError> {
        self.held.file().ok_or(StoreError::Gone)
    }

    /// Tells the nodes that read the file here whether another node brings the rest.
    pub fn set_elsewhere(&self, is_elsewhere: bool) {
        self.progress.send_if_modified(|progress| {
            std::mem::replace(&mut progress.is_elsewhere, is_elsewhere) != is_elsewhere
        });
    }

    pub(super) fn held(&self) -> Arc<SharedFile> {
        Arc::clone(&self.held)
    }

    /// Closes the file, as soon as no read is under way.
    pub(super) fn close(&self) {
        self.held.set(None);
    }

    /// The same file, under another name.
    pub(super) fn reopened(&self, file: File) {
        self.held.set(Some(Arc::new(file)));
    }

    pub(super) fn grew(&self, written: u64) {
        self.progress
            .send_modify(|progress| progress.written = written);
        self.tell_of_the_end();
    }

    pub(super) fn announce(&self, total: Option<u64>) {
        self.progress.send_if_modified(|progress| {
            let news = total.is_some() && progress.total != total;
            if news {
                progress.total = total;
            }
            news
        });
        self.tell_of_the_end();
    }

    /// The first outcome counts. A published file's length is its total.
    pub(super) fn end(&self, outcome: Outcome) {
        self.progress.send_if_modified(|progress| {
            let first = progress.done.is_none();
            if first {
                progress.done = Some(outcome);
                if outcome == Outcome::Published {
                    progress.total = Some(progress.written);
                }
            }
            first
        });
        self.tell_of_the_end();
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.end(Outcome::Failed);
    }
}
