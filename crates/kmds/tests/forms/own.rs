//! The form belongs to the key: what one client asks for never changes what another one gets.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Song};
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Kmds, PATIENCE};
use super::{bytes, call, fetched, file, get, link, ready, v1_fetch, without_encoder};

const LISTS: [(&str, &[&str]); 3] = [
    ("m4a", &["m4a", "mp3"]),
    ("opus", &["opus", "m4a"]),
    ("webm", &["webm"]),
];

/// Whether these are the bytes of this form of a video, as the site has it.
fn is_form(form: &str, song: &Song, got: &[u8]) -> bool {
    match form {
        "m4a" => got == song.bytes(),
        "webm" => song.stream_bytes("251").is_some_and(|webm| got == webm),
        _ => got.starts_with(b"OggS") && got.windows(8).any(|at| at == b"OpusHead"),
    }
}

/// One client's form by path, stream, tunnel and hash.
async fn is_served_as(kmds: &Kmds, track: &Value, form: &str, song: &Song) {
    assert_eq!(track["form"], form, "{track}");
    let now = ready(kmds, track, "").await;
    assert_eq!(now["form"], form, "{now}");
    assert_eq!(now["links"], track["links"], "they never change");
    let on_drive = file(kmds, &now);
    assert!(is_form(form, song, &on_drive), "{form}");
    assert_eq!(now["size_bytes"], on_drive.len());
    assert_eq!(now["sha256"], now["stored"]["sha256"]);
    for name in ["audio", "stream", "tunnel"] {
        let got = bytes(kmds, link(track, name)).await;
        assert!(got == on_drive, "{form} by {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_clients_of_one_song_each_get_their_own_form_for_ever() {
    let lab = Lab::start().await;
    let kmds = without_encoder(&lab).start();
    // In each order, one after the other: the first is ready before the next one asks.
    for first in 0..LISTS.len() {
        let song = lab.youtube().video("In turn").seconds(3.0).publish();
        let mut told = Vec::new();
        for turn in 0..LISTS.len() {
            let (form, accept) = LISTS[(first + turn) % LISTS.len()];
            let track = fetched(&kmds, &song.link(), json!(accept)).await;
            is_served_as(&kmds, &track, form, &song).await;
            told.push((form, track));
        }
        // The page opens the song, as a client that says nothing.
        let (status, _) = v1_fetch(&kmds, json!({"url": song.link()})).await;
        assert_eq!(status, 200);
        for (form, track) in &told {
            is_served_as(&kmds, track, form, &song).await;
        }
    }
    // And at once.
    let song = lab.youtube().video("At once").seconds(3.0).publish();
    let own = async |(form, accept): (&str, &[&str])| {
        let track = fetched(&kmds, &song.link(), json!(accept)).await;
        is_served_as(&kmds, &track, form, &song).await;
    };
    tokio::join!(own(LISTS[0]), own(LISTS[1]), own(LISTS[2]));
}

#[tokio::test]
async fn a_song_lists_its_forms_and_a_list_of_formats_chooses_among_them() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Chosen").seconds(3.0).publish();
    let kmds = without_encoder(&lab).start();
    let track = fetched(&kmds, &song.link(), json!("discord")).await;
    ready(&kmds, &track, "").await;
    let at = link(&track, "track").to_owned();
    let audio =
        async |accept: &str| bytes(&kmds, &format!("{at}/audio?accept={accept}&wait=60")).await;
    // What the client names first, if the site has it or it is here.
    for (accept, form) in [
        ("opus,m4a", "opus"),
        ("discord", "opus"),
        ("mp3,webm,opus", "webm"),
        ("m4a", "m4a"),
        ("ogg,opus", "opus"),
    ] {
        let got = audio(accept).await;
        assert!(is_form(form, &song, &got), "{accept}");
    }
    let shown = get(&kmds, &at).await;
    let forms = shown["forms"].as_array().expect("forms");
    let words: Vec<&str> = forms
        .iter()
        .filter_map(|form| form["form"].as_str())
        .collect();
    assert_eq!(words, ["opus", "webm", "m4a"], "in the order of asking");
    for form in forms {
        assert_eq!(
            (&form["rendition"], &form["state"], &form["path_final"]),
            (&"original".into(), &"ready".into(), &true.into())
        );
        let on_drive = file(&kmds, form);
        assert!(is_form(
            form["form"].as_str().expect("a word"),
            &song,
            &on_drive
        ));
        assert_eq!(form["size_bytes"], on_drive.len());
        assert_eq!(form["sha256"].as_str().map(str::len), Some(64));
        assert_eq!(
            get(&kmds, link(form, "self")).await["sha256"],
            form["sha256"]
        );
    }
    assert_eq!(kmds.log().matches("failed").count(), 0, "{}", kmds.log());
}

#[tokio::test]
async fn a_copy_in_a_form_that_the_site_has_is_the_site_s_own() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Not encoded").seconds(3.0).publish();
    let kmds = without_encoder(&lab).start();
    let first = fetched(&kmds, &song.link(), json!(["m4a"])).await;
    ready(&kmds, &first, "").await;
    let asked = json!({"url": song.link(), "rendition": "opus"});
    let (_, reply) = v1_fetch(&kmds, asked).await;
    let copy = &reply["tracks"][0];
    assert_eq!(
        (&copy["form"], &copy["rendition"]),
        (&"opus".into(), &"original".into()),
        "{copy}"
    );
    let now = ready(&kmds, copy, "").await;
    assert!(is_form("opus", &song, &file(&kmds, &now)));
    let audio = format!("{}/audio?rendition=opus&wait=60", link(&first, "track"));
    assert_eq!(bytes(&kmds, &audio).await, file(&kmds, &now));
    let own = fetched(&kmds, &song.link(), json!(["opus"])).await;
    assert_eq!(own["links"], copy["links"], "one form, one key");
}

