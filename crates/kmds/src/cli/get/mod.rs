//! `kmds get`: songs into a folder, without a server or with one.
//!
//! Owns the call as a whole: links and words, what happened to each song, the exit code. Songs come from [`local`]
//! (this process downloads) or [`remote`] (a running server does); [`paths`] says where they go, [`progress`] what is
//! printed.
//!
//! Unfinished songs lie in `DIR/.kmds/`, so that the same call goes on after Ctrl-C. The folder is removed when no song
//! is left that could still be downloaded.

mod local;
mod paths;
mod progress;
mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kmds_extract::Link;
use kmds_extract::link::SearchLink;
use kmds_extract::search::words;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::server::Server;
use super::{Problem, out, search, term};
use crate::config::Config;
use progress::Progress;

/// The folder of unfinished songs, below the target folder.
const WORK: &str = ".kmds";
/// The exit code of an interrupted program, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
#[command(
    after_help = "Songs of an album become Artist/Album/01 Title.m4a, of another list List/01 Artist - Title.m4a, a single\n\
    song Artist - Title.m4a. No file is ever overwritten: the same song is skipped, another song gets (2).\n\
    Ctrl-C stops it; the same command continues where it stopped (unfinished songs are in DIR/.kmds).\n\n\
    Exit codes: 0 everything is there · 1 some songs failed · 2 wrong arguments or settings · 130 interrupted\n\n\
    Examples:\n  \
    kmds get https://artist.bandcamp.com/album/name -o ~/Music\n  \
    kmds get --accept opus,m4a --no-tags LINK LINK\n  \
    kmds get artist and title                              the first song that a search finds (setting search.site)\n  \
    kmds get --playlist 'https://www.youtube.com/watch?v=…&list=…' -o ~/Music\n  \
    kmds get --server http://192.168.1.2:60071 LINK       the server downloads, this machine keeps the file"
)]
pub struct GetArgs {
    /// Links to songs, lists, albums, sets; or words, which get the first song that a search finds
    #[arg(required = true, value_name = "LINK|WORDS")]
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
    /// Let this running server do the work [default: the one in KMDS_SERVER, if it is set]
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

/// What happened to one song, or to a whole link that could not be read.
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

/// What happened so far. It outlives the work, which Ctrl-C drops.
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

pub async fn run(mut args: GetArgs, config: Config) -> Result<ExitCode, Problem> {
    let server = Server::named(args.server.as_deref())?;
    if !args.links.iter().any(|argument| may_be_link(argument)) {
        args.links = vec![search_link(&args.links, server.as_ref(), &config).await?];
    }
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
    let interrupted = match &server {
        Some(server) => tokio::select! {
            done = remote::get(server, &args, &report) => { done?; false }
            () = asked_to_stop() => true,
        },
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
    if !interrupted && (server.is_some() || !outcomes.iter().any(again)) {
        let _ = std::fs::remove_dir_all(&work);
    }
    finish(&args, &outcomes, interrupted)
}

/// A link for the first song that a search for these words finds.
async fn search_link(
    arguments: &[String],
    server: Option<&Server>,
    config: &Config,
) -> Result<String, Problem> {
    let words = words(&arguments.join(" "))?;
    let at = match server {
        Some(server) => search::site_of(server, &words).await?,
        None => config.search_site,
    };
    let first = SearchLink {
        at,
        words,
        count: None,
    };
    Ok(first.canonical())
}

/// Whether an argument is meant as a link, even one of an unknown site. Words may have dots and slashes: AC/DC,
/// Mr. Brightside.
fn may_be_link(argument: &str) -> bool {
    let host = argument.split_once('/').map_or("", |(host, _)| host);
    let has_host = host.contains('.') && !host.contains(char::is_whitespace);
    has_host
        || argument.contains("://")
        || SearchLink::parse(argument).is_some()
        || Link::parse(argument).is_ok()
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
            "Stopped. The same command continues where it stopped; unfinished songs are in {}.",
            args.output.join(WORK).display()
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Waits for Ctrl-C or SIGTERM.
pub(in crate::cli) async fn asked_to_stop() {
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

/// A name that is not UTF-8 must not make the whole document fail.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_dots_and_slashes_are_no_link_and_a_wrong_link_is_none_of_words() {
        for link in [
            "https://example.org/x",
            "example.org/x",
            "youtu.be/M4gD1WSo5mA",
            "<https://youtu.be/M4gD1WSo5mA>",
            "scsearch:a song",
            "ftp://host/x",
        ] {
            assert!(may_be_link(link), "{link}");
        }
        for words in ["a", "AC/DC", "Mr. Brightside", "R.E.M.", "feat. A/B", "5/4"] {
            assert!(!may_be_link(words), "{words}");
        }
    }
}
