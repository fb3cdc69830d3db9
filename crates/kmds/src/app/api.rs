//! The application's interface: requests, answers and failures.
//!
//! Owns the values that the HTTP faces and the commands exchange with [`App`](super::App). They are no wire shapes:
//! PascalCase, snake_case and statuses belong to the faces.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use kmds_extract::Failure;
use kmds_extract::choose::Accept;
use kmds_extract::{Format, Kind, Site, Track};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

pub use crate::cluster::{NODE_HEADER, UNHEARD_HEADER, VALIDATOR_HEADER};
#[cfg(feature = "cluster")]
pub use crate::cluster::{NodeSeen, NodesSeen};
pub use crate::jobs::covers::Cover;
pub use crate::jobs::{Event, EventName, Events};
pub use crate::store::{CopyForm, Found, Held, HeldSum, Holder, Key, State};

/// A client's request with a link.
#[derive(Debug, Clone)]
pub struct FetchAsk {
    /// As the client sent it.
    pub link: String,
    /// Take the whole list of a `watch?v=…&list=…` link.
    pub whole_list: bool,
    /// `None`: the formats that the settings name.
    pub accept: Option<Accept>,
    /// `None`: a song, or of a list as many songs as the settings say.
    pub prefetch: Option<Prefetch>,
}

/// Which form of a known song a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormAsk {
    /// The original as a client asked for it last, or a copy of it.
    Rendition(CopyForm),
    /// In this format, without tags: from the site if it has that format, else converted from the original.
    Format(Format),
    /// In the first of these formats that is in the cache or that the site has.
    Accept(Accept),
}

impl FormAsk {
    /// The same form with tags.
    #[must_use]
    pub fn tagged(self) -> Self {
        match self {
            Self::Format(format) => Self::Rendition(CopyForm {
                format: Some(format),
                tagged: true,
            }),
            Self::Rendition(form) => Self::Rendition(CopyForm {
                tagged: true,
                ..form
            }),
            Self::Accept(accept) => Self::Accept(accept),
        }
    }
}

impl From<CopyForm> for FormAsk {
    fn from(form: CopyForm) -> Self {
        match form {
            CopyForm {
                format: Some(format),
                tagged: false,
            } => Self::Format(format),
            form => Self::Rendition(form),
        }
    }
}

/// How many songs of a link are queued at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefetch {
    All,
    /// Nothing, until a client asks for the audio.
    None,
    /// The first N, then N ahead of the one being listened to.
    Ahead(usize),
}

/// A resolved link. Its downloads run in the background.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The site's id of the song or list.
    pub id: String,
    pub site: Site,
    /// The link in its canonical form.
    pub link: String,
    /// Set for lists only.
    pub list: Option<ListFacts>,
    /// Shared by all requests for the same long list.
    pub songs: Arc<Vec<Song>>,
    pub unavailable: Vec<Missing>,
    pub truncated: bool,
    /// For a long list: its place among the few that are held at a time, until its reply is written.
    pub room: Option<Arc<OwnedSemaphorePermit>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListFacts {
    pub title: Option<String>,
    pub artist: Option<String>,
    pub cover_url: Option<String>,
    pub total: usize,
}

/// A song of a list that is not available.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing {
    pub title: Option<String>,
    /// 1-based place in the list.
    pub number: u32,
    pub failure: Failure,
}

/// One song in one form: what is known about it, and how much of it has arrived.
#[derive(Debug, Clone)]
pub struct Song {
    pub key: Key,
    pub track: Track,
    pub state: State,
    /// Bytes that have arrived; `total` is how many there will be, if the site said it.
    pub received: u64,
    pub total: Option<u64>,
    pub failure: Option<Failure>,
    /// The format of the file that exists, or is expected.
    pub format: Format,
    /// Exact where known, else an estimate.
    pub approximate_size: Option<u64>,
    /// For people; made unique within one reply.
    pub file_name: String,
    pub cover_name: String,
    /// `{site}-{id}.{ext}`.
    pub canonical_name: String,
    /// The path of the finished file, as the client sees the drive.
    pub cache_path: String,
    /// The other facts of a finished file.
    pub stored: Option<Stored>,
    /// Its file is not evicted meanwhile.
    pub held: Option<Held>,
}

