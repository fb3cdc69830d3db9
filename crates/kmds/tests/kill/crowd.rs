//! A crowd of clients: some only hold connections, and some send texts that try to leave their place.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kmds_lab::{Lab, kib};

use super::harness::{Kmds, PATIENCE, Setup};

/// Connections left to a process that may open few files.
const FILES: u64 = 256;

fn address(kmds: &Kmds) -> String {
    kmds.url.trim_start_matches("http://").to_owned()
}

/// A service that may open few files, as on a small box.
fn with_few_files(setup: Setup) -> Kmds {
    let kmds = setup.start();
    let limit = rustix::process::Rlimit {
        current: Some(FILES),
        maximum: Some(FILES),
    };
    let pid = rustix::process::Pid::from_raw(i32::try_from(kmds.pid()).expect("a pid"));
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit)
        .expect("its own child may be limited");
    kmds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_nothing_or_one_byte_at_a_time_does_not_keep_others_out() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Heard")
        .seconds(30.0)
        .holds_at(kib(128))
        .publish();
    let kmds = with_few_files(
        Setup::of(&lab).recipes("[time]\naudio_stall = 60.0\n[bandcamp.hosts]\npace = 0.0\n"),
    );
    let (_, reply) = kmds.fetch(&song.link()).await;
    let entry = reply.songs[0].clone();
    let mut listener = kmds.get(&format!("{}&stream=1", entry.tunnel)).await;
    let mut heard = listener
        .chunk()
        .await
        .expect("bytes")
        .expect("bytes")
        .to_vec();
    let to = address(&kmds);
    let mut crowd = Vec::new();
    for number in 0..2 * FILES {
        if let Ok(mut stream) = TcpStream::connect(&to) {
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /heal");
            }
            crowd.push(stream);
        }
    }
    for _ in 0..5 {
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client")
            .get(kmds.at("/healthz"))
            .timeout(Duration::from_secs(15))
            .send()
            .await;
        assert_eq!(answer.expect("an answer within the crowd").status(), 200);
        for stream in crowd.iter_mut().step_by(7) {
            let _ = stream.write_all(b"t");
        }
    }
    song.release();
    while let Some(chunk) = listener
        .chunk()
        .await
        .expect("a listener is not pushed out")
    {
        heard.extend_from_slice(&chunk);
    }
    assert_eq!(heard, song.bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_not_waited_for() {
    let lab = Lab::start().await;
    let kmds = Kmds::start(&lab);
    let mut slow = TcpStream::connect(address(&kmds)).expect("connected");
    slow.set_read_timeout(Some(PATIENCE)).expect("set");
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        .expect("written");
    let begun = Instant::now();
    let mut rest = Vec::new();
    let ended = slow.read_to_end(&mut rest).map_err(|error| error.kind());
    let is_cut = matches!(ended, Ok(_) | Err(ErrorKind::ConnectionReset));
    assert!(is_cut, "{ended:?}");
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_secs(5),
        "the head may take 10 s: {waited:?}"
    );
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn titles_break_out_of_no_header_no_path_and_no_log_line() {
    let lab = Lab::start().await;
    let nasty = "../../etc/pass\r\nX-Evil: yes\r\n\r\n<script>\u{202e}\"; filename=\"evil.exe";
    let song = lab
        .bandcamp()
        .track(nasty)
        .artist("A\r\nSet-Cookie: a=b\u{0}")
        .seconds(20.0)
        .publish();
    let kmds = Kmds::start(&lab);
    let (status, reply) = kmds.fetch(&song.link()).await;
    assert_eq!(status, 200, "{reply}");
    let entry = &reply.songs[0];
    for text in [&entry.file_name, &entry.cover_name] {
        assert!(
            !text.contains([
                '/', '\\', ':', '*', '?', '"', '<', '>', '|', '\r', '\n', '\0'
            ]),
            "{text:?}"
        );
        assert!(!text.starts_with('.') && text.len() <= 200, "{text:?}");
    }
    kmds.whole(entry).await;
    let answer = kmds.get(&entry.tunnel).await;
    assert!(
        answer.headers().get("x-evil").is_none() && answer.headers().get("set-cookie").is_none()
    );
    let disposition = answer.headers()["content-disposition"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert!(
        disposition.contains("filename*=") && !disposition.contains("evil.exe\""),
        "{disposition}"
    );
    // Only the audio and its sidecar came to be, and both inside the site's folder.
    assert_eq!(kmds.published().len(), 2, "{:?}", kmds.published());
    assert!(
        kmds.log()
            .lines()
            .all(|line| !line.starts_with("X-Evil") && !line.starts_with("Set-Cookie"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_parameter_reads_outside_the_cache() {
    let lab = Lab::start().await;
    let song = lab.bandcamp().track("Inside").seconds(20.0).publish();
    let kmds = Kmds::start(&lab);
    kmds.download(&song.link()).await;
    let secret = kmds.folder.path("secret.mp3");
    std::fs::write(&secret, "top secret").expect("written");
    let id = song.id();
    let mut ways = Vec::new();
    for up in [
        "../secret.mp3",
        "..%2fsecret.mp3",
        "..%252fsecret.mp3",
        "....//secret.mp3",
        "..\\secret.mp3",
        "%2e%2e%2fsecret.mp3",
    ] {
        ways.push(format!("/tunnel?file={up}"));
        ways.push(format!("/tunnel?file=bandcamp-{up}"));
        ways.push(format!("/tunnel?file=bandcamp/{up}"));
        ways.push(format!("/api/v1/tracks/bandcamp/{up}/audio"));
        ways.push(format!("/api/v1/tracks/{up}/{id}/audio"));
        ways.push(format!("/api/v1/tracks/bandcamp/{id}/audio?rendition={up}"));
        ways.push(format!("/api/v1/tracks/bandcamp/{up}/cover"));
        ways.push(format!("/ui/{up}"));
    }
    ways.push(format!("/tunnel?file={}", secret.display()));
    ways.push(format!("/tunnel?file=bandcamp-{id}.mp3%00.jpg"));
    ways.push(format!("/tunnel?file=bandcamp-{id}.mp3.json"));
    ways.push("/tunnel?file=.kmds-work".to_owned());
    for way in ways {
        // Sent as it stands: a client library would tidy the path.
        let mut stream = TcpStream::connect(address(&kmds)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(
            stream,
            "GET {way} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.get(9..12).unwrap_or_default();
        assert!(
            ["400", "404"].contains(&status),
            "{way}: {}",
            &answer[..answer.len().min(300)]
        );
        assert!(
            !answer.contains("top secret") && !answer.contains("sha256"),
            "{way}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_when_to_come_back() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(6).publish();
    let kmds = Setup::of(&lab).set("KMDS_QUEUE__MAX_SONGS", "3").start();
    let body = serde_json::json!({ "URL": album.link() }).to_string();
    let answer = kmds
        .http
        .post(kmds.at("/fetch"))
        .body(body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(answer.text().await.expect("a body").contains("queue_full"));
}
