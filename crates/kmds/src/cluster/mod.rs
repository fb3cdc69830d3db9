//! Other hosts that work as one with this one (docs/operation.md, "Several hosts").
//!
//! Owns what nodes tell and ask each other, and which node is asked. The rest of the program asks [`Peers`] only. On a
//! host of its own that is [`Peers::alone`]: it knows no node, starts nothing, costs nothing, and answers "none". In a
//! build with the feature `cluster` NATS is behind [`Network`].
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`membership`] | from the start of the service to its stop |
//! | [`peers`] | what the service asks of the other nodes, and which of them it asks |
//! | [`refusals`] | which refusals another node may avoid (pure) |
//! | [`nodes`] | what a node tells of itself; in which order nodes are asked (pure) |
//! | [`questions`] | what nodes ask each other, as bytes (pure) |
//! | `nats` | the connection: what goes out by it, and which part gets what comes in |
//! | `look` | what a command learns of the other nodes |
//! | `messages` | messages as bytes: signed, and opened |
//! | `reports`, `presence` | what this node learns from reports; which nodes are present |
//! | `claims`, `songs` | which node makes or has a song; its bucket in NATS |
//! | `relay` | a song's bytes, read from another node over HTTP |
//! | `seal` | how a node knows that a message comes from another node (pure) |
//!
//! This module does not decide what happens to a song: [`crate::jobs`] does.

#[cfg(feature = "cluster")]
mod claims;
#[cfg(feature = "cluster")]
mod look;
mod membership;
#[cfg(feature = "cluster")]
mod messages;
#[cfg(feature = "cluster")]
mod nats;
mod nodes;
mod peers;
#[cfg(feature = "cluster")]
mod presence;
mod questions;
mod refusals;
#[cfg(feature = "cluster")]
mod relay;
#[cfg(feature = "cluster")]
mod reports;
#[cfg(feature = "cluster")]
mod seal;
#[cfg(feature = "cluster")]
mod songs;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use kmds_extract::{Failure, Format, Site, TrackId};
use serde::{Deserialize, Serialize};

pub use membership::Membership;
pub use nodes::{NodeReport, SiteReport};
pub use peers::{LEAST_PAUSE, Peers};
pub use questions::{
    CancelTold, FormTold, ListTold, NewsTold, PlaceTold, Question, Reply, SongTold, SongWanted,
    Sought,
};
pub use refusals::{Closed, NOT_ASKED, is_of_address, longer, passes_on, sooner};

/// Names the node that sends a request to another one's HTTP.
pub const NODE_HEADER: &str = "kmds-node";
/// Tells a node that no client waits for a song there: the song keeps its turn here. An older node does not send it.
pub const UNHEARD_HEADER: &str = "kmds-unheard";
/// Tells a node which file of the site a song's bytes are, so that its copy has the same etag.
pub const VALIDATOR_HEADER: &str = "kmds-validator";
/// What answers the questions of other nodes.
pub type Answering = Arc<dyn Fn(Question) -> BoxFuture<'static, Reply> + Send + Sync>;
/// The sites that this node fetches from, as they are now.
pub type Telling = Arc<dyn Fn() -> Vec<SiteReport> + Send + Sync>;

/// What happens to this node's songs, for the others.
pub type TellingNews = futures_util::stream::BoxStream<'static, NewsTold>;
/// What happened to a song at another node.
pub type HearingNews = Arc<dyn Fn(NewsTold) + Send + Sync>;

/// What the service gives the cluster.
pub struct Service {
    pub telling: Telling,
    pub answering: Answering,
    pub news: TellingNews,
    pub hearing: HearingNews,
}

/// The nodes as a command of the operator sees them.
#[cfg(feature = "cluster")]
#[derive(Debug, Default)]
pub struct NodesSeen {
    pub nodes: Vec<NodeSeen>,
    /// Sentences: why messages of other nodes were ignored.
    pub ignored: Vec<&'static str>,
}

/// One of them.
#[cfg(feature = "cluster")]
#[derive(Debug)]
pub struct NodeSeen {
    pub node: String,
    /// It has the settings of the command.
    pub is_this: bool,
    pub version: String,
    /// It speaks this version of the cluster's language.
    pub is_understood: bool,
    pub address: Option<String>,
    /// A sentence: why its HTTP gives this node nothing.
    pub unreached: Option<String>,
    /// How far its clock is ahead of this one; `None` if its messages have no time.
    pub ahead_ms: Option<i64>,
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
    /// The node is gone, or its connection broke.
    Lost,
    /// The node has no such song now, or gives this node none.
    NotThere,
    /// What the node has ends before the byte that was asked for.
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
    /// Names the file: bytes of another node with the same tag continue these.
    pub etag: Option<String>,
    /// Which file of the site the bytes are; `None` from a node that does not tell.
    pub validator: Option<String>,
    /// The first byte that is sent.
    pub start: u64,
}

/// The way to the other nodes.
pub trait Network: Send + Sync {
    /// Whether this node works among the others now.
    fn is_connected(&self) -> bool;
    /// Why it does not, or does not know which node has which song: a sentence, and what to look at.
    fn why_alone(&self) -> Option<(String, &'static str)>;
    /// The other nodes that are present.
    fn nodes(&self) -> Vec<NodeReport>;
    /// Notes that a node has one place less than it told.
    fn took(&self, node: &str, site: Site);
    /// Notes that the site limits a node.
    fn limited(&self, node: &str, site: Site, closed: Closed);
    /// Tells the other nodes of this one now, and not at the next beat only.
    fn tell_now(&self);
    /// `None` if the node does not answer in time.
    fn ask<'a>(
        &'a self,
        node: &'a str,
        question: Bytes,
        within: Duration,
    ) -> BoxFuture<'a, Option<Bytes>>;
    /// Claims a song for this node, unless another node that is present has it. `from` counts as a node that is gone.
    fn claim<'a>(&'a self, song: &'a str, from: Option<&'a str>) -> BoxFuture<'a, Claim>;
    /// The node that makes or has a song.
    fn holder<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<String>>;
    /// The song as its last holder finished it, whether or not that node is present.
    fn finished<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<Finished>>;
    /// Notes that this node, which has claimed the song, has finished it.
    fn finish<'a>(&'a self, song: &'a str, finished: Finished) -> BoxFuture<'a, ()>;
    /// Whether all nodes have one cache folder.
    fn shares_drive(&self) -> bool;
    /// Forgets which node has a song, since it was removed.
    fn forget<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()>;
    /// Ends this node's claim of a song that it will not bring.
    fn release<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()>;
    /// A song from this byte on, if the file is still the one of the tag. `listened`: a client waits for it here.
    fn open<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        from: Option<(u64, String)>,
        listened: bool,
    ) -> BoxFuture<'a, Result<Arriving, NotGiven>>;
    /// A short answer of a node's HTTP; `None` if it has none.
    fn read<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Option<Bytes>>;
}

/// A song's name in NATS: site, id and form.
#[must_use]
pub fn song_name(track: &TrackId, form: Format) -> String {
    format!("{}.{}.{}", track.site().as_str(), track.id(), form.ext())
}
