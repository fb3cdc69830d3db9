//! Section 4: mixes.

use std::time::Duration;

use kmds_extract::origin::Page;
use kmds_extract::{Collection, Entry, Kind, Link, Recipes, Resolved};
use serde_json::{Value, json};

use super::{alert, id, tracks};
use crate::fake::{Fake, VIDEO, good, ok};

fn mix(count: usize) -> Page {
    let items: Vec<Value> = (1..=count)
        .map(|number| {
            json!({"playlistPanelVideoRenderer": {"videoId": id(number), "title": {"simpleText": format!("Song {number}")},
                "longBylineText": {"runs": [{"text": "Band"}, {"text": " • 3 views"}]}, "lengthText": {"simpleText": "3:39"}}})
        })
        .collect();
    ok(
        json!({"contents": {"twoColumnWatchNextResults": {"playlist": {"playlist": {"title": "Mix – X", "isInfinite": true, "contents": items}}}}}),
    )
}

#[tokio::test]
async fn a_mix_is_its_first_25_songs() {
    let fake = Fake::default().with("mix answer", [mix(30)]);
    let list = fake
        .collection(&format!(
            "https://www.youtube.com/playlist?list=RD{}",
            id(1)
        ))
        .await;
    assert_eq!(
        (list.entries.len(), list.truncated, list.endless),
        (25, true, true)
    );
    let song = tracks(&list)[24];
    assert_eq!(
        (song.number, song.total, song.artist.as_deref()),
        (Some(25), Some(25), Some("Band"))
    );
    assert_eq!(song.duration, Some(Duration::from_secs(219)));
    let (_, _, body) = fake.asked().pop().expect("asked");
    assert_eq!(
        (body["playlistId"].as_str(), body["videoId"].as_str()),
        (Some("RDv0000000001"), Some("v0000000001"))
    );
}

#[tokio::test]
async fn the_artist_of_a_song_of_a_mix_is_in_either_byline() {
    let bylines = [
        json!({"longBylineText": {"runs": [{"text": "Long"}]}, "shortBylineText": {"runs": [{"text": "Short"}]}}),
        json!({"shortBylineText": {"runs": [{"text": "Short"}]}}),
        json!({"longBylineText": {"runs": []}, "shortBylineText": {"simpleText": "Short"}}),
        json!({"longBylineText": null}),
    ];
    let items: Vec<Value> = (1..)
        .zip(&bylines)
        .map(|(number, byline)| {
            let mut item = byline.clone();
            item["videoId"] = json!(id(number));
            item["title"] = json!({"simpleText": "Song"});
            json!({ "playlistPanelVideoRenderer": item })
        })
        .collect();
    let mix = json!({"contents": {"twoColumnWatchNextResults": {"playlist": {"playlist": {"contents": items}}}}});
    let fake = Fake::default().with("mix answer", [ok(mix)]);
    let link = format!("https://www.youtube.com/playlist?list=RD{}", id(1));
    let list = fake.collection(&link).await;
    let artists: Vec<_> = tracks(&list)
        .iter()
        .map(|track| track.artist.as_deref())
        .collect();
    assert_eq!(artists, [Some("Long"), Some("Short"), Some("Short"), None]);
}

#[tokio::test]
async fn a_mix_begins_with_the_song_it_was_pasted_at() {
    let first_of = |list: &Collection| match &list.entries[0] {
        Entry::Track(track) => (track.id.id().to_owned(), track.number, track.total),
        Entry::Unavailable(gone) => panic!("{gone:?}"),
    };
    for (seed, list) in [
        (id(1), "RDM4gD1WSo5mA"),
        (id(3), "RDEM12345678"),
        (id(30), "RDMMM4gD1WSo5mA"),
    ] {
        let fake = Fake::default().with("mix answer", [mix(30)]);
        let link = Link::parse(&format!(
            "https://www.youtube.com/watch?v={seed}&list={list}&index=4"
        ))
        .expect("a link");
        let resolved = kmds_extract::resolve(&link.whole_list(), &fake, &Recipes::built_in()).await;
        let Ok(Resolved::Collection(mix)) = resolved else {
            panic!("{resolved:?}")
        };
        assert_eq!(first_of(&mix), (seed.clone(), Some(1), Some(25)), "{list}");
        let mut ids: Vec<&str> = tracks(&mix).iter().map(|track| track.id.id()).collect();
        assert_eq!(ids.len(), 25);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 25, "each song once");
        assert!(
            tracks(&mix)
                .iter()
                .map(|track| track.number)
                .eq((1..=25).map(Some)),
            "in order"
        );
        assert_eq!(fake.asked()[0].2["videoId"], json!(seed));
    }
}

#[tokio::test]
async fn a_mix_that_leaves_its_first_song_out_begins_with_it_all_the_same() {
    let link = format!("https://www.youtube.com/playlist?list=RD{VIDEO}");
    for (songs, told) in [(30, 25), (25, 25), (24, 25), (3, 4)] {
        let fake = Fake::player([good()]).with("mix answer", [mix(songs)]);
        let list = fake.collection(&link).await;
        let song = tracks(&list)[0];
        assert_eq!(
            (song.id.id(), song.title.as_str(), song.number),
            (VIDEO, "A Song", Some(1))
        );
        assert_eq!(
            (list.entries.len(), song.total),
            (told, Some(told as u32)),
            "{songs}"
        );
        assert_eq!(tracks(&list)[1].number, Some(2));
        assert_eq!(tracks(&list)[1].total, Some(told as u32));
    }
    let private = crate::fake::status("LOGIN_REQUIRED", "This video is private");
    let fake = Fake::player([private]).with("mix answer", [mix(30)]);
    let list = fake.collection(&link).await;
    let Entry::Unavailable(gone) = &list.entries[0] else {
        panic!("{:?}", list.entries[0])
    };
    assert_eq!(
        (gone.number, gone.error.kind(), list.entries.len()),
        (1, Kind::Private, 25)
    );
}

#[tokio::test]
async fn a_mix_that_is_none_gives_its_seed_or_nothing() {
    let none = || ok(json!({"contents": {"twoColumnWatchNextResults": {"results": {}}}}));
    let fake = Fake::player([good()]).with("mix answer", [none()]);
    let seeded = fake
        .resolve("https://www.youtube.com/playlist?list=RDM4gD1WSo5mA")
        .await;
    assert!(matches!(seeded, Ok(Resolved::Track(track)) if track.id.id() == VIDEO));
    let fake = Fake::default().with("mix answer", [none()]);
    let error = fake
        .resolve("https://www.youtube.com/playlist?list=RDEMabc")
        .await
        .expect_err("nothing");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_editorial_list_that_cannot_be_browsed_is_asked_for_as_a_mix() {
    let fake =
        Fake::list([alert("This playlist type is unviewable.")]).with("mix answer", [mix(3)]);
    let list = fake
        .collection(
            "https://www.youtube.com/playlist?list=RDCLAK5uy_ly6s4irLuZAcjEDwJmqcA_UtSipMyGgbQ",
        )
        .await;
    assert_eq!((list.entries.len(), list.endless), (3, true));
}
