//! Stopping: after one signal the service finishes what it can, after two it ends at once; the next start continues.

use kmds_lab::{Lab, kib};
use rustix::process::{Pid, Signal, kill_process};

use super::harness::{Kmds, Setup};

/// Held songs are no stalled ones here.
const PATIENT: &str = "[time]\naudio_stall = 60.0\n[bandcamp.hosts]\npace = 0.0\n";

fn signal(kmds: &Kmds) {
    let pid = Pid::from_raw(i32::try_from(kmds.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("a signal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_a_stream_that_can_finish_finish_and_exits_with_zero() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Last one")
        .seconds(60.0)
        .holds_at(kib(256))
        .publish();
    let mut kmds = Setup::of(&lab).recipes(PATIENT).start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = format!("{}&stream=1", reply.songs[0].tunnel);
    let mut answer = kmds.get(&tunnel).await;
    let mut heard = answer
        .chunk()
        .await
        .expect("bytes")
        .expect("bytes")
        .to_vec();
    signal(&kmds);
    kmds.until("it takes no new connection", async || {
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client")
            .get(kmds.at("/healthz"))
            .send()
            .await
            .is_err()
    })
    .await;
    song.release();
    while let Some(chunk) = answer.chunk().await.expect("the stream goes on") {
        heard.extend_from_slice(&chunk);
    }
    assert_eq!(heard, song.bytes());
    // No second signal: that one would not wait for the end of a stop under way.
    let code = tokio::task::spawn_blocking(move || kmds.ended())
        .await
        .expect("joined");
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_finish_is_cut_in_time_and_its_download_goes_on_at_the_next_start() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Held")
        .seconds(120.0)
        .aac_only()
        .holds_at(kib(1200))
        .publish();
    let setup = Setup::of(&lab).recipes(PATIENT);
    let mut kmds = setup.start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let entry = reply.songs[0].clone();
    let tunnel = format!("{}&stream=1", entry.tunnel);
    let mut answer = kmds.get(&tunnel).await;
    let mut heard = 0;
    while heard < kib(1100) as usize {
        heard += answer.chunk().await.expect("bytes").expect("bytes").len();
    }
    // It ends although the site holds the song.
    let code = tokio::task::spawn_blocking(move || kmds.terminate())
        .await
        .expect("joined");
    assert_eq!(code, Some(0));
    // What was sent before the cut is read first.
    let mut rest = answer.chunk().await;
    while let Ok(Some(_)) = rest {
        rest = answer.chunk().await;
    }
    assert!(rest.is_err(), "no clean end of half a song");
    song.release();
    let kmds = setup.start();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    let sent = lab.media_bytes_sent(song.id());
    assert!(
        sent < song.len() + kib(700),
        "{sent} bytes were sent of a song of {}",
        song.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_stops_at_once() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Held").holds_at(kib(128)).publish();
    let mut kmds = Setup::of(&lab).recipes(PATIENT).start();
    let (_, reply) = kmds.fetch(&song.link()).await;
    let tunnel = format!("{}&stream=1", reply.songs[0].tunnel);
    let mut answer = kmds.get(&tunnel).await;
    assert!(answer.chunk().await.expect("bytes").is_some());
    signal(&kmds);
    // Two signals before the first was heard would be one.
    kmds.until("it says that it stops", async || {
        kmds.log().contains("a second signal stops at once")
    })
    .await;
    let code = tokio::task::spawn_blocking(move || kmds.terminate())
        .await
        .expect("joined");
    assert_eq!(code, Some(130), "the end of a stop in order is 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_calls_no_song_failed_and_all_go_on_at_the_next_start() {
    let lab = Lab::start().await;
    let songs: Vec<_> = (0..3)
        .map(|n| {
            lab.bandcamp()
                .track(&format!("Held {n}"))
                .holds_at(kib(64))
                .publish()
        })
        .collect();
    let receiver = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let setup = Setup::of(&lab).recipes(PATIENT);
    let url = format!("http://{}/hook", receiver.local_addr().expect("bound"));
    let setup = setup.set("KMDS_WEBHOOK__URL", &url);
    let mut kmds = setup.start();
    let mut entries = Vec::new();
    for song in &songs {
        entries.push(kmds.fetch(&song.link()).await.1.songs[0].clone());
    }
    let mut events = kmds.get("/api/v1/events").await;
    kmds.until("all run", async || {
        kmds.get("/api/v1/tracks?state=downloading")
            .await
            .text()
            .await
            .expect("a body")
            .matches("Held ")
            .count()
            >= 3
    })
    .await;
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Ok(Some(piece)) = events.chunk().await {
            heard.extend_from_slice(&piece);
        }
        String::from_utf8_lossy(&heard).into_owned()
    });
    let code = tokio::task::spawn_blocking(move || kmds.terminate())
        .await
        .expect("joined");
    assert_eq!(code, Some(0));
    let heard = heard.await.expect("joined");
    assert!(!heard.contains("failed"), "{heard}");
    receiver.set_nonblocking(true).expect("set");
    assert!(
        receiver.accept().is_err(),
        "the webhook is called for no song"
    );
    songs.iter().for_each(kmds_lab::Song::release);
    let kmds = setup.start();
    for (song, entry) in songs.iter().zip(&entries) {
        assert_eq!(kmds.whole(entry).await, song.bytes());
    }
}
