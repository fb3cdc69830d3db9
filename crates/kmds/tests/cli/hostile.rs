//! The program on a server's port may be another program, and a song may have any name.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::sync::Arc;

use kmds_lab::Lab;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Person;
use super::harness::Setup;

/// In titles and names: an escape sequence, one of a single character, a turn of direction, line ends.
const EVIL: &str = "A\u{1b}]0;pwn\u{7}\u{1b}[31mRed\u{9b}41mC1 \u{202e}RTL\u{2028}\r\n✓ forged";

/// Answers every request with its prepared answer.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

enum Audio {
    Song,
    Endless,
    /// Not yet, for ever, at once.
    Never,
    Elsewhere(String),
}

impl Server {
    fn start(reply: Value, audio: Audio) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for client in listener.incoming().map_while(Result::ok) {
                    // The test wants a client that goes away in the middle.
                    scope.spawn(|| answer(client, &reply, &audio, &seen));
                }
            });
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

fn answer(
    mut client: TcpStream,
    reply: &Value,
    audio: &Audio,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    asked.lock().push(head.clone());
    // An unread body would reset the connection before the answer arrives.
    let length = head
        .to_ascii_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse().ok());
    client.read_exact(&mut vec![0; length.unwrap_or(0)])?;
    let mut send = |status: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes())?;
        client.write_all(body)
    };
    let first = head.lines().next().unwrap_or_default();
    if !first.contains("/audio") {
        let body = if first.starts_with("POST") {
            reply
        } else {
            &reply["tracks"][0]
        };
        return send("200 OK", body.to_string().as_bytes());
    }
    match audio {
        Audio::Song => send("200 OK", b"a song"),
        Audio::Never => send("418 Not yet", b"{}"),
        Audio::Elsewhere(url) => send(&format!("302 Found\r\nLocation: {url}/stolen/audio"), b""),
        Audio::Endless => {
            client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                client.write_all(&[0; 1 << 16])?;
            }
        }
    }
}

fn track() -> Value {
    json!({ "site": "youtube", "id": "abc", "link": "https://x.example/", "title": "Title", "artist": "Artist",
        "album": null, "album_artist": null, "track_number": null, "track_total": null, "duration_seconds": 2.0,
        "received_bytes": 0, "total_bytes": null, "approximate_bytes": null, "file_name": "x.mp3",
        "links": { "self": "/api/v1/tracks/youtube/abc" } })
}

fn reply(track: &Value) -> Value {
    let missing =
        json!({ "title": EVIL, "kind": "k\u{1b}[31m", "reason": EVIL, "retryable": false });
    json!({ "collection": { "title": "../../list" }, "tracks": [track], "unavailable": [missing] })
}

const LINK: &str = "https://youtu.be/M4gD1WSo5mA";

#[test]
fn no_name_of_a_server_leads_out_of_the_folder_that_was_asked_for() {
    let long = "x".repeat(100_000);
    let names = [
        json!({ "site": "../../victim/evil", "id": "7" }),
        json!({ "site": "/etc", "id": "../../victim/evil" }),
        json!({ "file_name": "../../victim/precious.mp3" }),
        json!({ "file_name": "/victim/precious.mp3" }),
        json!({ "file_name": "a./../../victim/precious" }),
        json!({ "file_name": "x.mp3/../../../victim/precious" }),
        json!({ "file_name": "..\\..\\victim\\precious.mp3" }),
        json!({ "file_name": "" }),
        json!({ "file_name": ".." }),
        json!({ "file_name": "nul.mp3" }),
        json!({ "file_name": EVIL }),
        json!({ "file_name": format!("{long}.{long}"), "site": long, "title": long }),
        json!({ "album": "..", "album_artist": "../../victim", "track_number": 1, "title": "../precious" }),
        json!({ "album": ".kmds", "album_artist": "/", "track_number": 4_294_967_295_u32 }),
        json!({ "album": "out", "album_artist": "link", "track_number": 1 }),
    ];
    for name in names {
        let mut track = track();
        let fields = name.as_object().expect("an object").clone();
        track.as_object_mut().expect("an object").extend(fields);
        let server = Server::start(reply(&track), Audio::Song);
        let person = Person::alone();
        for made in ["victim", "music", "outside/out"] {
            std::fs::create_dir_all(person.folder.path(made)).expect("a folder");
        }
        symlink(
            person.folder.path("outside"),
            person.folder.path("music/link"),
        )
        .expect("a link");
        let before = person.files(".");
        let said = person
            .runs(&["get", LINK, "--server", &server.url, "-o", "music"])
            .with(1);
        let after = person.files(".");
        let new: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
        let ends_in_music = new
            .iter()
            .all(|file| file.starts_with("music/") && !file.starts_with("music/link"));
        assert!(ends_in_music && new.len() <= 1, "{name}: {new:?}\n{said:?}");
        let plain = |file: &String| {
            file.chars().all(|c| !c.is_control() && c != '\u{202e}') && file.len() < 700
        };
        assert!(new.iter().all(|file| plain(file)), "{new:?}");
    }
}

