//! Videos (YouTube notes 2.4 to 2.9).

use kmds_lab::Site;
use serde_json::{Value, json};

use super::{Audio, LeadsTo, Recordings, Size, WantedSong, refused, song};

const SECONDS: u64 = 20;
/// 129.7 kbit/s, rounded up.
const AAC_BYTES: u64 = 330_000;
const OPUS_BYTES: u64 = 350_000;

pub(super) fn post(
    made: &mut Recordings,
    url: &str,
    client: &str,
    mut asked: Value,
    answer: &Value,
) {
    asked["context"] = json!({"client": {"clientName": client}});
    made.exchange("POST", url, asked, 200, &answer.to_string());
}

fn player(made: &mut Recordings, id: &str, answer: &Value) {
    let url = format!(
        "https://youtubei.googleapis.com/youtubei/v1/player?prettyPrint=false&t=aaaaaaaaaaaa&id={id}"
    );
    post(made, &url, "VISIONOS", json!({"videoId": id}), answer);
}

fn reel(made: &mut Recordings, id: &str, answer: &Value) {
    let url = "https://youtubei.googleapis.com/youtubei/v1/reel/reel_item_watch?prettyPrint=false&$fields=playerResponse";
    post(
        made,
        url,
        "ANDROID",
        json!({"playerRequest": {"videoId": id}}),
        &json!({"playerResponse": answer}),
    );
}

fn format(id: &str, itag: u64, mime: &str, bytes: u64) -> Value {
    let kind = mime
        .split(';')
        .next()
        .unwrap_or_default()
        .replace('/', "%2F");
    let url = format!(
        "https://rr1---sn-madeup.googlevideo.com/videoplayback?expire=1780891719&ei=madeup&ip=203.0.113.7&id=o-{id}\
         &itag={itag}&source=youtube&mime={kind}&rqh=1&gir=yes&clen={bytes}&dur={SECONDS}.027&lmt=1777719991872789\
         &c=VISIONOS&sparams=expire%2Cei%2Cip%2Cid%2Citag%2Csource%2Cmime%2Crqh%2Cgir%2Cclen%2Cdur%2Clmt&sig=AHEmadeup"
    );
    let rate = if mime.contains("opus") {
        "48000"
    } else {
        "44100"
    };
    json!({"itag": itag, "url": url, "mimeType": mime, "bitrate": 130_518, "averageBitrate": 129_501,
        "initRange": {"start": "0", "end": "722"}, "indexRange": {"start": "723", "end": "1006"},
        "lastModified": "1777719991872789", "contentLength": bytes.to_string(),
        "approxDurationMs": format!("{SECONDS}027"), "audioSampleRate": rate, "audioChannels": 2})
}

fn aac(id: &str) -> Value {
    format(id, 140, "audio/mp4; codecs=\"mp4a.40.2\"", AAC_BYTES)
}

fn opus(id: &str) -> Value {
    format(id, 251, "audio/webm; codecs=\"opus\"", OPUS_BYTES)
}

/// An answer that plays: single track, small cover, by "Somebody".
fn playable(id: &str, formats: &[Value]) -> Value {
    json!({
        "responseContext": {"visitorData": "Cgtmadeup%3D%3D"},
        "playabilityStatus": {"status": "OK", "playableInEmbed": true},
        "streamingData": {"expiresInSeconds": "21540", "adaptiveFormats": formats,
            "hlsManifestUrl": "https://manifest.googlevideo.com/api/manifest/hls_variant/x"},
        "videoDetails": {"videoId": id, "title": format!("A - Video {id}"), "lengthSeconds": "21", "author": "Somebody",
            "channelId": "UCaaaaaaaaaaaaaaaaaaaaaA", "shortDescription": "Words.", "isCrawlable": true,
            "thumbnail": {"thumbnails": [{"url": format!("https://i.ytimg.com/vi/{id}/mqdefault.jpg"), "width": 320, "height": 180}]}},
    })
}

