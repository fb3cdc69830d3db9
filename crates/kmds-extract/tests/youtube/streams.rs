//! Sections 2.4 to 2.9: which streams are offered, and what the metadata says.

use std::time::Duration;

use kmds_extract::choose::{Accept, choose};
use kmds_extract::{Delivery, Kind, Loudness};
use serde_json::{Value, json};

use crate::fake::{AAC, Fake, NOW, OPUS, VIDEO, format, good, ok, page, playing};

async fn labels(formats: &[Value]) -> Vec<String> {
    let track = Fake::player([ok(playing(formats))])
        .track()
        .await
        .expect("plays");
    track
        .streams
        .iter()
        .map(|stream| stream.label.clone())
        .collect()
}

#[tokio::test]
async fn streams_stand_in_the_order_of_the_notes_and_unknown_audio_comes_last() {
    let formats = [600, 249, 250, 251, 774, 599, 139, 140, 141].map(|itag| {
        format(
            itag,
            if [600, 249, 250, 251, 774].contains(&itag) {
                OPUS
            } else {
                AAC
            },
        )
    });
    let mut formats = formats.to_vec();
    formats.insert(0, format(999, AAC));
    formats.insert(0, format(137, "video/mp4; codecs=\"avc1\""));
    formats.insert(0, format(258, AAC));
    let order =
        [141, 140, 139, 599, 774, 251, 250, 249, 600, 999].map(|itag| format!("itag {itag}"));
    assert_eq!(labels(&formats).await, order);
    assert_eq!(
        labels(&[format(258, AAC)]).await,
        ["itag 258"],
        "surround where there is nothing else"
    );
}

#[tokio::test]
async fn a_stream_says_all_that_a_download_needs() {
    let track = Fake::player([good()]).track().await.expect("plays");
    let stream = &choose(&track.streams, &Accept::default())[0].stream;
    assert_eq!(stream.bitrate_bps, Some(129_500));
    assert_eq!(stream.size_bytes, Some(1_000));
    assert_eq!(stream.expires_unix, Some(1_790_021_600));
    assert_eq!(stream.validator, "140/1000/17/");
    assert!(
        matches!(&stream.delivery, Delivery::File { url } if url.starts_with("https://rr1---sn-x.googlevideo.com/"))
    );
    assert!(
        stream.headers[0]
            .1
            .starts_with("com.google.visionos.youtube/1.04(")
    );
}

#[tokio::test]
async fn the_loudness_is_that_of_the_stream_that_is_fetched_else_that_of_the_video() {
    for (of_format, of_video, expected) in [
        (json!(-2.0200005), json!(6.5), Some(-2.02)),
        (Value::Null, json!(6.5), Some(6.5)),
        (json!(1e300), json!(6.5), Some(6.5)),
        (json!("NaN"), json!([]), None),
        (json!({"db": 1}), json!("6.5"), None),
        (Value::Null, Value::Null, None),
    ] {
        let mut best = format(140, AAC);
        best["loudnessDb"] = of_format.clone();
        let mut other = format(251, OPUS);
        other["loudnessDb"] = json!(20.0);
        let mut answer = playing(&[other, best]);
        answer["playerConfig"] = json!({"audioConfig": {"loudnessDb": of_video}});
        let track = Fake::player([ok(answer)]).track().await.expect("plays");
        let why = format!("{of_format} {of_video}");
        assert_eq!(track.loudness_db.map(Loudness::db), expected, "{why}");
        let chosen = &choose(&track.streams, &Accept::default())[0].stream;
        assert_eq!(chosen.loudness_db, track.loudness_db, "{why}");
        assert_eq!(track.title, "A Song", "nothing else is lost");
    }
    // A number that no type holds.
    let text = playing(&[format(140, AAC)]).to_string().replacen(
        "\"itag\"",
        "\"loudnessDb\":1e999,\"itag\"",
        1,
    );
    let track = Fake::player([page(200, text)])
        .track()
        .await
        .expect("plays");
    assert_eq!((track.loudness_db, track.streams.len()), (None, 1));
    for config in [json!(7), json!({"audioConfig": []}), json!(null)] {
        let mut answer = playing(&[format(140, AAC)]);
        answer["playerConfig"] = config;
        let track = Fake::player([ok(answer)]).track().await.expect("plays");
        assert_eq!(track.loudness_db, None);
    }
}

