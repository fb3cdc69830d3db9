//! The table of settings: one row each. The example file, docs/settings.md and the checks are made from it.
//!
//! Owns keys, the type each value has in the code, shapes, defaults and the sentence that explains each. The rows are
//! constants: a key that does not exist does not compile. This module reads no value. It is one flat table, so it may
//! be long.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use kmds_extract::Site;
use kmds_extract::choose::{ACCEPT_WORDS, Accept};
use kmds_extract::search::SearchSite;

use super::OpusForm;
use super::typed::{Key, Setting};
use super::value::Shape;

const fn row(
    key: &'static str,
    shape: Shape,
    default: &'static str,
    says: &'static str,
) -> Setting {
    Setting {
        key,
        shape,
        default,
        says,
        per_site: false,
    }
}

const fn egress(key: &'static str, shape: Shape, says: &'static str) -> Setting {
    Setting {
        key,
        shape,
        default: "",
        says,
        per_site: true,
    }
}

macro_rules! settings {
    ($($name:ident: $type:ty = $row:expr;)*) => {
        $(pub const $name: Key<$type> = Key::new($row);)*

        /// Every setting there is.
        pub const SETTINGS: &[Setting] = &[$($name.setting),*];
    };
}

settings! {
    LISTEN: String = row(
        "server.listen",
        Shape::Listen,
        "127.0.0.1:60071",
        "Address and port to listen on (port 0: any free one), or unix:/path.",
    );
    PUBLIC_URL: Option<String> = row(
        "server.public_url",
        Shape::PublicUrl,
        "",
        "URL at which clients reach this service, for the absolute URLs in replies; by default the request's Host is used.",
    );
    BASE_PATH: Option<String> = row(
        "server.base_path",
        Shape::BasePath,
        "",
        "Path below which a reverse proxy shows this service, like /kmds.",
    );
    TOKENS_FILE: Option<PathBuf> = row(
        "server.tokens_file",
        Shape::Path,
        "",
        "File of access tokens: TOML with names and scopes if its name ends in .toml, else one token per line; with it, every request but /healthz needs a token.",
    );
    NAMES: Vec<String> = row(
        "server.names",
        Shape::Names,
        "",
        "Host names clients may use besides IP addresses, names of one label, and names in .local, .internal, .home.arpa, .lan and .localhost.",
    );
    ALLOW: Vec<IpNet> = row(
        "server.allow",
        Shape::Networks,
        "",
        "More networks whose clients are served without a token (besides loopback, private and link-local ones), like 100.64.0.0/10 of a tailnet.",
    );
    TRUSTED_PROXIES: Vec<String> = row(
        "server.trusted_proxies",
        Shape::List,
        "",
        "Addresses or networks whose X-Forwarded-* headers are believed.",
    );
    RATE_LIMIT: u64 = row(
        "server.rate_limit",
        Shape::Number(0),
        "600",
        "Requests a minute of one token, or of one address without a token, from outside the near networks; 0: any number.",
    );
    RATE_LIMIT_NEAR: u64 = row(
        "server.rate_limit_near",
        Shape::Number(0),
        "0",
        "The same from loopback, private and link-local addresses and the networks of server.allow; 0: any number.",
    );
    LINK_LIFETIME: Duration = row(
        "server.link_lifetime",
        Shape::Seconds,
        "24 h",
        "How long the signed addresses of songs in replies work without a token, if tokens are set.",
    );
    MAX_CONNECTIONS: Option<usize> = row(
        "server.max_connections",
        Shape::Number(1),
        "",
        "Connections at once; by default what the limit of open files allows, at most 4096.",
    );
    STOP_WITHIN: Duration = row(
        "server.stop_within",
        Shape::Seconds,
        "10 s",
        "How long streams may continue after the service was asked to stop, in seconds.",
    );
    CACHE_DIR: Option<PathBuf> = row(
        "cache.dir",
        Shape::Path,
        "",
        "Folder of finished songs, the shared drive; by default the user's cache folder, /kmds.",
    );
    CACHE_CLIENT_PATH: Option<String> = row(
        "cache.client_path",
        Shape::TheirPath,
        "",
        "The same folder as clients see it, for Cache_Path in replies.",
    );
    CACHE_MAX_BYTES: u64 = row(
        "cache.max_bytes",
        Shape::Bytes,
        "10 GiB",
        "The cache stays below this size: the songs that were not read for the longest time are evicted.",
    );
    CACHE_MAX_AGE: Option<Duration> = row(
        "cache.max_age",
        Shape::Seconds,
        "",
        "Evict songs that no client read for this long.",
    );
    CACHE_MIN_FREE_BYTES: u64 = row(
        "cache.min_free_bytes",
        Shape::Bytes,
        "512 MiB",
        "Space left free on the drive.",
    );
    LIBRARY_DIR: Option<PathBuf> = row(
        "library.dir",
        Shape::Path,
        "",
        "Folder of a music library, which Navidrome or Jellyfin watches: clients put tagged copies there, as Artist/Album/01 Title, which stay. It must exist.",
    );
    STATE_DIR: Option<PathBuf> = row(
        "state.dir",
        Shape::Path,
        "",
        "Local folder of the catalog, never on the shared drive; by default the user's state folder, /kmds.",
    );
    QUEUE_MAX_SONGS: usize = row(
        "queue.max_songs",
        Shape::Number(1),
        "10000",
        "Songs that may wait at once; beyond that a fetch is refused.",
    );
    QUEUE_MAX_DOWNLOADS: usize = row(
        "queue.max_downloads",
        Shape::Number(1),
        "8",
        "Downloads at once, over all sites.",
    );
    LISTS_MAX_SONGS: usize = row(
        "lists.max_songs",
        Shape::Number(1),
        "5000",
        "The most songs of one list; the reply says if the list has more.",
    );
    LISTS_PREFETCH: usize = row(
        "lists.prefetch",
        Shape::Number(0),
        "100",
        "Songs of a list that are queued at once, and then kept queued ahead of the song that is being read; a client may send another number.",
    );
    COVERS_OWN: bool = row(
        "covers.own",
        Shape::Bool,
        "false",
        "Covers in replies are addresses of this service, so that a site never sees a client that shows one.",
    );
    SEARCH_SITE: SearchSite = row(
        "search.site",
        Shape::Word(&["youtube", "youtube_music", "soundcloud", "bandcamp"]),
        "youtube",
        "The place that is searched if the client names none.",
    );
    EGRESS_PROXY: Option<String> = egress(
        "egress.proxy",
        Shape::Url,
        "Proxy for all requests to the sites: http:// or socks5://. Proxy variables of the environment are not read.",
    );
    EGRESS_CA_FILE: Option<PathBuf> = egress(
        "egress.ca_file",
        Shape::Path,
        "PEM file with certificates to trust in addition to the system's.",
    );
    EGRESS_SOURCE_ADDRESS: Option<IpAddr> = egress(
        "egress.source_address",
        Shape::Address,
        "Local address that requests to the sites leave from.",
    );
    EGRESS_FORBID: Vec<String> = egress(
        "egress.forbid",
        Shape::List,
        "Addresses or networks that the sites must never see; needs egress.check_url.",
    );
    EGRESS_CHECK_URL: Option<String> = egress(
        "egress.check_url",
        Shape::Url,
        "URL that answers with the address a request came from, asked to enforce egress.forbid.",
    );
    EGRESS_CHECK_EVERY: Duration = row(
        "egress.check_every",
        Shape::Seconds,
        "5 min",
        "How often egress.check_url is asked, in seconds.",
    );
    YOUTUBE_ENABLED: bool = row(
        "youtube.enabled",
        Shape::Bool,
        "true",
        "Take YouTube links.",
    );
    SOUNDCLOUD_ENABLED: bool = row(
        "soundcloud.enabled",
        Shape::Bool,
        "true",
        "Take SoundCloud links.",
    );
    BANDCAMP_ENABLED: bool = row(
        "bandcamp.enabled",
        Shape::Bool,
        "true",
        "Take Bandcamp links.",
    );
    YOUTUBE_MAX_DOWNLOADS: usize = row(
        "youtube.max_downloads",
        Shape::Number(1),
        "2",
        "Downloads at once from YouTube.",
    );
    SOUNDCLOUD_MAX_DOWNLOADS: usize = row(
        "soundcloud.max_downloads",
        Shape::Number(1),
        "3",
        "Downloads at once from SoundCloud.",
    );
    BANDCAMP_MAX_DOWNLOADS: usize = row(
        "bandcamp.max_downloads",
        Shape::Number(1),
        "3",
        "Downloads at once from Bandcamp.",
    );
    YTDLP_ENABLED: bool = row(
        "engines.ytdlp.enabled",
        Shape::Bool,
        "true",
        "Ask yt-dlp when the native engine meets a changed page, a bot check or a login wall.",
    );
    YTDLP_COMMAND: String = row(
        "engines.ytdlp.command",
        Shape::Program,
        "yt-dlp",
        "The yt-dlp program.",
    );
    YTDLP_MAX: usize = row(
        "engines.ytdlp.max",
        Shape::Number(1),
        "1",
        "yt-dlp processes at once.",
    );
    YTDLP_SITES: String = row(
        "engines.ytdlp.sites",
        Shape::Word(&["three", "any"]),
        "three",
        "\"any\" also takes https links of other sites, through yt-dlp alone.",
    );
    YTDLP_COOKIES_FILE: Option<PathBuf> = row(
        "engines.ytdlp.cookies_file",
        Shape::Path,
        "",
        "Netscape cookie file for yt-dlp; each run gets a copy.",
    );
    YTDLP_EXTRA_ARGS: Vec<String> = row(
        "engines.ytdlp.extra_args",
        Shape::Arguments,
        "",
        "More arguments for yt-dlp, like --js-runtimes or --plugin-dirs with their values.",
    );
    YTDLP_TIMEOUT: Duration = row(
        "engines.ytdlp.timeout",
        Shape::Seconds,
        "60 s",
        "Longest run of yt-dlp for metadata, in seconds.",
    );
    YTDLP_MAX_MEMORY: u64 = row(
        "engines.ytdlp.max_memory",
        Shape::Bytes,
        "1 GiB",
        "Memory one yt-dlp run may use.",
    );
    RECIPES_FILE: Option<PathBuf> = row(
        "recipes.file",
        Shape::Path,
        "",
        "File of site facts that replace the built-in ones; by default recipes.toml in the config folder, if it exists.",
    );
    RECIPES_CANARY: Vec<String> = row(
        "recipes.canary",
        Shape::List,
        "",
        "Links to songs, one for each site: new recipes are used only if these songs can be fetched with them. Without links no site is contacted.",
    );
    RECIPES_URL: Option<String> = row(
        "recipes.url",
        Shape::Url,
        "",
        "https URL of recipes that a reload fetches, and whose signature is at the same URL with .sig; needs recipes.key.",
    );
    RECIPES_KEY: Option<String> = row(
        "recipes.key",
        Shape::Text,
        "",
        "Ed25519 public key, in base64, that must have signed the recipes of recipes.url.",
    );
    RECIPES_HOURS: u64 = row(
        "recipes.hours",
        Shape::Number(0),
        "0",
        "Fetch recipes.url at the start and then every this many hours; 0: only when a client or SIGHUP asks for a reload.",
    );
    FFMPEG_COMMAND: String = row(
        "ffmpeg.command",
        Shape::Program,
        "ffmpeg",
        "The ffmpeg program, for conversions only.",
    );
    FFMPEG_MAX: usize = row(
        "ffmpeg.max",
        Shape::Number(1),
        "1",
        "Conversions at once.",
    );
    AUDIO_ACCEPT: Accept = row(
        "audio.accept",
        Shape::Words(&ACCEPT_WORDS),
        "m4a,mp3,ogg",
        "Formats for clients that do not say what they can play; ogg is Vorbis, opus is Opus in Ogg, discord means what Discord bots play (opus).",
    );
    AUDIO_OPUS: OpusForm = row(
        "audio.opus",
        Shape::Word(&["vorbis", "aac", "mp3", "keep"]),
        "vorbis",
        "Target format of songs that exist only as Opus, for clients that do not play Opus.",
    );
    WEBHOOK_URL: Option<String> = row(
        "webhook.url",
        Shape::Url,
        "",
        "URL that gets a POST when a song is ready or failed.",
    );
    WEBHOOK_SECRET_FILE: Option<PathBuf> = row(
        "webhook.secret_file",
        Shape::Path,
        "",
        "File with the secret that signs webhooks (HMAC-SHA256).",
    );
    CLUSTER_NATS: Vec<String> = row(
        "cluster.nats",
        Shape::List,
        "",
        "NATS servers by which several hosts work as one, like nats://10.0.0.1:4222 or tls://nats.lan; needs a build with the feature cluster.",
    );
    CLUSTER_NAME: String = row(
        "cluster.name",
        Shape::Text,
        "kmds",
        "Prefix of all names that KMDS uses in NATS.",
    );
    CLUSTER_NODE: Option<String> = row(
        "cluster.node",
        Shape::Text,
        "",
        "Name of this node; by default the machine's.",
    );
    CLUSTER_ADDRESS: Option<String> = row(
        "cluster.address",
        Shape::Url,
        "",
        "Address at which other nodes reach the HTTP of this node, like http://10.0.0.2:60071; needed unless they can reach server.listen.",
    );
    CLUSTER_CREDENTIALS_FILE: Option<PathBuf> = row(
        "cluster.credentials_file",
        Shape::Path,
        "",
        "Credentials of NATS (.creds).",
    );
    CLUSTER_CA_FILE: Option<PathBuf> = row(
        "cluster.ca_file",
        Shape::Path,
        "",
        "PEM file with certificates of NATS servers to trust in addition to the system's.",
    );
    CLUSTER_TOKEN_FILE: Option<PathBuf> = row(
        "cluster.token_file",
        Shape::Path,
        "",
        "File with the secret that all nodes share; needed if they reach each other over a network.",
    );
    CLUSTER_SHARED_DRIVE: bool = row(
        "cluster.shared_drive",
        Shape::Bool,
        "true",
        "All nodes have one cache.dir, on a drive that they share; false: each has its own, and audio goes from node to node.",
    );
}

/// The settings that each site has for itself.
pub const SITES: [(Site, Key<bool>, Key<usize>); 3] = [
    (Site::YouTube, YOUTUBE_ENABLED, YOUTUBE_MAX_DOWNLOADS),
    (
        Site::SoundCloud,
        SOUNDCLOUD_ENABLED,
        SOUNDCLOUD_MAX_DOWNLOADS,
    ),
    (Site::Bandcamp, BANDCAMP_ENABLED, BANDCAMP_MAX_DOWNLOADS),
];
