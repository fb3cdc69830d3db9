//! Other hosts that work as one with this one (docs/operation.md, "Several hosts").
//!
//! Owns what nodes tell and ask each other, and which of them is asked. A host of its own has [`Peers::alone`], which knows
//! no node, starts nothing and costs nothing: callers ask the same questions of it and get "none". NATS stands behind
//! [`Network`], in a build with the feature `cluster` only.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`membership`] | from the start of the service to its stop |
//! | [`nodes`] | what a node tells of itself; in which order nodes are asked (pure) |
//! | [`questions`] | what nodes ask each other, as bytes (pure) |
//! | `nats` | the connection: what goes out by it, and to which part what comes in is given |
//! | `messages` | messages as bytes: signed, and opened |
//! | `reports`, `presence` | what this node makes of reports; which nodes are there |
//! | `claims`, `songs` | which node makes or has a song; its bucket in NATS |
//! | `relay` | a song's bytes, read from another node over HTTP |
//! | `seal` | how nodes know each other's messages (pure) |
//!
//! Nothing here decides what happens to a song: [`crate::jobs`] does.

#[cfg(feature = "cluster")]
mod claims;
mod membership;
#[cfg(feature = "cluster")]
mod messages;
#[cfg(feature = "cluster")]
mod nats;
mod nodes;
#[cfg(feature = "cluster")]
mod presence;
mod questions;
#[cfg(feature = "cluster")]
mod relay;
#[cfg(feature = "cluster")]
mod reports;
#[cfg(feature = "cluster")]
mod seal;
#[cfg(feature = "cluster")]
mod songs;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use kmds_extract::{Failure, Format, Kind, Site, TrackId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub use membership::Membership;
pub use nodes::{NodeReport, SiteReport};
pub use questions::{
    CancelTold, FormTold, ListTold, NewsTold, PlaceTold, Question, Reply, SongTold, SongWanted,
    Sought,
};

/// When a client may ask again for what no node could be asked for: NATS is back, or a node, within some seconds.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Where a node has not taken a song for so long the next one is asked too.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// While a node answers a link or a search it is looked whether it is still there.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A node whose HTTP gave no connection is asked after all others for so long.
const ASKED_LAST_FOR: Duration = Duration::from_secs(60);
/// Names the node that sends a request to another one's HTTP.
pub const NODE_HEADER: &str = "kmds-node";
/// Tells a node that no client waits for a song there: the song keeps its turn here. An older node does not send it.
pub const UNHEARD_HEADER: &str = "kmds-unheard";
/// Tells a node what the bytes of a song are of, so that its copy has the same etag.
pub const VALIDATOR_HEADER: &str = "kmds-validator";
/// A node answers that it takes a song, or not, within this time.
const TAKES_WITHIN: Duration = Duration::from_secs(5);

/// What answers the questions of other nodes.
pub type Answering = Arc<dyn Fn(Question) -> BoxFuture<'static, Reply> + Send + Sync>;
/// The sites that this node fetches from, as they are now.
pub type Telling = Arc<dyn Fn() -> Vec<SiteReport> + Send + Sync>;

/// What happens to this node's songs, for the others.
pub type TellingNews = futures_util::stream::BoxStream<'static, NewsTold>;
/// What happened to a song at another node.
pub type HearingNews = Arc<dyn Fn(NewsTold) + Send + Sync>;

/// What the service does for the cluster.
pub struct Service {
    pub telling: Telling,
    pub answering: Answering,
    pub news: TellingNews,
    pub hearing: HearingNews,
}

/// Which node makes or has a song.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This one: no other node fetches it now.
    Ours,
    Theirs(String),
    /// NATS does not say: this node works as one that is alone.
    Unknown,
}