#[tokio::test]
async fn of_several_tracks_the_original_is_taken() {
    let copy = |size: u32, xtags: &str, id: &str, name: &str, default: bool| {
        let mut format = format(140, AAC);
        format["contentLength"] = json!(size.to_string());
        format["xtags"] = json!(xtags);
        format["audioTrack"] = json!({"id": id, "displayName": name, "audioIsDefault": default});
        format
    };
    const ORIGINAL: &str = "ChEKBWFjb250EghvcmlnaW5hbAoNCgRsYW5nEgVlbi1VUw";
    for (formats, size, why) in [
        (
            [
                copy(1, "", "de.3", "German", true),
                copy(2, ORIGINAL, "en.9", "English", false),
            ],
            2,
            "acont",
        ),
        (
            [
                copy(1, "", "de.3", "German", true),
                copy(2, "", "en.9", "English original", false),
            ],
            2,
            "name",
        ),
        (
            [
                copy(1, "", "de.3", "German", false),
                copy(2, "", "en.9", "English", true),
            ],
            2,
            "default",
        ),
        (
            [
                copy(1, "", "de.2", "German descriptive", false),
                copy(2, "", "en.9", "English", false),
            ],
            2,
            "not descriptive",
        ),
    ] {
        let track = Fake::player([ok(playing(&formats))])
            .track()
            .await
            .expect("plays");
        let sizes: Vec<_> = track
            .streams
            .iter()
            .map(|stream| stream.size_bytes)
            .collect();
        assert_eq!(sizes, [Some(size)], "{why}");
    }
}

#[tokio::test]
async fn the_original_is_known_by_its_url_and_no_dubbed_copy_takes_its_place() {
    let copy = |acont: &str, fetchable: bool| {
        let mut format = format(140, AAC);
        let url = format["url"].as_str().expect("a URL").to_owned();
        let url = format!("{url}&xtags=acont%3D{acont}%3Alang%3Dxx");
        if fetchable {
            format["url"] = json!(url);
        } else {
            format["signatureCipher"] = json!(format!("s=x&sp=sig&url={url}"));
            format["xtags"] = json!("ChEKBWFjb250EghvcmlnaW5hbAoNCgRsYW5nEgVlbi1VUw");
            format.as_object_mut().expect("an object").remove("url");
        }
        format
    };
    let validators = async |formats: &[Value]| {
        let answers = [ok(playing(formats)), good()];
        let track = Fake::player(answers).track().await.expect("plays");
        let streams = track.streams.iter();
        streams
            .map(|stream| stream.validator.clone())
            .collect::<Vec<_>>()
    };
    let (dubbed, original) = (copy("dubbed", true), copy("original", true));
    assert_eq!(
        validators(&[dubbed.clone(), original]).await,
        ["140/1000/17/acont=original:lang=xx"]
    );
    // The next client identity gets the original.
    assert_eq!(
        validators(&[dubbed, copy("original", false)]).await,
        ["140/1000/17/", "251/1000/17/"]
    );
}

#[tokio::test]
async fn what_a_format_leaves_out_is_read_from_its_url_and_its_container() {
    for (field, value) in [
        ("itag", json!(null)),
        ("itag", json!("many")),
        ("contentLength", json!("0")),
        ("contentLength", json!(null)),
        ("lastModified", json!(null)),
        ("mimeType", json!("audio/mp4")),
    ] {
        let mut odd = format(140, AAC);
        odd[field] = value.clone();
        let formats = [format(139, AAC), odd];
        let track = Fake::player([ok(playing(&formats))])
            .track()
            .await
            .expect("plays");
        let best = &track.streams[0];
        assert_eq!(best.validator, "140/1000/17/", "{field} {value}");
        assert_eq!(best.size_bytes, Some(1000), "{field} {value}");
    }
    assert_eq!(
        labels(&[format(251, "audio/webm"), format(139, AAC)]).await,
        ["itag 139", "itag 251"]
    );
}

#[tokio::test]
async fn compressed_copies_are_never_offered() {
    let mut flagged = format(140, AAC);
    flagged["isDrc"] = json!(true);
    let mut tagged = format(251, OPUS);
    tagged["xtags"] = json!("CggKA2RyYxIBMQ");
    assert_eq!(
        labels(&[flagged, tagged, format(139, AAC)]).await,
        ["itag 139"]
    );
}

