//! Made-up videos, in the recorded shapes.
//!
//! Owns the builder of a video. The lab serves made-up videos exactly like recorded ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Scriptless;
use super::formats::{Plan, Variant, microformat, picture_format};
use super::make_lists::{MixBuilder, PlaylistBuilder};
use super::player::{Refusal, Video};
use crate::script::PlayerScript;
use crate::sign;
use crate::wishes::{Wishes, common_wishes};
use crate::world::{NewSong, Shared, Site, Song, StreamSpec};

pub const ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What the last of eleven characters can be (YouTube notes, 1.2).
const LAST_ALPHABET: &[u8] = b"AEIMQUYcgkosw048";
/// The YouTube of one lab.
#[derive(Clone)]
pub struct YouTube(pub(crate) Arc<Shared>);

impl YouTube {
    pub fn video(&self, title: &str) -> VideoBuilder {
        VideoBuilder {
            shared: Arc::clone(&self.0),
            wishes: Wishes::of(title),
            id: None,
            itags: vec![139, 140, 249, 250, 251],
            tracks: Vec::new(),
            drc: false,
            refusal: None,
            for_kids: false,
            muxed: true,
            sabr_only: false,
            live: false,
            large_cover: true,
            moves_hosts: false,
            advertisement: 0,
            description: String::new(),
            loudness: None,
            answers_as: None,
        }
    }

    /// A list of `count` new videos of 12 s, published with it.
    pub fn playlist(&self, count: usize) -> PlaylistBuilder {
        PlaylistBuilder::new(&self.0, count)
    }

    /// A mix around a new video of 12 s.
    pub fn mix(&self, count: usize) -> MixBuilder {
        MixBuilder::of(self.playlist(count))
    }

    /// The longest range that is served; longer ones are refused with 403.
    pub fn range_limit(&self, bytes: u64) {
        self.0.youtube.range_limit.store(bytes, Ordering::Relaxed);
    }

    /// Today's player script; the television client, which needs it, is served from then on.
    pub fn plays_script(&self, script: PlayerScript) {
        *self.0.youtube.script.lock() = Some((script, script.text()));
    }

    /// The same player, its script something that cannot be read.
    pub fn spoils_script(&self, text: &str) {
        if let Some((_, served)) = self.0.youtube.script.lock().as_mut() {
            text.clone_into(served);
        }
    }

    /// Refuses every client that needs no script.
    pub fn closes_visionos(&self) {
        *self.0.youtube.scriptless.lock() = Scriptless::Refused;
    }

    /// Answers the clients that need no script with formats that have neither `url` nor cipher.
    pub fn gives_visionos_sabr_only(&self) {
        *self.0.youtube.scriptless.lock() = Scriptless::SabrOnly;
    }

    /// Serves the television's URLs with an `n` that is not transformed at this pace, instead of refusing them.
    pub fn paces_given_n(&self, bytes_per_second: u64) {
        self.0
            .youtube
            .given_n_pace
            .store(bytes_per_second, Ordering::Relaxed);
    }

    /// Serves open and too long ranges at this pace, instead of refusing them.
    pub fn paces_open_ranges(&self, bytes_per_second: u64) {
        self.0
            .youtube
            .open_range_pace
            .store(bytes_per_second, Ordering::Relaxed);
    }
}

/// A video to be published.
#[must_use = "a video is there once it is published"]
pub struct VideoBuilder {
    shared: Arc<Shared>,
    wishes: Wishes,
    id: Option<String>,
    itags: Vec<u64>,
    tracks: Vec<(String, String, String)>,
    drc: bool,
    refusal: Option<Refusal>,
    for_kids: bool,
    muxed: bool,
    sabr_only: bool,
    live: bool,
    large_cover: bool,
    moves_hosts: bool,
    advertisement: u64,
    description: String,
    loudness: Option<[Value; 2]>,
    answers_as: Option<String>,
}

impl VideoBuilder {
    common_wishes!();

    /// Exactly this id, in place of a made-up one.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// The audio itags to offer, of 139, 140, 249, 250, 251, 599 and 600.
    pub fn formats(mut self, itags: &[u64]) -> Self {
        self.itags = itags.to_vec();
        self
    }

    pub fn opus_only(self) -> Self {
        self.formats(&[249, 250, 251])
    }

    pub fn aac_only(self) -> Self {
        self.formats(&[139, 140])
    }

    /// Several audio tracks: `audioTrack.id` as `en-US.4`, display name, `acont` value.
    pub fn tracks(mut self, tracks: &[(&str, &str, &str)]) -> Self {
        self.tracks = tracks
            .iter()
            .map(|(id, name, acont)| ((*id).into(), (*name).into(), (*acont).into()))
            .collect();
        self
    }

    /// A dynamic-range-compressed copy beside each format.
    pub fn with_drc(mut self) -> Self {
        self.drc = true;
        self
    }

