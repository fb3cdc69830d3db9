//! The Python client against the service, its sample with the real discord.py, and bots that take their songs by path.

use std::path::Path;
use std::sync::Arc;

use kmds_lab::{Fault, Lab};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::channel::Channel;
use crate::harness::{Kmds, PATIENCE, Setup};
use crate::js_client::packet_sizes;
use crate::{python, root, skipped};

#[tokio::test]
async fn the_python_client_does_what_it_says() {
    let Some(python) = python() else {
        return skipped("the Python client", "there is no python3");
    };
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Copper Kettles")
        .seconds(30.0)
        .publish();
    let held = lab.bandcamp().track("Held").holds_at(30_000).publish();
    let refused = lab.soundcloud().track("refused").publish();
    lab.inject(Fault::Status(403, None).on_media().of(&refused));
    let cut = lab.youtube().video("Cut").publish();
    let kmds = Setup::of(&lab).patient().start();
    let wanted = kmds.folder.path("wanted");
    std::fs::write(&wanted, song.bytes()).expect("a file");
    let mut tests = tokio::process::Command::new(python);
    tests
        .arg(root().join("clients/python/test_kmds.py"))
        .env("KMDS_URL", &kmds.url)
        .env("KMDS_CACHE", kmds.folder.path("cache"))
        .env("SONG", song.link())
        .env("SONG_BYTES", &wanted)
        .env("HELD", held.link())
        .env("REFUSED", refused.link())
        .env("OTHER", cut.link())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let out = tests.output().await.expect("python");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    assert!(text.contains("OK"), "{text}");
}

/// The sample with the real discord.py, up to the packet of voice, which goes into a list in the place of a socket.
/// Prints the sizes of the Opus in these packets, song by song, and what the channel was told.
const A_CHANNEL: &str = r#"
import asyncio, json, os, types
import discord, discord.player
import discord_queue
discord.player.AudioPlayer.DELAY = 0.0                   # as fast as it goes
HEADER, TAG, NONCE, SILENCE = 12, 16, 4, 3
songs, told = [], []
class Voice(discord.VoiceClient):
    def __init__(self, loop):
        async def speak(state): pass
        self.client, self._player = types.SimpleNamespace(loop=loop), None
        self.sequence = self.timestamp = self._incr_nonce = 0
        self._connection = types.SimpleNamespace(
            dave_session=None, can_encrypt=False, ssrc=1, mode="aead_xchacha20_poly1305_rtpsize", secret_key=[7] * 32,
            timeout=30.0, ws=types.SimpleNamespace(speak=speak), is_connected=lambda: True, send_packet=self.heard)
    def heard(self, packet):
        size = len(packet) - HEADER - TAG - NONCE
        if size > SILENCE:
            songs[-1].append(size)
    def play(self, source, **options):
        assert source.is_opus()
        songs.append([])
        super().play(source, **options)
class Context:
    def __init__(self, voice): self.voice_client = voice
    async def send(self, text):
        told.append(text)
        if text.startswith("Refused: "): raise discord.DiscordException("no words are let through")
async def main():
    await discord_queue.bot.setup_hook()
    channel = Context(Voice(asyncio.get_running_loop()))
    for text in json.loads(os.environ["TEXTS"]):
        await discord_queue.play.callback(channel, text=text)
    discord_queue.waiting.append((channel, channel.voice_client, End()))    # behind the last song; no song, so it is told of
    discord_queue.added.set()
    while not told[-1].startswith("END"):
        assert not discord_queue.bot.player.done(), discord_queue.bot.player.exception()
        await asyncio.sleep(0.02)
class End:
    title = "END"
asyncio.run(asyncio.wait_for(main(), 100))
print(json.dumps({"songs": songs, "told": told}))
"#;

