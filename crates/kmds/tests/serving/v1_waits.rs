//! A client waits for a song of v1 without its audio.

use kmds_lab::{Fault, Lab, kib};

use super::ask;
use super::harness::replies::{Problem, Track, V1Track};
use super::harness::{Kmds, PATIENCE};

#[tokio::test]
async fn a_wait_for_a_track_needs_no_bytes_and_ends_with_the_path_where_its_file_is() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Slow").holds_at(kib(64)).publish();
    let broken = lab.bandcamp().track("Broken").publish();
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(&broken));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds
        .v1_fetch(serde_json::json!({ "url": song.link() }))
        .await;
    assert!(!reply.tracks[0].path_final, "{reply}");
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let (status, early) = kmds.body::<Track>(&format!("{path}?wait=1")).await;
    assert_eq!((status, early.path_final), (200, false));
    let url = kmds.at(&format!("{path}?wait=60"));
    let waiting = tokio::spawn(kmds.http.get(url).timeout(PATIENCE).send());
    song.release();
    let answer = waiting.await.expect("no panic").expect("an answer");
    let (_, ready) = V1Track::of(answer).await;
    assert_eq!((&*ready.state, ready.path_final), ("ready", true));
    let file = kmds.folder.path("cache").join(&ready.path);
    assert_eq!(std::fs::read(&file).expect("the file"), song.bytes());

    // An evicted song is downloaded again; a page of another site starts nothing.
    std::fs::remove_file(&file).expect("removed");
    let waits = format!("{path}?wait=60");
    let foreign = ask(&kmds, &waits, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(foreign.status(), 200);
    assert!(!file.exists());
    let (_, again) = kmds.body::<Track>(&waits).await;
    assert!(again.path_final, "{again}");
    assert!(file.exists());

    kmds.v1_fetch(serde_json::json!({ "url": broken.link() }))
        .await;
    let path = format!("/api/v1/tracks/bandcamp/{}", broken.id());
    let (status, failed) = kmds.body::<Track>(&format!("{path}?wait=60")).await;
    assert_eq!((status, &*failed.state), (200, "failed"));
    assert!(!failed.path_final);
    for wrong in ["wait=301", "wait=soon", "weit=1"] {
        let (status, problem) = kmds.body::<Problem>(&format!("{path}?{wrong}")).await;
        assert_eq!((status, &*problem.kind), (400, "bad_request"));
    }
}

#[tokio::test]
async fn a_song_that_is_deleted_while_a_client_waits_for_it_is_unknown_to_that_client() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Slow").holds_at(kib(64)).publish();
    let kmds = Kmds::start(&lab);
    kmds.v1_fetch(serde_json::json!({ "url": song.link() }))
        .await;
    let path = format!("/api/v1/tracks/bandcamp/{}", song.id());
    let tasks = async || {
        let metrics = kmds.get("/metrics").await.text().await.expect("text");
        let mut lines = metrics.lines();
        let tasks = lines.find_map(|line| line.strip_prefix("kmds_tasks "));
        tasks
            .and_then(|count| count.parse::<u32>().ok())
            .expect("a number")
    };
    let before = tasks().await;
    let url = kmds.at(&format!("{path}?wait=60"));
    let waiting = tokio::spawn(kmds.http.get(url).timeout(PATIENCE).send());
    kmds.until("the wait to begin", async || tasks().await > before)
        .await;
    let deleted = kmds.http.delete(kmds.at(&path)).send().await;
    assert_eq!(deleted.expect("an answer").status(), 204);
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 404);
}