fn refusing(id: &str, status: &str, reason: &str) -> Value {
    let mut answer = playable(id, &[]);
    answer["playabilityStatus"] = json!({"status": status, "reason": reason,
        "errorScreen": {"playerErrorMessageRenderer": {"reason": {"simpleText": reason}}}});
    without(answer, "streamingData")
}

fn without(mut answer: Value, name: &str) -> Value {
    answer
        .as_object_mut()
        .and_then(|fields| fields.remove(name));
    answer
}

fn link(id: &str) -> String {
    format!("https://www.youtube.com/watch?v={id}")
}

/// 2.4: the title as it is, the author as artist; the length and size of the format. 2.8: no hq720 → hqdefault.
fn plays(id: &str) -> WantedSong {
    WantedSong {
        size: Size::Exact(AAC_BYTES),
        cover: Some(format!("https://i.ytimg.com/vi/{id}/hqdefault.jpg")),
        ..song(id, &format!("A - Video {id}"), "Somebody", 20.027)
    }
}

#[tokio::test]
async fn made_up_refusals_of_youtube_are_named_by_the_table_of_statuses() {
    let mut made = Recordings::of(Site::YouTube);
    // Notes 2.7, row by row; whether `videoDetails` stays is told below the table.
    let rows = [
        (
            "upcoming000",
            "LIVE_STREAM_OFFLINE",
            "Premieres in 3 hours",
            true,
            "unreleased",
        ),
        (
            "waiting0000",
            "LIVE_STREAM_OFFLINE",
            "This live event will begin in 20 minutes.",
            true,
            "unreleased",
        ),
        (
            "members0000",
            "UNPLAYABLE",
            "This video is available to this channel's members on level: Friend",
            true,
            "members_only",
        ),
        (
            "members0004",
            "UNPLAYABLE",
            "Join this channel to get access to members-only content",
            true,
            "members_only",
        ),
        (
            "premium0000",
            "UNPLAYABLE",
            "This video is only available to Music Premium members",
            true,
            "paid_only",
        ),
        (
            "payment0000",
            "UNPLAYABLE",
            "This video requires payment to watch.",
            true,
            "paid_only",
        ),
        (
            "geo00000000",
            "UNPLAYABLE",
            "The uploader has not made this video available in your country",
            true,
            "geo_blocked",
        ),
        (
            "age00000000",
            "LOGIN_REQUIRED",
            "Sign in to confirm your age",
            true,
            "age_restricted",
        ),
        (
            "age00000004",
            "LOGIN_REQUIRED",
            "This video may be inappropriate for some users.",
            true,
            "age_restricted",
        ),
        (
            "age00000008",
            "AGE_CHECK_REQUIRED",
            "Confirm",
            true,
            "age_restricted",
        ),
        (
            "private0000",
            "LOGIN_REQUIRED",
            "This video is private",
            false,
            "private",
        ),
        (
            "closed00000",
            "ERROR",
            "This video is no longer available because the YouTube account associated with this video has been terminated.",
            false,
            "not_found",
        ),
        (
            "removed0000",
            "ERROR",
            "This video has been removed by the uploader",
            false,
            "not_found",
        ),
        (
            "gone0000000",
            "ERROR",
            "Video unavailable",
            false,
            "not_found",
        ),
        (
            "limited0000",
            "UNPLAYABLE",
            "This content isn\u{2019}t available, try again later.",
            true,
            "rate_limited",
        ),
        // Last, for it may make the service wait.
        (
            "botcheck000",
            "LOGIN_REQUIRED",
            "Sign in to confirm you\u{2019}re not a bot",
            false,
            "bot_check",
        ),
    ];
    // 2.7: OK with isLive; its formats have no length.
    let mut live = playable(
        "livestream0",
        &[without(
            without(aac("livestream0"), "contentLength"),
            "approxDurationMs",
        )],
    );
    live["videoDetails"]["isLive"] = json!(true);
    live["videoDetails"]["lengthSeconds"] = json!("0");
    live["playabilityStatus"]["liveStreamability"] =
        json!({"liveStreamabilityRenderer": {"videoId": "livestream0"}});
    player(&mut made, "livestream0", &live);
    made.want(&link("livestream0"), refused("live"));
    for (id, status, reason, details, kind) in rows {
        let answer = refusing(id, status, reason);
        let answer = if details {
            answer
        } else {
            without(answer, "videoDetails")
        };
        player(&mut made, id, &answer);
        made.want(&link(id), refused(kind));
    }
    made.judge().await;
}

