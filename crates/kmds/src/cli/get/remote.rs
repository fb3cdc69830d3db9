//! `kmds get --server`: a running server resolves, downloads and tags; this process keeps the files.
//!
//! Owns the requests of one call to the v1 API, a few songs at a time. Another program may answer on that port, so
//! names in replies are made safe before they become paths. It asks no site.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use kmds_extract::Format;
use serde::Deserialize;

use super::paths::{self, Destination};
use super::{End, GetArgs, Outcome, Report, WORK, Wanted};
use crate::app::sanitize;
use crate::cli::server::{
    ASK_AGAIN, LONGEST_SONG_BYTES, Server, ServerError, refusal, save, short,
};

/// Songs that are awaited at the same time.
const AT_ONCE: usize = 4;
/// How long one request waits for a song, in seconds; between two the progress is asked for.
const WAIT_SECONDS: u64 = 2;
/// Bytes that a cover and tags may add to a song.
const MOST_ADDED_BYTES: u64 = 64 << 20;

#[derive(Debug, Deserialize)]
struct Reply {
    collection: Option<Collection>,
    tracks: Vec<Track>,
    unavailable: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
struct Collection {
    title: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Track {
    site: String,
    id: String,
    link: String,
    title: String,
    artist: Option<String>,
    album: Option<String>,
    album_artist: Option<String>,
    track_number: Option<u32>,
    track_total: Option<u32>,
    duration_seconds: Option<f64>,
    received_bytes: u64,
    total_bytes: Option<u64>,
    approximate_bytes: Option<u64>,
    file_name: String,
    links: Links,
}

#[derive(Debug, Deserialize)]
struct Links {
    #[serde(rename = "self")]
    itself: String,
}

#[derive(Debug, Deserialize)]
struct Missing {
    title: Option<String>,
    kind: String,
    reason: String,
    retryable: bool,
}

/// What reading a link says about one song.
enum Planned {
    /// Nothing is left to do for it.
    Ended(Outcome),
    /// The server has to be asked for it, at this path.
    Awaited(Wanted, String),
}

/// Gets every song.
/// # Errors
/// The server is away, or is no KMDS; a refusal is the outcome of that song.
pub async fn get(server: &Server, args: &GetArgs, report: &Report<'_>) -> Result<(), ServerError> {
    let mut awaited = Vec::new();
    let mut position = 0;
    for link in &args.links {
        for planned in read_link(server, args, link).await? {
            match planned {
                Planned::Ended(outcome) => report.add(position, outcome),
                Planned::Awaited(song, path) => {
                    report.progress.planned(&song);
                    awaited.push((position, song, path));
                }
            }
            position += 1;
        }
    }
    let saving = stream::iter(awaited).map(|(position, song, path)| async move {
        let end = match save_song(server, args, &song, &path, report).await {
            Ok(end) => end,
            Err(error) => failed(error),
        };
        let saved = !matches!(end, End::Failed { .. });
        report.progress.ended(&song.id, saved);
        report.add(position, song.outcome(end));
    });
    saving.buffered(AT_ONCE).collect::<Vec<()>>().await;
    Ok(())
}

async fn read_link(
    server: &Server,
    args: &GetArgs,
    link: &str,
) -> Result<Vec<Planned>, ServerError> {
    let outcome = |title, end| {
        let link = link.to_owned();
        Planned::Ended(Outcome { link, title, end })
    };
    let reply = match fetch(server, args, link).await {
        Ok(reply) => reply,
        Err(refused @ ServerError::Refused { .. }) => {
            return Ok(vec![outcome(None, failed(refused))]);
        }
        Err(error) => return Err(error),
    };
    let list = reply.collection.and_then(|list| list.title);
    let missing = reply.unavailable.into_iter().map(|missing| {
        let end = End::Failed {
            kind: missing.kind,
            reason: missing.reason,
            retryable: missing.retryable,
        };
        outcome(missing.title, end)
    });
    let songs = reply.tracks.into_iter().map(|track| {
        let song = wanted(&track, list.clone());
        match paths::destination(&args.output, &song, &song.ext, |_| false) {
            Destination::Present(path) => Planned::Ended(song.outcome(End::Present { path })),
            Destination::Free(_) => Planned::Awaited(song, track.links.itself),
        }
    });
    Ok(missing.chain(songs).collect())
}

/// Why a link or a song failed, in the server's own words where it has any.
fn failed(error: ServerError) -> End {
    let (kind, reason, retryable) = match error {
        ServerError::Refused {
            status,
            sentence,
            kind,
        } => (kind, sentence, status >= 500 || status == 429),
        error => (None, error.to_string(), true),
    };
    End::Failed {
        kind: kind.unwrap_or_else(|| "internal".to_owned()),
        reason,
        retryable,
    }
}

async fn fetch(server: &Server, args: &GetArgs, link: &str) -> Result<Reply, ServerError> {
    let mut body = serde_json::json!({ "url": link, "playlist": args.playlist });
    if let (Some(accept), Some(fields)) = (&args.accept, body.as_object_mut()) {
        let forms: Vec<&str> = accept.split(',').map(str::trim).collect();
        fields.insert("accept".to_owned(), serde_json::json!(forms));
    }
    server
        .json(server.post("/api/v1/fetch", body.to_string()))
        .await
}

fn wanted(track: &Track, list: Option<String>) -> Wanted {
    Wanted {
        id: sanitize(&format!("{}-{}", track.site, track.id)),
        link: track.link.clone(),
        title: track.title.clone(),
        artist: track.artist.clone(),
        album: track.album.clone(),
        album_artist: track.album_artist.clone(),
        number: track.track_number,
        total: track.track_total,
        list,
        duration: track
            .duration_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        file_name: sanitize(&track.file_name),
        ext: extension(&track.file_name),
        size_bytes: track.total_bytes.or(track.approximate_bytes),
    }
}

fn extension(file_name: &str) -> String {
    let ext = file_name.rsplit_once('.').map_or("", |(_, ext)| ext);
    Format::parse(ext).map_or("audio", Format::ext).to_owned()
}

/// Waits until the song is whole, saves it and puts it where it belongs.
async fn save_song(
    server: &Server,
    args: &GetArgs,
    song: &Wanted,
    path: &str,
    report: &Report<'_>,
) -> Result<End, ServerError> {
    let answer = ready_song(server, args, song, path, report).await?;
    let ready: Track = server.json(server.get_replied(path)?).await?;
    let part = args.output.join(WORK).join(format!("{}.part", song.id));
    let most = ready
        .total_bytes
        .map_or(u64::MAX, |bytes| bytes.saturating_add(MOST_ADDED_BYTES));
    let bytes = save(answer, &part, most.min(LONGEST_SONG_BYTES)).await?;
    report.progress.progress(&song.id, bytes, Some(bytes));
    let (root, song, from) = (args.output.clone(), song.clone(), part.clone());
    let ext = extension(&ready.file_name);
    let placing = tokio::task::spawn_blocking(move || {
        let put = paths::put(&from, &root, &song, &ext);
        let _ = std::fs::remove_file(&from);
        put
    });
    let put = placing
        .await
        .map_err(|error| ServerError::Cut(error.to_string()))?;
    match put.map_err(|why| ServerError::File {
        path: part.display().to_string(),
        why,
    })? {
        Destination::Free(path) => Ok(End::Saved {
            path,
            bytes,
            note: None,
        }),
        Destination::Present(path) => Ok(End::Present { path }),
    }
}

/// The answer whose body is the song, once the server has it; until then its progress is shown.
async fn ready_song(
    server: &Server,
    args: &GetArgs,
    song: &Wanted,
    path: &str,
    report: &Report<'_>,
) -> Result<reqwest::Response, ServerError> {
    let tags = if args.no_tags { "" } else { "&tags=true" };
    let audio = format!("{path}/audio?wait={WAIT_SECONDS}{tags}");
    loop {
        let again = tokio::time::Instant::now() + ASK_AGAIN;
        let answer = server.send(server.get_replied(&audio)?).await?;
        match answer.status().as_u16() {
            200 => return Ok(answer),
            418 => {
                let track: Track = server.json(server.get_replied(path)?).await?;
                let (received, total) = (track.received_bytes, track.total_bytes);
                report.progress.progress(&song.id, received, total);
                tokio::time::sleep_until(again).await;
            }
            status => return Err(refusal(status, &short(answer).await)),
        }
    }
}
