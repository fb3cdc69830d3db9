//! `kmds status` and `kmds top`: what a running server does, once or live.
//!
//! Owns how counts and songs are laid out on a screen. `top` changes the terminal's modes; [`Screen`] restores them
//! when it is dropped. It changes nothing on the server.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::out::Colour;
use super::server::{Server, ServerError};
use super::term::{self, Table};
use super::{Problem, out};

/// Time between two requests of the live view.
const EVERY: Duration = Duration::from_secs(1);

/// Lines of `top` for queues that clients play from.
const MOST_QUEUES: usize = 8;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 · 2 no server answers")]
pub struct StatusArgs {
    /// The running server [default: the one in KMDS_SERVER, else the one these settings start]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Print the server's own JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "q or Ctrl-C ends it. Without a terminal it prints once and ends.\n\nExit codes: 0 · 2 no server answers"
)]
pub struct TopArgs {
    /// The running server [default: the one in KMDS_SERVER, else the one these settings start]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stats {
    songs: std::collections::BTreeMap<String, u64>,
    bytes_on_disk: u64,
    free_bytes: Option<u64>,
    max_bytes: u64,
    queues: Vec<Lane>,
    /// Older servers do not have it.
    #[serde(default)]
    lanes: Vec<Pause>,
    /// Older servers tell of none.
    #[serde(default)]
    play_queues: Vec<PlayQueue>,
    engines: Vec<Engine>,
    listeners: u64,
    uptime_seconds: u64,
    /// Only for a node in a cluster.
    cluster: Option<Cluster>,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    connected: bool,
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    node: String,
    version: String,
    address: Option<String>,
    sites: Vec<NodeSite>,
}

