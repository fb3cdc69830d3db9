//! `kmds showcase`: uses a running server the way a classic client does, and prints times and sizes.
//!
//! Owns what such a client does: the body is encoded twice, `/tunnel` is asked again on 418, files are named by
//! `File_Name`. Each saved file is checked again: container, length, duration.

mod report;

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{StreamExt, stream};
use kmds_extract::{Container, Format};
use serde::{Deserialize, Serialize};

use self::report::{Progress, report};
use super::server::{LONGEST_SONG_BYTES, Server, ServerError, refusal, save, short};
use super::{Problem, out, term};
use crate::app::sanitize;
use crate::media;

/// One well-known song of each site.
pub const KNOWN_LINKS: [&str; 3] = [
    "https://www.youtube.com/watch?v=M4gD1WSo5mA",
    "https://soundcloud.com/blakewhiten/hard-to-break",
    "https://teaganbear.bandcamp.com/track/just-for-the-halibut",
];

/// Time between two requests for a song that is not finished. The server advises 1 s; less gives better times.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Songs of one link that are awaited at the same time.
const AT_ONCE: usize = 6;
/// A song that gains no byte for this long has failed.
const STUCK_AFTER: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every song arrived whole · 1 some did not · 2 no server, or wrong arguments\n\n\
    Examples:\n  \
    kmds showcase https://artist.bandcamp.com/album/name\n  \
    kmds showcase --server http://192.168.1.2:60071 -o ~/Music LINK LINK\n\n\
    Sizes are in KiB/MiB (1024); times are counted from the request."
)]
pub struct ShowcaseArgs {
    /// Links to songs, lists, albums, sets; without any, one known song of each site
    links: Vec<String>,
    /// Keep the songs in this folder; otherwise they are checked and removed
    #[arg(short, long, value_name = "DIR", value_parser = super::path())]
    output: Option<PathBuf>,
    /// The running server [default: the one in KMDS_SERVER, else the one these settings start]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Print one JSON document instead of lines and a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    songs: Vec<Song>,
    #[serde(default)]
    unavailable: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Song {
    #[serde(rename = "File_Name")]
    file_name: String,
    #[serde(rename = "Tunnel_URL")]
    tunnel_url: String,
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    duration: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Missing {
    title: Option<String>,
    reason: String,
}

/// The body of 418: how much of the song has arrived.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Waiting {
    received: u64,
}

/// What happened to one link.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    link: String,
    songs: usize,
    unavailable: usize,
    failed: usize,
    metadata_ms: Option<u64>,
    /// Time until the first song was whole, and until the last was.
    first_file_ms: Option<u64>,
    all_files_ms: Option<u64>,
    bytes: u64,
    containers: Vec<String>,
    /// Every saved file was checked and is whole.
    checked: bool,
    problems: Vec<String>,
}

struct Saved {
    name: String,
    bytes: u64,
    container: &'static str,
    at: Duration,
}

pub async fn run(
    args: ShowcaseArgs,
    own: impl FnOnce() -> Result<(String, String), Problem>,
) -> Result<ExitCode, Problem> {
    let server = Server::named_or_own(args.server.as_deref(), own)?;
    let links = if args.links.is_empty() {
        KNOWN_LINKS.map(str::to_owned).to_vec()
    } else {
        args.links
    };
    let kept = args.output.is_some();
    let scratch = std::env::temp_dir().join(format!("kmds-showcase-{}", std::process::id()));
    let folder = args.output.unwrap_or(scratch);
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("{}: {error}; choose another -o", folder.display()))?;
    let progress = Progress::new(args.json);
    let mut outcomes = Vec::new();
    let shown = async {
        for link in &links {
            outcomes.push(one_link(&server, link, &folder, &progress).await?);
        }
        Ok::<_, ServerError>(())
    };
    let done = shown.await;
    if !kept {
        let _ = std::fs::remove_dir_all(&folder);
    }
    done?;
    report(&outcomes, args.json)?;
    if kept && !args.json {
        out::line("");
        out::line(format!("The songs are in {}.", folder.display()));
    }
    let bad = outcomes
        .iter()
        .any(|outcome| outcome.failed > 0 || outcome.songs == 0);
    Ok(ExitCode::from(u8::from(bad)))
}

