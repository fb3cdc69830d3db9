//! The bodies of refusals: two APIs, four shapes.

use kmds_extract::Kind;
use serde::Serialize;

#[cfg(test)]
use super::super::schemas::{kind_schema, state_schema, track_state_schema};
use crate::app::State;

/// An error of the classic API. `Status` is the HTTP status.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, schema(example = json!({"Status": 400, "Error": "not a link we know; paste one to a song or list on YouTube, SoundCloud or Bandcamp", "Kind": "unsupported_link"})))]
pub(in crate::http) struct ClassicError {
    pub(super) status: u16,
    /// A sentence a person can act on.
    pub(super) error: String,
    #[cfg_attr(test, schema(schema_with = kind_schema))]
    pub(super) kind: Kind,
}

/// The song failed for good; a new `/fetch` tries again.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, schema(example = json!({"Status": 500, "Error": "YouTube: blocked in this country", "Kind": "geo_blocked", "Retryable": false})))]
pub(in crate::http) struct ClassicFailed {
    pub(super) status: u16,
    pub(super) error: String,
    #[cfg_attr(test, schema(schema_with = kind_schema))]
    pub(super) kind: Kind,
    pub(super) retryable: bool,
}

/// The song is not finished yet.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, schema(example = json!({"Status": 418, "Error": "the song is downloading; ask again in a second", "State": "downloading", "Received": 1_048_576, "Total": 7_122_360})))]
pub(in crate::http) struct ClassicUnfinished {
    pub(super) status: u16,
    pub(super) error: String,
    #[cfg_attr(test, schema(schema_with = state_schema))]
    pub(super) state: State,
    /// Bytes that have arrived.
    pub(super) received: u64,
    /// Bytes there will be, where the site said.
    #[cfg_attr(test, schema(required = true))]
    pub(super) total: Option<u64>,
}

/// An error of the v1 API, as RFC 9457 has it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(example = json!({"type": "urn:kmds:kind:private", "title": "Private", "status": 403, "detail": "SoundCloud: this track is private", "kind": "private", "retryable": false})))]
pub(in crate::http) struct Problem {
    pub(super) r#type: String,
    #[cfg_attr(test, schema(value_type = String))]
    pub(super) title: &'static str,
    pub(super) status: u16,
    /// A sentence a person can act on.
    pub(super) detail: String,
    #[cfg_attr(test, schema(schema_with = kind_schema))]
    pub(super) kind: Kind,
    /// Whether the same request may succeed later without anything being changed.
    pub(super) retryable: bool,
    /// Set for an unfinished song only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(schema_with = track_state_schema, required = false))]
    pub(super) state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_bytes: Option<u64>,
}
