//! A song that cannot go on before the next start is left alone until then.

use kmds_lab::Lab;
use rustix::process::{Pid, Signal, kill_process};

use super::harness::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_a_stop_and_the_cut_a_song_that_fails_at_once_is_not_started_over_and_over() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Parked")
        .seconds(60.0)
        .holds_at(0)
        .publish();
    let mut kmds = Setup::of(&lab)
        .patient()
        .set("KMDS_SERVER__STOP_WITHIN", "4 s")
        .start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = reply["Songs"][0]["Tunnel_URL"].as_str().expect("a tunnel");
    let path = kmds.at(&format!("{tunnel}&stream=1"));
    let listener = tokio::spawn(kmds.http.get(path).send());
    lab.until(|seen| {
        seen.iter().any(|seen| {
            seen.song.as_deref() == Some(song.id()) && seen.kind == kmds_lab::Kind::Media
        })
    })
    .await;
    let pid = Pid::from_raw(i32::try_from(kmds.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("a signal");
    kmds.until("it takes no new connection", async || {
        kmds.http.get(kmds.at("/healthz")).send().await.is_err()
    })
    .await;
    // From now on every request to a site is refused at once.
    drop(lab);
    let answer = listener.await.expect("no panic");
    // It has not failed: it goes on after the next start.
    assert!(answer.map_or(true, |answer| answer.status() == 418));
    let log = tokio::task::spawn_blocking(move || {
        kmds.ended();
        kmds.log()
    });
    let log = log.await.expect("joined");
    let tries = log
        .lines()
        .filter(|line| line.contains("stopped: "))
        .count();
    assert!(tries <= 1, "{tries} tries:\n{log}");
}
