//! Covers by this service: with `covers.own` no client learns an address of a site from them.

use kmds_lab::Lab;
use serde_json::{Value, json};

use crate::harness::{Kmds, Setup};

async fn json_of(kmds: &Kmds, path: &str) -> Value {
    let text = kmds.get(path).await.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
}

#[tokio::test]
async fn with_own_covers_no_reply_names_a_picture_host_of_the_site() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(2).seconds(1.0).publish();
    let kmds = Setup::of(&lab).set("KMDS_COVERS__OWN", "true").start();
    let (_, classic) = kmds.fetch(&album.link()).await;
    let (_, v1) = kmds
        .v1_fetch(json!({"urls": [album.link(), album.songs()[0].link()]}))
        .await;
    let (_, list) = kmds.v1_fetch(json!({"url": album.link()})).await;
    let id = album.songs()[0].id();
    let track = json_of(&kmds, &format!("/api/v1/tracks/bandcamp/{id}")).await;
    let tracks = json_of(&kmds, "/api/v1/tracks?limit=10").await;
    let own = json!(format!("{}/api/v1/tracks/bandcamp/{id}/cover", kmds.url));
    for cover in [
        &classic["Songs"][0]["Cover_URL"],
        &v1["tracks"][0]["cover_url"],
        &v1["links"][0]["collection"]["cover_url"],
        &list["collection"]["cover_url"],
        &track["cover_url"],
    ] {
        assert_eq!(*cover, own);
    }
    for reply in [classic.json(), v1.json(), list.json(), &track, &tracks] {
        assert!(!reply.to_string().contains("bcbits"), "{reply}");
    }
    let shown = kmds
        .http
        .get(own.as_str().expect("an address"))
        .send()
        .await;
    let shown = shown.expect("an answer");
    assert_eq!(
        (shown.status(), &shown.headers()["content-type"]),
        (
            200.try_into().expect("a status"),
            &"image/jpeg".parse().expect("a value")
        )
    );
}

#[tokio::test]
async fn own_covers_of_search_results_are_served_here_and_albums_have_none() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Uncommon word").publish();
    let album = lab.bandcamp().album(1).title("Uncommon album").publish();
    let kmds = Setup::of(&lab).set("KMDS_COVERS__OWN", "true").start();
    let found = json_of(&kmds, "/api/v1/search?q=uncommon&site=bandcamp").await;
    let results = found["results"].as_array().expect("results");
    assert!(!found.to_string().contains("bcbits"), "{found}");
    let of = |kind: &str, id: &str| {
        let found = results
            .iter()
            .find(|result| result["kind"] == kind && result["id"] == id);
        found.expect("a result")["cover_url"].clone()
    };
    let cover = of("song", song.id());
    let own = format!("{}/api/v1/tracks/bandcamp/{}/cover", kmds.url, song.id());
    assert_eq!(cover, own);
    assert_eq!(
        kmds.http.get(own).send().await.expect("an answer").status(),
        200
    );
    assert_eq!(of("collection", &album.id().to_string()), Value::Null);
}

#[tokio::test]
async fn an_own_cover_has_the_host_that_the_client_used_and_opens_without_its_token() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Covered").seconds(1.0).publish();
    let setup = Setup::of(&lab).set("KMDS_COVERS__OWN", "true");
    let tokens = setup.folder.path("tokens");
    std::fs::write(&tokens, "a-secret-of-more-than-16\n").expect("tokens");
    let kmds = setup
        .set("KMDS_SERVER__TOKENS_FILE", &tokens.display().to_string())
        .start();
    let port = kmds.url.rsplit(':').next().expect("a port").to_owned();
    let answer = kmds
        .http
        .post(kmds.at("/fetch"))
        .bearer_auth("a-secret-of-more-than-16")
        .header("host", format!("localhost:{port}"))
        .body(json!({"URL": song.link()}).to_string())
        .send()
        .await
        .expect("an answer");
    let reply: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    let cover = reply["Songs"][0]["Cover_URL"].as_str().expect("a cover");
    let unsigned = format!(
        "http://localhost:{port}/api/v1/tracks/bandcamp/{}/cover?expires=",
        song.id()
    );
    assert!(cover.starts_with(&unsigned), "{cover}");
    let path = cover.split_once(&port).expect("the port").1;
    assert_eq!(kmds.get(path).await.status(), 200, "no header is needed");
    let plain = path.split_once('?').expect("a signature").0;
    assert_eq!(kmds.get(plain).await.status(), 401);
}

#[tokio::test]
async fn without_the_setting_a_cover_is_the_address_at_the_site() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Covered").seconds(1.0).publish();
    let kmds = Setup::of(&lab).start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let cover = reply["Songs"][0]["Cover_URL"].as_str().expect("a cover");
    assert!(cover.contains("bcbits"), "{cover}");
}