#[tokio::test]
async fn discord_py_plays_opus_by_path_and_plays_on_behind_a_song_that_fails() {
    let Some(python) = python() else {
        return skipped("the sample for discord.py", "there is no python3");
    };
    let has_library = tokio::process::Command::new(&python)
        .args(["-c", "import discord, nacl"])
        .output()
        .await
        .expect("python");
    if !has_library.status.success() {
        return skipped(
            "the sample for discord.py",
            "there is no discord.py with voice (./test installs it)",
        );
    }
    let lab = Lab::start().await;
    let channel = Channel::of(&lab);
    let kmds = Setup::of(&lab).set("KMDS_SEARCH__SITE", "bandcamp").start();
    let mut bot = tokio::process::Command::new(python);
    bot.args(["-c", A_CHANNEL])
        .env("PYTHONPATH", root().join("clients/python"))
        .env("KMDS_URL", &kmds.url)
        .env("KMDS_CACHE", kmds.folder.path("cache"))
        .env("TEXTS", channel.texts())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let out = bot.output().await.expect("python");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let heard: Value = serde_json::from_str(&said).expect("JSON");
    let files = channel.files();
    let songs = heard["songs"].as_array().expect("songs");
    assert_eq!(songs.len(), files.len(), "{heard}");
    for (sizes, file) in songs.iter().zip(files) {
        let wanted = packet_sizes(&kmds.folder.path("cache").join(&file));
        assert!(wanted.len() > 90, "{file}: {}", wanted.len());
        assert_eq!(*sizes, json!(wanted), "{file}");
    }
    let told = heard["told"].to_string();
    assert!(
        told.contains("Refused: SoundCloud refused the audio"),
        "{told}"
    );
    assert_eq!(kmds.audio_sent().await, 0);
    let queue = kmds.get("/api/v1/queues/discord-py").await;
    assert_eq!(queue.status(), 200, "the server was told what is next");
}

/// A bot on another machine: titles at once, then each song by its path on the shared drive.
const A_BOT: &str = r#"
import hashlib, os
from kmds import Kmds
kmds = Kmds(os.environ["KMDS_URL"])
tracks = kmds.fetch(os.environ["LINK"]).tracks
print("titles", [track.title for track in tracks], flush=True)
for track in tracks:
    path = kmds.path(track, cache=os.environ["KMDS_CACHE"])
    print("song", hashlib.sha256(path.read_bytes()).hexdigest(), flush=True)
"#;

/// The same in JavaScript.
const A_BOT_IN_JAVASCRIPT: &str = r#"
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
const { Kmds } = await import(process.env.CLIENT);
const kmds = new Kmds(process.env.KMDS_URL);
const { tracks } = await kmds.fetch(process.env.LINK);
console.log("titles", JSON.stringify(tracks.map((track) => track.title)));
for (const track of tracks) {
  const path = await kmds.path(track, { cache: process.env.KMDS_CACHE });
  console.log("song", createHash("sha256").update(await readFile(path)).digest("hex"));
}
"#;

