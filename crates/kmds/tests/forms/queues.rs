//! What a client will play next is made ready in time, in its order, and held until it is played; nothing else is.

use kmds_lab::log::{Kind, Seen};
use kmds_lab::{Fault, Lab, Song};
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Kmds, PATIENCE, Setup};
use super::{ask, bytes, file, get, link, v1_fetch, without_encoder};

fn songs(lab: &Lab, name: &str, count: usize) -> Vec<Song> {
    let song = |number| {
        let title = format!("{name} {number}");
        lab.bandcamp().track(&title).seconds(2.0).publish()
    };
    (0..count).map(song).collect()
}

fn links(songs: &[Song]) -> Vec<String> {
    songs.iter().map(Song::link).collect()
}

fn keys<'s>(site: &str, songs: impl IntoIterator<Item = &'s Song>) -> Vec<String> {
    let songs = songs.into_iter();
    songs.map(|song| format!("{site}/{}", song.id())).collect()
}

/// The drive has room for so many of these songs.
fn room_for(setup: Setup, count: u64, songs: &[Song]) -> Setup {
    let largest = songs.iter().map(Song::len).max().expect("songs");
    let most = largest * count + 1000;
    setup.set("KMDS_CACHE__MAX_BYTES", &most.to_string())
}

async fn send(kmds: &Kmds, name: &str, body: String) -> (u16, Value) {
    let request = kmds.http.put(kmds.at(&format!("/api/v1/queues/{name}")));
    let request = request.header("content-type", "application/json");
    let answer = request.body(body).timeout(PATIENCE).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn put(kmds: &Kmds, name: &str, body: Value) -> Value {
    let (status, reply) = send(kmds, name, body.to_string()).await;
    assert_eq!(status, 200, "{reply}\n{}", kmds.log());
    reply
}

async fn queue(kmds: &Kmds, name: &str) -> Value {
    get(kmds, &format!("/api/v1/queues/{name}?from=0")).await
}

fn states(queue: &Value) -> Vec<String> {
    let songs = queue["songs"].as_array().expect("songs");
    let state = |song: &Value| song["state"].as_str().expect("a state").to_owned();
    songs.iter().map(state).collect()
}

/// Waits until the songs at these places are ready and nothing of the queue is on its way.
async fn settled(kmds: &Kmds, name: &str, ready: &[usize]) -> Value {
    let mut last = Value::Null;
    kmds.until(&format!("{ready:?} are ready"), async || {
        last = queue(kmds, name).await;
        let states = states(&last);
        let is_ready = |place: &usize| states[*place] == "ready";
        let moves = ["queued", "downloading", "converting"];
        ready.iter().all(is_ready) && !states.iter().any(|state| moves.contains(&&**state))
    })
    .await;
    last
}

/// Whether the site was asked for anything of this song.
fn was_seen(lab: &Lab, song: &Song) -> bool {
    let is_of =
        |seen: &Seen| seen.song.as_deref() == Some(song.id()) || seen.path.contains(song.id());
    lab.requests().iter().any(is_of)
}

fn seen(lab: &Lab, songs: &[Song]) -> Vec<usize> {
    let places = 0..songs.len();
    places
        .filter(|place| was_seen(lab, &songs[*place]))
        .collect()
}

fn arrived(lab: &Lab, songs: &[Song]) -> Vec<usize> {
    let was_asked = |place: &usize| lab.media_requests(songs[*place].id()) > 0;
    (0..songs.len()).filter(was_asked).collect()
}

/// Places of the songs of the lab's media requests, in their order.
fn order(lab: &Lab, songs: &[Song]) -> Vec<usize> {
    let mut order = Vec::new();
    for seen in lab.requests() {
        let is_of =
            |song: &Song| seen.kind == Kind::Media && seen.song.as_deref() == Some(song.id());
        let place = songs.iter().position(is_of);
        order.extend(place.filter(|place| !order.contains(place)));
    }
    order
}

async fn end(kmds: &Kmds, name: &str) -> u16 {
    let path = format!("/api/v1/queues/{name}");
    ask(kmds, Method::DELETE, &path).await.status().as_u16()
}

async fn ask_for(kmds: &Kmds, method: Method, path: &str) -> u16 {
    ask(kmds, method, path).await.status().as_u16()
}

async fn listen(kmds: &Kmds, queue: &Value, place: usize) -> Vec<u8> {
    let track = &queue["songs"][place]["track"];
    bytes(kmds, link(track, "audio")).await
}

fn is_on_drive(kmds: &Kmds, song: &Song) -> bool {
    let name = format!("/{}.", song.id());
    kmds.published().iter().any(|path| path.contains(&name))
}

/// One download of the site at a time.
fn one_at_a_time(lab: &Lab) -> Setup {
    without_encoder(lab)
        .patient()
        .set("KMDS_BANDCAMP__MAX_DOWNLOADS", "1")
}

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
async fn a_queue_that_is_not_written_again_ends_after_an_hour_or_the_time_that_its_client_names() {
    let lab = Lab::start().await;
    let [near, more] = ["Near", "More"].map(|name| songs(&lab, name, 4));
    let all = [near.clone(), more.clone()].concat();
    let kmds = room_for(without_encoder(&lab), 4, &all).start();
    let before = jiff::Timestamp::now();
    let reply = put(&kmds, "q", json!({"songs": links(&near[..1])})).await;
    let until: jiff::Timestamp = reply["until"]
        .as_str()
        .and_then(|at| at.parse().ok())
        .expect("a time");
    let hour = until.duration_since(before).as_secs();
    assert!((3599..3660).contains(&hour), "{hour}");
    settled(&kmds, "q", &[0]).await;
    put(&kmds, "q", json!({"songs": links(&near[..1]), "hold": 1})).await;
    kmds.until("the queue has ended", async || {
        ask(&kmds, Method::GET, "/api/v1/queues/q").await.status() == 404
    })
    .await;
    for song in &more {
        kmds.download(&song.link()).await;
    }
    assert!(!is_on_drive(&kmds, &near[0]), "it was let go");
}

#[tokio::test]
async fn a_queue_survives_a_restart_in_mid_song() {
    let lab = Lab::start().await;
    let [near, more] = ["Near", "More"].map(|name| songs(&lab, name, 5));
    near[1].hold_at(2_000);
    let all = [near.clone(), more.clone()].concat();
    let setup = room_for(one_at_a_time(&lab), 4, &all);
    let mut kmds = setup.start();
    let mut sent = links(&near);
    sent[2] = format!("bandcamp/{}", near[2].id());
    put(&kmds, "q", json!({"songs": sent, "ahead": 2})).await;
    kmds.until("the second song runs", async || {
        lab.media_requests(near[1].id()) > 0
    })
    .await;
    let before = queue(&kmds, "q").await;
    kmds.kill();
    near[1].release();
    let kmds = setup.start();
    let now = settled(&kmds, "q", &[0, 1]).await;
    assert_eq!(now["until"], before["until"]);
    assert_eq!(lab.media_requests(near[0].id()), 1);
    for song in &more {
        kmds.download(&song.link()).await;
    }
    assert!(near[..2].iter().all(|song| is_on_drive(&kmds, song)));
    listen(&kmds, &now, 0).await;
    let now = settled(&kmds, "q", &[0, 1, 2]).await;
    assert_eq!(now["begun"], 1);
    assert_eq!(arrived(&lab, &near), [0, 1, 2]);
    assert_eq!(end(&kmds, "q").await, 204);
    drop(kmds);
    let kmds = setup.start();
    assert_eq!(end(&kmds, "q").await, 404, "ended for good");
}

#[tokio::test]
async fn a_song_that_was_fetched_too_comes_although_its_queue_ends_after_a_restart() {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 3);
    all[0].hold_at(2_000);
    let setup = one_at_a_time(&lab);
    let mut kmds = setup.start();
    put(&kmds, "q", json!({"songs": links(&all)})).await;
    kmds.until("all wait", async || {
        queue(&kmds, "q").await["songs"][2]["track"].is_object()
    })
    .await;
    let (_, reply) = v1_fetch(&kmds, json!({"url": all[2].link()})).await;
    assert_eq!(reply["tracks"][0]["state"], "queued");
    kmds.kill();
    let kmds = setup.start();
    kmds.until("the first song runs again", async || {
        states(&queue(&kmds, "q").await)[0] == "downloading"
    })
    .await;
    assert_eq!(end(&kmds, "q").await, 204);
    all[0].release();
    kmds.until("the fetched one comes", async || {
        is_on_drive(&kmds, &all[2])
    })
    .await;
    assert_eq!(arrived(&lab, &all), [0, 2]);
}

