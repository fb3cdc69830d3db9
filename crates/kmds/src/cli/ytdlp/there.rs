//! The songs of a running server.
//!
//! Owns the requests of one call, and the meaning of a server's replies for yt-dlp's output. It never asks a site.

use futures_util::future::try_join3;
use kmds_extract::link::SearchLink;
use kmds_extract::{Format as FileFormat, Kind, Site};
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};

use super::song::{Answer, Entry, Format, List, Song, Trouble, in_order, sort, usual};
use crate::cli::server::{ASK_AGAIN, Server, ServerError, refusal, short};

/// The requests that tell which forms a song has: each form first, and all others after it, so that nothing is
/// converted.
const OPUS_FIRST: [&str; 5] = ["webm", "opus", "m4a", "mp3", "ogg"];
const AAC_FIRST: [&str; 5] = ["m4a", "mp3", "ogg", "webm", "opus"];
const MP3_FIRST: [&str; 5] = ["mp3", "m4a", "ogg", "opus", "webm"];
/// How long one request waits for a copy.
const WAIT_SECONDS: u64 = 20;

#[derive(Debug, Deserialize)]
struct Reply {
    id: String,
    site: Site,
    link: String,
    collection: Option<Collection>,
    tracks: Vec<Track>,
    unavailable: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
struct Collection {
    title: Option<String>,
    artist: Option<String>,
    cover_url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Track {
    site: Site,
    id: String,
    link: String,
    title: String,
    artist: Option<String>,
    album: Option<String>,
    album_artist: Option<String>,
    track_number: Option<u32>,
    duration_seconds: Option<f64>,
    date: Option<String>,
    cover_url: Option<String>,
    total_bytes: Option<u64>,
    approximate_bytes: Option<u64>,
    links: Links,
}

#[derive(Debug, Deserialize)]
struct Links {
    tunnel: String,
}

#[derive(Debug, Deserialize)]
struct Missing {
    track_number: u32,
    kind: String,
    reason: String,
}

/// A server, and how its files are reached from here.
pub struct There {
    server: Server,
    /// Sent with every request for a file, where the server wants a token.
    headers: Vec<(String, String)>,
    /// It listens on a socket in the file system, so it has no address.
    is_socket: bool,
}

impl There {
    pub fn new(address: &str) -> Result<Self, ServerError> {
        let token = std::env::var("KMDS_TOKEN")
            .ok()
            .filter(|token| !token.is_empty());
        let bearer = |token| ("Authorization".to_owned(), format!("Bearer {token}"));
        Ok(Self {
            server: Server::new(address)?,
            headers: token.map(bearer).into_iter().collect(),
            is_socket: address.starts_with("unix:"),
        })
    }

    /// The content of a link, with the formats of its songs unless the call needs only the songs (`flat`).
    pub async fn resolve(
        &self,
        link: &str,
        whole_list: bool,
        flat: bool,
    ) -> Result<Answer, Trouble> {
        let fetch = async |accept| self.fetch(link, whole_list, accept).await;
        if flat {
            let reply = fetch(None).await?;
            if reply.collection.is_some() {
                return Ok(answer(link, reply, |_| Vec::new()));
            }
        }
        let (opus, aac, mp3) = try_join3(
            fetch(Some(&OPUS_FIRST)),
            fetch(Some(&AAC_FIRST)),
            fetch(Some(&MP3_FIRST)),
        )
        .await?;
        let others = [opus, mp3];
        let same = |at: usize, track: &Track| {
            let replies = others.iter();
            let found = replies.filter_map(move |reply| reply.tracks.get(at));
            found
                .filter(|other| other.id == track.id)
                .collect::<Vec<_>>()
                .into_iter()
        };
        let mut formats: Vec<Vec<Format>> = Vec::new();
        for (at, track) in aac.tracks.iter().enumerate() {
            let mut found: Vec<Format> = Vec::new();
            for track in std::iter::once(track).chain(same(at, track)) {
                let format = self.format(track)?;
                if !found.iter().any(|known| known.ext == format.ext) {
                    found.push(format);
                }
            }
            sort(track.site, &mut found);
            formats.push(found);
        }
        let mut formats = formats.into_iter();
        Ok(answer(link, aac, |_| formats.next().unwrap_or_default()))
    }

    async fn fetch(
        &self,
        link: &str,
        whole_list: bool,
        accept: Option<&[&str]>,
    ) -> Result<Reply, Trouble> {
        let mut body =
            serde_json::json!({ "url": link, "playlist": whole_list, "prefetch": "none" });
        if let (Some(accept), Some(fields)) = (accept, body.as_object_mut()) {
            fields.insert("accept".to_owned(), serde_json::json!(accept));
        }
        let asking = self
            .server
            .json(self.server.post("/api/v1/fetch", body.to_string()));
        asking.await.map_err(Trouble::from)
    }

