//! `kmds resolve`: metadata of links as JSON; nothing is downloaded.
//!
//! Owns the JSON of metadata, with the keys of the v1 API, and [`Passing`]: an application in a temporary folder that
//! is removed when it is dropped. It queues no download.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kmds_extract::search::SearchSite;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::server::{Server, ServerError};
use super::{Problem, out};
use crate::app::{App, Failure, FetchAsk, Fetched, Prefetch, Searched, Song};
use crate::config::Config;

#[derive(Debug, Args)]
#[command(
    after_help = "Prints one JSON object per link: id, site, link, collection, tracks, unavailable, truncated.\n\
    Durations are in seconds, sizes in bytes. A link that cannot be read is {\"error\": …, \"kind\": …}.\n\n\
    Exit codes: 0 every link was read · 1 some were not · 2 wrong arguments or settings\n\n\
    Examples:\n  \
    kmds resolve https://soundcloud.com/artist/track\n  \
    kmds resolve --json LINK | jq -r '.tracks[].title'"
)]
pub struct ResolveArgs {
    /// Links to songs, lists, albums, sets
    #[arg(required = true)]
    links: Vec<String>,
    /// Take the whole list of a watch?v=…&list=… link
    #[arg(long)]
    playlist: bool,
    /// One line per link instead of an indented object
    #[arg(long)]
    json: bool,
    /// Ask this running server instead of the sites [default: the one in KMDS_SERVER, if it is set]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

pub async fn run(args: ResolveArgs, config: Config) -> Result<ExitCode, Problem> {
    let server = Server::named(args.server.as_deref())?;
    let own = if server.is_none() {
        Some(Passing::new(config)?)
    } else {
        None
    };
    let mut failed = false;
    for link in args.links.iter().take_while(|_| out::is_read()) {
        let answer = match (&server, &own) {
            (Some(server), _) => ask(server, link, args.playlist).await?,
            (None, Some(own)) => own
                .resolve(link, args.playlist)
                .await
                .map(|fetched| read(&fetched)),
            (None, None) => break,
        };
        failed |= answer.is_err();
        let value = answer.unwrap_or_else(|failure| {
            out::say(format!("kmds: {link}: {failure}"));
            json!({ "link": link, "error": failure.sentence, "kind": failure.kind, "retryable": failure.retryable() })
        });
        out::json(&value, !args.json)?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// An application in a temporary folder, for one call.
pub struct Passing {
    app: App,
    folder: PathBuf,
}

impl Passing {
    /// # Errors
    /// The temporary folder cannot be made, or a setting cannot be used.
    pub fn new(mut config: Config) -> Result<Self, Problem> {
        let folder = crate::random::temporary_folder("resolve")
            .map_err(|error| format!("a temporary folder cannot be made: {error}"))?;
        config.cache.dir = folder.join("cache");
        config.state_dir = folder.join("state");
        let app = crate::assemble(&config, CancellationToken::new())?;
        Ok(Self { app, folder })
    }

    /// # Errors
    /// As [`App::fetch`].
    pub async fn resolve(&self, link: &str, whole_list: bool) -> Result<Fetched, Failure> {
        let ask = FetchAsk {
            link: link.to_owned(),
            whole_list,
            accept: None,
            prefetch: Some(Prefetch::None),
        };
        self.app.fetch(ask).await
    }

    /// # Errors
    /// As [`App::search`].
    pub async fn search(&self, words: &str, site: Option<SearchSite>) -> Result<Searched, Failure> {
        self.app.search(words, site).await
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn ask(
    server: &Server,
    link: &str,
    playlist: bool,
) -> Result<Result<Value, Failure>, ServerError> {
    let body = json!({ "url": link, "playlist": playlist, "prefetch": "none" }).to_string();
    match server
        .json::<Value>(server.post("/api/v1/fetch", body))
        .await
    {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(refused(error)?)),
    }
}

/// A server's refusal, as this process would report it.
/// # Errors
/// Everything else: the server is away, or is no server of ours.
pub fn refused(error: ServerError) -> Result<Failure, ServerError> {
    match error {
        ServerError::Refused { sentence, kind, .. } => {
            let kind = kind.and_then(|kind| serde_json::from_value(Value::String(kind)).ok());
            let kind = kind.unwrap_or(kmds_extract::Kind::Internal);
            Ok(Failure::new(kind, sentence))
        }
        error => Err(error),
    }
}

fn read(fetched: &Fetched) -> Value {
    let collection = fetched.list.as_ref().map(
        |list| json!({ "title": list.title, "artist": list.artist, "cover_url": list.cover_url, "total": list.total }),
    );
    let unavailable: Vec<Value> = fetched
        .unavailable
        .iter()
        .map(|missing| {
            json!({ "title": missing.title, "track_number": missing.number, "kind": missing.failure.kind,
                "reason": missing.failure.sentence, "retryable": missing.failure.retryable() })
        })
        .collect();
    json!({
        "id": fetched.id, "site": fetched.site, "link": fetched.link, "collection": collection,
        "tracks": fetched.songs.iter().map(song).collect::<Vec<_>>(),
        "unavailable": unavailable, "truncated": fetched.truncated,
    })
}

fn song(song: &Song) -> Value {
    let track = &song.track;
    json!({
        "site": track.id.site(), "id": track.id.id(), "link": track.link, "title": track.title,
        "artist": track.artist, "album": track.album, "album_artist": track.album_artist,
        "track_number": track.number, "track_total": track.total,
        "duration_seconds": track.duration.map(|length| length.as_secs_f64()),
        "date": track.date, "loudness_db": track.loudness_db, "cover_url": track.cover_url, "approximate_bytes": song.approximate_size,
        "file_name": song.file_name,
    })
}