#[tokio::test]
async fn an_unknown_codec_comes_after_the_known_ones() {
    assert_eq!(
        labels(&[format(140, "audio/mp4; codecs=\"zzz.9\""), format(139, AAC)]).await,
        ["itag 139", "itag 140"]
    );
}

#[tokio::test]
async fn encrypted_audio_is_never_offered() {
    let mut locked = format(140, AAC);
    locked["drmFamilies"] = json!(["WIDEVINE", "FAIRPLAY"]);
    assert_eq!(
        labels(&[locked.clone(), format(251, OPUS)]).await,
        ["itag 251"]
    );
    let fake = Fake::player([ok(playing(&[
        format(137, "video/mp4; codecs=\"avc1\""),
        locked,
    ]))]);
    assert_eq!(fake.refused().await.kind(), Kind::DrmOnly);
    assert_eq!(
        fake.count("player answer"),
        1,
        "no other identity gets more"
    );
}

#[tokio::test]
async fn a_song_with_an_empty_title_is_called_by_its_id() {
    let mut untitled = playing(&[format(140, AAC)]);
    untitled["videoDetails"]["title"] = json!("");
    assert_eq!(
        Fake::player([ok(untitled)])
            .track()
            .await
            .expect("plays")
            .title,
        VIDEO
    );
}

#[tokio::test]
async fn odd_types_cost_only_their_own_field() {
    let mut odd = format(140, AAC);
    odd["approxDurationMs"] = json!({"no": 1});
    odd["contentLength"] = json!(1000);
    odd["audioTrack"] = json!([]);
    odd["averageBitrate"] = json!("129000");
    let mut answer = playing(&[odd, json!(7), Value::Null]);
    answer["videoDetails"]["shortDescription"] = json!(5);
    answer["videoDetails"]["thumbnail"] = json!("none");
    answer["streamingData"]["formats"] = json!("none");
    let track = Fake::player([ok(answer)]).track().await.expect("plays");
    assert_eq!(
        track.duration,
        Some(Duration::from_secs(62)),
        "the whole seconds of the video"
    );
    assert_eq!(
        (track.streams[0].size_bytes, track.streams[0].bitrate_bps),
        (Some(1000), Some(129_000))
    );
}

#[tokio::test]
async fn senseless_sizes_and_lengths_count_as_none() {
    let mut odd = format(140, AAC);
    odd["contentLength"] = json!(u64::MAX.to_string());
    odd["url"] = json!("https://rr1---sn-x.googlevideo.com/videoplayback?itag=140");
    odd["approxDurationMs"] = json!(u64::MAX.to_string());
    let mut answer = playing(&[odd]);
    answer["videoDetails"]["lengthSeconds"] = json!(u64::MAX.to_string());
    let track = Fake::player([ok(answer)]).track().await.expect("plays");
    assert_eq!((track.duration, track.streams[0].duration), (None, None));
    assert_eq!(
        (
            track.streams[0].size_bytes,
            track.streams[0].approximate_size()
        ),
        (None, None)
    );
}

#[tokio::test]
async fn a_labels_description_gives_artist_album_title_and_date() {
    let mut answer = playing(&[format(140, AAC)]);
    answer["videoDetails"]["author"] = json!("First - Topic");
    answer["videoDetails"]["shortDescription"] = json!(
        "Provided to YouTube by L\n\nThe Song · First · Second\n\nThe Album\n\n℗ 2015 L\n\nReleased on: 2016-05-06\n\nAuto-generated by YouTube."
    );
    let track = Fake::player([ok(answer)]).track().await.expect("plays");
    assert_eq!(track.title, "The Song");
    assert_eq!(track.artist.as_deref(), Some("First, Second"));
    assert_eq!(
        (track.album.as_deref(), track.date.as_deref()),
        (Some("The Album"), Some("2016-05-06"))
    );
}

