//! The tools that people really use: ffmpeg, ffprobe, curl, unzip.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use kmds_lab::{Fault, Lab, kib};

use super::harness::{PATIENCE, Setup, tool};
use super::{PATIENT_RECIPES, fetched, first_bytes, patient, tunnel};

fn piped(program: &str, args: &[&str]) -> Child {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}); `./test` installs it"))
}

/// Reads a child's output on a thread: a word at its first byte, the count of all at its end.
pub fn counted(child: &mut Child) -> (mpsc::Receiver<()>, std::thread::JoinHandle<usize>) {
    let mut out = child.stdout.take().expect("piped");
    let (sender, first) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        let (mut block, mut sum) = (vec![0; 64 << 10], 0);
        while let Ok(count @ 1..) = out.read(&mut block) {
            sum += count;
            let _ = sender.send(());
        }
        sum
    });
    (first, reading)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_decodes_a_song_while_it_downloads_and_finishes_with_it() {
    let lab = Lab::start().await;
    let youtube = lab
        .youtube()
        .video("Dripping")
        .seconds(20.0)
        .drips(kib(64))
        .holds_at(kib(192))
        .publish();
    let bandcamp = lab
        .bandcamp()
        .track("Dripping")
        .seconds(20.0)
        .drips(kib(64))
        .holds_at(kib(192))
        .publish();
    let kmds = patient(&lab).start();
    // ffmpeg reads the tags at the end first, if it may seek in an MP3 file.
    for (song, jumps) in [(youtube, "-1"), (bandcamp, "0")] {
        let url = kmds.at(&format!("/play?url={}", song.link()));
        let mut ffmpeg = piped(
            "ffmpeg",
            &[
                "-nostdin",
                "-v",
                "error",
                "-seekable",
                jumps,
                "-i",
                &url,
                "-f",
                "s16le",
                "-ac",
                "1",
                "-ar",
                "8000",
                "-flush_packets",
                "1",
                "-",
            ],
        );
        let (first, decoded) = counted(&mut ffmpeg);
        first
            .recv_timeout(PATIENCE)
            .expect("sound before the song is whole");
        assert!(
            lab.media_bytes_sent(song.id()) <= kib(192),
            "sound comes while the rest is not even sent"
        );
        song.release();
        let samples = decoded.join().expect("read") as f64 / 2.0 / 8000.0;
        assert!(ffmpeg.wait().expect("an end").success());
        assert!((samples - 20.0).abs() < 0.2, "{samples} s were decoded");
        assert_eq!(
            lab.media_bytes_sent(song.id()),
            song.len(),
            "downloaded once"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_a_range_from_the_middle_of_a_half_arrived_file() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Half")
        .seconds(30.0)
        .drips(kib(256))
        .holds_at(kib(256))
        .publish();
    let kmds = patient(&lab).start();
    let url = kmds.at(&format!(
        "{}&stream=1",
        tunnel(&fetched(&kmds, &song.link()).await)
    ));
    let middle = Command::new("curl")
        .args(["-sS", "--fail", "-r", "100000-199999", &url])
        .output()
        .expect("curl");
    assert!(
        middle.status.success(),
        "{}",
        String::from_utf8_lossy(&middle.stderr)
    );
    assert_eq!(middle.stdout, song.bytes().slice(100_000..200_000));
    assert!(
        lab.media_bytes_sent(song.id()) <= kib(256),
        "half of it is not here yet"
    );
    song.release();
    let end = Command::new("curl")
        .args(["-sS", "--fail", "-r", "-1000", &url])
        .output()
        .expect("curl");
    assert_eq!(end.stdout, song.bytes().slice(song.bytes().len() - 1000..));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffprobe_reads_the_first_entry_of_an_album_s_playlist() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).seconds(7.0).publish();
    let kmds = patient(&lab).start();
    let answer = kmds.get(&format!("/play?url={}", album.link())).await;
    assert_eq!(answer.headers()["content-type"], "audio/x-mpegurl");
    let text = answer.text().await.expect("a playlist");
    let entries: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(entries.len(), 3, "{text}");
    for entry in &entries {
        assert!(
            entry.starts_with("http://127.0.0.1:") && entry.ends_with("&stream=1"),
            "{entry}"
        );
    }
    let said = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "format=format_name,duration",
            "-of",
            "default=nk=1:nw=1",
            entries[0],
        ],
    );
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("mp3"));
    let duration: f64 = lines
        .next()
        .and_then(|line| line.parse().ok())
        .expect("a duration");
    assert!((duration - 7.0).abs() < 0.2, "{duration}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unzip_accepts_the_archive_of_an_album_in_track_order_and_names_what_is_missing() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(4).seconds(4.0).publish();
    lab.inject(Fault::Status(404, None).on_media().of(&album.songs()[1]));
    let kmds = patient(&lab).start();
    let answer = kmds
        .get(&format!("/play?archive=zip&url={}", album.link()))
        .await;
    assert_eq!(answer.headers()["content-type"], "application/zip");
    let bytes = answer.bytes().await.expect("a whole archive");
    let path = kmds.folder.path("album.zip");
    std::fs::write(&path, &bytes).expect("written");
    let path = path.to_str().expect("a plain path");
    tool("unzip", &["-tqq", path]);
    let names = tool("unzip", &["-Z1", path]);
    let names: Vec<&str> = names.lines().collect();
    let numbers: Vec<&str> = names
        .iter()
        .map(|name| name.split([' ', '.']).next().unwrap_or(""))
        .collect();
    assert_eq!(numbers, ["01", "03", "04", "MISSING"], "{names:?}");
    for (name, song) in [(names[0], 0), (names[1], 2), (names[2], 3)] {
        let content = Command::new("unzip")
            .args(["-p", path, name])
            .output()
            .expect("unzip")
            .stdout;
        assert_eq!(content, album.songs()[song].bytes(), "{name}");
    }
    let missing = tool("unzip", &["-p", path, "MISSING.txt"]);
    assert!(missing.contains(album.songs()[1].title()), "{missing}");
}