#[tokio::test]
async fn a_form_that_this_song_has_not_is_a_copy_though_the_site_has_it_of_most() {
    let lab = Lab::start().await;
    let aac = lab.soundcloud().track("aac").seconds(12.0);
    let aac = aac.formats(&[Format::AacHls]).publish();
    let both = lab.soundcloud().track("both").seconds(12.0);
    let both = both.formats(&[Format::AacHls, Format::Mp3Progressive]);
    let both = both.publish();
    let opus = lab.youtube().video("Opus").seconds(3.0).opus_only();
    let opus = opus.publish();
    let kmds = without_encoder(&lab).start();
    for (song, accept, form, rendition, ends) in [
        (&aac, "m4a", "mp3", "mp3", ".mp3.r.mp3"),
        (&both, "m4a", "mp3", "original", ".mp3"),
        (&opus, "opus", "m4a", "m4a", ".m4a.r.m4a"),
    ] {
        let first = fetched(&kmds, &song.link(), json!([accept])).await;
        ready(&kmds, &first, "").await;
        // The song is known now: its streams are not asked for again.
        let asked = json!({"url": song.link(), "accept": [accept], "rendition": form});
        let (_, reply) = v1_fetch(&kmds, asked).await;
        let made = &reply["tracks"][0];
        assert_eq!(made["rendition"], rendition, "{made}");
        let path = format!("{}/{}{ends}", song.site().name(), song.id());
        assert_eq!(made["path"], path, "{made}");
        if rendition == "original" {
            ready(&kmds, made, "").await;
        }
    }
}

#[tokio::test]
async fn clients_of_one_list_get_their_own_forms_before_its_streams_are_known() {
    let lab = Lab::start().await;
    let formats = [Format::AacHls, Format::Mp3Progressive, Format::OpusHls];
    let set = lab
        .soundcloud()
        .set(4)
        .formats(&formats)
        .full(1)
        .seconds(3.0)
        .publish();
    let kmds = without_encoder(&lab).start();
    for (form, kind) in [
        ("opus", "audio/ogg; codecs=opus"),
        ("mp3", "audio/mpeg"),
        ("m4a", "audio/mp4"),
    ] {
        let asked = json!({"url": set.link(), "accept": [form]});
        let (status, reply) = v1_fetch(&kmds, asked).await;
        assert_eq!(status, 200, "{reply}");
        for track in reply["tracks"].as_array().expect("tracks") {
            assert_eq!(track["form"], form, "{track}");
            let path = track["path"].as_str().expect("a path");
            assert!(path.ends_with(&format!(".{form}")), "{path}");
        }
        let last = &reply["tracks"][3];
        ready(&kmds, last, "").await;
        let answer = kmds.get(link(last, "audio")).await;
        assert_eq!(answer.headers()["content-type"], kind, "{form}");
    }
}

