//! Which node makes or has a song: what this node claims, releases and finishes, and what it writes down after NATS was
//! away.
//!
//! Owns the bucket of songs, and the names of the songs that this node began without it. If two nodes claim one song at
//! the same time, the bucket's compare-and-set lets one of them write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use parking_lot::Mutex;

use super::reports::Reports;
use super::songs::{SongEntry, Songs, Unsaid};
use super::{Claim, Finished};
use crate::random;

/// Songs that this node began without NATS and writes down later. It forgets more of them: they may be fetched twice.
const MOST_UNTOLD: usize = 10_000;
/// Tries of a write, because other nodes may change a song's entry at the same time.
const TRIES: u32 = 5;
/// The pause between two tries; at random up to a quarter shorter or longer.
const AFTER_ANOTHER: Duration = Duration::from_millis(120);

/// The connection, while NATS answers.
pub(super) type Connected<'a> = &'a (dyn Fn() -> Option<Client> + Send + Sync);

pub(super) struct Claims {
    node: String,
    reports: Arc<Reports>,
    songs: Songs,
    /// Songs that this node makes or has, and could not write down because NATS was away.
    untold: Mutex<BTreeSet<String>>,
    /// Held by the task that writes them down.
    telling: tokio::sync::Mutex<()>,
}

impl Claims {
    pub(super) fn new(cluster: &str, servers: usize, node: String, reports: Arc<Reports>) -> Self {
        Self {
            node,
            reports,
            songs: Songs::new(cluster, servers),
            untold: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
        }
    }

    /// Why no song can be claimed now, although NATS answers.
    pub(super) fn fault(&self) -> Option<String> {
        self.songs.fault()
    }

    pub(super) async fn claim(
        &self,
        connected: Connected<'_>,
        song: &str,
        from: Option<&str>,
    ) -> Claim {
        let claim = self.claimed(connected, song, from).await;
        claim.unwrap_or_else(|| {
            self.note_untold(song);
            Claim::Unknown
        })
    }

    /// `None` if NATS does not say.
    async fn claimed(
        &self,
        connected: Connected<'_>,
        song: &str,
        from: Option<&str>,
    ) -> Option<Claim> {
        let mut was_overtaken = false;
        for _ in 0..TRIES {
            match self
                .try_to_claim(connected, song, from, was_overtaken)
                .await
            {
                Ok(claim) => return Some(claim),
                Err(Unsaid::Overtaken) => {
                    was_overtaken = true;
                    tokio::time::sleep(random::varied(AFTER_ANOTHER)).await;
                }
                Err(Unsaid::Lost(_)) => {}
                Err(Unsaid::Silent | Unsaid::Missing) => return None,
            }
        }
        None
    }

    async fn try_to_claim(
        &self,
        connected: Connected<'_>,
        song: &str,
        from: Option<&str>,
        by_leader: bool,
    ) -> Result<Claim, Unsaid> {
        let client = connected().ok_or(Unsaid::Missing)?;
        let (entry, revision) = self.songs.read(&client, song, by_leader).await?;
        let entry = entry.unwrap_or_default();
        let holder = &entry.node;
        let is_theirs = !holder.is_empty() && *holder != self.node;
        let may_be_theirs = is_theirs && from != Some(holder);
        if may_be_theirs && !self.reports.is_there(holder) {
            self.reports.until_all_are_known().await;
        }
        if may_be_theirs && self.reports.is_there(holder) {
            return Ok(Claim::Theirs(entry.node));
        }
        let own = self.own(entry);
        self.songs.write(&client, song, own, revision).await?;
        Ok(Claim::Ours)
    }

    /// The entry of a song that this node fetches.
    fn own(&self, entry: SongEntry) -> Bytes {
        let own = SongEntry {
            node: self.node.clone(),
            finished: None,
            ..entry
        };
        own.text()
    }

    /// The node that makes or has the song, if that node is present.
    pub(super) async fn holder(&self, connected: Connected<'_>, song: &str) -> Option<String> {
        let (entry, _) = self.entry(&connected()?, song).await?;
        entry
            .map(|entry| entry.node)
            .filter(|node| self.reports.is_there(node))
    }

    pub(super) async fn finished(&self, connected: Connected<'_>, song: &str) -> Option<Finished> {
        self.entry(&connected()?, song).await?.0?.finished
    }

    /// Notes in this node's entry how the song is published.
    pub(super) async fn finish(&self, connected: Connected<'_>, song: &str, finished: Finished) {
        if let Some((client, entry, revision)) = self.own_entry(connected, song).await {
            let entry = SongEntry {
                finished: Some(finished),
                ..entry
            };
            // If another node was faster, the entry belongs to that node.
            let _ = self
                .songs
                .write(&client, song, entry.text(), revision)
                .await;
        }
    }

    /// Deletes this node's entry.
    pub(super) async fn release(&self, connected: Connected<'_>, song: &str) {
        self.untold.lock().remove(song);
        if let Some((client, _, revision)) = self.own_entry(connected, song).await {
            self.songs.delete(&client, song, Some(revision)).await;
        }
    }

    /// Deletes the entry of any node.
    pub(super) async fn forget(&self, connected: Connected<'_>, song: &str) {
        if let Some(client) = connected() {
            // An entry that stays does no harm: its node says that it has no such song.
            self.songs.delete(&client, song, None).await;
        }
    }

    /// A song's entry, if there is one, and its revision; `None` if NATS does not say.
    async fn entry(&self, client: &Client, song: &str) -> Option<(Option<SongEntry>, u64)> {
        self.songs.read(client, song, false).await.ok()
    }

    async fn own_entry(
        &self,
        connected: Connected<'_>,
        song: &str,
    ) -> Option<(Client, SongEntry, u64)> {
        let client = connected()?;
        let (entry, revision) = self.entry(&client, song).await?;
        let entry = entry.filter(|entry| entry.node == self.node)?;
        Some((client, entry, revision))
    }

    /// NATS is away, and this node makes the song without it.
    fn note_untold(&self, song: &str) {
        let mut untold = self.untold.lock();
        if untold.len() < MOST_UNTOLD {
            untold.insert(song.to_owned());
        }
    }

    /// Whether [`Self::tell`] has something to do.
    pub(super) fn has_to_tell(&self) -> bool {
        !self.untold.lock().is_empty() || self.songs.fault().is_some()
    }

    /// Writes down the songs of the time without NATS, one after the other; one call at a time. It ends where NATS does
    /// not take one.
    pub(super) async fn tell(&self, connected: Connected<'_>) {
        let Ok(_turn) = self.telling.try_lock() else {
            return;
        };
        if self.songs.fault().is_some() && !self.finds_the_bucket(connected).await {
            return;
        }
        loop {
            let Some(song) = self.untold.lock().pop_first() else {
                return;
            };
            match self.claim(connected, &song, None).await {
                Claim::Ours => {
                    tracing::debug!(song, "told NATS of a song that was made without it");
                }
                Claim::Theirs(_) => {}
                Claim::Unknown => return,
            }
        }
    }

    async fn finds_the_bucket(&self, connected: Connected<'_>) -> bool {
        match connected() {
            Some(client) => self.songs.probe(&client).await,
            None => false,
        }
    }
}
