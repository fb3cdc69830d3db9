//! A client waits for a song's audio.

use kmds_lab::{Fault, Lab, kib};
use reqwest::Response;

use super::harness::replies::{Problem, Refused};
use super::harness::{Kmds, PATIENCE};
use super::{ask, header, v1_audio};

#[tokio::test]
async fn a_wait_holds_the_request_and_a_preference_is_acknowledged() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Ordinary Days")
        .seconds(60.0)
        .holds_at(kib(100))
        .publish();
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply.songs[0].tunnel.clone();
    assert_eq!(
        ask(&kmds, &format!("{path}&wait=1"), &[]).await.status(),
        418
    );
    let waiting = tokio::spawn(
        kmds.http
            .get(kmds.at(&path))
            .header("prefer", "wait=60")
            .send(),
    );
    song.release();
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(
        (
            answer.status().as_u16(),
            header(&answer, "preference-applied")
        ),
        (200, "wait=60")
    );
    assert_eq!(answer.bytes().await.expect("a body"), song.bytes());
}

async fn head(kmds: &Kmds, path: &str) -> Response {
    let request = kmds.http.head(kmds.at(path)).timeout(PATIENCE);
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_head_with_a_wait_answers_when_the_song_is_ready_or_failed_and_starts_nothing() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Slow").holds_at(kib(64)).publish();
    let broken = lab.bandcamp().track("Broken").publish();
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(&broken));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = reply.songs[0].tunnel.clone();
    assert_eq!(head(&kmds, &format!("{path}&wait=1")).await.status(), 418);
    let waiting = kmds
        .http
        .head(kmds.at(&path))
        .header("prefer", "wait=60")
        .timeout(PATIENCE)
        .send();
    let waiting = tokio::spawn(waiting);
    song.release();
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(
        (
            answer.status().as_u16(),
            header(&answer, "preference-applied"),
            header(&answer, "content-length").to_owned()
        ),
        (200, "wait=60", song.bytes().len().to_string())
    );
    assert!(answer.bytes().await.expect("no body").is_empty());

    let (_, reply) = kmds.fetch(&broken.link()).await;
    let failing = &reply.songs[0].tunnel;
    let failed = head(&kmds, &format!("{failing}&wait=60")).await;
    assert_eq!(failed.status(), 500);

    let asked = lab.hits(&song);
    let file = format!("cache/bandcamp/{}.mp3", song.id());
    std::fs::remove_file(kmds.folder.path(&file)).expect("removed");
    assert_eq!(head(&kmds, &format!("{path}&wait=60")).await.status(), 418);
    assert_eq!(lab.hits(&song), asked, "a look starts no download");
}

#[tokio::test]
async fn a_failure_has_its_own_status_on_v1_and_is_500_for_old_clients() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Broken").publish();
    let _fault = lab.inject(Fault::Status(404, None).on_media().of(&song));
    let kmds = Kmds::start(&lab);
    let (_, reply) = kmds.fetch(&song.link()).await;
    let path = &reply.songs[0].tunnel;
    let (status, old) = kmds.body::<Refused>(&format!("{path}&wait=60")).await;
    assert_eq!((status, &*old.kind), (500, "origin_failed"));
    let waited = format!("{}?wait=60", v1_audio(path));
    let (status, problem) = kmds.body::<Problem>(&waited).await;
    assert_eq!((status, problem.status), (502, 502));
    assert_eq!(problem.kind, "origin_failed", "{problem}");
}