/// A song that a node has finished, as the bucket of songs tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub ext: String,
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// Why a node does not give a song.
#[derive(Debug)]
pub enum NotGiven {
    /// No connection to its HTTP.
    Unreachable,
    /// The node is gone, or the connection broke.
    Lost,
    /// It has no such song now, or gives this node none.
    NotThere,
    /// What it has ends before the byte that is asked for.
    OutOfRange,
    /// The node says why.
    Refused(Failure),
}

/// A song as a node sends it.
pub struct Arriving {
    pub head: SongHead,
    /// Ends without an error only with the whole song.
    pub body: Pin<Box<dyn Stream<Item = Result<Bytes, NotGiven>> + Send>>,
}

/// What is known of a song before its bytes.
#[derive(Debug)]
pub struct SongHead {
    pub format: Format,
    pub total: Option<u64>,
    /// Names the file: what another node has under the same tag goes on where this ends.
    pub etag: Option<String>,
    /// What the bytes are of; `None` from a node that does not tell.
    pub validator: Option<String>,
    /// The first byte that is sent.
    pub start: u64,
}

/// The way to the other nodes.
pub trait Network: Send + Sync {
    /// Whether this node works among the others now.
    fn is_connected(&self) -> bool;
    /// Why it does not, or does not know which node has which song: a sentence, and where to look.
    fn why_alone(&self) -> Option<(String, &'static str)>;
    /// The other nodes that are there.
    fn nodes(&self) -> Vec<NodeReport>;
    /// Notes that a node has one place less than it told.
    fn took(&self, node: &str, site: Site);
    /// `None` if the node does not answer in time.
    fn ask<'a>(
        &'a self,
        node: &'a str,
        question: Bytes,
        within: Duration,
    ) -> BoxFuture<'a, Option<Bytes>>;
    /// Takes a song that no node has, that this one has, or that a node has which is gone or is `from`.
    fn claim<'a>(&'a self, song: &'a str, from: Option<&'a str>) -> BoxFuture<'a, Claim>;
    /// The node that makes or has a song.
    fn holder<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<String>>;
    /// The song as the node that had it last finished it, whether or not that node is there.
    fn finished<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<Finished>>;
    /// Notes that this node, which has claimed the song, has finished it.
    fn finish<'a>(&'a self, song: &'a str, finished: Finished) -> BoxFuture<'a, ()>;
    /// Whether all nodes have one cache folder.
    fn shares_drive(&self) -> bool;
    /// Forgets which node has a song: it was removed.
    fn forget<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()>;
    /// Lets go of a song that this node claimed and will not bring.
    fn release<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()>;
    /// A song from this byte on, where the file is still the one of the tag. `listened`: a client waits for it here.
    fn open<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        from: Option<(u64, String)>,
        listened: bool,
    ) -> BoxFuture<'a, Result<Arriving, NotGiven>>;
    /// A short answer of a node's HTTP; `None` where it has none.
    fn read<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Option<Bytes>>;
}

/// The other nodes, if there are any. Cheap to clone.
#[derive(Clone, Default)]
pub struct Peers(Option<Arc<Joined>>);

struct Joined {
    network: Arc<dyn Network>,
    /// Nodes whose HTTP gave no connection, and until when they are asked last.
    unreachable: Mutex<HashMap<String, Instant>>,
    /// Until when a site is not asked from this address.
    closed: Mutex<HashMap<Site, Instant>>,
}

/// Whether the site has refused this address, and is not asked from it for a while.
#[must_use]
pub const fn is_of_address(kind: Kind) -> bool {
    matches!(kind, Kind::BotCheck | Kind::RateLimited)
}

/// Whether another address, or another line, may bring what this one does not get.
#[must_use]
pub const fn passes_on(kind: Kind) -> bool {
    is_of_address(kind)
        || matches!(
            kind,
            Kind::OriginFailed | Kind::OriginRefused | Kind::Timeout | Kind::GeoBlocked
        )
}

