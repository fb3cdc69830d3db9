//! The PascalCase replies of the classic API: every key that old clients read.

use kmds_extract::Kind;
use serde::Serialize;

use super::super::links::Addresses;
use super::super::reply::seconds;
#[cfg(test)]
use super::super::schemas::{kind_schema, state_schema};
use crate::app::{Fetched, Missing, Song, State};

/// The version and settings of this server.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub(in crate::http) struct RootReply {
    pub(super) debug: bool,
    pub(super) web_server: Server,
    #[cfg_attr(test, schema(value_type = String))]
    pub(super) version: &'static str,
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    pub(super) sites: Vec<&'static str>,
    /// Day of the site facts in use.
    pub(super) recipes: String,
}

/// The address listened on.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
pub(in crate::http) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The songs of a link.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(as = ClassicFetchReply))]
#[serde(rename_all = "PascalCase")]
pub(in crate::http) struct FetchReply {
    status: u16,
    #[serde(rename = "ID")]
    id: String,
    /// Kept for old clients, always empty.
    #[serde(rename = "Proxied_Headers")]
    proxied_headers: ProxiedHeaders,
    songs: Vec<SongReply>,
    unavailable: Vec<MissingReply>,
    /// The site's list is longer than what is returned.
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct ProxiedHeaders {}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[allow(
    non_snake_case,
    reason = "the wire's mixed spelling, with underscores, is no case serde knows"
)]
pub(in crate::http) struct SongReply {
    Cover_Name: String,
    #[cfg_attr(test, schema(required = true))]
    Cover_URL: Option<String>,
    /// For people; unique in this reply.
    File_Name: String,
    Metadata: Metadata,
    Music_URL: String,
    Tunnel_URL: String,
    /// Kept for old clients, always null.
    #[cfg_attr(test, schema(required = true))]
    Proxied_URL: Option<String>,
    /// Where the finished file will stand.
    Cache_Path: String,
    #[cfg_attr(test, schema(schema_with = state_schema))]
    State: State,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[allow(
    non_snake_case,
    reason = "the wire's mixed spelling, with underscores, is no case serde knows"
)]
struct Metadata {
    #[cfg_attr(test, schema(required = true))]
    Album: Option<String>,
    /// Bytes; exact where the site states it.
    #[cfg_attr(test, schema(required = true))]
    Approximate_Size: Option<u64>,
    #[cfg_attr(test, schema(required = true))]
    Artist: Option<String>,
    /// Seconds.
    #[cfg_attr(test, schema(required = true))]
    Duration: Option<f64>,
    Title: String,
    /// 0 when the song is not part of an album.
    Track_Number: u32,
    #[cfg_attr(test, schema(required = true))]
    Track_Total: Option<u32>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(as = ClassicMissingReply))]
#[allow(
    non_snake_case,
    reason = "the wire's mixed spelling, with underscores, is no case serde knows"
)]
struct MissingReply {
    #[cfg_attr(test, schema(required = true))]
    Title: Option<String>,
    Track_Number: u32,
    #[cfg_attr(test, schema(schema_with = kind_schema))]
    Kind: Kind,
    Reason: String,
}

impl FetchReply {
    /// Around these songs.
    pub(super) fn new(fetched: &Fetched, songs: Vec<SongReply>) -> Self {
        Self {
            status: 200,
            id: fetched.id.clone(),
            proxied_headers: ProxiedHeaders {},
            songs,
            unavailable: fetched.unavailable.iter().map(MissingReply::new).collect(),
            truncated: fetched.truncated,
        }
    }
}

impl SongReply {
    pub(super) fn new(song: &Song, addresses: &Addresses) -> Self {
        let track = &song.track;
        Self {
            Cover_Name: song.cover_name.clone(),
            Cover_URL: addresses.cover(&track.id, track.cover_url.as_ref()),
            File_Name: song.file_name.clone(),
            Metadata: Metadata {
                Album: track.album.clone(),
                Approximate_Size: song.approximate_size,
                Artist: track.artist.clone(),
                Duration: track.duration.map(seconds),
                Title: track.title.clone(),
                Track_Number: track.number.unwrap_or(0),
                Track_Total: track.total,
            },
            Music_URL: addresses.tunnel_url(&song.canonical_name),
            Tunnel_URL: addresses.tunnel_path(&song.canonical_name),
            Proxied_URL: None,
            Cache_Path: song.cache_path.clone(),
            State: song.state.of_five(),
        }
    }
}

impl MissingReply {
    fn new(missing: &Missing) -> Self {
        Self {
            Title: missing.title.clone(),
            Track_Number: missing.number,
            Kind: missing.failure.kind,
            Reason: missing.failure.sentence.clone(),
        }
    }
}
