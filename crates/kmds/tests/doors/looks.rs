//! Requests that only look: `HEAD`, and the answers of v1 about songs that are not downloaded.

use kmds_lab::soundcloud::Format;
use kmds_lab::{Kind, Lab, kib};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::replies::V1Fetched;
use crate::harness::{Kmds, Setup};
use crate::raw;

async fn json_of(kmds: &Kmds, path: &str) -> Value {
    let text = kmds.get(path).await.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
}

async fn head(kmds: &Kmds, path: &str) -> u16 {
    let asked = kmds
        .http
        .request(Method::HEAD, kmds.at(path))
        .timeout(crate::PATIENCE);
    asked.send().await.expect("a head").status().as_u16()
}

fn escaped(link: &str) -> String {
    url::form_urlencoded::byte_serialize(link.as_bytes()).collect()
}

#[tokio::test]
async fn head_starts_nothing_on_any_route() {
    let lab = Lab::start().await;
    let unknown = lab.bandcamp().track("Never asked for").publish();
    let album = lab.bandcamp().album(2).publish();
    let known = lab.bandcamp().track("Known").publish();
    let kmds = Kmds::start(&lab);
    for (path, status) in [
        (format!("/fetch?url={}", escaped(&unknown.link())), 200),
        (format!("/play?url={}", escaped(&unknown.link())), 418),
        (format!("/play?url={}", escaped(&album.link())), 418),
        (
            format!("/play?archive=zip&url={}", escaped(&album.link())),
            418,
        ),
        ("/fetch?url=x".to_owned(), 400),
        ("/play?url=x".to_owned(), 400),
        ("/play".to_owned(), 400),
    ] {
        assert_eq!(head(&kmds, &path).await, status, "{path}");
    }
    assert_eq!(lab.requests().len(), 0, "no site was asked");
    let (status, reply) = kmds
        .v1_fetch(json!({ "url": known.link(), "prefetch": "none" }))
        .await;
    assert_eq!(status, 200, "{reply}");
    lab.forget_requests();
    let (id, file) = (
        known.id(),
        format!("/tunnel?file=bandcamp-{}.mp3", known.id()),
    );
    let track = format!("/api/v1/tracks/bandcamp/{id}");
    for (path, status) in [
        (format!("/play?url={}", escaped(&known.link())), 418),
        (file.clone(), 418),
        (format!("{file}&stream=1"), 418),
        (format!("{file}&wait=300"), 418),
        (format!("{track}/audio"), 418),
        (format!("{track}/audio?stream=1"), 418),
        (format!("{track}/audio?wait=300"), 418),
        (format!("{track}/audio?rendition=flac&tags=1&wait=300"), 418),
        (format!("{track}/audio?rendition=flac&stream=1"), 418),
        (format!("{track}/cover"), 200),
        (track.clone(), 200),
        ("/api/v1/tracks".to_owned(), 200),
        ("/api/v1/events".to_owned(), 200),
        ("/api/v1/stats".to_owned(), 200),
        ("/".to_owned(), 200),
        ("/ui/".to_owned(), 200),
        ("/healthz".to_owned(), 200),
        ("/readyz".to_owned(), 200),
        ("/metrics".to_owned(), 200),
        ("/openapi.json".to_owned(), 200),
    ] {
        assert_eq!(head(&kmds, &path).await, status, "{path}");
    }
    let stats = json_of(&kmds, "/api/v1/stats").await;
    let idle = |queue: &Value| queue["waiting"] == 0 && queue["running"] == 0;
    assert!(
        stats["queues"]
            .as_array()
            .is_some_and(|queues| queues.iter().all(idle)),
        "{stats}"
    );
    assert_eq!(lab.requests().len(), 0, "no site was asked");
    // What is here has the head that `GET` has.
    let bytes = kmds.download(&known.link()).await;
    let ready = kmds.at(&format!("/play?url={}", escaped(&known.link())));
    let ready = kmds
        .http
        .request(Method::HEAD, ready)
        .send()
        .await
        .expect("a head");
    assert_eq!(
        (ready.status().as_u16(), &ready.headers()["content-length"]),
        (200, &bytes.len().into())
    );
}

