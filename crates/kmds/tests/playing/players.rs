//! The players that people really use hear a song while the site holds the rest of it back.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Song, kib};

use super::harness::{Kmds, PATIENCE};
use super::tools::counted;
use super::{fetched, patient, tunnel};

/// Samples a second of what most players are told to put out: 16 bits, mono.
const RATE: f64 = 8000.0;
const SECONDS: f64 = 60.0;

/// One way of listening.
struct Player {
    name: &'static str,
    /// A line for the shell that writes what it hears to standard output; `$1` is the URL.
    line: &'static str,
    /// Bytes of a second of sound; nothing where what comes out is compressed.
    second: Option<f64>,
}

/// Every program is told only what its users tell it.
const PLAYERS: [Player; 7] = [
    Player {
        name: "ffmpeg",
        line: "exec ffmpeg -nostdin -v error -i \"$1\" -f s16le -ac 1 -ar 8000 -flush_packets 1 -",
        second: Some(2.0 * RATE),
    },
    Player {
        name: "discord.py's FFmpegPCMAudio",
        line: "exec ffmpeg -reconnect 1 -reconnect_streamed 1 -reconnect_delay_max 5 -i \"$1\" -f s16le -ar 48000 -ac 2 \
               -loglevel warning -blocksize 8192 -vn pipe:1 </dev/null",
        second: Some(4.0 * 48000.0),
    },
    Player {
        name: "discord.py's FFmpegOpusAudio, which probes first",
        line: "ffprobe -v quiet -print_format json -show_streams -select_streams a:0 \"$1\" >/dev/null </dev/null; exec \
               ffmpeg -reconnect 1 -reconnect_streamed 1 -reconnect_delay_max 5 -i \"$1\" -map_metadata -1 -f opus \
               -c:a libopus -ar 48000 -ac 2 -b:a 128k -loglevel warning -blocksize 8192 pipe:1 </dev/null",
        second: None,
    },
    Player {
        name: "@discordjs/voice with a stream",
        line: "curl -sS --fail \"$1\" | ffmpeg -analyzeduration 0 -loglevel error -i - -f s16le -ar 48000 -ac 2 pipe:1",
        second: Some(4.0 * 48000.0),
    },
    Player {
        name: "@discordjs/voice with a URL",
        line: "exec ffmpeg -nostdin -analyzeduration 0 -loglevel error -i \"$1\" -f s16le -ar 48000 -ac 2 pipe:1",
        second: Some(4.0 * 48000.0),
    },
    Player {
        name: "mpv",
        line: "exec mpv --no-config --really-quiet --no-video --untimed --ao=pcm --ao-pcm-file=/dev/stdout \
               --ao-pcm-waveheader=no --audio-format=s16 --audio-samplerate=8000 --audio-channels=mono \"$1\" </dev/null",
        second: Some(2.0 * RATE),
    },
    Player {
        name: "gst-launch-1.0",
        line: "exec gst-launch-1.0 -q souphttpsrc location=\"$1\" ! decodebin ! audioconvert ! audioresample \
               ! audio/x-raw,format=S16LE,rate=8000,channels=1 ! fdsink fd=1 sync=false </dev/null",
        second: Some(2.0 * RATE),
    },
];

/// Players that would read tags at the end of an MP3 before they play, told not to seek.
const NOT_SEEKING: [Player; 2] = [
    Player {
        name: "ffmpeg told not to seek",
        line: "exec ffmpeg -nostdin -v error -seekable 0 -i \"$1\" -f s16le -ac 1 -ar 8000 -flush_packets 1 -",
        second: Some(2.0 * RATE),
    },
    Player {
        name: "mpv told not to seek",
        line: "exec mpv --no-config --really-quiet --no-video --untimed --stream-lavf-o=seekable=0 --ao=pcm \
               --ao-pcm-file=/dev/stdout --ao-pcm-waveheader=no --audio-format=s16 --audio-samplerate=8000 \
               --audio-channels=mono \"$1\" </dev/null",
        second: Some(2.0 * RATE),
    },
];

impl Player {
    fn is_here(&self) -> bool {
        let program = self
            .name
            .split(' ')
            .next()
            .filter(|name| matches!(*name, "mpv" | "gst-launch-1.0"));
        let Some(program) = program else { return true };
        let here = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        });
        if !here {
            eprintln!("SKIPPED: there is no {program}; ./test installs it");
        }
        here
    }

    fn listen(&self, url: &str, home: &Path) -> Listening<'_> {
        let mut child = Command::new("sh")
            .args(["-c", self.line, "sh", url])
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a shell");
        let (first, heard) = counted(&mut child);
        Listening {
            player: self,
            child,
            first,
            heard: Some(heard),
            begun: Instant::now(),
        }
    }
}

