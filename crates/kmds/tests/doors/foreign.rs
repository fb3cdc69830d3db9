//! A page of another site can start nothing in the browser of a person who may use the service.

use kmds_lab::{Kind, Lab, Song};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::harness::{Kmds, Setup};

/// Each of these alone shows that a page of another site sent the request.
const FOREIGN: [(&str, &str); 6] = [
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("origin", "http://evil.example"),
    ("origin", "null"),
    ("referer", "http://evil.example/page"),
    ("referer", "http://kmds.lan.evil.example/"),
];

async fn ask(kmds: &Kmds, path: &str, (name, value): (&str, &str)) -> u16 {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
    let asked = kmds
        .http
        .get(kmds.at(path))
        .header(name, HeaderValue::from_str(value).expect("a value"));
    asked
        .timeout(crate::PATIENCE)
        .send()
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

fn routes(new: &Song, evicted: &Song, ready: &Song) -> Vec<String> {
    let link: String = url::form_urlencoded::byte_serialize(new.link().as_bytes()).collect();
    let (evicted, ready) = (evicted.id(), ready.id());
    vec![
        format!("/fetch?url={link}"),
        format!("/play?url={link}"),
        format!("/play?archive=zip&url={link}"),
        format!("/tunnel?file=bandcamp-{evicted}.mp3"),
        format!("/tunnel?file=bandcamp-{evicted}.mp3&stream=1"),
        format!("/tunnel?file=bandcamp-{evicted}.mp3&wait=60"),
        format!("/api/v1/tracks/bandcamp/{evicted}/audio?wait=60"),
        format!("/api/v1/tracks/bandcamp/{evicted}/audio?stream=1"),
        format!("/api/v1/tracks/bandcamp/{ready}/audio?rendition=flac"),
        format!("/api/v1/tracks/bandcamp/{ready}/audio?tags=1&wait=60"),
        format!("/api/v1/tracks/bandcamp/{ready}/cover"),
    ]
}

#[tokio::test]
async fn a_foreign_page_starts_nothing_on_any_path_and_a_program_everything() {
    let lab = Lab::start().await;
    let [new, evicted, ready] =
        ["New", "Evicted", "Ready"].map(|title| lab.bandcamp().track(title).publish());
    let kmds = Setup::of(&lab)
        .set("KMDS_SERVER__NAMES", "kmds.lan")
        .start();
    for song in [&evicted, &ready] {
        kmds.download(&song.link()).await;
    }
    std::fs::remove_file(
        kmds.folder
            .path(&format!("cache/bandcamp/{}.mp3", evicted.id())),
    )
    .expect("removed");
    lab.forget_requests();
    for path in routes(&new, &evicted, &ready) {
        for told in FOREIGN {
            // For a name old clients know no other status, and retry on this one.
            let status = if path.starts_with("/tunnel") {
                418
            } else {
                403
            };
            assert_eq!(ask(&kmds, &path, told).await, status, "{path} {told:?}");
        }
    }
    let copies = kmds
        .get("/api/v1/tracks?state=queued")
        .await
        .text()
        .await
        .expect("a body");
    assert!(copies.starts_with("{\"tracks\":[]"), "{copies}");
    assert_eq!(lab.requests().len(), 0, "no site was asked");
    // What is here is read as before: nothing is started by it.
    let file = format!("/tunnel?file=bandcamp-{}.mp3", ready.id());
    for told in FOREIGN {
        assert_eq!(ask(&kmds, &file, told).await, 200, "{told:?}");
        assert_eq!(ask(&kmds, "/api/v1/stats", told).await, 200, "{told:?}");
    }
    // A program sends none of them; of our own page and of an address that was typed the browser says so.
    for (path, told) in routes(&new, &evicted, &ready).iter().zip([
        ("user-agent", "curl/8"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("origin", &kmds.url),
        ("referer", &format!("{}/ui/", kmds.url)),
        ("accept", "*/*"),
        ("referer", "about:blank"),
        ("user-agent", "Mozilla/5.0"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-site", "same-origin"),
        ("referer", &kmds.url),
    ]) {
        assert!(
            ![403, 400].contains(&ask(&kmds, path, told).await),
            "{path} {told:?}"
        );
    }
    assert_eq!(lab.count(|seen| seen.kind == Kind::Cover), 1);
    assert!(lab.hits(&new) > 0 && lab.hits(&evicted) > 0);
}

#[tokio::test]
async fn a_cover_that_is_kept_is_shown_to_any_page() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Covered").publish();
    let kmds = Kmds::start(&lab);
    assert_eq!(
        kmds.v1_fetch(json!({ "url": song.link(), "prefetch": "none" }))
            .await
            .0,
        200
    );
    let path = format!("/api/v1/tracks/bandcamp/{}/cover", song.id());
    assert_eq!(ask(&kmds, &path, FOREIGN[0]).await, 403);
    assert_eq!(kmds.get(&path).await.status(), 200);
    assert_eq!(ask(&kmds, &path, FOREIGN[0]).await, 200);
}

#[tokio::test]
async fn behind_a_proxy_our_own_page_is_known_by_the_address_people_see() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Behind").publish();
    let link: String = url::form_urlencoded::byte_serialize(song.link().as_bytes()).collect();
    for (setting, value, host, forwarded) in [
        (
            "KMDS_SERVER__PUBLIC_URL",
            "https://music.example.org",
            "127.0.0.1",
            None,
        ),
        (
            "KMDS_SERVER__TRUSTED_PROXIES",
            "127.0.0.1",
            "127.0.0.1",
            Some("music.example.org"),
        ),
        (
            "KMDS_SERVER__TRUSTED_PROXIES",
            "127.0.0.1",
            "music.example.org",
            None,
        ),
    ] {
        let names = Setup::of(&lab)
            .set("KMDS_SERVER__BASE_PATH", "/kmds")
            .set("KMDS_SERVER__NAMES", "music.example.org");
        let kmds = names.set(setting, value).start();
        for (referer, status) in [
            ("https://music.example.org/kmds/ui/", 200),
            ("https://evil.example/kmds/ui/", 403),
        ] {
            let mut asked = kmds
                .http
                .get(kmds.at(&format!("/kmds/fetch?url={link}")))
                .header("host", host);
            if let Some(forwarded) = forwarded {
                asked = asked.header("x-forwarded-host", forwarded);
            }
            let answer = asked
                .header("referer", referer)
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{setting} {referer}");
        }
    }
}