#[tokio::test]
async fn head_of_a_growing_file_waits_for_nothing_however_old_the_client() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("growing")
        .formats(&[Format::AacHls])
        .seconds(60.0)
        .holds_at(kib(200))
        .publish();
    let kmds = Setup::of(&lab)
        .recipes("[time]\naudio_stall = 60.0\n")
        .start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = format!("{}&stream=1", reply.songs[0].tunnel);
    kmds.until("it grows", async || head(&kmds, &path).await == 200)
        .await;
    for version in ["1.0", "1.1"] {
        let request = format!(
            "HEAD {path} HTTP/{version}\r\nHost: localhost\r\nRange: bytes=-5\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(raw(&kmds, request.as_bytes()).0, 200, "HTTP/{version}");
    }
    song.release();
}

#[tokio::test]
async fn a_song_whose_file_was_removed_by_hand_is_evicted_as_soon_as_it_is_looked_at() {
    let lab = Lab::start().await;
    let [gone, cut, whole] =
        ["Gone", "Cut", "Whole"].map(|title| lab.bandcamp().track(title).publish());
    let kmds = Kmds::start(&lab);
    let track = async |song: &kmds_lab::Song| {
        json_of(&kmds, &format!("/api/v1/tracks/bandcamp/{}", song.id())).await
    };
    for song in [&gone, &cut, &whole] {
        kmds.download(&song.link()).await;
        assert_eq!(track(song).await["state"], "ready");
    }
    let file = |song: &kmds_lab::Song| {
        kmds.folder
            .path(&format!("cache/bandcamp/{}.mp3", song.id()))
    };
    std::fs::remove_file(file(&gone)).expect("removed");
    std::fs::write(file(&cut), &cut.bytes()[..1000]).expect("cut");
    for (song, state) in [(&gone, "evicted"), (&cut, "evicted"), (&whole, "ready")] {
        let track = track(song).await;
        assert_eq!(
            (track["state"].as_str(), track["stored"].is_null()),
            (Some(state), state == "evicted"),
            "{track}"
        );
        assert_eq!(lab.hits(song), 1, "looking starts nothing");
    }
    // It has not failed, so there is nothing to try again.
    let path = kmds.at(&format!("/api/v1/tracks/bandcamp/{}/retry", gone.id()));
    let answer = kmds.http.post(path).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    assert_eq!(track(&gone).await["state"], "evicted");
}

#[tokio::test]
async fn a_song_that_left_the_drive_is_evicted_until_a_client_asks_for_it() {
    let lab = Lab::start().await;
    let songs =
        ["First", "Second"].map(|title| lab.bandcamp().track(title).seconds(30.0).publish());
    let later = lab.bandcamp().track("Later").publish();
    let room = (songs[0].len() + songs[1].len() / 2).to_string();
    let kmds = Setup::of(&lab).set("KMDS_CACHE__MAX_BYTES", &room).start();
    for song in &songs {
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
    }
    let (_, reply) = kmds
        .v1_fetch(json!({ "url": later.link(), "prefetch": "none" }))
        .await;
    assert_eq!(reply.tracks[0].state, "evicted", "it has no job: {reply}");
    let first = format!("/api/v1/tracks/bandcamp/{}", songs[0].id());
    let track = json_of(&kmds, &first).await;
    assert_eq!(
        (&track["state"], &track["stored"], &track["failure"]),
        (&json!("evicted"), &json!(null), &json!(null))
    );
    let ids = async |state: &str| {
        let path = format!("/api/v1/tracks?state={state}");
        let (_, list) = kmds.body::<V1Fetched>(&path).await;
        let ids = list.tracks.iter().map(|track| track.id.clone());
        ids.collect::<Vec<String>>()
    };
    assert_eq!(ids("queued").await, Vec::<String>::new());
    assert_eq!(ids("evicted").await, [later.id(), songs[0].id()]);
    // The classic face knows five words, and asking queues it.
    let (_, reply) = kmds.fetch(&songs[0].link()).await;
    let state = reply.songs[0].state.clone();
    assert!(
        ["queued", "downloading", "ready"].contains(&state.as_str()),
        "{state}"
    );
    assert_eq!(kmds.whole(&reply.songs[0]).await, songs[0].bytes());
    assert_eq!(json_of(&kmds, &first).await["state"], "ready");
}