/// Answers that say something about us, not about the video; each asked of a service that knows nothing yet.
#[tokio::test]
async fn made_up_answers_of_youtube_that_are_about_the_client_are_no_refusals_of_the_video() {
    let id = "aboutus0000";
    let captcha = with_status(
        json!({"status": "UNPLAYABLE", "errorScreen": {"playerCaptchaViewModel": {"x": 1}}}),
    );
    let age_gate = with_status(
        json!({"status": "UNPLAYABLE", "reason": "Confirm", "desktopLegacyAgeGateReason": 1}),
    );
    let mut other = playable(id, &[aac(id)]);
    other["videoDetails"]["videoId"] = json!("otherclip00");
    let mut after_live = playable(id, &[aac(id)]);
    after_live["videoDetails"]["isPostLiveDvr"] = json!(true);
    // 2.4: neither `url` nor cipher, or a cipher only; 2.7; 5.
    let cases = [
        (playable(id, &[without(aac(id), "url")]), "page_changed"),
        (playable(id, &[with_cipher(aac(id))]), "page_changed"),
        (
            refusing(id, "UNPLAYABLE", "The page needs to be reloaded."),
            "page_changed",
        ),
        (other, "page_changed"),
        (captcha, "bot_check"),
        (age_gate, "age_restricted"),
        (after_live, "live"),
    ];
    for (answer, kind) in cases {
        let mut made = Recordings::of(Site::YouTube);
        player(&mut made, id, &answer);
        made.want(&link(id), refused(kind));
        made.judge().await;
    }
}

fn with_status(status: Value) -> Value {
    let mut answer = without(playable("aboutus0000", &[]), "streamingData");
    answer["playabilityStatus"] = status;
    answer
}

fn with_cipher(mut format: Value) -> Value {
    format["signatureCipher"] =
        json!("s=abc&sp=sig&url=https%3A%2F%2Frr1---sn-madeup.googlevideo.com%2Fvideoplayback");
    without(format, "url")
}

#[tokio::test]
async fn made_up_videos_of_youtube_are_shown_and_arrive_as_the_notes_have_it() {
    let mut made = Recordings::of(Site::YouTube);
    // 2.4: isCrawlable false means unlisted, nothing else.
    let mut unlisted = playable("unlisted000", &[opus("unlisted000"), aac("unlisted000")]);
    unlisted["videoDetails"]["isCrawlable"] = json!(false);
    player(&mut made, "unlisted000", &unlisted);
    made.want(&link("unlisted000"), LeadsTo::Song(plays("unlisted000")));

    // 2.5: AAC is wanted first; without it Opus is what there is, and without Opus nothing changes.
    player(
        &mut made,
        "onlyopus000",
        &playable("onlyopus000", &[opus("onlyopus000")]),
    );
    made.want(
        &link("onlyopus000"),
        LeadsTo::Song(WantedSong {
            size: Size::Any,
            audio: Audio::Made,
            ..plays("onlyopus000")
        }),
    );
    player(
        &mut made,
        "noopus00000",
        &playable("noopus00000", &[aac("noopus00000")]),
    );
    made.want(&link("noopus00000"), LeadsTo::Song(plays("noopus00000")));

    // 2.8: hq720 is listed exactly where maxresdefault exists.
    let mut large = playable("large000000", &[aac("large000000")]);
    large["videoDetails"]["thumbnail"]["thumbnails"] = json!([{"url": "https://i.ytimg.com/vi/large000000/hq720.jpg?sqp=x", "width": 1280, "height": 720}]);
    player(&mut made, "large000000", &large);
    let cover = Some("https://i.ytimg.com/vi/large000000/maxresdefault.jpg".to_owned());
    made.want(
        &link("large000000"),
        LeadsTo::Song(WantedSong {
            cover,
            ..plays("large000000")
        }),
    );
    made.judge().await;
}

