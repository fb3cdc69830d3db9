//! A song's bytes from another node, into this node's own growing file.
//!
//! Owns where they go on: at the last byte that is here, if the node has the same file; what it sends once more is
//! compared. Listeners of the growing file read on, and are cut only where the bytes differ. [`super::elsewhere`]
//! chooses the node, keeps the lease and publishes.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::StreamExt as _;
use kmds_extract::Format;

use super::attempts::End;
use super::fill::{FillError, Work, announce_length, check};
use crate::cluster::{Arriving, NotGiven, SongHead, SongWanted};
use crate::store::{self, Lease, Partial, Started, State};

/// Begins the validator of bytes that came from a node which does not tell what they are of; the tag of its file
/// follows.
const RELAYED: &str = "node ";
/// The word for the encoding in the sidecar.
pub(super) const STREAM: &str = "cluster";

/// Why a node's song did not become this one's.
pub(super) enum Broken {
    Node(NotGiven),
    /// The drive failed, or the job was cancelled.
    Here(End),
}

impl<T: Into<End>> From<T> for Broken {
    fn from(error: T) -> Self {
        Self::Here(error.into())
    }
}

/// A song on its way from a node.
pub(super) struct Arrival<'a> {
    pub work: Work<'a>,
    pub node: &'a str,
    pub wanted: SongWanted,
}

impl Arrival<'_> {
    /// Writes the bytes that are lacking into the lease, and checks the whole.
    pub(super) async fn receive(
        &self,
        lease: &mut Lease,
    ) -> Result<(Format, store::Checked), Broken> {
        let work = self.work;
        let Arriving { head, mut body } = self.open(lease).await?;
        let partial = self.begin(lease, &head).await?;
        let (mut at, goes_on_at) = (head.start, partial.progress().written);
        if at > goes_on_at {
            // Bytes between them would be missing.
            lease.restart().await?;
            return Err(Broken::Node(NotGiven::Lost));
        }
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(Broken::Node)?;
            let again = usize::try_from(goes_on_at.saturating_sub(at)).unwrap_or(usize::MAX);
            let again = chunk.split_to(again.min(chunk.len()));
            let length = again.len() as u64;
            if !again.is_empty() && !lease.holds(at, again).await? {
                // That node made it again: it is another file.
                lease.restart().await?;
                return Err(Broken::Node(NotGiven::Lost));
            }
            at += length;
            work.put(lease, chunk).await?;
        }
        if at < goes_on_at {
            lease.restart().await?;
            return Err(Broken::Node(NotGiven::Lost));
        }
        let written = lease.kept().map_or(0, |kept| kept.bytes);
        if head.total.is_some_and(|total| total != written) {
            return Err(Broken::Node(NotGiven::Lost));
        }
        announce_length(lease);
        let format = head.format;
        match check(lease, format.container(), self.wanted.track.duration).await {
            Ok(checked) => Ok((format, checked)),
            Err(FillError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(track = %self.wanted.track.id, node = self.node, ?error, "the audio from the node is not whole");
                lease.restart().await?;
                Err(Broken::Node(NotGiven::Lost))
            }
        }
    }

    /// What this file lacks: from the byte that has arrived, where the node has the same file.
    async fn open(&self, lease: &mut Lease) -> Result<Arriving, Broken> {
        let kept = lease.kept().and_then(|kept| {
            let etag = match kept.validator.strip_prefix(RELAYED) {
                Some(etag) => Some(etag.to_owned()).filter(|etag| etag.starts_with('"')),
                None => {
                    let total = kept.total;
                    total.map(|total| store::etag(lease.key(), &kept.validator, total))
                }
            };
            Some((kept.bytes, kept.total, etag?, kept.validator))
        });
        let from = match kept {
            // All of it came before a stop, and was not checked.
            Some((bytes, Some(total), etag, validator)) if bytes == total => {
                return Ok(Arriving {
                    head: SongHead {
                        format: self.wanted.form,
                        total: Some(total),
                        etag: Some(etag),
                        validator: Some(validator),
                        start: bytes,
                    },
                    body: futures_util::stream::empty().boxed(),
                });
            }
            Some((bytes, _, etag, _)) => Some((bytes, etag)),
            None => None,
        };
        let opened = match self.open_from(from).await {
            Err(NotGiven::OutOfRange) => {
                lease.restart().await?;
                self.open_from(None).await
            }
            opened => opened,
        };
        opened.map_err(Broken::Node)
    }

    /// The song from this byte on. While it waits its turn at the node, the node is told of the first listener here.
    async fn open_from(&self, from: Option<(u64, String)>) -> Result<Arriving, NotGiven> {
        let (peers, job) = (&self.work.at.peers, self.work.job);
        let (mut watch, listened) = (job.watch(), job.is_wanted());
        let hurries = async {
            if !listened {
                let _ = watch.wait_for(|status| status.is_wanted).await;
                let wanted = SongWanted {
                    listened: true,
                    ..self.wanted.clone()
                };
                peers.hurry(self.node, wanted).await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            opened = peers.open(self.node, &self.wanted.track.id, self.wanted.form, from, listened) => opened,
            never = hurries => match never {},
        }
    }

    /// Opens the growing file for what arrives, and tells its watchers. A node sends a file whose length is not known
    /// yet from its first byte on: what is here of the same file stays.
    async fn begin(&self, lease: &mut Lease, head: &SongHead) -> Result<Arc<Partial>, Broken> {
        let (work, key) = (self.work, &self.work.job.key);
        let patience = work.at.recipes.current().time.limit_wait;
        lease.room(head.total, patience).await?;
        // Without a tag nothing is continued.
        let validator = match (&head.validator, &head.etag) {
            (Some(validator), _) => validator.clone(),
            (None, Some(etag)) => format!("{RELAYED}{etag}"),
            (None, None) => format!("{RELAYED}{} {}", self.node, crate::random::id()),
        };
        let kept = lease.kept().filter(|kept| kept.validator == validator);
        let from = kept.map_or(head.start, |kept| kept.bytes);
        let from = head.total.map_or(from, |total| total.min(from));
        let partial = lease.begin(&validator, head.total, from).await?;
        partial.set_elsewhere(work.job.status().is_elsewhere);
        let started = Started {
            format: head.format,
            total_bytes: head.total,
            stream: STREAM.to_owned(),
        };
        work.started(started).await?;
        work.at.store.set_state(key, State::Downloading).await?;
        work.change(|status| (status.state, status.waits_until) = (State::Downloading, None));
        work.show(Arc::clone(&partial), head.format);
        Ok(partial)
    }
}
