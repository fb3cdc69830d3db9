//! What a client will play next is made ready in time, in its order, and held until it is played; nothing else is.

mod lasting;
mod near;
mod refused;

use kmds_lab::log::{Kind, Seen};
use kmds_lab::{Lab, Song};
use reqwest::Method;
use serde_json::Value;

use super::harness::{Kmds, PATIENCE, Setup};
use super::{ask, bytes, get, link, without_encoder};

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
