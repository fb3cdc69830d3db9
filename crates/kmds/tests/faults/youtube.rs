//! YouTube's audio URLs that are refused or held back: how many fresh ones are asked for, and as whom (its notes, 3.2
//! to 3.4); identities that close, advertisements, and refusals without their usual text.

use super::cell::FIFTH;
use super::harness::replies::Track;
use super::harness::{Kmds, Setup};
use kmds_lab::youtube::Refusal;
use kmds_lab::{Fault, Kind, Lab, Song, kib};

fn fresh_urls(lab: &Lab) -> usize {
    lab.count(|seen| seen.path.ends_with("/player")) - 1
}

/// Fetched, and waited for to its end.
async fn end_of(kmds: &Kmds, song: &Song) -> reqwest::Response {
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let tunnel = &reply.songs[0].tunnel;
    kmds.get(&format!("{tunnel}&wait=60")).await
}

/// Requests for audio, as the first byte asked for, of those whose `User-Agent` has this in it.
fn ranges_of(lab: &Lab, agent: &str) -> Vec<u64> {
    let media = lab
        .requests()
        .into_iter()
        .filter(|seen| seen.kind == Kind::Media && seen.user_agent.contains(agent));
    media
        .filter_map(|seen| {
            seen.range?
                .strip_prefix("bytes=")?
                .split('-')
                .next()?
                .parse()
                .ok()
        })
        .collect()
}

/// How the three identities tell themselves apart, in the order they are asked.
const IDENTITIES: [&str; 3] = [
    "visionos.youtube/1.04(",
    "Mac OS X 15_7_3",
    "visionos.youtube/1.02(",
];

#[tokio::test]
async fn audio_that_every_identity_is_refused_costs_one_fresh_url_at_its_first_byte_and_two_later_and_one_for_each_other()
 {
    for (after, fresh) in [(0, 3), (1, 4)] {
        let lab = Lab::start().await;
        let song = lab
            .youtube()
            .video("Refused")
            .seconds(120.0)
            .aac_only()
            .publish();
        lab.inject(Fault::Status(403, None).on_media().after(after));
        let kmds = Setup::of(&lab).recipes(FIFTH).start();
        let answer = end_of(&kmds, &song).await;
        assert_eq!(answer.status(), 500);
        assert!(
            answer
                .text()
                .await
                .expect("a reason")
                .contains("origin_refused")
        );
        assert_eq!(fresh_urls(&lab), fresh, "after {after} ranges");
        assert!(kmds.published().is_empty());
    }
}

#[tokio::test]
async fn audio_served_in_the_least_of_ranges_only_comes_whole() {
    for (limit, moves) in [(kib(256), false), (kib(300), true)] {
        let lab = Lab::start().await;
        let video = lab
            .youtube()
            .video("Small ranges")
            .seconds(120.0)
            .aac_only();
        let song = if moves { video.moves_hosts() } else { video }.publish();
        lab.youtube().range_limit(limit);
        let kmds = Setup::of(&lab).recipes(FIFTH).start();
        let answer = end_of(&kmds, &song).await;
        assert_eq!(answer.status(), 200, "{limit}");
        assert_eq!(answer.bytes().await.expect("audio"), song.bytes());
        assert_eq!(fresh_urls(&lab), 0, "no fresh URL is needed");
    }
}

#[tokio::test]
async fn a_limit_that_comes_in_mid_file_together_with_dead_urls_is_met_at_the_same_byte() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Smaller on the way")
        .seconds(200.0)
        .aac_only()
        .holds_at(kib(900))
        .publish();
    lab.inject(Fault::ExpiredAt(kib(1200)).on_media());
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    kmds.until("the first range is on its way", async || {
        lab.hits(&song) > 0
    })
    .await;
    lab.youtube().range_limit(kib(256));
    song.release();
    assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());
    assert_eq!(fresh_urls(&lab), 1);
}

