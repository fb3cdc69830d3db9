//! `kmds get --server`: a running server resolves, downloads and tags; this process keeps the files.
//!
//! Owns the requests of one call, a few songs at a time. Hides the v1 API. Never downloads from a site, and never takes a
//! name for a path: whoever answers on that port may not be a server of ours.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use kmds_extract::Format;
use serde::Deserialize;

use super::place::{self, Spot};
use super::{End, GetArgs, Outcome, Report, WORK, Wanted};
use crate::app::sanitize;
use crate::cli::server::{LONGEST_SONG_BYTES, Server, ServerError, refusal, save, short};

/// Songs that are waited for at once.
const AT_ONCE: usize = 4;
/// How long one request waits for a song, in seconds; between two the progress is asked for.
const WAIT_SECONDS: u64 = 2;
/// A server that is about to stop does not wait: so long lies between two requests for one song at the least.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// What a cover and tags may add to the bytes a site sends.
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

pub async fn get(server: &Server, args: &GetArgs, report: &Report<'_>) -> Result<(), ServerError> {
    let mut songs = Vec::new();
    let mut place = 0;
    for link in &args.links {
        let reply = match fetch(server, args, link).await {
            Ok(reply) => reply,
            Err(ServerError::Refused {
                status,
                sentence,
                kind,
            }) => {
                let kind = kind.unwrap_or_else(|| "internal".to_owned());
                let end = End::Failed {
                    kind,
                    reason: sentence,
                    retryable: status >= 500 || status == 429,
                };
                report.add(
                    place,
                    Outcome {
                        link: link.clone(),
                        title: None,
                        end,
                    },
                );
                place += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let list = reply.collection.and_then(|list| list.title);
        for Missing {
            title,
            kind,
            reason,
            retryable,
        } in reply.unavailable
        {
            let end = End::Failed {
                kind,
                reason,
                retryable,
            };
            report.add(
                place,
                Outcome {
                    link: link.clone(),
                    title,
                    end,
                },
            );
            place += 1;
        }
        for track in reply.tracks {
            let wanted = wanted(&track, list.clone());
            match place::spot(&args.output, &wanted, &wanted.ext, |_| false) {
                Spot::Same(path) => report.add(place, wanted.outcome(End::There { path })),
                Spot::Free(_) => {
                    report.show.planned(&wanted);
                    songs.push((place, wanted, track.links.itself));
                }
            }
            place += 1;
        }
    }
    let kept = stream::iter(songs).map(|(place, wanted, itself)| async move {
        let outcome = match one_song(server, args, &wanted, &itself, report).await {
            Ok(end) => wanted.outcome(end),
            Err(ServerError::Refused {
                status,
                sentence,
                kind,
            }) => wanted.failed(
                kind.as_deref().unwrap_or("internal"),
                sentence,
                status >= 500,
            ),
            Err(error) => wanted.failed("internal", error.to_string(), true),
        };
        report
            .show
            .ended(&wanted.id, !matches!(outcome.end, End::Failed { .. }));
        report.add(place, outcome);
    });
    kept.buffered(AT_ONCE).collect::<Vec<()>>().await;
    Ok(())
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

async fn one_song(
    server: &Server,
    args: &GetArgs,
    wanted: &Wanted,
    itself: &str,
    report: &Report<'_>,
) -> Result<End, ServerError> {
    let tags = if args.no_tags { "" } else { "&tags=true" };
    let answer = loop {
        let again = tokio::time::Instant::now() + ASK_AGAIN;
        let answer = server
            .send(server.get_replied(&format!("{itself}/audio?wait={WAIT_SECONDS}{tags}"))?)
            .await?;
        match answer.status().as_u16() {
            200 => break answer,
            418 => {
                let track: Track = server.json(server.get_replied(itself)?).await?;
                report
                    .show
                    .progress(&wanted.id, track.received_bytes, track.total_bytes);
                tokio::time::sleep_until(again).await;
            }
            status => return Err(refusal(status, &short(answer).await)),
        }
    };
    let ready: Track = server.json(server.get_replied(itself)?).await?;
    let part = args.output.join(WORK).join(format!("{}.part", wanted.id));
    let told = ready
        .total_bytes
        .map(|bytes| bytes.saturating_add(MOST_ADDED_BYTES));
    let bytes = save(
        answer,
        &part,
        told.unwrap_or(u64::MAX).min(LONGEST_SONG_BYTES),
    )
    .await?;
    report.show.progress(&wanted.id, bytes, Some(bytes));
    let (root, song, from) = (args.output.clone(), wanted.clone(), part.clone());
    let ext = extension(&ready.file_name);
    let placing = tokio::task::spawn_blocking(move || {
        let spot = place::put(&from, &root, &song, &ext);
        let _ = std::fs::remove_file(&from);
        spot
    });
    let spot = placing
        .await
        .map_err(|error| ServerError::Cut(error.to_string()))?;
    match spot.map_err(|why| ServerError::File {
        path: part.display().to_string(),
        why,
    })? {
        Spot::Free(path) => Ok(End::Saved {
            path,
            bytes,
            note: None,
        }),
        Spot::Same(path) => Ok(End::There { path }),
    }
}