impl Song {
    /// The word for its form. It belongs to the key, and stays when another container arrives.
    #[must_use]
    pub fn form(&self) -> Format {
        self.key.form().unwrap_or(self.format)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub size_bytes: u64,
    pub sha256: String,
    pub container: &'static str,
    pub codec: &'static str,
    pub bitrate_bps: Option<u32>,
    pub published: SystemTime,
}

/// How long a client is ready to wait for audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Only a finished file, now; moves nothing (`HEAD`).
    Peek,
    /// A finished file, within this time, if its job is running or queued already; moves nothing (`HEAD` with `wait`).
    PeekWithin(Duration),
    /// The file as it is now, growing or finished; moves nothing (`HEAD` with `stream`).
    PeekStream,
    /// Only a finished file; a queued song moves to the front.
    Whole,
    /// A finished file, within this time.
    WholeWithin(Duration),
    /// Bytes as they arrive: the answer starts when the site has answered the first media request.
    Stream,
    /// The same for another node, which does not wait if this node has another node fetch the song. The song moves to
    /// the front only if a client listens there.
    StreamToNode { listened: bool },
}

impl Want {
    /// Whether it moves and starts nothing.
    #[must_use]
    pub const fn only_looks(self) -> bool {
        matches!(self, Self::Peek | Self::PeekWithin(_) | Self::PeekStream)
    }
}

/// What is known about a link without asking a site.
#[derive(Debug, Clone)]
pub enum Known {
    Song(Key),
    List,
    Nothing,
}

/// Why audio is not served.
#[derive(Debug, Clone, PartialEq)]
pub enum NotServed {
    /// Not finished: 418 on `/tunnel`. `wait` is the time for which it will not continue, if that is known.
    Unfinished {
        state: State,
        received: u64,
        total: Option<u64>,
        wait: Option<Duration>,
    },
    /// Failed for good; a new fetch tries again.
    Failed(Failure),
    /// No client asked for it, or it was deleted.
    Unknown,
}

/// Audio to be served: whole, or still growing. Dropping it never stops a download.
#[derive(Debug)]
pub struct Audio {
    /// `audio/mp4`, …: of the real container.
    pub content_type: &'static str,
    /// Length, if it is known already; it always is for a finished file.
    pub total: Option<u64>,
    /// Strong, quoted; `None` while the length is unknown.
    pub etag: Option<String>,
    /// What the bytes are of, for another node: its copy has the same etag.
    pub validator: String,
    pub modified: SystemTime,
    /// For `Content-Disposition`.
    pub file_name: String,
    pub finished: bool,
    pub reader: crate::store::Reader,
}

/// A run: the songs of one link go into the music library.
#[derive(Debug, Clone)]
pub struct LibraryRun {
    pub id: String,
    /// The list's title, else the song's.
    pub title: Option<String>,
    pub state: RunState,
    /// How many there are. Unavailable songs count here, and among the failed ones.
    pub songs: usize,
    pub placed: usize,
    /// Were in the folder before.
    pub present: usize,
    pub failed: usize,
    /// Below the folder: the file of one song, or the folder that contains all of several.
    pub path: Option<String>,
    /// The first of those that failed.
    pub failures: Vec<LibraryFailure>,
    /// Why the run ended before its last song.
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone)]
pub struct LibraryFailure {
    pub title: Option<String>,
    pub failure: Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    Running,
    Done,
    Failed,
}