struct Listening<'a> {
    player: &'a Player,
    child: Child,
    first: mpsc::Receiver<()>,
    heard: Option<std::thread::JoinHandle<usize>>,
    begun: Instant,
}

impl Listening<'_> {
    fn first_sound(&self, of: &str) {
        let name = self.player.name;
        let first = self.first.recv_timeout(PATIENCE);
        assert!(first.is_ok(), "{name}: no sound of {of} before it is whole");
        eprintln!(
            "{name}: first sound after {:.1} s",
            self.begun.elapsed().as_secs_f64()
        );
    }

    fn hears_all(mut self, of: &str) {
        let name = self.player.name;
        let bytes = self
            .heard
            .take()
            .and_then(|heard| heard.join().ok())
            .expect("read");
        assert!(
            self.child.wait().expect("an end").success(),
            "{name} failed on {of}"
        );
        if let Some(second) = self.player.second {
            let seconds = bytes as f64 / second;
            assert!(
                (seconds - SECONDS).abs() < 0.3,
                "{name} heard {seconds} s of {of}"
            );
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every player plays the beginning of `song`, which the lab holds back, at `path`; then all of it, once the lab
/// releases it.
fn all_hear(lab: &Lab, kmds: &Kmds, song: &Song, path: &str) {
    these_hear(&PLAYERS.each_ref(), lab, kmds, song, path);
}

fn these_hear(players: &[&Player], lab: &Lab, kmds: &Kmds, song: &Song, path: &str) {
    let url = kmds.at(path);
    let here = players.iter().filter(|player| player.is_here());
    let listening: Vec<_> = here
        .map(|player| player.listen(&url, &kmds.folder.0))
        .collect();
    for one in &listening {
        one.first_sound(path);
    }
    assert!(
        lab.media_bytes_sent(song.id()) < song.len() * 3 / 4,
        "sound comes while the rest is not even sent"
    );
    song.release();
    for one in listening {
        one.hears_all(path);
    }
}

/// Fragmented MP4 joined from pieces: the length is known at the end, and libavformat may not be tempted to look for
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_player_hears_soundcloud_s_aac_before_it_is_whole() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("aac")
        .formats(&[Format::AacHls])
        .seconds(SECONDS)
        .holds_at(kib(500))
        .publish();
    let kmds = patient(&lab).start();
    all_hear(&lab, &kmds, &song, &format!("/play?url={}", song.link()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_player_hears_soundcloud_s_mp3_pieces_before_they_are_whole() {
    let lab = Lab::start().await;
    let song = lab
        .soundcloud()
        .track("mp3")
        .formats(&[Format::Mp3Hls])
        .seconds(SECONDS)
        .holds_at(kib(500))
        .publish();
    let kmds = patient(&lab).start();
    let path = format!("{}&stream=1", tunnel(&fetched(&kmds, &song.link()).await));
    all_hear(&lab, &kmds, &song, &path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_player_hears_a_conversion_before_it_is_whole() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Only Opus")
        .opus_only()
        .seconds(SECONDS)
        .holds_at(kib(500))
        .publish();
    let kmds = patient(&lab).start();
    fetched(&kmds, &song.link()).await;
    all_hear(
        &lab,
        &kmds,
        &song,
        &format!("/api/v1/tracks/youtube/{}/audio?stream=1", song.id()),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_player_hears_re_wrapped_opus_before_it_is_whole() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Opus")
        .seconds(SECONDS)
        .holds_at(kib(500))
        .publish();
    let kmds = patient(&lab).start();
    all_hear(
        &lab,
        &kmds,
        &song,
        &format!("/play?accept=opus&url={}", song.link()),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_player_hears_youtube_s_own_file_before_it_is_whole() {
    let lab = Lab::start().await;
    let song = lab
        .youtube()
        .video("Plain")
        .seconds(SECONDS)
        .holds_at(kib(400))
        .publish();
    let kmds = patient(&lab).start();
    all_hear(&lab, &kmds, &song, &format!("/play?url={}", song.link()));
}

/// ffmpeg and mpv read the end first of an MP3 that has a known length and no tags in front.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_told_not_to_seek_hear_an_mp3_of_known_length_before_it_is_whole() {
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Bare")
        .seconds(SECONDS)
        .holds_at(kib(500))
        .publish();
    let kmds = patient(&lab).start();
    let others =
        |player: &&Player| player.name.contains("with a stream") || player.name.starts_with("gst");
    let players: Vec<&Player> = NOT_SEEKING
        .iter()
        .chain(PLAYERS.iter().filter(others))
        .collect();
    these_hear(
        &players,
        &lab,
        &kmds,
        &song,
        &format!("/play?url={}", song.link()),
    );
}
