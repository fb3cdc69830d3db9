//! The documents, followed by a newcomer who types what they say: every block of commands is run, in order, in a fresh
//! home and a fresh clone, against the lab. A command that fails, fails the test, and so does one that this test does
//! not know.
//!
//! Told apart by the language of a block: `bash` is typed, line by line; `toml` and `python` are files, written under
//! the last name in `code` before them; `text` that begins with `$ ` is a command with its output; `json`, `js` and
//! other `text` is only read, and so is what has no language. What is different here from a reader's machine, and
//! nothing else is:
//!
//! | in a document | here |
//! | --- | --- |
//! | `127.0.0.1:60071`, `10.0.0.2:60071`, `https://music.example.org/kmds` | where the service really listens: a free port |
//! | `/etc/kmds`, `/srv/music`, `/mnt/music`, `/var/lib/kmds`, `/usr/local/bin` | the same below the test's folder |
//! | `LINK` | a song of the lab |
//! | `sudo`, `mpv` | run without rights; read without sound |
//! | `kmds serve` | runs beside the commands that follow, in place of the one before |
//! | the sites | the lab, by `KMDS_EGRESS__PROXY`; no yt-dlp, no reserve of disk space |
//! | `https://api.ipify.org` | a page of that proxy, which says 198.51.100.7 |
//!
//! How long each command took is printed, and never judged: `cargo test -p kmds --test readme`.

#[path = "../harness/exit.rs"]
mod exit;
#[path = "../harness/mod.rs"]
mod harness;

mod blocks;
mod newcomer;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kmds_lab::{Lab, Song};

use exit::Exit;

use blocks::{Block, Typed};
use newcomer::Newcomer;

