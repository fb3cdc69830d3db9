//! The shape of a player answer, as far as KMDS reads it.
//!
//! Owns the names of its fields (field notes, 2.4 to 2.6); nothing is decided here. [`super::player`] reads
//! the metadata, [`super::status`] whether the video plays, [`super::streams`] its streams.

use serde::Deserialize;
use serde_json::Value;

use super::Thumbnails;
use crate::json::lenient::{Flag, Number, Obj, Present, Seq, Text};
use crate::loudness::Loudness;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) playability_status: Obj<Playability>,
    pub(super) video_details: Obj<VideoDetails>,
    pub(super) streaming_data: Obj<StreamingData>,
    pub(super) player_config: Obj<PlayerConfig>,
    pub(super) response_context: Obj<ResponseContext>,
    /// Lists of many shapes, mostly missing.
    pub(super) ad_placements: Value,
    pub(super) ad_slots: Value,
    /// The reel call wraps everything in this.
    pub(super) player_response: Obj<Box<Answer>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PlayerConfig {
    pub(super) audio_config: Obj<AudioConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AudioConfig {
    #[serde(deserialize_with = "Loudness::read")]
    pub(super) loudness_db: Option<Loudness>,
}

impl Answer {
    /// The loudness of the whole video; some clients get it for each format instead, which is more exact.
    pub(super) fn loudness(&self) -> Option<Loudness> {
        let config = self.player_config.as_ref()?;
        config.audio_config.as_ref()?.loudness_db
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Playability {
    pub(super) status: Text,
    pub(super) reason: Text,
    pub(super) messages: Seq<Text>,
    pub(super) error_screen: Obj<ErrorScreen>,
    pub(super) live_streamability: Present,
    pub(super) desktop_legacy_age_gate_reason: Present,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ErrorScreen {
    pub(super) player_error_message_renderer: Obj<ErrorMessage>,
    pub(super) player_captcha_view_model: Present,
    pub(super) player_interstitial_renderer: Obj<Interstitial>,
}

impl ErrorScreen {
    /// The text of a refusal that is in no other place (field notes, 2.7).
    pub fn interstitial(&self) -> Option<&InterstitialTexts> {
        self.player_interstitial_renderer
            .as_ref()?
            .content
            .as_ref()?
            .interstitial_view_model
            .as_ref()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Interstitial {
    pub(super) content: Obj<InterstitialContent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InterstitialContent {
    pub(super) interstitial_view_model: Obj<InterstitialTexts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InterstitialTexts {
    pub(super) title: Text,
    pub(super) description: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorMessage {
    pub(super) reason: Text,
    pub(super) subreason: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VideoDetails {
    pub(super) video_id: Text,
    /// Present, though it may be empty.
    pub(super) title: Option<Text>,
    pub(super) author: Text,
    pub(super) length_seconds: Number,
    pub(super) short_description: Text,
    pub(super) is_live: Flag,
    pub(super) is_upcoming: Flag,
    pub(super) is_post_live_dvr: Flag,
    pub(super) thumbnail: Obj<Thumbnails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ResponseContext {
    pub(super) visitor_data: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StreamingData {
    pub(super) formats: Seq<Obj<RawFormat>>,
    pub(super) adaptive_formats: Seq<Obj<RawFormat>>,
    pub(super) expires_in_seconds: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawFormat {
    pub(super) itag: Number,
    pub(super) url: Text,
    pub(super) mime_type: Text,
    pub(super) bitrate: Number,
    pub(super) average_bitrate: Number,
    pub(super) content_length: Number,
    pub(super) approx_duration_ms: Number,
    pub(super) last_modified: Text,
    pub(super) audio_channels: Number,
    #[serde(deserialize_with = "Loudness::read")]
    pub(super) loudness_db: Option<Loudness>,
    pub(super) is_drc: Flag,
    pub(super) xtags: Text,
    pub(super) audio_track: Obj<AudioTrack>,
    pub(super) drm_families: Seq<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AudioTrack {
    pub(super) id: Text,
    pub(super) display_name: Text,
    pub(super) audio_is_default: Flag,
}