#[test]
fn a_planted_link_is_not_written_through() {
    let server = Server::start(reply(&track()), Audio::Song);
    let person = Person::alone();
    for made in ["victim", "music/.kmds"] {
        std::fs::create_dir_all(person.folder.path(made)).expect("a folder");
    }
    std::fs::write(person.folder.path("victim/precious"), "mine").expect("a file");
    symlink(
        person.folder.path("victim/precious"),
        person.folder.path("music/.kmds/youtube-abc.part"),
    )
    .expect("a link");
    symlink(
        person.folder.path("victim/precious"),
        person.folder.path("music/x.mp3"),
    )
    .expect("a link");
    person
        .runs(&["get", LINK, "--server", &server.url, "-o", "music"])
        .with(1);
    assert_eq!(
        std::fs::read_to_string(person.folder.path("victim/precious")).expect("there"),
        "mine"
    );
    assert_eq!(
        std::fs::read_to_string(person.folder.path("music/x (2).mp3")).expect("the song"),
        "a song"
    );
    std::fs::create_dir(person.folder.path("other")).expect("a folder");
    symlink(
        person.folder.path("victim"),
        person.folder.path("other/.kmds"),
    )
    .expect("a link");
    for server in [&["--server", &server.url][..], &[]] {
        let said = person
            .runs(&[&["get", LINK, "-o", "other"][..], server].concat())
            .with(2);
        assert!(said.err.contains("it is a link"), "{said:?}");
    }
    assert_eq!(person.files("victim"), ["precious"]);
}

#[test]
fn a_server_may_not_send_the_token_elsewhere() {
    let thief = Server::start(json!({}), Audio::Song);
    let host = thief.url.trim_start_matches("http://");
    let links = [
        format!("@{host}/x"),
        format!("//{host}/x"),
        thief.url.clone(),
        format!(".{host}/x"),
        String::new(),
    ];
    for link in links {
        let mut track = track();
        track["links"]["self"] = link.clone().into();
        let server = Server::start(reply(&track), Audio::Song);
        let person = Person::alone().set("KMDS_TOKEN", "open-sesame");
        let said = person
            .runs(&["get", LINK, "--server", &server.url, "-o", "m"])
            .with(1);
        assert!(said.err.contains("is no path of it"), "{link}: {said:?}");
    }
    // Another name of the same machine is another host.
    let away = thief.url.replace("127.0.0.1", "localhost");
    let server = Server::start(reply(&track()), Audio::Elsewhere(away));
    let person = Person::alone().set("KMDS_TOKEN", "open-sesame");
    person
        .runs(&["get", LINK, "--server", &server.url, "-o", "m"])
        .with(1);
    assert_eq!(thief.asked(), [""; 0], "no other host hears of it");
    assert!(
        server
            .asked()
            .iter()
            .all(|head| head.to_ascii_lowercase().contains("bearer open-sesame"))
    );
}