#[tokio::test]
async fn the_end_of_a_list_of_an_earlier_run_ends_no_song_of_another_list() {
    let lab = Lab::start().await;
    let [old, new] = [2, 3].map(|count| lab.bandcamp().album(count).seconds(2.0).publish());
    let setup = one_at_a_time(&lab);
    let mut kmds = setup.start();
    let fetch = async |kmds: &Kmds, link: String| {
        let (status, reply) = kmds.fetch(&link).await;
        assert_eq!(status, 200, "{reply}");
        reply["ID"].as_str().expect("an id").to_owned()
    };
    let id = fetch(&kmds, old.link()).await;
    kmds.until("the old list is here", async || {
        old.songs().iter().all(|song| is_on_drive(&kmds, song))
    })
    .await;
    kmds.kill();
    let kmds = setup.start();
    new.songs()[0].hold_at(2_000);
    fetch(&kmds, new.link()).await;
    let path = format!("/api/v1/collections/{id}");
    let ended = ask(&kmds, Method::DELETE, &path).await;
    assert_eq!(ended.status(), 200);
    new.songs()[0].release();
    kmds.until("the new list is here", async || {
        new.songs().iter().all(|song| is_on_drive(&kmds, song))
    })
    .await;
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
async fn a_song_that_a_client_deletes_stays_away_through_a_restart_until_its_queue_is_written_again()
 {
    let lab = Lab::start().await;
    let all = songs(&lab, "Song", 5);
    let setup = one_at_a_time(&lab);
    let mut kmds = setup.start();
    let ask = json!({"songs": links(&all), "ahead": 2});
    // Known, and not near.
    kmds.download(&all[3].link()).await;
    put(&kmds, "q", ask.clone()).await;
    settled(&kmds, "q", &[0, 1]).await;
    for song in [&all[0], &all[3]] {
        let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
        assert_eq!(ask_for(&kmds, Method::DELETE, &path).await, 204);
    }
    settled(&kmds, "q", &[1, 2]).await;
    kmds.kill();
    let kmds = setup.start();
    let now = settled(&kmds, "q", &[1, 2]).await;
    listen(&kmds, &now, 1).await;
    settled(&kmds, "q", &[1, 2, 4]).await;
    let fetched = |song: &Song| lab.media_requests(song.id());
    assert_eq!((fetched(&all[0]), fetched(&all[3])), (1, 1));
    assert!(!is_on_drive(&kmds, &all[0]) && !is_on_drive(&kmds, &all[3]));
    put(&kmds, "q", ask).await;
    settled(&kmds, "q", &[0, 1]).await;
    assert!(is_on_drive(&kmds, &all[0]), "the queue names it anew");
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
async fn names_and_bodies_of_all_kinds_are_refused_in_words() {
    let lab = Lab::start().await;
    let song = songs(&lab, "Song", 1).remove(0);
    let list = lab.bandcamp().album(2).publish();
    let kmds = without_encoder(&lab).start();
    let good = json!({"songs": [song.link()]}).to_string();
    let long = "x".repeat(65);
    for name in ["a%20b", "..%2Fx", &long, "%00", "%ff", "caf%C3%A9"] {
        let (status, problem) = send(&kmds, name, good.clone()).await;
        assert_eq!(
            (status, &problem["kind"]),
            (400, &json!("bad_request")),
            "{name}: {problem}"
        );
    }
    for (songs, index) in [
        (json!([song.link(), "not a link"]), "songs[1]"),
        (json!([list.link()]), "songs[0]"),
        (json!([song.link(), song.link(), "youtube/"]), "songs[2]"),
        (json!(["bandcamp/1/../2"]), "songs[0]"),
        (
            json!([format!("YouTube/{}", song.id())]),
            "small letters: youtube/",
        ),
        (json!(["https://evil.example/x"]), "songs[0]"),
        (json!(["ytsearch5:words"]), "songs[0]"),
        (json!([""]), "songs[0]"),
        (json!([1]), "songs[0]"),
    ] {
        let (status, problem) = send(&kmds, "q", json!({"songs": songs}).to_string()).await;
        let sentence = problem["detail"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{songs}: {problem}");
        assert!(sentence.contains(index), "{songs}: {sentence}");
    }
    assert_eq!(end(&kmds, "q").await, 404, "nothing was written");
    let large = json!({"songs": vec!["x".repeat(2000); 600]}).to_string();
    assert_eq!(send(&kmds, "q", large).await.0, 413);
    let links = vec![song.link(); 1200];
    let many = json!({ "songs": links }).to_string();
    assert!(many.len() > 16 << 10);
    assert_eq!(send(&kmds, "q", many).await.0, 200);
    for method in [Method::PUT, Method::GET, Method::DELETE] {
        let request = kmds.http.request(method, kmds.at("/api/v1/queues/q"));
        let request = request
            .header("sec-fetch-site", "cross-site")
            .body(good.clone());
        let answer = request.timeout(PATIENCE).send().await.expect("an answer");
        assert_eq!(answer.status(), 403);
    }
    for query in [
        "x=1",
        "limit=0",
        "limit=1001",
        "limit=x",
        "from=-1",
        "from=10001",
    ] {
        let path = format!("/api/v1/queues/q?{query}");
        let answer = ask(&kmds, Method::GET, &path).await;
        assert_eq!(answer.status(), 400, "{query}");
    }
    for (query, from, count) in [
        ("", 0, 100),
        ("from=1150&limit=1000", 1150, 50),
        ("from=1200", 1200, 0),
    ] {
        let page = get(&kmds, &format!("/api/v1/queues/q?{query}")).await;
        assert_eq!(
            (&page["from"], &page["total"]),
            (&json!(from), &json!(1200))
        );
        assert_eq!(states(&page).len(), count, "{query}");
    }
    for number in 1..1000 {
        put(&kmds, &format!("n{number}"), json!({"songs": []})).await;
    }
    let (status, problem) = send(&kmds, "one-too-many", good.clone()).await;
    assert_eq!(
        (status, &problem["kind"]),
        (503, &json!("queue_full")),
        "{problem}"
    );
    assert_eq!(send(&kmds, "q", good).await.0, 200, "it is there already");
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
