//! What comes next is made ready in its order and held; nothing else is.

use kmds_lab::{Fault, Lab, Song};
use reqwest::Method;
use serde_json::json;

use super::{
    arrived, end, is_on_drive, keys, links, listen, one_at_a_time, order, put, queue, room_for,
    seen, settled, songs, states,
};
use crate::harness::PATIENCE;
use crate::{ask, bytes, file, get, link, v1_fetch, without_encoder};

#[tokio::test]
async fn near_songs_are_made_ready_in_their_order_and_the_queue_moves_as_they_are_read() {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 8);
    let kmds = one_at_a_time(&lab).start();
    let mut reversed = links(&all);
    reversed.reverse();
    let reply = put(&kmds, "guild-1", json!({"songs": reversed, "ahead": 3})).await;
    assert_eq!(
        (&reply["name"], &reply["ahead"]),
        (&json!("guild-1"), &json!(3))
    );
    assert_eq!(reply["songs"].as_array().map(Vec::len), Some(8), "{reply}");
    let now = settled(&kmds, "guild-1", &[0, 1, 2]).await;
    assert_eq!(order(&lab, &all), [7, 6, 5]);
    assert_eq!(states(&now)[3..], ["evicted"; 5]);
    assert_eq!(now["songs"][0]["song"], json!(all[7].link()));
    let track = &now["songs"][0]["track"];
    assert_eq!(file(&kmds, track), all[7].bytes(), "by its path");
    assert!(track["held_until"].is_string(), "{track}");
    assert_eq!(seen(&lab, &all), [5, 6, 7], "no page either");
    // The second is played: it and the one before stay, three are ahead.
    assert_eq!(listen(&kmds, &now, 1).await, all[6].bytes());
    let now = settled(&kmds, "guild-1", &[0, 1, 2, 3, 4]).await;
    assert_eq!(now["begun"], 2);
    // To wait for a file is to play it, for a client that reads by path.
    let path = format!("{}?wait=60", link(&now["songs"][2]["track"], "self"));
    get(&kmds, &path).await;
    let now = settled(&kmds, "guild-1", &[1, 2, 3, 4, 5]).await;
    assert_eq!(now["begun"], 3);
    let held = |place: usize| now["songs"][place]["track"]["held_until"].is_string();
    assert_eq!([0, 1, 5].map(held), [false, true, true], "{now}");
    assert_eq!(arrived(&lab, &all), [2, 3, 4, 5, 6, 7]);
    assert!(all.iter().all(|song| lab.media_requests(song.id()) <= 1));
}

#[tokio::test]
async fn what_is_played_next_comes_before_a_list_and_behind_a_song_that_a_client_waits_for() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(4).seconds(2.0).publish();
    album.songs()[0].hold_at(2_000);
    let next = songs(&lab, "Next", 2);
    let single = songs(&lab, "Single", 1);
    let kmds = one_at_a_time(&lab).start();
    let (status, _) = v1_fetch(&kmds, json!({"url": album.link()})).await;
    assert_eq!(status, 200);
    kmds.until("the first song runs", async || {
        lab.media_requests(album.songs()[0].id()) > 0
    })
    .await;
    put(&kmds, "q", json!({"songs": links(&next)})).await;
    kmds.until("both wait", async || {
        states(&queue(&kmds, "q").await) == ["queued", "queued"] && seen(&lab, &next) == [0, 1]
    })
    .await;
    let (_, reply) = v1_fetch(&kmds, json!({"url": single[0].link()})).await;
    let audio = link(&reply["tracks"][0], "audio").to_owned();
    assert_eq!(kmds.get(&audio).await.status(), 418, "its listener waits");
    album.songs()[0].release();
    let all = [album.songs(), &next, &single].concat();
    kmds.until("all have come", async || {
        order(&lab, &all).len() == all.len()
    })
    .await;
    assert_eq!(order(&lab, &all), [0, 6, 4, 5, 1, 2, 3]);
}

