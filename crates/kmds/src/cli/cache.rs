//! `kmds cache`: the catalog and its files, by hand.
//!
//! Owns what these commands print. Only `ls` works while a server runs; the others need exclusive use of the cache.

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Subcommand;
use kmds_extract::{Site, TrackId};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::term::{self, Table};
use super::{Problem, out};
use crate::app::{App, Held, ListAsk, Song, State};
use crate::config::Config;

/// Songs read from the catalog at once.
const PAGE: usize = 500;

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Exit codes: 0 · 1 a song was not found, or a file was not as it was published · 2 a server works with\n\
    this cache (stop it first), or a bad setting\n\n\
    A song is named SITE-ID, as `kmds cache ls` prints it: youtube-M4gD1WSo5mA"
)]
pub enum CacheCommand {
    /// List songs, the newest first; works beside a running server
    Ls {
        /// Only songs with these words in title, artist or album
        words: Vec<String>,
        /// Only songs in this state: queued, downloading, converting, ready, failed, evicted
        #[arg(long)]
        state: Option<String>,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Remove songs, with their converted and tagged copies
    Rm {
        /// Songs as `kmds cache ls` names them, like youtube-M4gD1WSo5mA
        #[arg(required = true, value_name = "SITE-ID")]
        songs: Vec<String>,
    },
    /// Hash every file, and remove those that have changed since they were published
    Verify,
    /// Remove songs that no client has read for cache.max_age
    Prune,
    /// Rebuild the catalog from the JSON files beside the songs
    Rebuild,
}

pub async fn run(command: CacheCommand, config: Config) -> Result<ExitCode, Problem> {
    match command {
        CacheCommand::Ls { words, state, json } => {
            let state = state.map(|word| read_state(&word)).transpose()?;
            list(&crate::inspect(&config)?, &words.join(" "), state, json).await
        }
        CacheCommand::Rm { songs } => {
            let ids = songs
                .iter()
                .map(|name| read_name(name))
                .collect::<Result<Vec<_>, _>>()?;
            remove(&open(&config)?, &ids).await
        }
        CacheCommand::Verify => verify(&open(&config)?).await,
        CacheCommand::Prune => {
            if config.cache.max_age.is_none() {
                return Err("cache.max_age is not set, so nothing is too old; try --set cache.max_age='30 days'".into());
            }
            out::line(format!("{} evicted", files(open(&config)?.prune().await?)));
            Ok(ExitCode::SUCCESS)
        }
        CacheCommand::Rebuild => {
            out::line(format!(
                "{} found on the drive",
                term::songs(open(&config)?.rebuild().await?)
            ));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Opens the cache for this process alone.
fn open(config: &Config) -> Result<App, Problem> {
    match crate::assemble(config, CancellationToken::new()) {
        Ok(app) => Ok(app),
        Err(error) if error.is_busy() => Err(format!(
            "a server works with this cache (state.dir {}); stop it first, or ask it: its page is /ui/, its API /api/v1/tracks",
            config.state_dir.display()
        )
        .into()),
        Err(error) => Err(error.into()),
    }
}

fn read_state(word: &str) -> Result<State, Problem> {
    let all = [
        State::Queued,
        State::Downloading,
        State::Converting,
        State::Ready,
        State::Failed,
        State::Evicted,
    ];
    let found = all.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| {
        format!(
            "`{word}` is no state; use queued, downloading, converting, ready, failed or evicted"
        )
        .into()
    })
}

fn read_name(name: &str) -> Result<TrackId, Problem> {
    let id = name
        .split_once('-')
        .and_then(|(site, id)| TrackId::new(Site::parse(site)?, id));
    id.ok_or_else(|| {
        format!("`{name}` names no song; write SITE-ID, as `kmds cache ls` prints it").into()
    })
}

async fn list(
    app: &App,
    words: &str,
    state: Option<State>,
    json: bool,
) -> Result<ExitCode, Problem> {
    let query = Some(words.to_owned()).filter(|words| !words.is_empty());
    let mut table = Table::new(
        &["title", "song", "form", "state", "size", "length"],
        &[4, 5],
    );
    let (mut songs, mut forms, mut bytes, mut cursor) = (HashSet::new(), 0, 0, None);
    loop {
        let ask = ListAsk {
            state,
            site: None,
            query: query.clone(),
            originals_only: false,
            limit: PAGE,
            cursor,
        };
        let page = app.list(ask).await?;
        for song in &page.songs {
            songs.insert(song.track.id.clone());
            forms += 1;
            bytes += song.stored.as_ref().map_or(0, |stored| stored.size_bytes);
            if json {
                out::json(&line(song), false)?;
            } else {
                table.row(cells(song));
            }
        }
        cursor = page.cursor;
        if cursor.is_none() || !out::is_read() {
            break;
        }
    }
    if !json {
        if forms > 0 {
            table.lines_for_stdout().iter().for_each(out::line);
        }
        out::line(summary(songs.len(), forms, bytes));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(songs: usize, forms: usize, bytes: u64) -> String {
    let several = if forms > songs {
        format!(" in {forms} forms")
    } else {
        String::new()
    };
    format!("{}{several}, {}", term::songs(songs), term::bytes(bytes))
}

fn cells(song: &Song) -> Vec<String> {
    let size = song
        .stored
        .as_ref()
        .map_or(String::new(), |stored| term::bytes(stored.size_bytes));
    let length = song.track.duration.map_or(String::new(), term::clock);
    vec![
        song.file_name.clone(),
        song.name(),
        song.key.rendition().to_string(),
        state_of(song),
        size,
        length,
    ]
}

/// The state, and how long the file is kept.
fn state_of(song: &Song) -> String {
    let state = song.state.as_str();
    match song.held {
        None => state.to_owned(),
        Some(Held { pinned: true, .. }) => format!("{state}, pinned"),
        Some(Held { until, .. }) => {
            let left = until.map(|until| until.duration_since(jiff::Timestamp::now()));
            let left = left.and_then(|left| std::time::Duration::try_from(left).ok());
            format!("{state}, held {}", term::clock(left.unwrap_or_default()))
        }
    }
}

fn line(song: &Song) -> serde_json::Value {
    json!({
        "song": song.name(), "form": song.form().ext(), "rendition": song.key.rendition().to_string(), "title": song.track.title, "artist": song.track.artist,
        "album": song.track.album, "link": song.track.link, "state": song.state, "file_name": song.file_name,
        "cache_path": song.cache_path, "size_bytes": song.stored.as_ref().map(|stored| stored.size_bytes),
        "sha256": song.stored.as_ref().map(|stored| stored.sha256.clone()),
        "duration_seconds": song.track.duration.map(|length| length.as_secs_f64()),
        "held_until": song.held.and_then(|held| held.until).map(|until| until.to_string()),
        "pinned": song.held.is_some_and(|held| held.pinned),
        "failure": song.failure.as_ref().map(|failure| failure.sentence.clone()),
    })
}

async fn remove(app: &App, ids: &[TrackId]) -> Result<ExitCode, Problem> {
    let mut missing = false;
    for id in ids {
        if app.delete(id).await? {
            out::line(format!("{id} removed"));
        } else {
            missing = true;
            out::say(format!(
                "kmds: {id} is not in the cache; `kmds cache ls` lists what is"
            ));
        }
    }
    Ok(ExitCode::from(u8::from(missing)))
}

async fn verify(app: &App) -> Result<ExitCode, Problem> {
    let found = app.verify().await?;
    for sum in &found.sums {
        out::line(format!(
            "the catalog's sum of {} at {} was {} and is {}; corrected",
            sum.what, sum.site, sum.kept, sum.counted
        ));
    }
    let mut bad: Vec<String> = found
        .files
        .iter()
        .filter(|(_, good)| !**good)
        .map(|(key, _)| key.to_string())
        .collect();
    bad.sort();
    for key in &bad {
        out::line(format!(
            "{key} was changed since it was published; it is evicted, and fetched again when a client asks for it"
        ));
    }
    out::line(format!(
        "{} good, {} not",
        files(found.files.len() - bad.len()),
        bad.len()
    ));
    Ok(ExitCode::from(u8::from(!bad.is_empty())))
}

fn files(count: usize) -> String {
    if count == 1 {
        "1 file".to_owned()
    } else {
        format!("{count} files")
    }
}