#[tokio::test]
async fn streams_tell_when_the_advertisements_before_them_are_over() {
    let ad = |renderer: Value| json!({"instreamVideoAdRenderer": renderer});
    let placed = |kind: &str, inside: Value| json!([{"adPlacementRenderer": {"config": {"adPlacementConfig": {"kind": kind}}, "renderer": inside}}]);
    let slot = |event: &str, content: Value| {
        json!([{"adSlotRenderer": {"adSlotMetadata": {"triggerEvent": event}, "fulfillmentContent": {"fulfilledLayout":
            {"playerBytesAdLayoutRenderer": {"renderingContent": content}}}}}])
    };
    let sequence = |ads: &[Value]| {
        let layouts: Vec<Value> = ads
            .iter()
            .map(|ad| json!({"playerBytesAdLayoutRenderer": {"renderingContent": ad}}))
            .collect();
        json!({"playerBytesSequentialLayoutRenderer": {"sequentialLayouts": layouts}})
    };
    let (start, before) = (
        "AD_PLACEMENT_KIND_START",
        "SLOT_TRIGGER_EVENT_BEFORE_CONTENT",
    );
    let skipped = || ad(json!({"skipOffsetMilliseconds": 5000, "playerVars": "length_seconds=90"}));
    let whole = || ad(json!({"playerVars": "a=1&length_seconds=15"}));
    for (placements, slots, wait) in [
        (Value::Null, Value::Null, None),
        (placed(start, skipped()), Value::Null, Some(5)),
        (
            placed(start, ad(json!({"skipOffsetMilliseconds": "5001"}))),
            Value::Null,
            Some(6),
        ),
        (
            placed(
                start,
                json!({"linearAdSequenceRenderer": {"linearAds": [skipped(), whole()]}}),
            ),
            Value::Null,
            Some(20),
        ),
        (Value::Null, slot(before, whole()), Some(15)),
        (
            Value::Null,
            slot(before, sequence(&[whole(), skipped()])),
            Some(20),
        ),
        (placed(start, skipped()), slot(before, whole()), Some(20)),
        (
            placed("AD_PLACEMENT_KIND_MILLISECONDS", skipped()),
            slot("SLOT_TRIGGER_EVENT_OTHER", whole()),
            None,
        ),
        (
            placed(start, ad(json!({"playerVars": "no length"}))),
            json!("nonsense"),
            None,
        ),
        (
            json!({"adPlacementRenderer": 1}),
            json!([1, null, {"adSlotRenderer": []}]),
            None,
        ),
        (
            placed(start, ad(json!({"skipOffsetMilliseconds": u64::MAX}))),
            slot(before, whole()),
            Some(3600),
        ),
    ] {
        let mut answer = playing(&[format(140, AAC)]);
        (answer["adPlacements"], answer["adSlots"]) = (placements.clone(), slots.clone());
        let track = Fake::player([ok(answer)]).track().await.expect("plays");
        let told = track.streams[0].available_unix.map(|until| until - NOW);
        assert_eq!(told, wait.map(|wait: u64| wait + 1), "{placements} {slots}");
    }
}

#[tokio::test]
async fn a_file_is_the_same_under_the_urls_of_two_identities() {
    let url = "https://rr1---sn-x.googlevideo.com/videoplayback?expire=1790021600&itag=140&clen=1000&lmt=17&xtags=acont%3Doriginal%3Alang%3Den";
    let mut format = format(140, AAC);
    format["url"] = json!(url);
    format["xtags"] = json!("ChEKBWFjb250EghvcmlnaW5hbAoNCgRsYW5nEgVlbi1VUw");
    let track = Fake::player([ok(playing(&[format]))])
        .track()
        .await
        .expect("plays");
    let stream = &track.streams[0];
    assert_eq!(
        Some(&stream.validator),
        kmds_extract::youtube::file_of(url).as_ref()
    );
    assert_eq!(stream.client, "visionos-c");
    for other in ["itag=139", "clen=1001", "lmt=18", "xtags=drc%3D1"] {
        let (key, _) = other.split_once('=').expect("a pair");
        let changed: Vec<&str> = url
            .split('&')
            .map(|pair| if pair.starts_with(key) { other } else { pair })
            .collect();
        assert_ne!(
            kmds_extract::youtube::file_of(&changed.join("&")),
            Some(stream.validator.clone()),
            "{other}"
        );
    }
    assert_eq!(
        kmds_extract::youtube::file_of(
            "https://rr1---sn-x.googlevideo.com/videoplayback?itag=140&clen=5"
        ),
        None
    );
}