#[tokio::test]
async fn songs_of_a_queue_stay_through_an_eviction_storm_until_they_leave_it() {
    let lab = Lab::start().await;
    let [near, more] = ["Near", "More"].map(|name| songs(&lab, name, 6));
    let all = [near.clone(), more.clone()].concat();
    let kmds = room_for(without_encoder(&lab), 4, &all).start();
    let storm = async |songs: &[Song]| {
        for song in songs {
            kmds.download(&song.link()).await;
        }
    };
    let there = || {
        near.iter()
            .map(|song| is_on_drive(&kmds, song))
            .collect::<Vec<_>>()
    };
    put(&kmds, "q", json!({"songs": links(&near[..2]), "ahead": 2})).await;
    settled(&kmds, "q", &[0, 1]).await;
    storm(&more).await;
    assert_eq!(there()[..2], [true, true]);
    // The client writes the rest: the first leaves.
    put(&kmds, "q", json!({"songs": links(&near[1..3]), "ahead": 2})).await;
    settled(&kmds, "q", &[0, 1]).await;
    storm(&more).await;
    assert_eq!(there()[..3], [false, true, true]);
    assert_eq!(end(&kmds, "q").await, 204);
    storm(&more).await;
    assert_eq!(there()[..3], [false; 3]);
    assert_eq!(end(&kmds, "q").await, 404);
    let gone = ask(&kmds, Method::GET, "/api/v1/queues/q").await;
    assert_eq!(gone.status(), 404);
    assert!(near.iter().all(|song| lab.media_requests(song.id()) <= 1));
}

#[tokio::test]
async fn only_a_client_that_reads_one_of_the_two_next_songs_moves_a_queue_and_the_one_between_stays_held()
 {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 8);
    let kmds = one_at_a_time(&lab).start();
    put(&kmds, "q", json!({"songs": links(&all), "ahead": 4})).await;
    let now = settled(&kmds, "q", &[0, 1, 2, 3]).await;
    for place in [3, 2] {
        assert_eq!(listen(&kmds, &now, place).await, all[place].bytes());
    }
    // An archive and the reading of its songs is no playing.
    bytes(&kmds, &format!("/play?archive=zip&url={}", all[0].link())).await;
    assert_eq!(queue(&kmds, "q").await["begun"], 0);
    listen(&kmds, &now, 1).await;
    let now = settled(&kmds, "q", &[0, 1, 2, 3, 4, 5]).await;
    let held = |place: usize| now["songs"][place]["track"]["held_until"].is_string();
    assert_eq!((&now["begun"], held(0), held(1)), (&json!(2), true, true));
    // One that was played is read again, or the same once more.
    listen(&kmds, &now, 0).await;
    listen(&kmds, &now, 1).await;
    assert_eq!(queue(&kmds, "q").await["begun"], 2);
    let page = get(&kmds, "/api/v1/queues/q?limit=3").await;
    assert_eq!((&page["from"], states(&page).len()), (&json!(0), 3));
    listen(&kmds, &now, 2).await;
    let page = get(&kmds, "/api/v1/queues/q?limit=3").await;
    assert_eq!(page["from"], 1, "from those on that are held");
    assert_eq!(page["songs"][0]["song"], json!(all[1].link()));
}

#[tokio::test]
async fn another_song_is_near_in_the_place_of_one_that_a_client_deletes() {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 4);
    let kmds = one_at_a_time(&lab).start();
    put(&kmds, "q", json!({"songs": links(&all), "ahead": 2})).await;
    settled(&kmds, "q", &[0, 1]).await;
    let path = format!("/api/v1/tracks/bandcamp/{}", all[0].id());
    assert_eq!(ask(&kmds, Method::DELETE, &path).await.status(), 204);
    settled(&kmds, "q", &[1, 2]).await;
    assert_eq!(arrived(&lab, &all), [0, 1, 2]);
    assert_eq!(lab.media_requests(all[0].id()), 1);
    // Written again, it comes again.
    put(&kmds, "q", json!({"songs": links(&all), "ahead": 2})).await;
    settled(&kmds, "q", &[0, 1]).await;
    assert!(is_on_drive(&kmds, &all[0]));
}