/// The documents with commands in them.
const FOLLOWED: [&str; 9] = [
    "README.md",
    "docs/two-hosts.md",
    "docs/curl.md",
    "docs/cli.md",
    "docs/install.md",
    "docs/api.md",
    "docs/operation.md",
    "docs/settings.md",
    "docs/ytdlp.md",
];
/// Commands that no test can run, by how they begin, and why.
const NOT_RUN: [(&str, &str); 11] = [
    (
        "cargo build",
        "takes minutes; the binary of this very build is there in its place",
    ),
    ("RUSTFLAGS=", "another build, whose result is tried by hand"),
    (
        "packaging/deb.sh",
        "has a test of its own, in programs/packaging.rs",
    ),
    (
        "sudo apt install",
        "would change this machine; the package is installed into a folder in programs/packaging.rs",
    ),
    (
        "sudo systemctl",
        "no systemd is in charge here; the units are checked in programs/packaging.rs",
    ),
    ("docker compose", NO_DAEMON),
    ("docker build", NO_DAEMON),
    ("KMDS_PORT=", NO_DAEMON),
    (
        "sudo install -d -o 65532",
        "gives the folder to the container's user, which takes root",
    ),
    (
        "echo '{\"n\"",
        "needs YouTube's own script, which no clone has; tests/player runs the command",
    ),
    ("kmds solve-player", "the same"),
];
const NO_DAEMON: &str = "no daemon runs containers here; programs/release.rs reads the files";
/// Commands that go on until Ctrl-C: they have to print something, that is all.
const ENDLESS: [&str; 1] = ["curl -N "];
/// Commands that the document says to give with the service stopped.
const WITHOUT_SERVICE: [&str; 3] = [
    "kmds cache rebuild",
    "kmds cache verify",
    "kmds cache prune",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The sites as the documents name them.
struct World {
    lab: Lab,
    video: Song,
    album: Vec<Song>,
    exit: Exit,
}

async fn world() -> World {
    let lab = Lab::start().await;
    // First, since it counts its songs, and an example of the README names one of its numbers.
    lab.publish_demo_world();
    let video = lab
        .youtube()
        .video("Words")
        .id("M4gD1WSo5mA")
        .artist("Ada Loopback")
        .seconds(30.0)
        .publish();
    lab.soundcloud()
        .track("hard-to-break")
        .artist("blakewhiten")
        .publish();
    let album = lab
        .bandcamp()
        .album(2)
        .artist("macbenson")
        .title("Coming of Age")
        .slug("coming-of-age")
        .publish();
    let exit = Exit::before(&lab, "198.51.100.7").await;
    World {
        video,
        album: album.songs().to_vec(),
        exit,
        lab,
    }
}

impl World {
    fn newcomer(&self) -> Newcomer {
        Newcomer::with_a_clone(&self.lab, &self.exit.url, &self.video.link())
    }
}

/// Follows a document from its first line to its last.
fn follow(document: &str, reader: &mut Newcomer) {
    let mut files: Vec<(String, bool)> = Vec::new();
    let began = Instant::now();
    for block in blocks::read(&root().join(document)) {
        let place = |line| format!("{document}:{line}");
        match block.language.as_str() {
            "bash" => {
                for Typed { line, command } in block.commands() {
                    files
                        .iter_mut()
                        .for_each(|(name, used)| *used |= command.contains(name.as_str()));
                    perform(&place(line), &command, reader);
                }
            }
            "toml" => check_settings(&place(block.line), &block, reader),
            "python" => {
                reader.writes(&block.named, &block.text);
                files.push((block.named.clone(), false));
            }
            "text" if block.text.starts_with("$ ") => {
                transcript(&place(block.line), &block.text, reader)
            }
            "json" | "text" | "" => {}
            other => panic!(
                "{}: what is `{other}`? Say here what becomes of it",
                place(block.line)
            ),
        }
    }
    let unused: Vec<_> = files.iter().filter(|(_, used)| !used).collect();
    assert!(unused.is_empty(), "{document}: no command runs {unused:?}");
    say(&format!(
        "{:7.2} s  {document} in all",
        began.elapsed().as_secs_f64()
    ));
}

fn perform(place: &str, command: &str, reader: &mut Newcomer) {
    let begins = |with: &str| command.starts_with(with);
    if let Some((_, why)) = NOT_RUN.iter().find(|(start, _)| begins(start)) {
        say(&format!("   left out  {place}  {command}  ({why})"));
        // What follows it in the same line is typed.
        if let Some((_, rest)) = command.split_once(" && ") {
            perform(place, rest, reader);
        }
        return;
    }
    if WITHOUT_SERVICE.into_iter().any(begins) {
        reader.stops();
    }
    let began = Instant::now();
    let done = if command.contains("kmds serve") {
        reader.serves(command)
    } else if ENDLESS.into_iter().any(begins) {
        reader.watches(command)
    } else {
        reader.types(command)
    };
    match done {
        Ok(_) => say(&format!(
            "{:7.2} s  {place}  {command}",
            began.elapsed().as_secs_f64()
        )),
        Err(why) => panic!("{place}: {why}"),
    }
}

/// Recipes, settings or tokens: the service's own check has to find them good.
fn check_settings(place: &str, block: &Block, reader: &mut Newcomer) {
    reader.writes(&block.named, &block.text);
    if block.named.contains("tokens") {
        // A service that cannot read them does not start.
        let serve = format!("kmds serve --set server.tokens_file={}", block.named);
        if let Err(why) = reader.serves(&serve) {
            panic!("{place}: {why}");
        }
        return;
    }
    let check = if block.named.contains("recipes") {
        "recipes check"
    } else {
        "config check --config"
    };
    if let Err(why) = reader.types(&format!("target/release/kmds {check} {}", block.named)) {
        panic!("{place}: {why}");
    }
}

/// A command with what it printed; songs end in an order of their own.
fn transcript(place: &str, text: &str, reader: &mut Newcomer) {
    let mut wanted: Vec<&str> = text.lines().collect();
    let command = wanted.remove(0).trim_start_matches("$ ");
    let said = reader
        .types(command)
        .unwrap_or_else(|why| panic!("{place}: {why}"));
    let mut lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    wanted.sort_unstable();
    lines.sort_unstable();
    assert_eq!(lines, wanted, "{place}");
}

/// Past the test's own capture of output: the times are there to be read.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_from_the_readme_alone_to_songs_that_lie_where_it_says() {
    let world = world().await;
    let mut reader = world.newcomer();
    follow("README.md", &mut reader);
    let bots = reader
        .folder
        .path("home/.cache/kmds/youtube/M4gD1WSo5mA.m4a");
    assert_eq!(harness::read(&bots), world.video.bytes());
    // Tagged, so more than the site sent.
    let got = harness::read(&reader.folder.path("home/Music/Ada Loopback - Words.m4a"));
    assert!(got.len() as u64 > world.video.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_over_two_hosts_ends_with_a_song_on_the_drive() {
    let world = world().await;
    let mut reader = world.newcomer();
    follow("docs/two-hosts.md", &mut reader);
    let song = reader.folder.path("srv/music/kmds/youtube/M4gD1WSo5mA.m4a");
    assert_eq!(harness::read(&song), world.video.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_with_curl_leaves_the_file_that_it_names() {
    let world = world().await;
    let mut reader = world.newcomer();
    has_a_service(&mut reader);
    follow("docs/curl.md", &mut reader);
    let file = |name: &str| harness::read(&reader.folder.path("clone").join(name));
    for name in ["song.m4a", "Ada Loopback - Words.m4a"] {
        assert_eq!(file(name), world.video.bytes(), "{name}");
    }
    assert!(file("cover.jpg").starts_with(b"\xff\xd8") && file("album.zip").starts_with(b"PK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_leaves_an_album_in_folders_by_artist_and_album() {
    let world = world().await;
    let mut reader = world.newcomer();
    has_a_service(&mut reader);
    follow("docs/cli.md", &mut reader);
    for (place, song) in world.album.iter().enumerate() {
        // Tagged, so more than the site sent.
        let file = format!(
            "home/Music/macbenson/Coming of Age/{:02} {}.mp3",
            place + 1,
            song.title()
        );
        let tagged = harness::read(&reader.folder.path(&file));
        assert!(tagged.len() as u64 > song.len(), "{file}");
    }
}

/// Most documents begin where the README ends.
fn has_a_service(reader: &mut Newcomer) {
    perform(
        "(as the README says)",
        "sudo install -m 755 target/release/kmds /usr/local/bin/kmds",
        reader,
    );
    perform("(as the README says)", "kmds serve", reader);
}

/// The walk's own settings, with no other change than the test's own folders, while the fetching host is seen at the
/// bot's address: a tunnel that came up, a route that changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_two_host_walk_is_never_seen_at_the_first_hosts_address() {
    let world = world().await;
    world.exit.is_seen_at("203.0.113.7");
    let mut reader = world.newcomer();
    let blocks = blocks::read(&root().join("docs/two-hosts.md"));
    let walk = blocks
        .iter()
        .find(|block| block.language == "toml" && block.named.contains("/etc/kmds"))
        .expect("its settings");
    check_settings("docs/two-hosts.md", walk, &mut reader);
    perform(
        "(as the README says)",
        "sudo install -m 755 target/release/kmds /usr/local/bin/kmds",
        &mut reader,
    );
    reader
        .serves("kmds serve --config /etc/kmds/kmds.toml")
        .expect("it starts");
    let refused = reader.types(
        "curl -G http://10.0.0.2:60071/fetch --data-urlencode 'url=https://youtu.be/M4gD1WSo5mA'",
    );
    assert!(refused.expect_err("no song").contains("502"));
    assert!(
        world.exit.asked() >= 1 && world.lab.connections().is_empty(),
        "no site was asked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_document_can_be_followed_too() {
    let world = world().await;
    for document in &FOLLOWED[4..] {
        let mut reader = world.newcomer();
        if *document == "docs/install.md" {
            reader.downloads_a_release();
        }
        has_a_service(&mut reader);
        follow(document, &mut reader);
    }
}

#[test]
fn every_command_of_a_document_is_followed_and_no_exception_is_stale() {
    let mut commands = Vec::new();
    for folder in ["", "docs", "clients/python", "clients/js", "packaging"] {
        for entry in std::fs::read_dir(root().join(folder))
            .expect("a folder")
            .flatten()
        {
            let name = Path::new(folder)
                .join(entry.file_name())
                .display()
                .to_string();
            if !name.ends_with(".md") {
                continue;
            }
            let typed: Vec<Typed> = blocks::read(&entry.path())
                .iter()
                .filter(|block| {
                    !matches!(
                        block.language.as_str(),
                        "" | "json" | "text" | "toml" | "python" | "js" | "rust"
                    )
                })
                .flat_map(Block::commands)
                .collect();
            assert!(
                typed.is_empty() || FOLLOWED.contains(&name.as_str()),
                "{name} has commands: follow it as well"
            );
            commands.extend(typed);
        }
    }
    for (start, _) in NOT_RUN {
        assert!(
            commands
                .iter()
                .any(|typed| typed.command.starts_with(start)),
            "no document says `{start}` any more"
        );
    }
}