#[test]
fn what_a_server_sends_without_end_is_cut_off() {
    let mut told = track();
    told["total_bytes"] = 1000.into();
    let server = Server::start(reply(&told), Audio::Endless);
    let person = Person::alone();
    let said = person
        .runs(&["get", LINK, "--server", &server.url, "-o", "m"])
        .with(1);
    assert!(said.err.contains("it sends more than"), "{said:?}");
    assert_eq!(person.files("m"), [""; 0], "nothing of it is kept");
    let mut huge = reply(&track());
    huge["padding"] = "x".repeat(70 << 20).into();
    let server = Server::start(huge, Audio::Song);
    let said = person
        .runs(&["get", LINK, "--server", &server.url, "-o", "m"])
        .with(2);
    assert!(said.err.contains("longer than 64 MiB"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_waits_is_not_asked_without_pause() {
    let server = Server::start(reply(&track()), Audio::Never);
    let person = Person::alone();
    let mut child = person.starts(&["get", LINK, "--server", &server.url, "-o", "m"]);
    let audio = |server: &Server| {
        server
            .asked()
            .iter()
            .filter(|head| head.contains("/audio"))
            .count()
    };
    let first = loop {
        if audio(&server) > 0 {
            break std::time::Instant::now();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    while audio(&server) < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let pause = first.elapsed();
    child.kill().expect("killed");
    child.wait().expect("an end");
    assert!(
        pause >= std::time::Duration::from_millis(1200),
        "four requests within {pause:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_song_or_a_server_is_called_acts_on_the_terminal() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track(EVIL)
        .artist("Art\u{1b}[2Jist\u{9b}7m")
        .seconds(4.0)
        .publish();
    let bad = lab.soundcloud().track("bad").artist(EVIL).publish();
    lab.inject(kmds_lab::Fault::Status(404, None).on_media().of(&bad));
    let kmds = Setup::of(&lab).start();
    kmds.download(&song.link()).await;
    let hostile = Server::start(reply(&track()), Audio::Song);
    let person = Person::of(&lab);
    let own = |name: &str| kmds.folder.path(name).display().to_string();
    let beside = [
        &format!("cache.dir={}", own("cache")),
        &format!("state.dir={}", own("state")),
    ];
    let (good, bad, near, far) = (
        song.link(),
        bad.link(),
        kmds.url.clone(),
        hostile.url.clone(),
    );
    for arguments in [
        &["get", &good, &bad, "-o", "m"][..],
        &["get", &good, "-o", "m"],
        &["get", &good, &bad, "-o", "j", "--json"],
        &["get", &good, "-o", "s", "--server", &near],
        &["get", LINK, "-o", "h", "--server", &far],
        &["resolve", &good, &bad],
        &["resolve", LINK, "--server", &far],
        &["resolve", LINK, "--json", "--server", &far],
        &["top", "--server", &near],
        &["status", "--server", &far],
        &["status", "--json", "--server", &far],
        &["showcase", &good, "--server", &near],
        &["showcase", LINK, "--server", &far],
        &["cache", "ls", "--set", beside[0], "--set", beside[1]],
        &[
            "cache", "ls", "--json", "--set", beside[0], "--set", beside[1],
        ],
    ] {
        // On a terminal, where bars are drawn and colours are used.
        let line = arguments
            .iter()
            .map(|word| format!(" '{word}'"))
            .collect::<String>();
        // `top` goes on until it is told to stop.
        let until = if arguments[0] == "top" {
            "timeout -s INT 3 "
        } else {
            ""
        };
        let mut script = std::process::Command::new("script");
        script.args([
            "-qec",
            &format!("{until}{}{line}", env!("CARGO_BIN_EXE_kmds")),
            "/dev/null",
        ]);
        script
            .env_clear()
            .envs(&person.environment)
            .env("TERM", "xterm-256color")
            .current_dir(&person.folder.0);
        let shown = match script.stdin(std::process::Stdio::null()).output() {
            Ok(said) => String::from_utf8_lossy(&said.stdout).into_owned(),
            Err(error) => {
                return eprintln!("SKIPPED: script(1) makes a terminal and is not here ({error})");
            }
        };
        for evil in [
            "\u{1b}]0;",
            "\u{1b}[31mRed",
            "\u{9b}",
            "\u{202e}",
            "\u{2028}",
            "\u{7}",
            "\u{1b}[2J",
            "\n✓ forged",
        ] {
            assert!(!shown.contains(evil), "{arguments:?} {evil:?}: {shown:?}");
        }
    }
    let log = kmds.whole_log().await;
    assert!(!log.contains('\u{9b}') && !log.contains('\u{202e}'));
}