#[derive(Debug, Deserialize)]
struct NodeSite {
    site: String,
    free: i64,
    limited_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Lane {
    site: String,
    waiting: usize,
    running: usize,
    limit: usize,
}

/// A queue that a client plays from.
#[derive(Debug, Deserialize)]
struct PlayQueue {
    name: String,
    begun: usize,
    total: usize,
    ahead: usize,
    ready: usize,
}

#[derive(Debug, Deserialize)]
struct Pause {
    site: String,
    paused_until: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Engine {
    site: String,
    first: String,
    ytdlp: String,
    native_failures: u64,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    tracks: Vec<Track>,
}

#[derive(Debug, Deserialize)]
struct Track {
    site: String,
    file_name: String,
    state: String,
    received_bytes: u64,
    total_bytes: Option<u64>,
    approximate_bytes: Option<u64>,
    duration_seconds: Option<f64>,
    failure: Option<Failed>,
}

#[derive(Debug, Deserialize)]
struct Failed {
    reason: String,
}

pub async fn status(
    args: StatusArgs,
    own: impl FnOnce() -> Result<(String, String), Problem>,
) -> Result<ExitCode, Problem> {
    let server = Server::named_or_own(args.server.as_deref(), own)?;
    let reply: Value = server.json(server.get("/api/v1/stats")).await?;
    if args.json {
        out::json(&reply, true)?;
        return Ok(ExitCode::SUCCESS);
    }
    let stats: Stats = serde_json::from_value(reply)?;
    let version = version(&server).await;
    let lines = [
        head(&server, &version, &stats),
        lanes(&stats),
        play_queues(&stats),
    ];
    lines.concat().iter().for_each(out::line);
    Ok(ExitCode::SUCCESS)
}

async fn version(server: &Server) -> String {
    let root: Result<Value, ServerError> = server.json(server.get("/")).await;
    root.ok()
        .and_then(|root| root.get("Version")?.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn head(server: &Server, version: &str, stats: &Stats) -> Vec<String> {
    let songs: Vec<String> = stats
        .songs
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let songs = if songs.is_empty() {
        "none yet".to_owned()
    } else {
        songs.join(", ")
    };
    let free = stats.free_bytes.map_or(String::new(), |free| {
        format!(", {} free on the drive", term::bytes(free))
    });
    let name = Colour::Bold.on(&format!("kmds {version}"));
    let mut lines = vec![
        format!(
            "{name} at {}, up {}, {} listening",
            server.at(),
            term::long(stats.uptime_seconds),
            stats.listeners
        ),
        format!("songs  {songs}"),
        format!(
            "cache  {} of {}{free}",
            term::bytes(stats.bytes_on_disk),
            term::bytes(stats.max_bytes)
        ),
    ];
    lines.extend(stats.cluster.iter().flat_map(nodes));
    lines
}

/// The other nodes: a table, or why there is none.
fn nodes(cluster: &Cluster) -> Vec<String> {
    if !cluster.connected {
        return vec!["nodes  NATS does not answer".to_owned()];
    }
    if cluster.nodes.is_empty() {
        return vec!["nodes  NATS answers, and no other node is there".to_owned()];
    }
    let mut table = Table::new(&["node", "address", "version", "free places"], &[]);
    for node in &cluster.nodes {
        let places: Vec<String> = node.sites.iter().map(places).collect();
        table.row(vec![
            node.node.clone(),
            node.address.clone().unwrap_or_default(),
            node.version.clone(),
            if places.is_empty() {
                "fetches from no site".to_owned()
            } else {
                places.join(", ")
            },
        ]);
    }
    table.lines_for_stdout()
}

fn places(told: &NodeSite) -> String {
    match told.limited_seconds {
        Some(seconds) => format!("{} limited for {}", told.site, term::long(seconds)),
        None => format!("{} {}", told.site, told.free.max(0)),
    }
}

fn lanes(stats: &Stats) -> Vec<String> {
    let mut table = Table::new(
        &[
            "queue", "running", "waiting", "engine", "second", "failures", "why",
        ],
        &[1, 2, 5],
    );
    for lane in &stats.queues {
        let engine = stats.engines.iter().find(|engine| engine.site == lane.site);
        let words = |word: fn(&Engine) -> &str| engine.map_or("", word).to_owned();
        let failures = engine.filter(|engine| engine.native_failures > 0);
        table.row(vec![
            lane.site.clone(),
            format!("{} of {}", lane.running, lane.limit),
            lane.waiting.to_string(),
            words(|engine| &engine.first),
            words(|engine| match engine.ytdlp.as_str() {
                "on" => "yt-dlp",
                other => other,
            }),
            failures.map_or(String::new(), |engine| engine.native_failures.to_string()),
            pause(stats, &lane.site)
                .or_else(|| engine.and_then(|engine| engine.reason.clone()))
                .map_or(String::new(), |reason| term::fit(&reason, 60)),
        ]);
    }
    table.lines_for_stdout()
}

/// One row for each queue that a client plays from.
fn play_queues(stats: &Stats) -> Vec<String> {
    if stats.play_queues.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(&["plays", "begun", "ready"], &[1, 2]);
    for queue in &stats.play_queues {
        let next = queue.ahead.min(queue.total.saturating_sub(queue.begun));
        table.row(vec![
            queue.name.clone(),
            format!("{} of {}", queue.begun, queue.total),
            format!("{} of {next}", queue.ready),
        ]);
    }
    table.lines_for_stdout()
}

/// How long the site of a queue gets no request because it wants a pause.
fn pause(stats: &Stats, site: &str) -> Option<String> {
    let lane = stats.lanes.iter().find(|lane| lane.site == site)?;
    let until: jiff::Timestamp = lane.paused_until.as_ref()?.parse().ok()?;
    let left = until.duration_since(jiff::Timestamp::now());
    let left = Duration::try_from(left)
        .ok()
        .filter(|left| !left.is_zero())?;
    Some(format!(
        "paused for {}, as the site wants",
        term::clock(left)
    ))
}

pub async fn top(
    args: TopArgs,
    own: impl FnOnce() -> Result<(String, String), Problem>,
) -> Result<ExitCode, Problem> {
    let server = Server::named_or_own(args.server.as_deref(), own)?;
    let version = version(&server).await;
    // A server that is away is an error before the screen changes.
    let mut picture = look(&server, &version).await?;
    if !std::io::stdout().is_terminal() {
        picture.iter().for_each(out::line);
        return Ok(ExitCode::SUCCESS);
    }
    let _screen = Screen::take();
    let mut keys = keys();
    loop {
        if draw(&picture).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            key = keys.recv() => if matches!(key, Some(b'q' | b'Q' | 3 | 27)) { return Ok(ExitCode::SUCCESS) },
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(EVERY) => {}
        }
        picture = match look(&server, &version).await {
            Ok(picture) => picture,
            Err(error) => vec![
                format!("kmds: {error}"),
                String::new(),
                "Asking again; q ends.".to_owned(),
            ],
        };
    }
}

/// The lines that fit on the screen.
async fn look(server: &Server, version: &str) -> Result<Vec<String>, ServerError> {
    let stats: Stats = server.json(server.get("/api/v1/stats")).await?;
    let mut lines = head(server, version, &stats);
    lines.push(String::new());
    lines.extend(lanes(&stats));
    lines.extend(play_queues(&stats).into_iter().take(MOST_QUEUES));
    lines.push(String::new());
    for (state, most) in [
        ("converting", 20),
        ("downloading", 50),
        ("queued", 50),
        ("failed", 10),
        ("ready", 50),
    ] {
        if lines.len() + 1 >= term::height() {
            break;
        }
        let path = format!("/api/v1/tracks?state={state}&originals=1&limit={most}");
        let listing: Listing = server.json(server.get(&path)).await?;
        lines.extend(listing.tracks.iter().map(row));
    }
    lines.truncate(term::height().saturating_sub(1));
    Ok(lines)
}

/// One song in one line of the terminal's width.
fn row(track: &Track) -> String {
    let expected = track
        .total_bytes
        .or(track.approximate_bytes)
        .filter(|bytes| *bytes > 0);
    let (colour, facts) = match track.state.as_str() {
        "downloading" | "converting" => {
            let share = expected.map_or(0.0, |total| track.received_bytes as f64 / total as f64);
            (
                Colour::Yellow,
                format!("{} {:>3.0} %", gauge(share), share.min(1.0) * 100.0),
            )
        }
        "ready" => {
            let length = track
                .duration_seconds
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let length = length.map_or(String::new(), term::clock);
            (
                Colour::Green,
                format!("{length:>8} {:>9}", term::bytes(track.received_bytes)),
            )
        }
        "failed" => (
            Colour::Red,
            term::fit(
                track
                    .failure
                    .as_ref()
                    .map_or("", |failed| failed.reason.as_str()),
                40,
            ),
        ),
        _ => (
            Colour::Dim,
            expected.map_or(String::new(), |bytes| format!("{:>18}", term::bytes(bytes))),
        ),
    };
    let state = colour.on(&term::padded(&track.state, 11));
    let beside = 11 + 2 + 10 + 2 + 2 + term::columns(&facts);
    let name = term::padded(
        &track.file_name,
        term::width().saturating_sub(beside).max(16),
    );
    format!(
        "{state}  {}  {name}  {facts}",
        term::padded(&track.site, 10)
    )
}

fn gauge(share: f64) -> String {
    const WIDE: usize = 12;
    let full = ((share.clamp(0.0, 1.0)) * WIDE as f64) as usize;
    format!("{}{}", "━".repeat(full), "─".repeat(WIDE - full))
}

fn draw(lines: &[String]) -> std::io::Result<()> {
    let coloured = out::may_colour(&std::io::stdout());
    // The cursor goes home, and each line clears its own rest: the screen does not flicker.
    let lines = lines
        .iter()
        .map(|line| format!("{}\x1b[K\r\n", out::shown(line, coloured)))
        .collect::<String>();
    let mut out = std::io::stdout().lock();
    write!(out, "\x1b[H{lines}\x1b[J")?;
    out.flush()
}

/// The terminal's second screen, without line buffering and echo; both are restored when this is dropped.
struct Screen(Option<Termios>);

impl Screen {
    fn take() -> Self {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(mut modes) = before.clone() {
            modes
                .local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO);
            let _ = tcsetattr(&stdin, OptionalActions::Now, &modes);
        }
        let _ = write!(std::io::stdout(), "\x1b[?1049h\x1b[?25l");
        Self(before)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = std::io::stdout();
        let _ = write!(out, "\x1b[?25h\x1b[?1049l").and_then(|()| out.flush());
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// The keys that are pressed. A thread waits for them until the process ends.
fn keys() -> mpsc::Receiver<u8> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut key = [0];
        while std::io::stdin().read_exact(&mut key).is_ok() {
            if sender.blocking_send(key[0]).is_err() {
                return;
            }
        }
        // At the end of input the channel stays open: a closed one would end `recv` at once, again and again.
        std::mem::forget(sender);
    });
    receiver
}