    pub fn refused(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    /// Made for kids: refused to VISIONOS, played by the reel call.
    pub fn for_kids(mut self) -> Self {
        self.for_kids = true;
        self
    }

    /// Without itag 18, so that the reel call has nothing.
    pub fn without_muxed(mut self) -> Self {
        self.muxed = false;
        self
    }

    /// Formats without URLs for every client.
    pub fn sabr_only(mut self) -> Self {
        self.sabr_only = true;
        self
    }

    /// Running now: no lengths, no sizes.
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// No `hq720`, so no `maxresdefault` either.
    pub fn small_cover(mut self) -> Self {
        self.large_cover = false;
        self
    }

    /// Its audio is served by another host, after a 302.
    pub fn moves_hosts(mut self) -> Self {
        self.moves_hosts = true;
        self
    }

    /// Advertisements before it that take so many seconds in all; its audio is refused for as long. Others come in the
    /// middle.
    pub fn advertisement(mut self, seconds: u64) -> Self {
        self.advertisement = seconds;
        self
    }

    /// What is told in place of a loudness of −3.5 dB: of each format, and of the whole video.
    pub fn loudness(mut self, of_formats: Value, of_video: Value) -> Self {
        self.loudness = Some([of_formats, of_video]);
        self
    }

    pub fn description(mut self, text: &str) -> Self {
        self.description = text.to_owned();
        self
    }

    /// A "… - Topic" upload: the description tells track, artists and album (YouTube notes, 2.9).
    pub fn topic(mut self, track: &str, artists: &[&str], album: &str) -> Self {
        self.wishes.artist = Some(format!(
            "{} - Topic",
            artists.first().copied().unwrap_or("Nobody")
        ));
        self.description = format!(
            "Provided to YouTube by Lab Records\n\n{track} · {}\n\n{album}\n\n℗ 2026 Lab Records\n\nReleased on: 2026-02-03\n\nAuto-generated by YouTube.",
            artists.join(" · ")
        );
        self
    }

    /// Answers with the details of another video, as blocked clients are answered.
    pub fn answers_as(mut self, other_id: &str) -> Self {
        self.answers_as = Some(other_id.to_owned());
        self
    }

    pub fn publish(self) -> Song {
        let number = self.shared.next_number().to_string();
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| video_id(&[&self.wishes.title, &number]));
        let artist = self
            .wishes
            .artist
            .clone()
            .unwrap_or_else(|| "Lab Channel".to_owned());
        let seconds = self.wishes.seconds_at(if self.itags.contains(&140) {
            129_700.0 / 8.0
        } else {
            105_000.0 / 8.0
        });
        let media_id = format!("o-{}", sign::word(&["media", &id], 44, ID_ALPHABET));
        let mut formats = vec![picture_format(&media_id, seconds)];
        let mut streams = Vec::new();
        let plan = Plan {
            media_id: &media_id,
            id: &id,
            seconds,
            wishes: &self.wishes,
            live: self.live,
        };
        self.add_streams(&plan, &mut formats, &mut streams);
        let best = streams
            .iter()
            .position(|(_, is_main)| *is_main)
            .unwrap_or(0);
        let muxed = plan.muxed(&mut streams);
        let streams: Vec<StreamSpec> = streams.into_iter().map(|(stream, _)| stream).collect();
        let answer = self.answer(&id, &artist, seconds, &formats);
        let microformat = microformat(&id, &self.wishes.title, &artist, seconds);
        let song = Song::publish(
            &self.shared,
            NewSong {
                site: Site::YouTube,
                id: id.clone(),
                title: self.wishes.title.clone(),
                artist,
                link: format!("https://www.youtube.com/watch?v={id}"),
                seconds,
                streams,
                main: best,
                hold: self.wishes.hold,
                drip: self.wishes.drip,
            },
        );
        self.wishes.inject(&self.shared, &song);
        self.shared
            .youtube
            .media_ids
            .lock()
            .insert(media_id, id.clone());
        let video = Video {
            answer,
            muxed: if self.muxed { vec![muxed] } else { Vec::new() },
            microformat,
            reel: None,
            song: song.clone(),
            for_kids: self.for_kids,
            sabr_only: self.sabr_only,
            moves_hosts: self.moves_hosts,
            advertisement: self.advertisement,
        };
        self.shared
            .youtube
            .videos
            .lock()
            .insert(id, Arc::new(video));
        song
    }

    /// Each itag in each of its variants, as a format of the answer and as bytes.
    fn add_streams(
        &self,
        plan: &Plan<'_>,
        formats: &mut Vec<Value>,
        streams: &mut Vec<(StreamSpec, bool)>,
    ) {
        let main = if self.itags.contains(&140) {
            140
        } else {
            self.itags.iter().copied().max().unwrap_or(0)
        };
        for itag in &self.itags {
            if self.tracks.is_empty() {
                if self.drc {
                    plan.add(*itag, Variant::Drc, false, formats, streams);
                }
                plan.add(*itag, Variant::Only, *itag == main, formats, streams);
            }
            // The original's copy comes last, as it did in every recording.
            for track in self
                .tracks
                .iter()
                .filter(|t| t.2 != "original")
                .chain(self.tracks.iter().filter(|t| t.2 == "original"))
            {
                plan.add(
                    *itag,
                    Variant::Track(track),
                    *itag == main && track.2 == "original",
                    formats,
                    streams,
                );
            }
        }
    }