#[tokio::test]
async fn a_near_song_that_is_gone_from_the_drive_is_brought_again() {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 2);
    let kmds = one_at_a_time(&lab).start();
    put(&kmds, "q", json!({"songs": links(&all)})).await;
    let now = settled(&kmds, "q", &[0, 1]).await;
    let path = now["songs"][1]["track"]["path"].as_str();
    let file = kmds.folder.path("cache").join(path.expect("a path"));
    std::fs::remove_file(&file).expect("removed by hand");
    // KMDS notices it when a client looks, which starts nothing.
    get(&kmds, link(&now["songs"][1]["track"], "self")).await;
    kmds.until("it is here again", async || file.exists()).await;
    assert_eq!(lab.media_requests(all[1].id()), 2);
    assert_eq!(queue(&kmds, "q").await["begun"], 0);
}

#[tokio::test]
async fn of_a_list_of_1200_and_of_a_shuffle_the_lab_sees_only_what_is_near() {
    let lab = Lab::start().await;
    let song = |number| {
        let video = lab.youtube().video(&format!("Song {number}"));
        video.seconds(1.0).publish()
    };
    let all: Vec<Song> = (0..1200).map(song).collect();
    let kmds = without_encoder(&lab).start();

    put(&kmds, "q", json!({"songs": links(&all)})).await;
    settled(&kmds, "q", &[0, 1, 2]).await;
    assert_eq!(seen(&lab, &all), [0, 1, 2]);
    assert_eq!(arrived(&lab, &all), [0, 1, 2]);
    // Every seventh, and so on: the first three are 0, 7, 14.
    let mut shuffled: Vec<&Song> = Vec::new();
    for start in 0..7 {
        shuffled.extend(all.iter().skip(start).step_by(7));
    }
    let reply = put(&kmds, "q", json!({"songs": keys("youtube", shuffled)})).await;
    assert_eq!(states(&reply).len(), 100);
    assert_eq!((&reply["total"], &reply["from"]), (&json!(1200), &json!(0)));
    let now = settled(&kmds, "q", &[0, 1, 2]).await;
    assert_eq!(seen(&lab, &all), [0, 1, 2, 7, 14]);
    assert_eq!(arrived(&lab, &all), [0, 1, 2, 7, 14]);
    assert!(all.iter().all(|song| lab.media_requests(song.id()) <= 2));
    let held = get(&kmds, "/api/v1/stats").await["holds"]["files"].clone();
    assert_eq!(held, 3, "{now}");
    // A list that is known already is not asked for again.
    let link = lab
        .youtube()
        .playlist(0)
        .songs(&all[100..200])
        .publish()
        .link();
    let known = json!({"url": link, "prefetch": 5, "accept": ["opus"]});
    assert_eq!(v1_fetch(&kmds, known).await.0, 200);
    kmds.until("its first songs have come", async || {
        arrived(&lab, &all).len() == 10
    })
    .await;
    lab.forget_requests();
    let shuffled: Vec<&Song> = all[100..200].iter().rev().collect();
    let body = json!({"songs": keys("youtube", shuffled), "accept": ["opus"], "ahead": 2});
    put(&kmds, "q", body).await;
    let now = settled(&kmds, "q", &[0, 1]).await;
    listen(&kmds, &now, 0).await;
    settled(&kmds, "q", &[0, 1, 2]).await;
    let last = seen(&lab, &all);
    assert_eq!(last, [197, 198, 199], "the list's own window is no more");
}