#[tokio::test]
async fn an_archive_for_a_library_has_tagged_songs_in_the_folders_that_get_makes() {
    let lab = Lab::start().await;
    let album = lab
        .bandcamp()
        .album(0)
        .artist("Mac Layer")
        .title("Coming of Port")
        .song("Hello, Checksum", 4.0)
        .song("../Divide by One", 4.0)
        .publish();
    let single = lab
        .youtube()
        .video("Words")
        .artist("Ada Loopback")
        .seconds(4.0)
        .publish();
    let kmds = patient(&lab).start();
    for (link, names) in [
        (
            album.link(),
            &[
                "Mac Layer/Coming of Port/01 Hello, Checksum.mp3",
                "Mac Layer/Coming of Port/02 .._Divide by One.mp3",
            ][..],
        ),
        (single.link(), &["Ada Loopback - Words.m4a"]),
    ] {
        let asked = format!("/play?archive=library&url={link}");
        let bytes = kmds.get(&asked).await.bytes().await.expect("an archive");
        let path = kmds.folder.path("library.zip");
        std::fs::write(&path, &bytes).expect("written");
        let path = path.to_str().expect("a plain path");
        tool("unzip", &["-tqq", path]);
        let listed = tool("unzip", &["-Z1", path]);
        assert_eq!(listed.lines().collect::<Vec<_>>(), names);
        let folder = kmds.folder.path("music");
        let folder = folder.to_str().expect("a plain path");
        tool("unzip", &["-qq", path, "-d", folder]);
        for name in names {
            let file = format!("{folder}/{name}");
            let tags = tool(
                "ffprobe",
                &[
                    "-v",
                    "error",
                    "-show_entries",
                    "format_tags=title",
                    "-of",
                    "default=nw=1:nk=1",
                    &file,
                ],
            );
            let title = name.rsplit(['/', '.']).nth(1).unwrap_or_default();
            let last = |text: &str| text.trim().rsplit(' ').next().map(str::to_owned);
            assert_eq!(last(&tags), last(title), "{name}: {tags}");
        }
    }
}

#[tokio::test]
async fn an_archive_whose_second_song_breaks_off_is_cut() {
    let lab = Lab::start().await;
    let album = lab.bandcamp().album(3).seconds(20.0).publish();
    let broken = &album.songs()[1];
    // Its first bytes come, then silence, then a refusal.
    lab.inject(Fault::Stall(kib(128)).on_media().of(broken).first(1));
    lab.inject(Fault::Status(404, None).on_media().of(broken));
    let kmds = Setup::of(&lab)
        .recipes(&PATIENT_RECIPES.replace("50.0", "4.0"))
        .start();
    let mut answer = kmds
        .get(&format!("/play?archive=zip&url={}", album.link()))
        .await;
    let begun = album.songs()[0].bytes().len() + kib(100) as usize;
    assert!(first_bytes(&mut answer, begun).await.starts_with(b"PK"));
    let end = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(
        end.is_err(),
        "a clean end would say that this is the whole archive"
    );
}