/// A song is offered to all nodes.
fn asks_on(question: &Question, failure: &Failure) -> bool {
    let is_song = matches!(question, Question::Song(_));
    let is_busy = failure.kind == Kind::QueueFull;
    passes_on(failure.kind) || is_busy || (is_song && failure.retryable())
}

/// Of two refusals the one after which can be asked again first; else the last.
#[must_use]
pub fn sooner(before: Option<Failure>, last: Failure) -> Failure {
    match (
        before.as_ref().and_then(|one| one.retry_after),
        last.retry_after,
    ) {
        (Some(one), other) if other.is_none_or(|other| one < other) => before.unwrap_or(last),
        _ => last,
    }
}

/// A song's name in NATS: site, id and form.
#[must_use]
pub fn song_name(track: &TrackId, form: Format) -> String {
    format!("{}.{}.{}", track.site().as_str(), track.id(), form.ext())
}

impl Peers {
    /// A host of its own.
    #[must_use]
    pub fn alone() -> Self {
        Self::default()
    }

    /// In a build without the feature there are none, and the compiler leaves out what is asked of them.
    const fn others(&self) -> Option<&Arc<Joined>> {
        if cfg!(feature = "cluster") {
            self.0.as_ref()
        } else {
            None
        }
    }

    #[cfg(feature = "cluster")]
    #[must_use]
    pub fn joined(network: Arc<dyn Network>) -> Self {
        Self(Some(Arc::new(Joined {
            network,
            unreachable: Mutex::default(),
            closed: Mutex::default(),
        })))
    }

    #[must_use]
    pub fn are_none(&self) -> bool {
        self.others().is_none()
    }

    /// `None` for a host of its own.
    #[must_use]
    pub fn is_connected(&self) -> Option<bool> {
        Some(self.others()?.network.is_connected())
    }

    /// Why this node does not work among the others, or does not know which of them has which song: a sentence, and where to
    /// look.
    #[must_use]
    pub fn why_alone(&self) -> Option<(String, &'static str)> {
        self.others()?.network.why_alone()
    }