#[tokio::test]
async fn a_song_that_fails_is_passed_over_and_a_site_that_is_down_stops_the_queue() {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 12);
    let kmds = without_encoder(&lab).start();
    lab.inject(Fault::Status(404, None).on_pages().of(&all[1]));
    let mut sent = links(&all[..4]);
    sent.insert(2, "bandcamp/4294967295".to_owned());

    put(&kmds, "q", json!({"songs": sent, "ahead": 2})).await;
    let now = settled(&kmds, "q", &[0, 3]).await;
    assert_eq!(
        states(&now),
        ["ready", "failed", "failed", "ready", "evicted"]
    );
    assert_eq!(now["songs"][1]["failure"]["kind"], "not_found");

    lab.clear_faults();
    lab.forget_requests();
    lab.inject(Fault::Status(503, None).on_pages());
    put(
        &kmds,
        "down",
        json!({"songs": links(&all[4..]), "ahead": 2}),
    )
    .await;
    kmds.until("the first have failed", async || {
        states(&queue(&kmds, "down").await)[..3] == ["failed"; 3]
    })
    .await;
    assert_eq!(
        seen(&lab, &all),
        [4, 5, 6],
        "the others are not asked for in vain"
    );
    lab.clear_faults();
    put(
        &kmds,
        "down",
        json!({"songs": links(&all[4..]), "ahead": 2}),
    )
    .await;
    settled(&kmds, "down", &[0, 1]).await;
    assert_eq!(arrived(&lab, &all), [4, 5]);
}

#[tokio::test]
async fn two_queues_are_served_in_turn() {
    let lab = Lab::start().await;
    let [one, two] = ["One", "Two"].map(|name| songs(&lab, name, 4));
    one[0].hold_at(2_000);
    let kmds = one_at_a_time(&lab).start();
    put(&kmds, "one", json!({"songs": links(&one), "ahead": 4})).await;
    kmds.until("the place is taken", async || {
        states(&queue(&kmds, "one").await)[0] == "downloading"
    })
    .await;
    put(&kmds, "two", json!({"songs": links(&two), "ahead": 4})).await;
    kmds.until("all wait", async || {
        let (one, two) = (
            states(&queue(&kmds, "one").await),
            states(&queue(&kmds, "two").await),
        );
        one == ["downloading", "queued", "queued", "queued"] && two == ["queued"; 4]
    })
    .await;
    kmds.until("all are known", async || {
        let last = queue(&kmds, "two").await["songs"][3]["track"].is_object();
        last && seen(&lab, &one).len() + seen(&lab, &two).len() == 8
    })
    .await;
    one[0].release();
    settled(&kmds, "one", &[0, 1, 2, 3]).await;
    settled(&kmds, "two", &[0, 1, 2, 3]).await;
    let order = order(&lab, &[one, two].concat());
    for count in 2..order.len() {
        let of_one = order[..count].iter().filter(|place| **place < 4).count();
        assert!(of_one.abs_diff(count - of_one) <= 2, "{order:?}");
    }
}

#[tokio::test]
async fn a_song_that_leaves_before_it_started_is_not_downloaded_unless_another_asks_for_it() {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 5);
    all[0].hold_at(2_000);
    let kmds = one_at_a_time(&lab).start();
    put(&kmds, "q", json!({"songs": links(&all[..4]), "ahead": 4})).await;
    kmds.until("all wait", async || {
        queue(&kmds, "q").await["songs"][3]["track"].is_object()
    })
    .await;
    let (_, reply) = v1_fetch(&kmds, json!({"url": all[2].link()})).await;
    assert_eq!(reply["tracks"][0]["state"], "queued");
    put(&kmds, "q", json!({"songs": links(&all[4..])})).await;
    all[0].release();
    settled(&kmds, "q", &[0]).await;
    kmds.until("the fetched one comes", async || {
        is_on_drive(&kmds, &all[2])
    })
    .await;
    assert_eq!(arrived(&lab, &all), [0, 2, 4]);
    let path = format!("/api/v1/tracks/bandcamp/{}", all[1].id());
    assert_eq!(
        get(&kmds, &path).await["state"],
        "evicted",
        "known, as before"
    );
    let events = kmds.http.get(kmds.at("/api/v1/events"));
    let events = events.header("last-event-id", "1").send().await;
    let (mut events, mut text) = (events.expect("events"), String::new());
    while !text.contains("the song left the queue") {
        let piece = tokio::time::timeout(PATIENCE, events.chunk()).await;
        let piece = piece.expect("in time").expect("no cut");
        text.push_str(&String::from_utf8_lossy(&piece.expect("no end")));
    }
}
