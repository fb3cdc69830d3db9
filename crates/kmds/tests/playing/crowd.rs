//! Many at once: listeners, watchers, those who leave and those who never read.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kmds_lab::{Lab, kib};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::{PATIENCE, Setup};
use super::{fetched, first_bytes, patient, tunnel};

#[tokio::test]
async fn two_hundred_listeners_on_one_growing_song_cause_one_download() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Popular")
        .seconds(30.0)
        .holds_at(kib(200))
        .publish();
    let kmds = patient(&lab).start();
    let path = format!("{}&stream=1", tunnel(&fetched(&kmds, &song.link()).await));
    let mut listeners = Vec::new();
    for _ in 0..200 {
        let mut answer = kmds.get(&path).await;
        assert_eq!(answer.status(), 200);
        let received = first_bytes(&mut answer, kib(100) as usize).await;
        listeners.push((answer, received));
    }
    assert!(
        lab.media_bytes_sent(song.id()) <= kib(200),
        "all of them listen while it grows"
    );
    song.release();
    let wanted = song.bytes();
    for (mut answer, mut received) in listeners {
        while let Some(chunk) = answer.chunk().await.expect("bytes") {
            received.extend_from_slice(&chunk);
        }
        assert!(received == wanted, "every listener has every byte");
    }
    assert_eq!(lab.hits(&song), 1, "one download");
    assert_eq!(lab.media_bytes_sent(song.id()), song.len());
}

#[tokio::test]
async fn listeners_that_leave_cost_nothing() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Left")
        .seconds(30.0)
        .holds_at(kib(200))
        .publish();
    let kmds = patient(&lab).start();
    let path = format!("{}&stream=1", tunnel(&fetched(&kmds, &song.link()).await));
    for _ in 0..50 {
        let mut answer = kmds.get(&path).await;
        first_bytes(&mut answer, 1000).await;
    }
    kmds.until("no client listens any more", async || {
        let text = kmds.get("/metrics").await.text().await.expect("metrics");
        text.lines().any(|line| line.ends_with("listeners 0"))
    })
    .await;
    song.release();
    let whole = kmds
        .get(&format!("{}&wait=60", path.replace("&stream=1", "")))
        .await;
    assert_eq!(
        whole.bytes().await.expect("whole"),
        song.bytes(),
        "the download went on without them"
    );
    assert_eq!(lab.hits(&song), 1);
}

#[tokio::test]
async fn event_streams_read_or_not_do_not_touch_a_download() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Watched")
        .seconds(60.0)
        .holds_at(kib(100))
        .publish();
    let kmds = patient(&lab)
        .set("KMDS_SERVER__MAX_CONNECTIONS", "1500")
        .start();
    let address = kmds.url.trim_start_matches("http://").to_owned();
    let follow = async || {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    };
    let never_read = follow().await;
    let mut readers = Vec::new();
    for _ in 0..1000 {
        let mut stream = follow().await;
        // The head says that the stream is open.
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("a head");
        assert_eq!(&head, b"HTTP/1.1 200");
        readers.push(stream);
    }
    let entry = fetched(&kmds, &song.link()).await;
    song.release();
    assert_eq!(kmds.whole(&entry).await, song.bytes());
    assert_eq!(lab.hits(&song), 1, "no client made it start again");
    for mut stream in readers {
        let (mut text, mut block) = (String::new(), vec![0; 16 << 10]);
        while !text.contains("\"state\":\"ready\"") {
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut block))
                .await
                .expect("in time")
                .expect("events");
            assert!(read > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&block[..read]));
        }
        assert!(text.contains("event: track"), "{text}");
    }
    drop(never_read);
}

/// What a program on the shared drive sees: this test is another process than the service.
struct Watcher {
    folder: PathBuf,
    /// Length of each finished song, by its file name.
    lengths: HashMap<String, u64>,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    /// Looks until told to stop; gives how many different states of the folder it saw.
    fn watch(&self) -> usize {
        let (mut seen, mut states) = (HashMap::<String, bool>::new(), 0);
        loop {
            let last = self.stop.load(Ordering::Relaxed);
            let before = seen.len();
            for entry in std::fs::read_dir(&self.folder)
                .into_iter()
                .flatten()
                .flatten()
            {
                let name = entry.file_name().to_string_lossy().into_owned();
                if seen.insert(name.clone(), true).is_none() {
                    self.look_at(&name);
                }
            }
            states += usize::from(seen.len() > before);
            if last {
                assert_eq!(
                    seen.len(),
                    self.lengths.len() * 2,
                    "every song and its sidecar"
                );
                return states;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn look_at(&self, name: &str) {
        let path = self.folder.join(name);
        let audio = name.strip_suffix(".json").unwrap_or(name);
        let length = *self
            .lengths
            .get(audio)
            .unwrap_or_else(|| panic!("a strange file: {name}"));
        let standing = std::fs::metadata(self.folder.join(audio))
            .unwrap_or_else(|_| panic!("{name} without its file"));
        assert_eq!(
            standing.len(),
            length,
            "{audio} is partial under its final name"
        );
        if name != audio {
            let text = std::fs::read_to_string(&path).expect("a sidecar");
            let sidecar: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("half a sidecar: {text}"));
            assert!(
                sidecar.to_string().contains(&length.to_string()),
                "{sidecar}"
            );
        }
    }
}

#[tokio::test]
async fn another_process_never_sees_a_partial_file_nor_a_sidecar_alone() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(500).seconds(0.5).publish();
    let kmds = Setup::of(&lab)
        .set("KMDS_BANDCAMP__MAX_DOWNLOADS", "8")
        .set("KMDS_LOG", "warn")
        .start();
    let lengths = album
        .songs()
        .iter()
        .map(|song| (format!("{}.mp3", song.id()), song.len()))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = Watcher {
        folder: kmds.folder.path("cache/bandcamp"),
        lengths,
        stop: Arc::clone(&stop),
    };
    let watching = std::thread::spawn(move || watcher.watch());
    let (status, reply) = kmds.fetch(&album.link()).await;
    assert_eq!(status, 200);
    for song in &reply.songs {
        let path = format!("{}&wait=60", tunnel(song));
        assert_eq!(
            kmds.http
                .get(kmds.at(&path))
                .send()
                .await
                .expect("an answer")
                .status(),
            200
        );
    }
    stop.store(true, Ordering::Relaxed);
    let states = watching.join().expect("nothing was ever half there");
    assert!(states > 50, "the folder was seen in {states} states only");
}