#[tokio::test]
async fn a_wall_for_one_identity_is_passed_as_the_next_which_goes_on_at_that_byte() {
    let wall = 1_200_000;
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Walled")
        .seconds(150.0)
        .aac_only()
        .publish();
    let [first, second, third] = IDENTITIES;
    lab.inject(Fault::WallAt(wall).on_media().only_agent(first));
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    let answer = end_of(&kmds, &song).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.expect("audio"), song.bytes());
    assert_eq!(
        fresh_urls(&lab),
        3,
        "two that meet the wall too, and one as another"
    );
    let went_on = ranges_of(&lab, second);
    assert!(
        went_on
            .iter()
            .all(|byte| *byte > wall - kib(256) && *byte <= song.bytes().len() as u64),
        "{went_on:?}"
    );
    assert!(!went_on.is_empty() && ranges_of(&lab, third).is_empty());

    let other = lab.youtube().video("The next song").aac_only().publish();
    assert_eq!(kmds.download(&other.link()).await, other.bytes());
    assert_eq!(
        ranges_of(&lab, second).last(),
        Some(&0),
        "the walled one is passed over for a while"
    );
}

#[tokio::test]
async fn a_wall_for_two_identities_costs_the_second_one_url_and_a_listener_hears_no_break() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Walled twice")
        .seconds(150.0)
        .aac_only()
        .publish();
    for identity in &IDENTITIES[..2] {
        lab.inject(Fault::WallAt(1_000_000).on_media().only_agent(identity));
    }
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    let heard = kmds.get(&format!("/play?url={}", song.link())).await;
    assert_eq!(heard.status(), 200);
    assert_eq!(heard.bytes().await.expect("unbroken"), song.bytes());
    assert_eq!(fresh_urls(&lab), 4);
}

#[tokio::test]
async fn an_address_of_urls_that_one_identity_is_never_served_is_left_after_one_fresh_url() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Not for the first")
        .seconds(60.0)
        .aac_only()
        .publish();
    lab.inject(
        Fault::Status(403, None)
            .on_media()
            .only_agent(IDENTITIES[0]),
    );
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    let answer = end_of(&kmds, &song).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.expect("audio"), song.bytes());
    assert_eq!(fresh_urls(&lab), 2);
}

#[tokio::test]
async fn a_wall_for_every_identity_is_learnt_once_and_costs_later_songs_one_identity_each() {
    let lab = Lab::start().await;
    lab.inject(Fault::WallAt(0).on_media());
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    let mut asked = Vec::new();
    for place in 0..4 {
        let video = lab.youtube().video(&format!("Song {place}")).seconds(20.0);
        let song = video.aac_only().publish();
        let before = lab.count(|seen| seen.path.ends_with("/player"));
        assert_eq!(end_of(&kmds, &song).await.status(), 500);
        asked.push(lab.count(|seen| seen.path.ends_with("/player")) - before);
    }
    // A first URL, a fresh one, and one as each of the two others; later the first URL and a fresh one.
    assert_eq!(asked, [4, 2, 2, 2]);
}

#[tokio::test]
async fn identities_that_are_all_closed_cost_later_songs_one_request_each() {
    let lab = Lab::start().await;
    lab.youtube().closes_visionos();
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    let mut asked = Vec::new();
    for place in 0..4 {
        let song = lab.youtube().video(&format!("Song {place}")).publish();
        let before = lab.count(|seen| seen.path.ends_with("/player"));
        assert_eq!(kmds.fetch(&song.link()).await.1.kind, "page_changed");
        asked.push(lab.count(|seen| seen.path.ends_with("/player")) - before);
    }
    assert_eq!(asked, [3, 1, 1, 1]);
}

#[tokio::test]
async fn identities_that_close_one_by_one_give_way_to_the_next() {
    let lab = Lab::start().await;
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    for (closed, agent) in IDENTITIES.iter().enumerate() {
        let song = lab
            .youtube()
            .video(&format!("With {closed} closed"))
            .aac_only()
            .publish();
        assert_eq!(kmds.download(&song.link()).await, song.bytes());
        assert!(!ranges_of(&lab, agent).is_empty(), "{agent}");
        lab.inject(
            Fault::Status(400, None)
                .on_pages()
                .at_path("/youtubei/v1/player")
                .only_agent(agent),
        );
    }
    let song = lab.youtube().video("With all closed").publish();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!((status, &*reply.kind), (502, "page_changed"));
}