    /// The other nodes that are there.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeReport> {
        let joined = self.others();
        joined.map_or_else(Vec::new, |joined| joined.network.nodes())
    }

    /// Asks the nodes that fetch from this site, one after the other, until one gives an answer that is not about its own
    /// address or line. Where one is silent ([`Joined::is_silent`]) the next is asked too, and the first answer counts.
    /// # Errors
    /// What the node said that can be asked again first; [`Kind::ClusterUnavailable`] where none could be asked.
    pub async fn ask(
        &self,
        site: Site,
        question: &Question,
        within: Duration,
        except: &[String],
    ) -> Result<(String, Reply), Failure> {
        let unavailable = self.unavailable(site);
        let Some(joined) = self.others() else {
            return Err(unavailable);
        };
        let bytes = questions::pack(question);
        let ask = |node: String| {
            let bytes = bytes.clone();
            async move {
                let answer = joined.network.ask(&node, bytes, within).await;
                (node, answer)
            }
        };
        let mut left = joined.in_order(site, except).into_iter();
        let mut asked = FuturesUnordered::new();
        let mut refused = None;
        loop {
            let next = left.next();
            let silent = joined.is_silent(next.clone(), question);
            asked.extend(next.map(&ask));
            let answer = tokio::select! {
                answer = asked.next() => answer,
                () = silent => continue,
            };
            let Some(answer) = answer else {
                return Err(refused.unwrap_or(unavailable));
            };
            match answer.1.as_deref().and_then(questions::unpack_reply) {
                Some(Reply::Refused(failure)) if asks_on(question, &failure) => {
                    refused = Some(sooner(refused, failure));
                }
                Some(Reply::Refused(failure)) => return Err(failure),
                Some(reply) => return Ok((answer.0, reply)),
                None => {}
            }
        }
    }

    /// What all other nodes answer, as far as they do.
    pub async fn ask_all(&self, question: &Question) -> Vec<Reply> {
        let Some(joined) = self.others() else {
            return Vec::new();
        };
        let bytes = questions::pack(question);
        let nodes = joined.network.nodes();
        let asked = nodes.iter().map(|told| {
            let network = &joined.network;
            network.ask(&told.node, bytes.clone(), TAKES_WITHIN)
        });
        let answers = futures_util::future::join_all(asked).await;
        let answers = answers.into_iter().flatten();
        answers
            .filter_map(|answer| questions::unpack_reply(&answer))
            .collect()
    }

    /// Gives a song to a node that takes it: its name.
    /// # Errors
    /// As [`Self::ask`].
    pub async fn give(&self, wanted: SongWanted, except: &[String]) -> Result<String, Failure> {
        let site = wanted.track.id.site();
        let question = Question::Song(Box::new(wanted));
        let (node, _) = self.ask(site, &question, TAKES_WITHIN, except).await?;
        if let Some(joined) = self.others() {
            joined.network.took(&node, site);
        }
        Ok(node)
    }

    /// Tells a node that makes a song that a client waits for it here.
    pub async fn hurry(&self, node: &str, wanted: SongWanted) {
        let question = Question::Song(Box::new(wanted));
        if let Some(joined) = self.others() {
            let question = questions::pack(&question);
            joined.network.ask(node, question, TAKES_WITHIN).await;
        }
    }

    fn unavailable(&self, site: Site) -> Failure {
        let sentence = if self.is_connected() == Some(true) {
            format!("no node of the cluster fetches from {site} now; start one, or ask again")
        } else {
            format!(
                "NATS does not answer, and this node fetches nothing from {site}; ask again in some seconds"
            )
        };
        Failure::new(Kind::ClusterUnavailable, sentence).after(ASK_AGAIN)
    }

    /// See [`Network::claim`].
    pub async fn claim(&self, song: &str, from: Option<&str>) -> Claim {
        match self.others() {
            Some(joined) => joined.network.claim(song, from).await,
            None => Claim::Unknown,
        }
    }

    /// See [`Network::holder`].
    pub async fn holder(&self, song: &str) -> Option<String> {
        self.others()?.network.holder(song).await
    }

    /// See [`Network::finished`].
    pub async fn finished(&self, song: &str) -> Option<Finished> {
        self.others()?.network.finished(song).await
    }

    /// See [`Network::finish`].
    pub async fn finish(&self, song: &str, finished: Finished) {
        if let Some(joined) = self.others() {
            joined.network.finish(song, finished).await;
        }
    }

    /// Whether all nodes have one cache folder.
    #[must_use]
    pub fn share_a_drive(&self) -> bool {
        let joined = self.others();
        joined.is_some_and(|joined| joined.network.shares_drive())
    }

    /// Whether this node is there now.
    #[must_use]
    pub fn has(&self, node: &str) -> bool {
        self.nodes().iter().any(|there| there.node == node)
    }

    /// See [`Network::forget`].
    pub async fn forget(&self, song: &str) {
        if let Some(joined) = self.others() {
            joined.network.forget(song).await;
        }
    }

    /// See [`Network::release`].
    pub async fn release(&self, song: &str) {
        if let Some(joined) = self.others() {
            joined.network.release(song).await;
        }
    }

    /// A song in one form from a node. See [`Network::open`].
    /// # Errors
    /// [`NotGiven`].
    pub async fn open(
        &self,
        node: &str,
        track: &TrackId,
        form: Format,
        from: Option<(u64, String)>,
        listened: bool,
    ) -> Result<Arriving, NotGiven> {
        let joined = self.others().ok_or(NotGiven::Lost)?;
        let path = format!(
            "/api/v1/tracks/{}/{}/{}/audio?stream=true",
            track.site().as_str(),
            track.id(),
            form.ext()
        );
        let opened = joined.network.open(node, &path, from, listened).await;
        joined.note_reached(node, !matches!(opened, Err(NotGiven::Unreachable)));
        opened
    }

    /// A song's cover, from the first node that has it.
    pub async fn cover(&self, track: &TrackId, most: usize) -> Option<Bytes> {
        let joined = self.others()?;
        let (site, id) = (track.site(), track.id());
        let path = format!("/api/v1/tracks/{}/{id}/cover", site.as_str());
        for node in nodes::in_order(&joined.network.nodes(), site) {
            if let Some(bytes) = joined.network.read(&node, &path, most).await {
                return Some(bytes);
            }
        }
        None
    }

    /// Whether another node can fetch from this site now.
    #[must_use]
    pub fn others_fetch(&self, site: Site) -> bool {
        let sites = self.nodes().into_iter().flat_map(|node| node.sites);
        let mut fetched = sites.filter(|told| told.limited_seconds.is_none());
        fetched.any(|told| told.site == site.as_str())
    }

    /// Whether another node fetches from any site.
    #[must_use]
    pub fn any_fetch(&self) -> bool {
        self.nodes().iter().any(|node| !node.sites.is_empty())
    }

    /// The site has refused this address: other nodes are asked for so long.
    pub fn close(&self, site: Site, pause: Duration) {
        if let Some(joined) = self.others() {
            joined.closed.lock().insert(site, Instant::now() + pause);
        }
    }

    /// How long the site is not asked from this address.
    #[must_use]
    pub fn closed_for(&self, site: Site) -> Option<Duration> {
        let until = *self.others()?.closed.lock().get(&site)?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

impl Joined {
    /// The nodes that fetch from this site, those that gave no connection last.
    fn in_order(&self, site: Site, except: &[String]) -> Vec<String> {
        let mut nodes = nodes::in_order(&self.network.nodes(), site);
        nodes.retain(|node| !except.contains(node));
        let (unreachable, now) = (self.unreachable.lock(), Instant::now());
        nodes.sort_by_key(|node| unreachable.get(node).is_some_and(|until| *until > now));
        nodes
    }

    /// Ends when the next node is to be asked too. A node that is there gets all the time it takes for a link or a search, since
    /// the site would see the second question too.
    async fn is_silent(&self, node: Option<String>, question: &Question) {
        let Some(node) = node else {
            return std::future::pending().await;
        };
        if !matches!(question, Question::Link { .. } | Question::Search { .. }) {
            return tokio::time::sleep(SILENT_AFTER).await;
        }
        while self.network.nodes().iter().any(|told| told.node == node) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Notes whether a node's HTTP gives a connection. It is told once, until it gives one.
    fn note_reached(&self, node: &str, is_reached: bool) {
        let mut unreachable = self.unreachable.lock();
        if is_reached {
            unreachable.remove(node);
            return;
        }
        let until = Instant::now() + ASKED_LAST_FOR;
        if unreachable.insert(node.to_owned(), until).is_none() {
            let told = self.network.nodes().into_iter();
            let address = told
                .filter(|told| told.node == node)
                .find_map(|told| told.address);
            tracing::warn!(
                node,
                address,
                "the node's HTTP gives no connection there; look at its cluster.address"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_refusals_the_shortest_pause_is_told() {
        let limited = |seconds: Option<u64>| {
            let failure = Failure::new(Kind::RateLimited, "limited");
            Failure {
                retry_after: seconds.map(Duration::from_secs),
                ..failure
            }
        };
        for (refusals, told) in [
            ([Some(60), Some(2), Some(30)], Some(2)),
            ([None, Some(7), None], Some(7)),
            ([None, None, None], None),
        ] {
            let refusals = refusals.into_iter().map(limited);
            let last = refusals.fold(None, |before, last| Some(sooner(before, last)));
            let pause = last.expect("one").retry_after;
            assert_eq!(pause, told.map(Duration::from_secs));
        }
    }
}