/// What runs the bots, and how it is called.
fn bots(what: &str) -> Vec<tokio::process::Command> {
    let mut bots = Vec::new();
    if let Some(python) = python() {
        let mut command = tokio::process::Command::new(python);
        command
            .args(["-c", A_BOT])
            .env("PYTHONPATH", root().join("clients/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        bots.push(command);
    } else {
        skipped(what, "there is no python3");
    }
    match crate::js_client::node() {
        Ok(node) => {
            let mut command = tokio::process::Command::new(node);
            command
                .args(["--input-type=module", "-e", A_BOT_IN_JAVASCRIPT])
                .env("CLIENT", root().join("clients/js/kmds.js"));
            bots.push(command);
        }
        Err(why) => skipped(what, &why),
    }
    bots
}

fn checksum(path: &Path) -> String {
    let file = path.display().to_string();
    let text = crate::harness::tool("sha256sum", &[&file]);
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_bot_gets_titles_and_then_songs_by_path_with_no_audio_over_http() {
    for mut bot in bots("a bot that takes songs by path") {
        let lab = Lab::start().await;
        let album = lab.bandcamp().album(2).publish();
        let kmds = Setup::of(&lab).start();
        bot.env("KMDS_URL", &kmds.url)
            .env("KMDS_CACHE", kmds.folder.path("cache"))
            .env("LINK", album.link());
        let out = bot.output().await.expect("it runs");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(said.contains("no. 1") && said.contains("no. 2"), "{said}");
        let songs: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("song "))
            .collect();
        let mut wanted: Vec<String> = kmds
            .published()
            .iter()
            .filter(|path| path.ends_with(".mp3"))
            .map(|path| checksum(&kmds.folder.path("cache").join(path)))
            .collect();
        let mut read: Vec<String> = songs.iter().map(|&sum| sum.to_owned()).collect();
        read.sort();
        wanted.sort();
        assert_eq!(read.len(), 2, "{said}");
        assert_eq!(read, wanted);
        assert_eq!(kmds.audio_sent().await, 0, "{}", kmds.log());
    }
}

/// One address for a service that is started again on another port.
struct Front {
    url: String,
    behind: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Front {
    async fn of(kmds: &Kmds) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let behind = Arc::new(Mutex::new(Self::address(kmds)));
        let place = Arc::clone(&behind);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let address = place.lock().clone();
                tokio::spawn(async move {
                    // Without a service the client's connection just closes.
                    if let Ok(mut service) = tokio::net::TcpStream::connect(address).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut service).await;
                    }
                });
            }
        });
        Self { url, behind, task }
    }

    fn moves_to(&self, kmds: &Kmds) {
        *self.behind.lock() = Self::address(kmds);
    }

    fn address(kmds: &Kmds) -> String {
        kmds.url.trim_start_matches("http://").to_owned()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_bot_that_waits_gets_its_song_though_the_service_is_killed_and_started_again() {
    for mut bot in bots("a bot that waits through a restart") {
        let lab = Lab::start().await;
        let song = lab.bandcamp().track("Held").holds_at(30_000).publish();
        let setup = Setup::of(&lab).patient();
        let mut kmds = setup.start();
        let front = Front::of(&kmds).await;
        let mut bot = bot
            .env("KMDS_URL", &front.url)
            .env("KMDS_CACHE", kmds.folder.path("cache"))
            .env("LINK", song.link())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(bot.stdout.take().expect("piped")).lines();
        let titles = lines.next_line().await.expect("a line").expect("titles");
        assert!(titles.contains("Held"), "{titles}");
        kmds.until("the download is under way", async || {
            !kmds.partials().is_empty()
        })
        .await;
        kmds.kill();
        song.release();
        let again = setup.start();
        front.moves_to(&again);
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .unwrap_or_else(|_| panic!("the bot never got its song\n{}", again.log()))
            .expect("a line");
        let sum = line.as_deref().and_then(|line| line.strip_prefix("song "));
        let file = again
            .folder
            .path("cache")
            .join(format!("bandcamp/{}.mp3", song.id()));
        assert_eq!(sum, Some(checksum(&file).as_str()));
        assert_eq!(again.audio_sent().await, 0);
    }
}

#[tokio::test]
async fn the_python_client_builds_a_wheel_of_one_module() {
    let Some(python) = python() else {
        return skipped("the wheel", "there is no python3");
    };
    let folder = crate::harness::Folder::new();
    let source = folder.path("client");
    std::fs::create_dir(&source).expect("a folder");
    for name in ["kmds.py", "pyproject.toml"] {
        let from = root().join("clients/python").join(name);
        std::fs::copy(from, source.join(name)).expect("a copy");
    }
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(&python);
        command.args(args).current_dir(&source);
        let out = command.output().await.expect("python");
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        (out.status.success(), said.into_owned())
    };
    let (built, said) = run(&["-m", "pip", "wheel", "--no-deps", "-w", "out", "."]).await;
    if !built && (said.contains("No matching distribution") || said.contains("No module named pip"))
    {
        return skipped("the wheel", &said);
    }
    assert!(built, "{said}");
    let list = "import zipfile, glob; print(zipfile.ZipFile(*glob.glob('out/*.whl')).namelist())";
    let (_, names) = run(&["-c", list]).await;
    assert!(
        names.contains("'kmds.py'") && !names.contains("test_kmds"),
        "{names}"
    );
}