#[tokio::test]
async fn a_song_behind_an_advertisement_waits_as_queued_and_is_never_refused() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Behind an advertisement")
        .seconds(30.0)
        .advertisement(3)
        .publish();
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let tunnel = &reply.songs[0].tunnel;
    let mut told = Vec::new();
    kmds.until("it waits and says for how long", async || {
        let answer = kmds.get(tunnel).await;
        let wait = answer
            .headers()
            .get("retry-after")
            .and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
        told.push((answer.status().as_u16(), wait));
        let body = answer.text().await.expect("a body");
        body.contains("\"State\":\"queued\"") && wait.is_some_and(|wait| (2..=5).contains(&wait))
    })
    .await;
    assert_eq!(kmds.whole(&reply.songs[0]).await, song.bytes());
    assert_eq!(
        lab.count(|seen| seen.kind == Kind::Media && seen.status == 403),
        0,
        "{told:?}"
    );
    assert_eq!(fresh_urls(&lab), 0);
}

#[tokio::test]
async fn a_song_behind_an_advertisement_leaves_its_place_to_others() {
    let lab = Lab::start().await;
    let waits = lab
        .youtube()
        .video("Behind a long one")
        .seconds(30.0)
        .advertisement(150)
        .publish();
    let other = lab.youtube().video("Another").seconds(30.0).publish();
    let kmds = Setup::of(&lab)
        .recipes(FIFTH)
        .set("KMDS_YOUTUBE__MAX_DOWNLOADS", "1")
        .start();
    let (status, reply) = kmds.fetch(&waits.link()).await;
    assert_eq!(status, 200, "{reply}");
    let path = format!("/api/v1/tracks/youtube/{}", waits.id());
    kmds.until("it waits", async || {
        kmds.log().contains("advertisements to end")
    })
    .await;
    assert_eq!(kmds.download(&other.link()).await, other.bytes());
    assert_eq!(kmds.body::<Track>(&path).await.1.state, "queued");
    assert_eq!(
        lab.count(|seen| seen.kind == Kind::Media && seen.status == 403),
        0
    );
    // It can be removed while it waits.
    let removed = kmds
        .http
        .delete(kmds.at(&path))
        .send()
        .await
        .expect("an answer");
    assert_eq!(removed.status(), 204);
}

#[tokio::test]
async fn refusals_in_interstitials_have_their_kind_and_silent_ones_are_a_changed_page() {
    let lab = Lab::start().await;
    let kmds = Setup::of(&lab).recipes(FIFTH).start();
    for (word, reason, wanted, calls) in [
        (
            "LOGIN_REQUIRED",
            "This video is private",
            (403, "private"),
            1,
        ),
        (
            "UNPLAYABLE",
            "Join this channel to get access",
            (403, "members_only"),
            1,
        ),
        (
            "UNPLAYABLE",
            "The uploader has not made this video available in your country",
            (403, "geo_blocked"),
            1,
        ),
        ("UNPLAYABLE", "", (502, "page_changed"), 3),
        ("ERROR", "", (502, "page_changed"), 3),
    ] {
        let before = lab.count(|seen| seen.path.ends_with("/player"));
        let refusal = Refusal::Interstitial(word.to_owned(), reason.to_owned());
        let song = lab
            .youtube()
            .video(&format!("{word} {reason}"))
            .refused(refusal)
            .publish();
        let (status, reply) = kmds.fetch(&song.link()).await;
        assert_eq!((status, reply.kind.as_str()), wanted, "{reply}");
        assert_eq!(
            lab.count(|seen| seen.path.ends_with("/player")) - before,
            calls,
            "{word} {reason}"
        );
    }
}

/// Ranges of 150 KB, at 25 KB a second: six seconds each, where 16 KB a second are played.
async fn held_back(ranges: Option<u32>) {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Held back")
        .seconds(30.0)
        .aac_only()
        .publish();
    let slow = Fault::Slow(25_000).on_media();
    lab.inject(match ranges {
        Some(ranges) => slow.first(ranges),
        None => slow,
    });
    let ranges_of =
        "[youtube]\nfirst_range_bytes = 150000\nrange_bytes = 150000\nleast_range_bytes = 100000\n";
    let kmds = Setup::of(&lab)
        .recipes(&FIFTH.replace("[youtube]\n", ranges_of))
        .start();
    let answer = end_of(&kmds, &song).await;
    assert_eq!(answer.status(), 200, "{ranges:?}");
    assert_eq!(answer.bytes().await.expect("audio"), song.bytes());
    assert_eq!(fresh_urls(&lab), 1, "{ranges:?}");
}

#[tokio::test]
async fn a_url_that_is_held_back_is_left_once_for_a_fresh_one() {
    tokio::join!(held_back(Some(2)), held_back(None));
}
