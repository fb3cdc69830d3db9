//! Names and bodies that are no queue.

use kmds_lab::Lab;
use reqwest::Method;
use serde_json::json;

use super::{end, put, send, songs, states};
use crate::harness::PATIENCE;
use crate::{ask, get, without_encoder};

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
