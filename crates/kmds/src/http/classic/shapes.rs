//! The PascalCase replies of the classic API.
//!
//! Owns every key old clients read. Hides nothing. Never computes what a value is.

use std::time::Duration;

use kmds_extract::Kind;
use serde::Serialize;

use super::super::ask::Addresses;
#[cfg(test)]
use super::super::openapi::describe::{kind_schema, state_schema};
use crate::app::{Fetched, Missing, Song, State};

/// What this server is.
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
            Cover_URL: track.cover_url.clone(),
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

/// Seconds to the microsecond: sites tell up to four digits, and more is noise of the conversion.
pub(in crate::http) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_as_the_site_tells_them() {
        for told in [0.0, 64.9913, 95.1733, 877.184, 356.118, 345.6789] {
            assert_eq!(
                seconds(Duration::from_secs_f64(told)).to_string(),
                told.to_string()
            );
        }
    }
}