/// Fetches one link and waits for its songs. A server that is away is the only error; every other failure is an
/// outcome.
async fn one_link(
    server: &Server,
    link: &str,
    folder: &Path,
    progress: &Progress,
) -> Result<Outcome, ServerError> {
    let started = Instant::now();
    let mut outcome = Outcome {
        link: link.to_owned(),
        ..Outcome::default()
    };
    let reply = match fetch(server, link).await {
        Ok(reply) => reply,
        Err(error @ ServerError::Refused { .. }) => {
            progress.problem(link, &error.to_string());
            outcome.failed = 1;
            outcome.problems.push(error.to_string());
            return Ok(outcome);
        }
        Err(error) => return Err(error),
    };
    outcome.metadata_ms = Some(millis(started.elapsed()));
    outcome.songs = reply.songs.len();
    outcome.unavailable = reply.unavailable.len();
    progress.link(link, reply.songs.len(), started.elapsed());
    for missing in &reply.unavailable {
        progress.problem(
            missing.title.as_deref().unwrap_or("a song of the list"),
            &missing.reason,
        );
    }
    let (ended, songs) = (Cell::new(0), reply.songs.len());
    progress.bar(0, songs, started);
    let waiting = stream::iter(reply.songs.iter()).map(|song| async {
        let saved = one_song(server, song, folder, started).await;
        ended.set(ended.get() + 1);
        progress.no_bar();
        match &saved {
            Ok(saved) => progress.song(saved),
            Err(why) => progress.problem(&song.file_name, why),
        }
        progress.bar(ended.get(), songs, started);
        saved
    });
    let saved: Vec<Result<Saved, String>> = waiting.buffered(AT_ONCE).collect().await;
    progress.no_bar();
    add_up(&mut outcome, saved);
    Ok(outcome)
}

fn add_up(outcome: &mut Outcome, saved: Vec<Result<Saved, String>>) {
    for song in saved {
        match song {
            Err(why) => {
                outcome.failed += 1;
                outcome.problems.push(why);
            }
            Ok(saved) => {
                let at = millis(saved.at);
                outcome.bytes += saved.bytes;
                outcome.first_file_ms =
                    Some(outcome.first_file_ms.map_or(at, |first| first.min(at)));
                outcome.all_files_ms = Some(outcome.all_files_ms.map_or(at, |last| last.max(at)));
                if !outcome
                    .containers
                    .iter()
                    .any(|known| known == saved.container)
                {
                    outcome.containers.push(saved.container.to_owned());
                }
            }
        }
    }
    outcome.checked = outcome.failed == 0 && outcome.songs > 0;
}

/// As `json=json.dumps({...})` sends it: a JSON string whose content is the object.
async fn fetch(server: &Server, link: &str) -> Result<Reply, ServerError> {
    let object = serde_json::json!({ "URL": link }).to_string();
    server
        .json(server.post("/fetch", serde_json::Value::String(object).to_string()))
        .await
}

/// Asks until the song is whole, saves it and checks it.
async fn one_song(
    server: &Server,
    song: &Song,
    folder: &Path,
    started: Instant,
) -> Result<Saved, String> {
    let answer = whole_song(server, song).await?;
    let container = answer
        .headers()
        .get("content-type")
        .and_then(|value| container_of(value.to_str().ok()?));
    // The server makes names safe, but another program may answer on that port.
    let name = Some(sanitize(&song.file_name))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "song".to_owned());
    let path = folder.join(&name);
    let bytes = save(answer, &path, LONGEST_SONG_BYTES)
        .await
        .map_err(|error| format!("{name}: {error}"))?;
    let at = started.elapsed();
    let container = container.ok_or_else(|| format!("{name}: the server sent no audio"))?;
    check(&path, container, song.metadata.duration)
        .await
        .map_err(|why| format!("{name}: {why}"))?;
    Ok(Saved {
        name,
        bytes,
        container: container.as_str(),
        at,
    })
}

/// The answer whose body is the song, once the server has all of it.
async fn whole_song(server: &Server, song: &Song) -> Result<reqwest::Response, String> {
    let (mut received, mut grown) = (0, Instant::now());
    loop {
        let request = server
            .get_replied(&song.tunnel_url)
            .map_err(|error| error.to_string())?;
        let answer = server
            .send(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer);
        }
        let body = short(answer).await;
        if status != 418 {
            return Err(format!("{}: {}", song.file_name, refusal(status, &body)));
        }
        let waiting: Waiting = serde_json::from_slice(&body).unwrap_or_default();
        if waiting.received > received {
            (received, grown) = (waiting.received, Instant::now());
        } else if grown.elapsed() > STUCK_AFTER {
            return Err(format!(
                "{}: nothing arrived for {}",
                song.file_name,
                term::time(STUCK_AFTER)
            ));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn check(path: &Path, container: Container, seconds: Option<f64>) -> Result<(), String> {
    let path = path.to_owned();
    let expected = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let looking = tokio::task::spawn_blocking(move || {
        let file = File::open(path).map_err(|error| error.to_string())?;
        media::check(&file, container, expected)
            .map(drop)
            .map_err(|broken| broken.to_string())
    });
    looking.await.map_err(|error| error.to_string())?
}

fn container_of(content_type: &str) -> Option<Container> {
    let media_type = |text: &str| text.split(';').next().map(|it| it.trim().to_owned());
    Format::ALL
        .into_iter()
        .find(|format| media_type(format.content_type()) == media_type(content_type))
        .map(Format::container)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
