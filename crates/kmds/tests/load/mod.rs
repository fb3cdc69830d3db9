//! The acts of a client: it fetches, listens, asks for copies, removes. The load of the kills and of the soak consists
//! of them.
//!
//! An act ends with an error of the connection only when the service is gone.
#![allow(dead_code, reason = "each test file uses its own part of the load")]

use std::io::Write;
use std::time::Duration;

use kmds::media;
use kmds_extract::Container;
use kmds_lab::Song;
use serde_json::json;

use super::harness::replies::{Entry, Reply};

/// xorshift64*: the same moments for the same seed.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    pub fn one_of<T: Clone>(&mut self, things: &[T]) -> T {
        things[usize::try_from(self.roll(things.len() as u64)).unwrap_or(0)].clone()
    }

    /// A separate random generator.
    pub fn child(&mut self) -> Self {
        Self(self.roll(u64::MAX) | 1)
    }
}

/// The seed in `KMDS_SEED`, which repeats a run, or one of the clock.
pub fn seed() -> u64 {
    let told = std::env::var("KMDS_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock");
    told.unwrap_or(u64::from(now.subsec_nanos()) | 1)
}

/// Where a service answers.
#[derive(Clone)]
pub struct At {
    pub http: reqwest::Client,
    pub url: String,
}

type Answer<T> = Result<T, reqwest::Error>;

impl At {
    pub async fn get(&self, path: &str) -> Answer<reqwest::Response> {
        self.http.get(format!("{}{path}", self.url)).send().await
    }

    /// `POST /fetch`; the first song of the reply, if it is 200.
    pub async fn fetch(&self, link: &str, opus: bool) -> Answer<Option<Entry>> {
        let mut body = json!({ "URL": link });
        if opus {
            body["Accept"] = json!(["m4a", "mp3", "opus"]);
        }
        let answer = self
            .http
            .post(format!("{}/fetch", self.url))
            .body(body.to_string())
            .send()
            .await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        Ok((status == 200).then(|| Reply::parse(&body).songs[0].clone()))
    }

    /// A listener of a song of a reply, who stays or leaves after some bytes.
    pub async fn listen(&self, entry: &Entry, leaves_at: Option<usize>) -> Answer<Heard> {
        let mut answer = self.get(&entry.stream()).await?;
        if answer.status() != 200 {
            return Ok(Heard::Nothing);
        }
        let mut heard = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => heard.extend_from_slice(&chunk),
                Ok(None) => return Ok(Heard::Whole(heard)),
                // Cut: it failed, and the listener knows.
                Err(_) => return Ok(Heard::Some),
            }
            if leaves_at.is_some_and(|bytes| heard.len() > bytes) {
                return Ok(Heard::Some);
            }
        }
    }

    /// A copy in another form; whether it came, whole.
    pub async fn copy(&self, song: &Song, wish: &str) -> Answer<bool> {
        let path = format!(
            "/api/v1/tracks/{}/{}/audio?{wish}&wait=8",
            song.site().name(),
            song.id()
        );
        let answer = self.get(&path).await?;
        if answer.status() != 200 {
            return Ok(false);
        }
        let announced = answer.content_length();
        let bytes = answer.bytes().await?;
        assert!(
            bytes.len() > 10_000 && announced == Some(bytes.len() as u64),
            "{path}: {} bytes",
            bytes.len()
        );
        Ok(true)
    }

    pub async fn delete(&self, song: &Song) -> Answer<()> {
        let path = format!(
            "{}/api/v1/tracks/{}/{}",
            self.url,
            song.site().name(),
            song.id()
        );
        self.http.delete(path).send().await.map(drop)
    }
}

/// The bytes that a listener got.
pub enum Heard {
    Nothing,
    Some,
    /// To a clean end: this must be all of the song.
    Whole(Vec<u8>),
}

/// The title of songs that no client can play unchanged: they are converted.
pub const OPUS_ONLY: &str = "Opus only";

/// Whether these are all bytes of one of the encodings the site has of it.
pub fn is_as_sent(song: &Song, bytes: &[u8]) -> bool {
    let streams = song
        .streams()
        .iter()
        .filter_map(|stream| song.stream_bytes(&stream.key));
    streams.chain([song.bytes()]).any(|stream| stream == bytes)
}

/// Converted, taken out of a video, or given tags: audio of the song's length, from its first byte to its last.
pub fn is_whole_audio(song: &Song, bytes: &[u8]) -> bool {
    let container = match bytes {
        [b'O', b'g', b'g', b'S', ..] => Container::Ogg,
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Container::Mp4,
        _ => Container::Mp3,
    };
    let memory =
        rustix::fs::memfd_create("heard", rustix::fs::MemfdFlags::empty()).expect("memory");
    let mut file = std::fs::File::from(memory);
    file.write_all(bytes).expect("written");
    media::check(
        &file,
        container,
        Some(Duration::from_secs_f64(song.seconds())),
    )
    .is_ok()
}
