//! The forms of a song: each client keeps its own, waits for it without its bytes, and holds its file.

#[path = "../harness/mod.rs"]
mod harness;

mod holds;
mod own;
mod queues;

use harness::{Kmds, PATIENCE, Setup, read};
use kmds_lab::Lab;
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// No encoder: KMDS serves only the site's own encodings.
fn without_encoder(lab: &Lab) -> Setup {
    Setup::of(lab).set("KMDS_FFMPEG__COMMAND", "/nonexistent/ffmpeg")
}

async fn ask(kmds: &Kmds, method: Method, path: &str) -> Response {
    let request = kmds.http.request(method, kmds.at(path)).timeout(PATIENCE);
    request.send().await.expect("an answer")
}

/// Status and body; null where there is none.
async fn call(kmds: &Kmds, method: Method, path: &str) -> (u16, Value) {
    let answer = ask(kmds, method, path).await;
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn get(kmds: &Kmds, path: &str) -> Value {
    let (status, body) = call(kmds, Method::GET, path).await;
    assert_eq!(status, 200, "{path}: {body}\n{}", kmds.log());
    body
}

/// `POST /fetch` of either face: status and body.
async fn fetch(kmds: &Kmds, path: &str, body: Value) -> (u16, Value) {
    let request = kmds.http.post(kmds.at(path)).body(body.to_string());
    let request = request.header("content-type", "application/json");
    let answer = request.timeout(PATIENCE).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

async fn v1_fetch(kmds: &Kmds, body: Value) -> (u16, Value) {
    fetch(kmds, "/api/v1/fetch", body).await
}

async fn classic_fetch(kmds: &Kmds, link: &str) -> (u16, Value) {
    fetch(kmds, "/fetch", json!({"URL": link})).await
}

/// The only track of a link, in the form that this client plays.
async fn fetched(kmds: &Kmds, link: &str, accept: Value) -> Value {
    let (status, reply) = v1_fetch(kmds, json!({"url": link, "accept": accept})).await;
    assert_eq!(status, 200, "{reply}");
    reply["tracks"][0].clone()
}

fn link<'t>(track: &'t Value, name: &str) -> &'t str {
    track["links"][name].as_str().expect("a link")
}

/// Waits for the form of a reply, as a client does that reads from the drive.
async fn ready(kmds: &Kmds, track: &Value, query: &str) -> Value {
    let path = format!("{}?wait=60{query}", link(track, "self"));
    let now = get(kmds, &path).await;
    assert_eq!(now["path_final"], true, "{now}\n{}", kmds.log());
    now
}

/// The file at the path of a reply.
fn file(kmds: &Kmds, track: &Value) -> Vec<u8> {
    let path = track["path"].as_str().expect("a path");
    read(&kmds.folder.path("cache").join(path))
}

async fn bytes(kmds: &Kmds, path: &str) -> Vec<u8> {
    let answer = kmds.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.expect("a body").to_vec()
}