#[tokio::test]
async fn an_unknown_parameter_of_v1_is_refused_by_its_name_and_the_classic_face_passes_it_over() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("There").publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    let track = format!("/api/v1/tracks/bandcamp/{}", song.id());
    for path in [
        format!("{track}?weit=1"),
        format!("{track}/audio?weit=1"),
        format!("{track}/cover?stream=1&weit=1"),
        "/api/v1/tracks?weit=1".to_owned(),
        "/api/v1/events?track=&weit=1".to_owned(),
        "/api/v1/stats?weit=1".to_owned(),
    ] {
        let answer = kmds.get(&path).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (400, &"application/problem+json".parse().expect("a value")),
            "{path}"
        );
        let problem: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(problem["kind"], "bad_request");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("weit") || detail.contains("`stream`")),
            "{problem}"
        );
    }
    for (method, path) in [
        (Method::POST, format!("{track}/retry?weit=1")),
        (Method::DELETE, format!("{track}?weit=1")),
    ] {
        assert_eq!(
            kmds.http
                .request(method, kmds.at(&path))
                .send()
                .await
                .expect("an answer")
                .status(),
            400,
            "{path}"
        );
    }
    let (status, problem) = kmds
        .v1_fetch(json!({ "url": song.link(), "prefecth": "none" }))
        .await;
    assert_eq!(status, 400);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("`prefecth`")),
        "{problem}"
    );
    assert_eq!(
        kmds.get(&format!("/tunnel?file=bandcamp-{}.mp3&weit=1", song.id()))
            .await
            .status(),
        200
    );
    assert_eq!(lab.count(|seen| seen.kind == Kind::Cover), 0);
}

#[tokio::test]
async fn of_two_links_in_one_request_none_is_dropped_in_silence_on_either_face() {
    let lab = Lab::start().await;
    let [one, two] = ["One", "Two"].map(|title| lab.bandcamp().track(title).publish());
    let kmds = Kmds::start(&lab);
    let told = |reply: &Value| {
        let sentence = reply
            .get("Error")
            .or(reply.get("detail"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert!(sentence.contains("two links"), "{reply}");
    };
    for text in [
        format!("{} {}", one.link(), two.link()),
        format!("{}\n<{}>", one.link(), two.link()),
    ] {
        let (status, reply) = kmds.fetch(&text).await;
        assert_eq!(status, 400, "{reply}");
        told(reply.json());
        let (status, reply) = kmds.v1_fetch(json!({ "url": text })).await;
        assert_eq!(status, 400, "{reply}");
        told(reply.json());
        for path in ["/fetch", "/play"] {
            let answer = kmds.get(&format!("{path}?url={}", escaped(&text))).await;
            assert_eq!(answer.status(), 400, "{path}");
            told(&serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"));
        }
    }
    for path in ["/fetch", "/play"] {
        let answer = kmds
            .get(&format!(
                "{path}?url={}&url={}",
                escaped(&one.link()),
                escaped(&two.link())
            ))
            .await;
        assert_eq!(answer.status(), 400, "{path}");
        told(&serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON"));
    }
    assert_eq!(lab.requests().len(), 0);
}

/// Old clients save a 429 as the song.
#[tokio::test]
async fn polls_of_a_song_are_not_counted_by_the_limit_of_requests() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Slow").holds_at(kib(8)).publish();
    let kmds = Setup::of(&lab)
        .patient()
        .set("KMDS_SERVER__RATE_LIMIT_NEAR", "3")
        .start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    for _ in 0..20 {
        assert_eq!(kmds.get(&reply.songs[0].tunnel).await.status(), 418);
    }
    let mut statuses = Vec::new();
    while statuses.len() < 8 && !statuses.contains(&429) {
        statuses.push(kmds.get("/api/v1/stats").await.status().as_u16());
    }
    assert!(statuses.contains(&429), "other requests are: {statuses:?}");
}
