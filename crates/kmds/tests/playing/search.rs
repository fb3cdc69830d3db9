//! Words instead of a link: what is found, and what is played of it.

use kmds_lab::{Lab, Seen, Site, Song};
use serde_json::{Value, json};

use super::harness::Kmds;

async fn answer(kmds: &Kmds, path: &str) -> (u16, Value) {
    let answer = kmds.get(path).await;
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}")),
    )
}

fn searches(lab: &Lab) -> usize {
    lab.requests().iter().filter(|seen| is_search(seen)).count()
}

fn is_search(seen: &Seen) -> bool {
    seen.path.contains("/search") || seen.path.contains("/bcsearch")
}

/// Three songs of each site.
fn songs(lab: &Lab) -> [(Site, &'static str, Vec<Song>); 3] {
    let three = |make: &dyn Fn(String) -> Song| {
        (1..=3)
            .map(|number| make(format!("wanted {number}")))
            .collect()
    };
    [
        (
            Site::YouTube,
            "ytsearch",
            three(&|title| {
                lab.youtube()
                    .video(&title)
                    .artist("Someone")
                    .seconds(61.0)
                    .publish()
            }),
        ),
        (
            Site::SoundCloud,
            "scsearch",
            three(&|title| {
                lab.soundcloud()
                    .track(&title.replace(" ", "-"))
                    .seconds(12.0)
                    .publish()
            }),
        ),
        (
            Site::Bandcamp,
            "bcsearch",
            three(&|title| {
                lab.bandcamp()
                    .track(&title.replace(" ", "-"))
                    .seconds(9.0)
                    .publish()
            }),
        ),
    ]
}

#[tokio::test]
async fn words_find_songs_on_each_site_and_ask_it_once() {
    let lab = Lab::start().await;
    let sites = songs(&lab);
    let kmds = Kmds::start(&lab);
    for (site, _, songs) in &sites {
        let path = format!("/api/v1/search?q=wanted&site={}", site.name());
        let (status, reply) = answer(&kmds, &path).await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(
            (&reply["query"], &reply["site"]),
            (&json!("wanted"), &json!(site.name()))
        );
        let results = reply["results"].as_array().expect("results");
        assert_eq!(results.len(), 3, "{reply}");
        for (found, song) in results.iter().zip(songs) {
            assert_eq!(found["kind"], "song");
            assert_eq!(
                (&found["site"], &found["id"]),
                (&json!(site.name()), &json!(song.id()))
            );
            assert_eq!(found["title"], song.title());
            assert_eq!(found["link"], song.link());
            let keys = [
                "album",
                "artist",
                "cover_url",
                "duration",
                "id",
                "kind",
                "link",
                "site",
                "title",
            ];
            assert!(
                found.as_object().expect("an object").keys().eq(keys),
                "{found}"
            );
        }
        let (_, fewer) = answer(&kmds, &format!("{path}&limit=2")).await;
        assert_eq!(
            fewer["results"].as_array().map(Vec::len),
            Some(2),
            "{fewer}"
        );
    }
    assert_eq!(
        searches(&lab),
        3,
        "each site was asked once; then it was remembered"
    );
    let (_, music) = answer(&kmds, "/api/v1/search?q=wanted+2&site=youtube_music").await;
    assert_eq!(
        (&music["site"], &music["results"][0]["site"]),
        (&json!("youtube_music"), &json!("youtube"))
    );
    assert_eq!(
        (
            &music["results"][0]["album"],
            &music["results"][0]["duration"]
        ),
        (&json!("Lab album"), &json!(61.0))
    );
    let (status, none) = answer(&kmds, "/api/v1/search?q=%E4%B8%8D").await;
    assert_eq!(
        (status, &none["site"], &none["results"]),
        (200, &json!("youtube"), &json!([]))
    );
    let unknown = kmds
        .get("/api/v1/tracks/youtube/M4gD1WSo5mA/cover")
        .await
        .status();
    assert_eq!(unknown, 404);
    let (site, _, songs) = &sites[0];
    let cover = format!("/api/v1/tracks/{}/{}/cover", site.name(), songs[0].id());
    assert_eq!(
        kmds.get(&cover).await.status(),
        200,
        "the cover of what a search found, so that no client has to ask the site for it"
    );
    assert!(kmds.published().is_empty(), "a search downloads nothing");
}

#[tokio::test]
async fn the_same_words_by_many_at_once_are_one_request() {
    let lab = Lab::start().await;
    lab.youtube().video("wanted").publish();
    let kmds = Kmds::start(&lab);
    let asked = (0..12).map(|_| answer(&kmds, "/api/v1/search?q=wanted"));
    for (status, reply) in futures_util::future::join_all(asked).await {
        assert_eq!(
            (status, reply["results"].as_array().map(Vec::len)),
            (200, Some(1)),
            "{reply}"
        );
    }
    assert_eq!(searches(&lab), 1);
}

#[tokio::test]
async fn a_search_that_cannot_be_one_is_refused_before_a_site_is_asked() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    let long = "x".repeat(201);
    for query in [
        String::new(),
        "q=".to_owned(),
        "q=+%00%0a".to_owned(),
        "q=%E2%80%8B".to_owned(),
        format!("q={long}"),
        format!("q={}", "y".repeat(10_000)),
        "q=x&site=vimeo".to_owned(),
        "q=x&site=other".to_owned(),
        "q=x&limit=0".to_owned(),
        "q=x&limit=26".to_owned(),
        "q=x&limit=ten".to_owned(),
        "q=x&query=y".to_owned(),
    ] {
        let (status, reply) = answer(&kmds, &format!("/api/v1/search?{query}")).await;
        assert_eq!(
            (status, &reply["kind"]),
            (400, &json!("bad_request")),
            "{query:.60}: {reply}"
        );
    }
    let foreign = reqwest::Client::new()
        .get(kmds.at("/api/v1/search?q=x"))
        .header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.send().await.expect("an answer").status(), 403);
    assert_eq!(
        reqwest::Client::new()
            .head(kmds.at("/api/v1/search?q=x"))
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    for link in [
        "ytsearch:".to_owned(),
        format!("ytsearch:{long}"),
        "ytsearch26:x".to_owned(),
        "ytsearch:x https://youtu.be/dQw4w9WgXcQ".to_owned(),
        "some words".to_owned(),
    ] {
        let (status, reply) = kmds.fetch(&link).await;
        assert_eq!(
            (status, &*reply.kind),
            (400, "unsupported_link"),
            "{link:.60}: {reply}"
        );
    }
    let (_, words) = kmds.fetch("some words").await;
    assert!(
        words.error.contains("ytsearch:"),
        "it says how to search: {words}"
    );
    assert_eq!(lab.requests().len(), 0);
}

