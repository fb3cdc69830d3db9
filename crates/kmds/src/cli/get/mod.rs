//! `kmds get`: songs into a folder, without a server or with one.
//!
//! Owns the order of a call: what was asked for, what happened to each song, and the exit code. Hides where the songs
//! come from: [`local`] (this process does the work) or [`remote`] (a running server does).
//!
//! Unfinished work lies in `DIR/.kmds/`, so that the same call goes on after Ctrl-C; it goes when nothing is left to do.

mod local;
mod paths;
mod progress;
mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::server::Server;
use super::{Problem, out, term};
use crate::config::Config;
use progress::Progress;

/// Below the target folder: what is not finished.
const WORK: &str = ".kmds";
/// As a shell says of a program that was interrupted.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
#[command(
    after_help = "Songs of an album become Artist/Album/01 Title.m4a, of another list List/01 Artist - Title.m4a, a single\n\
    song Artist - Title.m4a. A file that is there is never overwritten: the same song is skipped, another\n\
    one gets (2). Ctrl-C stops; the same call goes on where it stopped (unfinished songs are in DIR/.kmds).\n\n\
    Exit codes: 0 everything is there · 1 some songs failed · 2 a bad call or setting · 130 interrupted\n\n\
    Examples:\n  \
    kmds get https://artist.bandcamp.com/album/name -o ~/Music\n  \
    kmds get --accept opus,m4a --no-tags LINK LINK\n  \
    kmds get --playlist 'https://www.youtube.com/watch?v=…&list=…' -o ~/Music\n  \
    kmds get --server http://192.168.1.2:60071 LINK       the server downloads, this machine keeps the file"
)]
pub struct GetArgs {
    /// Links to songs, lists, albums, sets
    #[arg(required = true)]
    links: Vec<String>,
    /// Folder to put the songs in
    #[arg(short, long, value_name = "DIR", default_value = ".", value_parser = super::path())]
    output: PathBuf,
    /// Forms to take as the site has them, best first: m4a, mp3, ogg (Vorbis), opus, webm
    #[arg(long, value_name = "FORMS")]
    pub accept: Option<String>,
    /// Take the whole list of a watch?v=…&list=… link
    #[arg(long)]
    playlist: bool,
    /// Leave the files byte for byte as the site sends them: no tags, no cover
    #[arg(long)]
    no_tags: bool,
    /// Print one JSON document at the end instead of lines
    #[arg(long)]
    json: bool,
    /// Print failures only
    #[arg(short, long)]
    quiet: bool,
    /// Let this running server do the work
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// One song that was asked for.
#[derive(Debug, Clone, Default)]
struct Wanted {
    /// `SITE-ID`.
    id: String,
    link: String,
    title: String,
    artist: Option<String>,
    album: Option<String>,
    album_artist: Option<String>,
    number: Option<u32>,
    total: Option<u32>,
    /// Title of the list it was found in.
    list: Option<String>,
    duration: Option<std::time::Duration>,
    /// `Artist - Title.ext`, safe on every file system.
    file_name: String,
    ext: String,
    size_bytes: Option<u64>,
}

/// What became of one song, or of a whole link that could not be read.
#[derive(Debug, Clone, Serialize)]
struct Outcome {
    link: String,
    title: Option<String>,
    #[serde(flatten)]
    end: End,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
enum End {
    Saved {
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
        bytes: u64,
        note: Option<String>,
    },
    /// The same song was there before.
    #[serde(rename = "there")]
    Present {
        #[serde(serialize_with = "as_text")]
        path: PathBuf,
    },
    Failed {
        kind: String,
        reason: String,
        retryable: bool,
    },
}

/// What happened so far: kept outside of the work, which Ctrl-C ends.
#[derive(Debug)]
struct Report<'a> {
    progress: &'a Progress,
    outcomes: parking_lot::Mutex<Vec<(usize, Outcome)>>,
}

impl Report<'_> {
    /// `position`: that of the song among all that were asked for.
    fn add(&self, position: usize, outcome: Outcome) {
        self.progress.outcome(&outcome);
        self.outcomes.lock().push((position, outcome));
    }

    fn in_order(self) -> Vec<Outcome> {
        let mut outcomes = self.outcomes.into_inner();
        outcomes.sort_by_key(|(position, _)| *position);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

pub async fn run(args: GetArgs, config: Config) -> Result<ExitCode, Problem> {
    let work = args.output.join(WORK);
    paths::work_folder(&args.output, &work).map_err(|error| {
        format!(
            "{}: {error}; choose a folder that can be written with -o",
            work.display()
        )
    })?;
    let progress = Progress::new(args.quiet, args.json);
    let report = Report {
        progress: &progress,
        outcomes: parking_lot::Mutex::default(),
    };
    let interrupted = match &args.server {
        Some(address) => {
            let server = Server::new(address)?;
            tokio::select! {
                done = remote::get(&server, &args, &report) => { done?; false }
                () = asked_to_stop() => true,
            }
        }
        None => local::get(&args, config, &report).await?,
    };
    progress.end();
    let outcomes = report.in_order();
    let again = |outcome: &Outcome| {
        matches!(
            outcome.end,
            End::Failed {
                retryable: true,
                ..
            }
        )
    };
    if !interrupted && (args.server.is_some() || !outcomes.iter().any(again)) {
        let _ = std::fs::remove_dir_all(&work);
    }
    finish(&args, &outcomes, interrupted)
}

fn finish(args: &GetArgs, outcomes: &[Outcome], interrupted: bool) -> Result<ExitCode, Problem> {
    let count = |wanted: fn(&End) -> bool| {
        outcomes
            .iter()
            .filter(|outcome| wanted(&outcome.end))
            .count()
    };
    let saved = count(|end| matches!(end, End::Saved { .. }));
    let there = count(|end| matches!(end, End::Present { .. }));
    let failed = count(|end| matches!(end, End::Failed { .. }));
    if args.json {
        let document = serde_json::json!({
            "songs": outcomes, "saved": saved, "there": there, "failed": failed, "interrupted": interrupted,
        });
        out::json(&document, true)?;
    } else if !args.quiet {
        let mut said = vec![format!("{} saved", term::songs(saved))];
        if there > 0 {
            said.push(format!("{there} there already"));
        }
        if failed > 0 {
            said.push(format!("{failed} failed"));
        }
        out::say(format!("{} in {}", said.join(", "), args.output.display()));
    }
    if interrupted {
        out::say(format!(
            "Stopped. The same command goes on where it stopped; unfinished songs are in {}.",
            args.output.join(WORK).display()
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Ctrl-C, or a service manager's wish.
async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut term)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = term.recv() => {}
    }
}

impl Wanted {
    fn outcome(&self, end: End) -> Outcome {
        Outcome {
            link: self.link.clone(),
            title: Some(self.title.clone()),
            end,
        }
    }
}

/// A name that is not UTF-8 must not cost the document it stands in.
fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Paths are shown as the caller would write them: `./a` is `a`.
fn shown(path: &Path) -> String {
    path.strip_prefix("./")
        .unwrap_or(path)
        .display()
        .to_string()
}