    /// The player's answer.
    fn answer(&self, id: &str, artist: &str, seconds: f64, formats: &[Value]) -> Value {
        let details = self.details(id, artist, seconds);
        let mut answer = json!({
            "responseContext": {"visitorData": "", "maxAgeSeconds": 0},
            "playabilityStatus": {"status": "OK", "playableInEmbed": true},
            "streamingData": {"expiresInSeconds": "21540", "adaptiveFormats": formats,
                "serverAbrStreamingUrl": "https://rr1---sn-lab00000.googlevideo.com/videoplayback?sabr=1"},
            "videoDetails": details,
            "playerConfig": {"audioConfig": {"loudnessDb": -3.5, "perceptualLoudnessDb": -17.5, "loudnessTargetLkfs": -14}},
        });
        if let Some([of_formats, of_video]) = &self.loudness {
            for format in answer["streamingData"]["adaptiveFormats"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                format["loudnessDb"] = of_formats.clone();
            }
            answer["playerConfig"]["audioConfig"]["loudnessDb"] = of_video.clone();
        }
        if self.live {
            answer["playabilityStatus"]["liveStreamability"] =
                json!({"liveStreamabilityRenderer": {"videoId": id}});
        }
        if self.advertisement > 0 {
            advertise(&mut answer, self.advertisement);
        }
        if let Some(refusal) = &self.refusal {
            refusal.apply(&mut answer);
        }
        answer
    }

    fn details(&self, id: &str, artist: &str, seconds: f64) -> Value {
        let mut covers = vec![
            json!({"url": format!("https://i.ytimg.com/vi/{id}/mqdefault.jpg?sqp=lab&rs=lab"), "width": 320, "height": 180}),
        ];
        if self.large_cover {
            covers.push(json!({"url": format!("https://i.ytimg.com/vi/{id}/hq720.jpg?sqp=lab&rs=lab"), "width": 1280, "height": 720}));
        }
        let mut details = json!({
            "videoId": self.answers_as.as_deref().unwrap_or(id), "title": self.wishes.title, "lengthSeconds": (seconds.round() as u64).to_string(),
            "keywords": ["lab"], "channelId": channel_id(artist), "isOwnerViewing": false, "shortDescription": self.description,
            "isCrawlable": true, "thumbnail": {"thumbnails": covers}, "allowRatings": true, "viewCount": "7", "author": artist,
            "isPrivate": false, "isUnpluggedCorpus": false, "isLiveContent": self.live,
        });
        if self.live {
            details["isLive"] = json!(true);
            details["lengthSeconds"] = json!("0");
        }
        details
    }
}

/// Half of the time in one that can be skipped, half in one that cannot; and one in mid-video that delays nothing.
fn advertise(answer: &mut Value, seconds: u64) {
    let placed = |kind: &str, renderer: Value| {
        json!({"adPlacementRenderer": {"config": {"adPlacementConfig": {"kind": kind}},
            "renderer": {"instreamVideoAdRenderer": renderer}}})
    };
    let slot = |event: &str, vars: String| {
        let content = json!({"instreamVideoAdRenderer": {"playerVars": vars}});
        let layouts = json!([{"playerBytesAdLayoutRenderer": {"renderingContent": content}}]);
        json!({"adSlotRenderer": {"adSlotMetadata": {"triggerEvent": event}, "fulfillmentContent": {"fulfilledLayout":
            {"playerBytesAdLayoutRenderer": {"renderingContent": {"playerBytesSequentialLayoutRenderer": {"sequentialLayouts": layouts}}}}}}})
    };
    let first = seconds / 2;
    answer["adPlacements"] = json!([
        placed(
            "AD_PLACEMENT_KIND_START",
            json!({"skipOffsetMilliseconds": first * 1000, "playerVars": "length_seconds=900"})
        ),
        placed(
            "AD_PLACEMENT_KIND_MILLISECONDS",
            json!({"skipOffsetMilliseconds": 900_000})
        ),
    ]);
    answer["adSlots"] = json!([
        slot(
            "SLOT_TRIGGER_EVENT_BEFORE_CONTENT",
            format!("a=b&length_seconds={}", seconds - first)
        ),
        slot(
            "SLOT_TRIGGER_EVENT_LAYOUT_ID_EXITED",
            "length_seconds=900".to_owned()
        ),
    ]);
}

pub fn video_id(parts: &[&str]) -> String {
    format!(
        "{}{}",
        sign::word(parts, 10, ID_ALPHABET),
        sign::word(parts, 1, LAST_ALPHABET)
    )
}

pub fn channel_id(name: &str) -> String {
    format!("UC{}A", sign::word(&["channel", name], 21, ID_ALPHABET))
}
