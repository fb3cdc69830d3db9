//! The player answer: metadata, and whether the video plays.
//!
//! Owns the paths of the field notes' section 2.4. The flow decides what to try next, not this module.

use std::time::Duration;

use super::answer::{Answer, VideoDetails};
use super::status::{self, Verdict};
use super::streams;
use super::{artist, cover, music};
use crate::choose::{Accept, choose};
use crate::json::lenient::Obj;
use crate::link::youtube::VideoId;
use crate::origin::Page;
use crate::recipes::{Identity, YouTubeRecipe};
use crate::site::Site;
use crate::stream::{self, LONGEST, Stream};
use crate::track::{Source, Track, TrackId};

/// Below this many bytes a body is no answer (field notes, 2.7).
const LEAST_ANSWER_BYTES: usize = 50;

/// The answer about the requested video.
#[derive(Debug)]
pub(crate) struct Reading {
    pub verdict: Verdict,
    /// The newest visitor id, to be kept.
    pub visitor: Option<String>,
    pub title: Option<String>,
    /// All facts but the streams, if the answer has them, whether or not the video plays.
    pub track: Option<Box<Track>>,
    pub streams: Vec<Stream>,
}

/// Reads an HTTP 200 answer.
/// # Errors
/// The missing field, when this is not an answer at all: HTML, an interstitial, a stub.
pub(crate) fn read(
    page: &Page,
    video: VideoId,
    identity: &Identity,
    recipe: &YouTubeRecipe,
    now_unix: u64,
) -> Result<Reading, &'static str> {
    let diverted = page.final_url.split('?').next().unwrap_or_default();
    if diverted.ends_with("/oops") || diverted.ends_with("/error") {
        return Err("JSON");
    }
    let answer: Obj<Answer> = crate::json::read(&page.body).map_err(|_| "JSON")?;
    let answer = answer.0.ok_or("JSON")?;
    let answer = match answer.player_response.0 {
        Some(wrapped) => *wrapped,
        None => answer,
    };
    if page.body.trim_ascii().len() < LEAST_ANSWER_BYTES {
        let empty = page
            .body
            .iter()
            .all(|byte| matches!(byte, b'{' | b'}') || byte.is_ascii_whitespace());
        return if empty {
            Ok(Reading::gone())
        } else {
            Err("playabilityStatus")
        };
    }
    let track = answer
        .video_details
        .as_ref()
        .and_then(|details| track(details, video, recipe))
        .map(|track| Track {
            loudness_db: answer.loudness(),
            ..track
        });
    let streams = streams::read(&answer, identity, recipe, now_unix);
    let verdict = status::verdict(&answer, video, !streams.is_empty(), recipe)?;
    if verdict == Verdict::Playable && track.is_none() {
        return Err("videoDetails.title");
    }
    Ok(Reading {
        visitor: answer
            .response_context
            .as_ref()
            .and_then(|context| context.visitor_data.owned()),
        title: answer
            .video_details
            .as_ref()
            .and_then(|details| details.title.as_ref()?.unchanged()),
        track: track.map(Box::new),
        streams,
        verdict,
    })
}

/// The visitor id of a `visitor_id` answer, verbatim.
pub(crate) fn visitor(page: &Page) -> Option<String> {
    let answer: Obj<Answer> = crate::json::read(&page.body).ok()?;
    answer.0?.response_context.0?.visitor_data.owned()
}

impl Reading {
    /// `{}`: there is no such video.
    fn gone() -> Self {
        let verdict = status::gone();
        Self {
            verdict,
            visitor: None,
            title: None,
            track: None,
            streams: Vec::new(),
        }
    }

    /// The track with its streams. Length and loudness are those of the stream that KMDS would fetch.
    pub fn into_track(self) -> Option<Track> {
        let mut track = *self.track?;
        if let Some(choice) = choose(&self.streams, &Accept::default()).first() {
            track.duration = choice.stream.duration.or(track.duration);
            track.loudness_db = choice.stream.loudness_db.or(track.loudness_db);
        }
        track.offered = stream::formats(&self.streams);
        track.streams = self.streams;
        Some(track)
    }
}

/// The metadata of 2.4: title unchanged, the channel as artist, unless a label's description names another.
fn track(details: &VideoDetails, video: VideoId, recipe: &YouTubeRecipe) -> Option<Track> {
    // A title may be empty; a page without a title is an error.
    let title = details
        .title
        .as_ref()?
        .unchanged()
        .unwrap_or_else(|| video.to_string());
    let channel = details.author.get().and_then(artist);
    let upload = music::Upload {
        channel: &details.author.0,
        title: &title,
    };
    let release =
        music::release(&details.short_description.0, upload).unwrap_or_else(|| music::LabelText {
            title,
            ..music::LabelText::default()
        });
    let listed = details
        .thumbnail
        .iter()
        .flat_map(|listed| listed.thumbnails.iter())
        .filter_map(|one| one.as_ref());
    let mut track = bare_track(video, release.title)?;
    track.artist = release.artist.or(channel);
    track.album = release.album;
    track.date = release.date;
    track.duration = details
        .length_seconds
        .0
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    track.duration = track.duration.filter(|length| *length <= LONGEST);
    track.cover_url = Some(cover(video, listed, &recipe.hosts));
    Some(track)
}

/// A track of which only id and title are known.
pub(crate) fn bare_track(video: VideoId, title: String) -> Option<Track> {
    let id = TrackId::new(Site::YouTube, video.as_str())?;
    Some(Track::new(
        id,
        Source::YouTube {
            video: video.as_str().to_owned(),
        },
        video.link(),
        title,
    ))
}
