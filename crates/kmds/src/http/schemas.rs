//! Schemas of `/openapi.json` that no reply has as its own type. Only in tests.
//!
//! Request bodies are read by hand, for clearer sentences in refusals; the application has the counts of
//! `/api/v1/stats`.

#![expect(dead_code, reason = "only described")]

use std::collections::BTreeMap;

use kmds_extract::{Format, Kind};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{Object, ObjectBuilder, Type};

pub(super) fn kind_schema() -> Object {
    let words = Kind::ALL.map(Kind::as_str);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

/// A job's states.
pub(super) fn state_schema() -> Object {
    words(&["queued", "downloading", "converting", "ready", "failed"])
}

/// The states of a track, which may have no job.
pub(super) fn track_state_schema() -> Object {
    words(&[
        "queued",
        "downloading",
        "converting",
        "ready",
        "failed",
        "evicted",
    ])
}

/// The forms of a song.
pub(super) fn form_schema() -> Object {
    words(&Format::ALL.map(Format::ext))
}

/// The same, for a form that may be unknown.
pub(super) fn form_or_none_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .build()
}

fn words(words: &[&'static str]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
        .build()
}

/// The body of `/fetch`.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "PascalCase", example = json!({"URL": "https://soundcloud.com/klaus-veen/ordinary-days"}))]
pub(super) struct ClassicFetchBody {
    /// Link to a song or list, at most 2,048 bytes.
    #[schema(rename = "URL")]
    url: String,
    /// Take the whole list of a `watch?v=…&list=…` link.
    #[schema(default = false)]
    playlist: Option<bool>,
    /// What the client can play: `m4a`, `mp3`, `ogg` (Vorbis), `opus` (Ogg), `webm`; or the word `discord`.
    accept: Option<AcceptBody>,
    /// How many songs of a list are queued at once; the setting `lists.prefetch` by default.
    prefetch: Option<PrefetchBody>,
}

/// The body of `POST /api/v1/fetch`.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"url": "https://soundcloud.com/klaus-veen/ordinary-days", "prefetch": 3}))]
pub(super) struct FetchBody {
    /// Link to a song or list, at most 2,048 bytes. Either this or `urls` is needed.
    url: Option<String>,
    /// Several links, instead of `url`.
    #[schema(min_items = 1, max_items = 25)]
    urls: Option<Vec<String>>,
    /// Take the whole list of a `watch?v=…&list=…` link.
    #[schema(default = false)]
    playlist: Option<bool>,
    /// What the client can play: `m4a`, `mp3`, `ogg` (Vorbis), `opus` (Ogg), `webm`; or the word `discord`.
    accept: Option<AcceptBody>,
    /// How many songs of a list are queued at once; the setting `lists.prefetch` by default.
    prefetch: Option<PrefetchBody>,
    /// `original`, `m4a`, `mp3`, `ogg`, `opus`, `flac` or `wav`.
    #[schema(default = "original")]
    rendition: Option<String>,
}

/// The body of `POST /api/v1/library`.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"url": "https://soundcloud.com/klaus-veen/ordinary-days"}))]
pub(super) struct LibraryBody {
    /// Link to a song or list, at most 2,048 bytes.
    url: String,
    /// Take the whole list of a `watch?v=…&list=…` link.
    #[schema(default = false)]
    playlist: Option<bool>,
}

/// The body of `PUT /api/v1/queues/{name}`.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"songs": ["https://soundcloud.com/klaus-veen/ordinary-days", "youtube/M4gD1WSo5mA"], "ahead": 3}))]
pub(super) struct QueueBody {
    /// Links to songs, or `site/id`, in the order in which they will be played.
    #[schema(max_items = 10000)]
    songs: Vec<String>,
    /// So many songs are made ready before they are played.
    #[schema(default = 3, minimum = 1, maximum = 100)]
    ahead: Option<u32>,
    /// What the client plays; by default a song comes in the form that was asked for last.
    accept: Option<AcceptBody>,
    /// The queue ends after so many seconds, unless it is written again.
    #[schema(default = 3600, minimum = 1, maximum = 86400)]
    hold: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum AcceptBody {
    /// The most welcome first.
    Formats(Vec<String>),
    /// `discord`: what bots for Discord play.
    List(String),
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum PrefetchBody {
    /// `all` or `none`.
    Word(String),
    /// The first N, then N ahead of the one listened to.
    Ahead(u32),
}

/// Counts and health.
#[derive(Debug, ToSchema)]
pub(super) struct StatsReply {
    /// Songs by state.
    songs: BTreeMap<String, u64>,
    bytes_on_disk: u64,
    free_bytes: Option<u64>,
    max_bytes: u64,
    queues: Vec<SiteQueueReply>,
    lanes: Vec<LaneReply>,
    /// The queues that clients play from.
    play_queues: Vec<PlayQueueReply>,
    engines: Vec<EngineReply>,
    sites: Vec<SiteReply>,
    recipes: RecipesReply,
    holds: HoldsReply,
    /// Songs can be put into a music library (`library.dir`).
    library: bool,
    listeners: u64,
    uptime_seconds: u64,
    /// Only for a node in a cluster (`cluster.nats`).
    cluster: Option<ClusterReply>,
}

/// A queue that a client plays from.
#[derive(Debug, ToSchema)]
struct PlayQueueReply {
    name: String,
    /// Songs that were begun.
    begun: usize,
    /// Songs in all.
    total: usize,
    /// Songs that are made ready before they are played.
    ahead: usize,
    /// How many of them are ready.
    ready: usize,
    /// It ends then, unless it is written again. RFC 3339.
    until: String,
}

/// The other nodes, as this one knows them.
#[derive(Debug, ToSchema)]
struct ClusterReply {
    /// NATS answers.
    connected: bool,
    nodes: Vec<NodeReply>,
}

/// A node that is there.
#[derive(Debug, ToSchema)]
struct NodeReply {
    node: String,
    version: String,
    /// Null for one that has nothing for others.
    address: Option<String>,
    /// The sites that it fetches from.
    sites: Vec<NodeSiteReply>,
}

#[derive(Debug, ToSchema)]
struct NodeSiteReply {
    site: String,
    /// Downloads that it could start now; below zero where songs wait.
    free: i64,
    /// The site does not answer its address for so long.
    limited_seconds: Option<u64>,
}

#[derive(Debug, ToSchema)]
struct SiteQueueReply {
    site: String,
    waiting: usize,
    running: usize,
    limit: usize,
}

/// A queue, and the pause that its site wants.
#[derive(Debug, ToSchema)]
struct LaneReply {
    site: String,
    waiting: usize,
    running: usize,
    limit: usize,
    /// RFC 3339, UTC: the site is not asked for songs before; null while it is asked.
    paused_until: Option<String>,
}

#[derive(Debug, ToSchema)]
struct EngineReply {
    site: String,
    /// `native` or `ytdlp`: the engine that goes first now.
    first: String,
    native: String,
    /// `on`, `failing` (its last run gave nothing), `missing` (the program is not installed) or `off`.
    ytdlp: String,
    native_failures: u64,
    reason: Option<String>,
    /// Why yt-dlp gave nothing when it was last run for this site.
    ytdlp_reason: Option<String>,
}

/// Files that are kept from eviction.
#[derive(Debug, ToSchema)]
struct HoldsReply {
    files: u64,
    bytes: u64,
    /// How many of the files are kept for good.
    pinned: u64,
}

/// Which facts about the sites are in force.
#[derive(Debug, ToSchema)]
struct RecipesReply {
    date: String,
    /// `built in`, or the files they were read from.
    from: String,
    /// Why the last reload was refused.
    refused: Option<RefusedRecipesReply>,
}

#[derive(Debug, ToSchema)]
struct RefusedRecipesReply {
    /// RFC 3339, UTC.
    at: String,
    #[schema(schema_with = kind_schema)]
    kind: String,
    reason: String,
}

#[derive(Debug, ToSchema)]
struct SiteReply {
    site: String,
    /// KMDS accepts its links.
    enabled: bool,
    /// False while the operator's rules forbid to ask it.
    open: bool,
    /// Why it is closed.
    reason: Option<String>,
}