#[tokio::test]
async fn the_first_song_that_words_find_is_played_and_a_number_gives_a_list() {
    let lab = Lab::start().await;
    let sites = songs(&lab);
    let kmds = Kmds::start(&lab);
    for (site, prefix, songs) in &sites {
        let asked = lab.requests().len();
        let (status, one) = kmds.fetch(&format!("<{prefix}:wanted 1>")).await;
        assert_eq!(status, 200, "{one}");
        assert_eq!(
            (&one["ID"], one.songs.len()),
            (&json!(songs[0].id()), 1),
            "{site:?}"
        );
        assert_eq!(kmds.whole(&one.songs[0]).await, songs[0].bytes());
        assert_eq!(
            lab.requests()[asked..]
                .iter()
                .filter(|seen| is_search(seen))
                .count(),
            1
        );
        let (status, list) = kmds
            .v1_fetch(json!({"url": format!("{prefix}2:wanted")}))
            .await;
        assert_eq!(status, 200, "{list}");
        assert_eq!(
            (&list["collection"]["title"], &list["collection"]["total"]),
            (&json!("wanted"), &json!(2))
        );
        let ids: Vec<&str> = list.tracks.iter().map(|track| track.id.as_str()).collect();
        assert_eq!(ids, [songs[0].id(), songs[1].id()], "{site:?}");
        let (_, classic) = kmds.fetch(&format!("{prefix}2:wanted")).await;
        assert_eq!(
            kmds.whole(&classic.songs[1]).await,
            songs[1].bytes(),
            "{site:?}"
        );
        let played = kmds.get(&format!("/play?url={prefix}:wanted%203")).await;
        assert_eq!(played.status(), 200);
        assert_eq!(
            played.bytes().await.expect("audio"),
            songs[2].bytes(),
            "{site:?}"
        );
        let (status, none) = kmds.fetch(&format!("{prefix}:no such thing")).await;
        assert_eq!((status, &*none.kind), (404, "not_found"), "{none}");
    }
}