#[tokio::test]
async fn a_form_is_waited_for_and_made_but_a_look_makes_none() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Made").seconds(3.0).publish();
    let kmds = without_encoder(&lab).start();
    let first = fetched(&kmds, &song.link(), json!(["m4a"])).await;
    ready(&kmds, &first, "").await;
    let opus = format!("{}/opus", link(&first, "track"));
    for (method, path, want) in [
        (Method::GET, opus.clone(), 404),
        (Method::HEAD, format!("{opus}?wait=1"), 404),
        (Method::HEAD, format!("{opus}/audio?wait=1"), 418),
        (Method::POST, format!("{opus}/hold"), 404),
        (Method::POST, format!("{opus}/pin"), 404),
    ] {
        let (status, body) = call(&kmds, method.clone(), &path).await;
        assert_eq!(status, want, "{method} {path}: {body}");
    }
    let before = get(&kmds, link(&first, "track")).await;
    assert_eq!(before["forms"].as_array().map(Vec::len), Some(1));
    let now = get(&kmds, &format!("{opus}?wait=60")).await;
    assert_eq!(now["path_final"], true, "{now}");
    assert!(is_form("opus", &song, &file(&kmds, &now)));
    assert_eq!(kmds.audio_sent().await, 0, "no audio went over HTTP");
}

#[tokio::test]
async fn what_no_form_and_no_parameter_is_called_is_refused_by_its_name() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Refused").seconds(3.0).publish();
    let kmds = without_encoder(&lab).start();
    let track = fetched(&kmds, &song.link(), json!(["m4a"])).await;
    let at = link(&track, "track").to_owned();
    for (method, path, status, named) in [
        (Method::GET, format!("{at}/exe"), 400, "webm, flac"),
        (Method::GET, format!("{at}/exe/audio"), 400, "webm, flac"),
        (Method::POST, format!("{at}/exe/hold"), 400, "webm, flac"),
        (Method::GET, format!("{at}/m4a?weit=1"), 400, "`weit`"),
        (Method::GET, format!("{at}/m4a/audio?hold=1"), 400, "`hold`"),
        (Method::POST, format!("{at}/m4a/pin?hold=1"), 400, "`hold`"),
        (Method::GET, format!("{at}?holt=1"), 400, "`holt`"),
        (Method::GET, format!("{at}?hold=0"), 400, "hold=86400"),
        (
            Method::GET,
            format!("{at}/m4a?hold=86401"),
            400,
            "hold=86400",
        ),
        (
            Method::POST,
            format!("{at}/m4a/hold?hold=x"),
            400,
            "hold=86400",
        ),
        (
            Method::POST,
            format!("{at}/m4a/hold?holder=a%20b"),
            400,
            "64",
        ),
        (Method::GET, format!("{at}/audio?accept=exe"), 400, "opus"),
        (
            Method::GET,
            format!("{at}/audio?accept=opus&rendition=mp3"),
            400,
            "accept",
        ),
        (
            Method::GET,
            "/api/v1/tracks/youtube/unknown0000/m4a".to_owned(),
            404,
            "/fetch",
        ),
        (
            Method::POST,
            "/api/v1/tracks/youtube/unknown0000/m4a/pin".to_owned(),
            404,
            "/fetch",
        ),
        (
            Method::GET,
            "/api/v1/tracks/vimeo/1/m4a".to_owned(),
            404,
            "SITE/ID",
        ),
    ] {
        let (got, body) = call(&kmds, method.clone(), &path).await;
        assert_eq!(got, status, "{method} {path}: {body}");
        let sentence = body["detail"].as_str().expect("a sentence");
        assert!(sentence.contains(named), "{path}: {sentence}");
    }
}

#[tokio::test]
async fn events_name_the_form_that_they_tell_of() {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Told of").seconds(3.0).publish();
    let kmds = without_encoder(&lab).start();
    for accept in ["m4a", "opus"] {
        let track = fetched(&kmds, &song.link(), json!([accept])).await;
        ready(&kmds, &track, "").await;
    }
    let mut events = kmds
        .http
        .get(kmds.at("/api/v1/events"))
        .header("last-event-id", "1")
        .send()
        .await
        .expect("events");
    let mut text = String::new();
    for form in ["m4a", "opus"] {
        let told = format!("\"form\":\"{form}\",\"rendition\":\"original\",\"state\":\"ready\"");
        while !text.contains(&told) {
            let piece = tokio::time::timeout(PATIENCE, events.chunk())
                .await
                .expect("in time")
                .expect("no cut");
            text.push_str(&String::from_utf8_lossy(&piece.expect("no end")));
        }
    }
}