impl RunState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Which songs of the catalog.
#[derive(Debug, Clone, Default)]
pub struct ListAsk {
    pub state: Option<State>,
    pub site: Option<Site>,
    pub query: Option<String>,
    /// Leave out copies made on request.
    pub originals_only: bool,
    /// 1 to 500.
    pub limit: usize,
    pub cursor: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Listing {
    pub songs: Vec<Song>,
    /// For the next call; `None` at the end.
    pub cursor: Option<String>,
}

/// An existing cover.
#[derive(Debug, Clone)]
pub enum CoverFound {
    Here(Cover),
    /// Not in the cache yet.
    AtTheSite,
}

/// Counts and health.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    /// Songs by state word.
    pub songs: std::collections::BTreeMap<String, u64>,
    pub bytes_on_disk: u64,
    pub free_bytes: Option<u64>,
    pub max_bytes: u64,
    pub queues: Vec<QueueStats>,
    pub lanes: Vec<LaneStats>,
    /// The queues that clients play from.
    pub play_queues: Vec<PlayQueueStats>,
    pub engines: Vec<EngineStats>,
    pub sites: Vec<SiteStats>,
    pub recipes: RecipesStats,
    /// Files that are kept from eviction.
    pub holds: HeldSum,
    /// Songs can be put into a music library (`library.dir`).
    pub library: bool,
    pub listeners: u64,
    pub uptime_seconds: u64,
    /// `None` for a host without a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterStats>,
}

/// A queue that a client plays from.
#[derive(Debug, Clone, Serialize)]
pub struct PlayQueueStats {
    pub name: String,
    /// Songs that were begun.
    pub begun: usize,
    /// Songs in all.
    pub total: usize,
    /// Songs that are made ready before they are played.
    pub ahead: usize,
    /// How many of them are ready.
    pub ready: usize,
    /// It ends then, unless it is written again. RFC 3339.
    pub until: String,
}

/// The other nodes, as this one knows them.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterStats {
    /// NATS answers.
    pub connected: bool,
    pub nodes: Vec<NodeStats>,
}

/// A node that is there.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStats {
    pub node: String,
    pub version: String,
    /// `None` for a node from which others read nothing.
    pub address: Option<String>,
    /// The sites that it fetches from.
    pub sites: Vec<NodeSiteStats>,
}

#[derive(Debug, Clone, Serialize)]
pub struct NodeSiteStats {
    pub site: String,
    /// Downloads that it could start now; below zero where songs wait.
    pub free: i64,
    /// How long the site still limits the node's address.
    pub limited_seconds: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct QueueStats {
    pub site: String,
    pub waiting: usize,
    pub running: usize,
    pub limit: usize,
}

/// A queue, and the pause that its site wants.
#[derive(Debug, Clone, Serialize)]
pub struct LaneStats {
    pub site: String,
    pub waiting: usize,
    pub running: usize,
    pub limit: usize,
    /// RFC 3339, UTC: until then the site is not asked for songs; `None` without a pause.
    pub paused_until: Option<String>,
    /// The same as a time from now.
    #[serde(skip)]
    pub paused_for: Option<Duration>,
}

#[derive(Debug, Clone, Serialize)]
pub struct EngineStats {
    pub site: String,
    /// `native` or `ytdlp`: the engine that goes first now.
    pub first: String,
    pub native: String,
    pub ytdlp: String,
    pub native_failures: u64,
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// Why yt-dlp gave nothing when it was last run for this site.
    pub ytdlp_reason: Option<String>,
}

/// Whether a site is switched on, and open.
#[derive(Debug, Clone, Serialize)]
pub struct SiteStats {
    pub site: String,
    pub enabled: bool,
    /// False while the operator's rules forbid to ask it (`egress.forbid`).
    pub open: bool,
    /// Why it is closed, in a sentence.
    pub reason: Option<String>,
}

/// Which facts about the sites are in force.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RecipesStats {
    pub date: String,
    /// `built in`, or the files they were read from.
    pub from: String,
    /// Why the last reload was refused.
    pub refused: Option<RefusedRecipes>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RefusedRecipes {
    /// RFC 3339, UTC.
    pub at: String,
    pub kind: Kind,
    /// In a sentence.
    pub reason: String,
}

/// Whether the service can do its work.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// One sentence per thing that is wrong.
    pub problems: Vec<String>,
    /// The state of yt-dlp, as `kmds doctor` says it; empty before the first check.
    pub details: Vec<String>,
}
