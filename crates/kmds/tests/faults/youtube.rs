//! YouTube's audio URLs that are refused or held back: how many fresh ones are asked for (its notes, 3.3 and 3.4).

use super::cell::FIFTH;
use super::harness::{Kmds, Setup};
use kmds_lab::{Fault, Lab, Song};

fn fresh_urls(lab: &Lab) -> usize {
    lab.count(|seen| seen.path.ends_with("/player")) - 1
}

/// Fetched, and waited for to its end.
async fn end_of(kmds: &Kmds, song: &Song) -> reqwest::Response {
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let tunnel = reply["Songs"][0]["Tunnel_URL"].as_str().expect("a tunnel");
    kmds.get(&format!("{tunnel}&wait=60")).await
}

#[tokio::test]
async fn audio_refused_from_its_first_byte_gets_one_fresh_url_and_in_the_middle_three() {
    for (after, fresh) in [(0, 1), (1, 3)] {
        let lab = Lab::start().await;
        let song = lab.youtube().video("Refused").seconds(120.0).aac_only().publish();
        lab.inject(Fault::Status(403, None).on_media().after(after));
        let kmds = Setup::of(&lab).recipes(FIFTH).start();
        let answer = end_of(&kmds, &song).await;
        assert_eq!(answer.status(), 500);
        assert!(answer.text().await.expect("a reason").contains("origin_refused"));
        assert_eq!(fresh_urls(&lab), fresh, "after {after} ranges");
        assert!(kmds.published().is_empty());
    }
}

/// Ranges of 150 KB, at 25 KB a second: six seconds each, where 16 KB a second are played.
async fn held_back(ranges: Option<u32>) {
    let lab = Lab::start().await;
    let song = lab.youtube().video("Held back").seconds(30.0).aac_only().publish();
    let slow = Fault::Slow(25_000).on_media();
    lab.inject(match ranges {
        Some(ranges) => slow.first(ranges),
        None => slow,
    });
    let ranges_of = "[youtube]\nfirst_range_bytes = 150000\nrange_bytes = 150000\nleast_range_bytes = 100000\n";
    let kmds = Setup::of(&lab).recipes(&FIFTH.replace("[youtube]\n", ranges_of)).start();
    let answer = end_of(&kmds, &song).await;
    assert_eq!(answer.status(), 200, "{ranges:?}");
    assert_eq!(answer.bytes().await.expect("audio"), song.bytes());
    assert_eq!(fresh_urls(&lab), 1, "{ranges:?}");
}

#[tokio::test]
async fn a_url_that_is_held_back_is_left_once_for_a_fresh_one() {
    tokio::join!(held_back(Some(2)), held_back(None));
}
