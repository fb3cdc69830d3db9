//! The track that a path names: `/api/v1/tracks/{site}/{id}`.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use kmds_extract::{Site, TrackId};

use super::super::error::Refusal;

/// The two path parameters, to be read by [`track_at`].
pub(super) type At = Result<Path<(String, String)>, PathRejection>;

/// # Errors
/// `not_found`: no track can have that id.
pub(super) fn track_at(at: At) -> Result<TrackId, Refusal> {
    let named = at
        .ok()
        .and_then(|Path((site, id))| TrackId::new(Site::parse(&site)?, &id));
    named.ok_or_else(|| {
        Refusal::not_found(
            "no such track; ask /api/v1/tracks/SITE/ID with what /api/v1/fetch replied",
        )
    })
}

pub(super) fn never_asked_for(id: &TrackId) -> Refusal {
    Refusal::not_found(format!(
        "{id} was never asked for, or was deleted; POST its link to /api/v1/fetch"
    ))
}