#[tokio::test]
async fn made_up_topic_videos_are_named_by_their_labels_description() {
    let mut made = Recordings::of(Site::YouTube);
    let topics = [
        // 2.9: track · artists, album, ℗, date.
        (
            "topic000000",
            "Provided to YouTube by A Label\n\nBlue / Green (Live) · First One · Second One\n\nThe Blue Album\n\n\
             ℗ 2015 A Label\n\nReleased on: 2016-05-06\n\nProducer: Someone\n\nAuto-generated by YouTube.",
            (
                "Blue / Green (Live)",
                "First One, Second One",
                Some("The Blue Album"),
            ),
        ),
        // A title with a dot in it ends where the channel's artist stands; ℗ and date may be missing.
        (
            "topic000004",
            "Provided to YouTube by A Label\n\nBlue · Green · First One\n\nThe Blue Album\n\nAuto-generated by YouTube.",
            ("Blue · Green", "First One", Some("The Blue Album")),
        ),
        // A credit line overrides.
        (
            "topic000008",
            "Provided to YouTube by A Label\n\nBlue · First One\n\nThe Blue Album\n\n℗ 2015 A Label\n\nArtist: Another One\n\n\
             Auto-generated by YouTube.",
            ("Blue", "Another One", Some("The Blue Album")),
        ),
        // 2.4: without such a description, the author without " - Topic".
        (
            "topic00000A",
            "Anything · else\n\nat all",
            ("Blue on YouTube", "First One", None),
        ),
    ];
    for (id, description, (title, artist, album)) in topics {
        let mut answer = playable(id, &[aac(id)]);
        answer["videoDetails"]["author"] = json!("First One - Topic");
        answer["videoDetails"]["title"] = json!("Blue on YouTube");
        answer["videoDetails"]["shortDescription"] = json!(description);
        player(&mut made, id, &answer);
        let named = WantedSong {
            title: title.to_owned(),
            artist: Some(artist.to_owned()),
            album: album.map(str::to_owned),
            ..plays(id)
        };
        made.want(&link(id), LeadsTo::Song(named));
    }
    let kmds = made.judge().await;
    for (id, date) in [
        ("topic000000", Value::from("2016-05-06")),
        ("topic000004", Value::Null),
    ] {
        let answer = kmds
            .get(&format!("/api/v1/tracks/youtube/{id}"))
            .await
            .text()
            .await
            .expect("a body");
        let track: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(track["date"], date, "{id}");
    }
}

#[tokio::test]
async fn made_up_videos_for_kids_are_shown_and_play_only_by_the_reel_call() {
    let mut made = Recordings::of(Site::YouTube);
    // 2.7, "Made for kids": metadata at once; the length is `lengthSeconds`.
    for id in ["kids0000000", "kids0000004"] {
        player(
            &mut made,
            id,
            &refusing(id, "UNPLAYABLE", "This video is not available"),
        );
    }
    let of_kids = |id: &str, audio| WantedSong {
        seconds: Some(21.0),
        slack: 1.0,
        size: Size::Any,
        audio,
        ..plays(id)
    };
    made.want(
        &link("kids0000000"),
        LeadsTo::Song(of_kids("kids0000000", Audio::Fails("unavailable"))),
    );
    let mut answer = playable("kids0000004", &[]);
    answer["streamingData"]["formats"] = json!([format(
        "kids0000004",
        18,
        "video/mp4; codecs=\"avc1.42001E, mp4a.40.2\"",
        900_000
    )]);
    reel(&mut made, "kids0000004", &answer);
    made.want(
        &link("kids0000004"),
        LeadsTo::Song(of_kids("kids0000004", Audio::Made)),
    );
    made.judge().await;
}