    fn format(&self, track: &Track) -> Result<Format, Trouble> {
        let path = &track.links.tunnel;
        let url = self.address(&format!("{path}&stream=1"))?;
        let name = path.rsplit_once('.').map_or("", |(_, ext)| ext);
        let ext = FileFormat::parse(name).unwrap_or(FileFormat::M4a).ext();
        let format = usual(track.site, ext);
        let size = track.total_bytes.or(track.approximate_bytes);
        let rate = size.zip(track.duration_seconds.filter(|seconds| *seconds > 0.0));
        let rate = rate.map(|(bytes, seconds)| (bytes as f64 / seconds / 12.5).round() / 10.0);
        Ok(Format {
            kbps: rate.or(format.kbps),
            size: track.total_bytes,
            approximate_size: size,
            protocol: if url.starts_with("https:") {
                "https"
            } else {
                "http"
            },
            url,
            headers: self.headers.clone(),
            ..format
        })
    }

    /// The whole address of a path of the server's.
    fn address(&self, path: &str) -> Result<String, Trouble> {
        let strange = || {
            Trouble::new(
                Kind::Internal,
                format!("`{path}` is no path of {}", self.server.at()),
            )
        };
        let own = url::Url::parse(self.server.at()).map_err(|_| strange())?;
        let url = own.join(path).map_err(|_| strange())?;
        if !path.starts_with('/') || url.origin() != own.origin() {
            return Err(strange());
        }
        Ok(url.into())
    }

    /// Whether an address leads to its files.
    pub const fn has_addresses(&self) -> bool {
        !self.is_socket
    }

    pub fn wants_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// A song's bytes, as they arrive. The address is one of [`Self::resolve`].
    pub async fn send(&self, format: &Format, sink: &mut File) -> Result<u64, Trouble> {
        let own = url::Url::parse(&format.url).ok();
        let path = own.map(|url| url[url::Position::BeforePath..].to_owned());
        let request = self.server.get_replied(&path.unwrap_or_default())?;
        copy(self.server.send(request).await?, sink).await
    }

    /// A copy in another form, or with tags, once it is made.
    pub async fn send_copy(
        &self,
        song: &Song,
        format: Option<FileFormat>,
        tagged: bool,
        sink: &mut File,
    ) -> Result<u64, Trouble> {
        let form = format.map_or("original", FileFormat::ext);
        let path = format!(
            "/api/v1/tracks/{}/{}/audio?rendition={form}&tags={tagged}&wait={WAIT_SECONDS}",
            song.site.as_str(),
            song.id
        );
        loop {
            let again = Instant::now() + ASK_AGAIN;
            let answer = self.server.send(self.server.get(&path)).await?;
            if answer.status().as_u16() != 418 {
                return copy(answer, sink).await;
            }
            sleep_until(again).await;
        }
    }
}

async fn copy(mut answer: reqwest::Response, sink: &mut File) -> Result<u64, Trouble> {
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(refusal(status, &short(answer).await).into());
    }
    let mut sent = 0;
    let cut =
        |error: reqwest::Error| Trouble::from(ServerError::Cut(error.without_url().to_string()));
    while let Some(piece) = answer.chunk().await.map_err(cut)? {
        let written = sink.write_all(&piece).await;
        written.map_err(super::save::unwritten)?;
        sent += piece.len() as u64;
    }
    Ok(sent)
}

fn answer(link: &str, reply: Reply, mut formats: impl FnMut(&Track) -> Vec<Format>) -> Answer {
    let Reply {
        id,
        site,
        link: own,
        collection,
        tracks,
        unavailable,
    } = reply;
    let songs = tracks.into_iter().map(|track| {
        let formats = formats(&track);
        song(track, formats)
    });
    let missing = unavailable.into_iter().map(|gone| {
        (
            gone.track_number,
            Trouble::new(kind(Some(gone.kind)), gone.reason),
        )
    });
    let list = collection.map(|list| {
        super::list(
            link,
            List {
                site,
                id,
                link: own,
                title: list.title,
                artist: list.artist,
                cover_url: list.cover_url,
                is_search: SearchLink::parse(link).is_some(),
            },
        )
    });
    let entries: Vec<Entry> = in_order(songs.collect(), missing.collect());
    Answer { list, entries }
}

fn song(track: Track, formats: Vec<Format>) -> Song {
    Song {
        site: track.site,
        id: track.id,
        link: track.link,
        title: track.title,
        artist: track.artist,
        album: track.album,
        album_artist: track.album_artist,
        number: track.track_number,
        seconds: track.duration_seconds,
        date: track.date,
        cover_url: track.cover_url,
        formats,
    }
}

fn kind(word: Option<String>) -> Kind {
    let word = word.and_then(|word| serde_json::from_value(word.into()).ok());
    word.unwrap_or(Kind::Internal)
}

impl From<ServerError> for Trouble {
    fn from(error: ServerError) -> Self {
        let sentence = error.to_string();
        match error {
            ServerError::Refused { kind: word, .. } => Self::new(kind(word), sentence),
            _ => Self::new(Kind::Internal, sentence),
        }
    }
}
