//! The v1 API below `/api/v1`: snake_case, problem+json. One file for each resource; `shapes` has the replies.
//!
//! It differs from the classic face only where `docs/api.md` says so. A parameter that a call does not know is refused.

pub(super) mod audio;
pub(super) mod collections;
pub(super) mod cover;
pub(super) mod events;
pub(super) mod fetch;
pub(super) mod forms;
pub(super) mod library;
mod path;
pub(super) mod queues;
pub(super) mod recipes;
mod rendition;
pub(super) mod search;
mod shapes;
pub(super) mod stats;
pub(super) mod tracks;

pub(super) use self::audio::send_audio;
pub(super) use self::collections::cancel;
pub(super) use self::cover::send_cover;
pub(super) use self::events::follow;
pub(super) use self::fetch::fetch;
pub(super) use self::forms::{hold_form, pin_form, release_form, send_form, show_form, unpin_form};
pub(super) use self::library::{put_in_library, show_library_run};
pub(super) use self::queues::{end_queue, put_queue, show_queue};
pub(super) use self::recipes::reload_recipes;
pub(super) use self::search::search;
pub(super) use self::stats::show_stats;
pub(super) use self::tracks::{delete_track, list_tracks, retry_track, show_track};
