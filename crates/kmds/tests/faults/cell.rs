//! One cell: a lab, a service, a song and a fault; its outcome, compared with the required one.
//!
//! Owns the promises that hold in all cells. `matrix.rs` and its neighbours have the outcome of each fault.

use std::time::{Duration, Instant};

use kmds_lab::{Fault, Injection, Lab, Song};

use super::harness::replies::{Refusal, Reply};
use super::harness::{Kmds, Setup, read};
use super::place::{Place, is_known, is_page_host};

/// The built-in times, five times as fast, so that the arithmetic between them is that of the built-in ones.
pub const FIFTH: &str = r#"
[time]
metadata_request = 2.0
retry_pauses = [0.1, 0.2, 0.4]
longest_pause = 1.0
fetch_song = 5.0
fetch_list = 12.0
connect = 2.0
audio_stall = 3.0
audio_pauses = [0.1, 0.2, 0.4, 0.8, 1.6]
limit_wait = 3.0
limit_pause = 0.5
[youtube]
limited_pause = 0.2
[soundcloud]
limit_pause = 1.0
bot_pause = 1.0
[bandcamp]
limit_pause = 1.0
bot_pause = 1.0
[bandcamp.hosts]
pace = 0.2
"#;
/// The required outcome of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The song, byte for byte.
    Ready,
    /// Any of these kinds.
    Fails(Vec<&'static str>),
}

impl Wanted {
    pub fn fails(kinds: &str) -> Self {
        Self::Fails(
            super::matrix::KINDS
                .iter()
                .map(|(kind, _)| *kind)
                .filter(|kind| kinds.split('|').any(|k| k == *kind))
                .collect(),
        )
    }
}

/// Lab, song and service of one cell.
pub struct Stage {
    pub place: Place,
    pub lab: Lab,
    pub song: Song,
    pub kmds: Kmds,
}

/// The answer to a `/fetch`.
pub struct Fetched {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub body: Reply,
}

impl Stage {
    pub async fn set(place: Place) -> Self {
        Self::with(place, FIFTH).await
    }

    /// For faults that are not silence: audio that comes late on a busy machine is not taken for silent, which would be
    /// a second fault.
    pub async fn without_silence(place: Place) -> Self {
        let recipes = FIFTH.replace("audio_stall = 3.0", "audio_stall = 30.0");
        Self::with(place, &recipes).await
    }

    async fn with(place: Place, recipes: &str) -> Self {
        let lab = Lab::start().await;
        let song = place.song(&lab);
        let kmds = Setup::of(&lab).recipes(recipes).start();
        Self {
            place,
            lab,
            song,
            kmds,
        }
    }

    pub async fn fetch(&self) -> Fetched {
        fetch(&self.kmds, &self.song.link()).await
    }

    /// The requests a site got, or the connections where none came as far as a request. One of those is no try: it is
    /// opened ahead of the first page that matters, where that is not the first page.
    fn asked(&self) -> usize {
        let ahead = usize::from(self.place != Place::Bandcamp);
        let connections = self.lab.connections();
        let connections = connections
            .iter()
            .filter(|connection| is_page_host(&connection.host))
            .count();
        self.lab
            .page_requests(self.place.site())
            .max(connections.saturating_sub(ahead))
    }

    /// Checks that only hosts of the site were contacted.
    fn no_stranger(&self) -> Result<(), String> {
        let stranger = self
            .lab
            .connections()
            .into_iter()
            .map(|connection| connection.host)
            .find(|host| !is_known(host));
        // A path alone is no request to a proxy: some other program mistook the port.
        let stranger = stranger.or_else(|| {
            self.lab
                .refused()
                .into_iter()
                .find(|target| !target.starts_with('/'))
        });
        stranger.map_or(Ok(()), |host| Err(format!("a stranger was asked: {host}")))
    }

    /// Checks what a failure leaves: no file under a final name, and only true beginnings in partial files.
    fn nothing_broken_is_left(&self) -> Result<(), String> {
        let published = self.kmds.published();
        if !published.is_empty() {
            return Err(format!("files of a failed song: {published:?}"));
        }
        for part in self.kmds.partials() {
            let kept = read(&self.kmds.folder.path("cache").join(&part));
            let streams = self
                .song
                .streams()
                .iter()
                .filter_map(|stream| self.song.stream_bytes(&stream.key));
            if !streams
                .chain([self.song.bytes()])
                .any(|bytes| bytes.starts_with(&kept))
            {
                return Err(format!(
                    "{part}: {} bytes that are not the song's",
                    kept.len()
                ));
            }
        }
        Ok(())
    }

    /// The fault is over: the same link brings the song, and nothing else stays on the drive.
    pub async fn recovers(&self) -> Result<(), String> {
        self.lab.clear_faults();
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let again = self.fetch().await;
            if again.status == 200 {
                let bytes = self.kmds.whole(&again.body.songs[0]).await;
                if bytes != self.song.bytes() {
                    return Err(format!(
                        "afterwards {} wrong bytes are served as the song",
                        bytes.len()
                    ));
                }
                return self.only_the_song_stands();
            }
            if Instant::now() > end {
                return Err(format!("afterwards the link still fails: {}", again.body));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub fn only_the_song_stands(&self) -> Result<(), String> {
        let (published, partials) = (self.kmds.published(), self.kmds.partials());
        let audio: Vec<&String> = published
            .iter()
            .filter(|path| !path.ends_with(".json"))
            .collect();
        if audio.len() != 1 || published.len() != 2 || !partials.is_empty() {
            return Err(format!(
                "the drive holds {published:?} and {partials:?}\n{}",
                self.kmds.log()
            ));
        }
        let file = read(&self.kmds.folder.path("cache").join(audio[0]));
        if file == self.song.bytes() {
            Ok(())
        } else {
            Err("the file is not the song".to_owned())
        }
    }

    /// A fault on pages, which the answer of `/fetch` shows.
    pub async fn pages(self, wanted: Wanted, most: usize) -> Result<String, String> {
        let got = self.fetch().await;
        let asked = self.asked();
        self.no_stranger()?;
        let told = match (&wanted, got.status) {
            (Wanted::Ready, 200) => "200".to_owned(),
            (Wanted::Fails(kinds), status) => self.fails_as(kinds, status, &got)?,
            (Wanted::Ready, _) => return Err(format!("{} instead of the song", got.body)),
        };
        if asked > most {
            return Err(format!(
                "{told}, but the site was asked {asked} times, {most} at most"
            ));
        }
        if got.status != 200 {
            self.nothing_broken_is_left()?;
        }
        // What the site said for good is believed for ten minutes.
        if !matches!(got.status, 400 | 404) {
            self.recovers().await?;
        }
        Ok(format!("{told} ({asked})"))
    }

    fn fails_as(
        &self,
        kinds: &[&'static str],
        status: u16,
        got: &Fetched,
    ) -> Result<String, String> {
        let kind = got.body.kind.as_str();
        let right = kinds.contains(&kind)
            && got.body["Status"] == status
            && status == super::matrix::status_of(kind);
        if !right {
            return Err(format!("{status} {} instead of {kinds:?}", got.body));
        }
        let waits = matches!(status, 429 | 503);
        if waits && got.retry_after.is_none_or(|seconds| seconds == 0) {
            return Err(format!("{status} without Retry-After"));
        }
        let sentence = &got.body.error;
        if sentence.len() < 20 || sentence.contains("s3cret") || sentence.contains('?') {
            return Err(format!(
                "no sentence to act on, or a query in it: {sentence}"
            ));
        }
        Ok(format!("{status} {kind}"))
    }

    /// A fault on audio: the song's state tells, and so does what a listener got meanwhile.
    pub async fn media(
        self,
        wanted: Wanted,
        most: usize,
        most_bytes: u64,
    ) -> Result<String, String> {
        let got = self.fetch().await;
        if got.status != 200 {
            return Err(format!("/fetch itself: {}", got.body));
        }
        let tunnel = got.body.songs[0].tunnel.clone();
        let (end, heard) = tokio::join!(self.end_of(&tunnel), self.listen(&tunnel));
        let (status, body) = end?;
        self.no_stranger()?;
        let told = match (&wanted, status) {
            (Wanted::Ready, 200) if body == self.song.bytes() => "ready".to_owned(),
            (Wanted::Ready, 200) => return Err(format!("{} wrong bytes with 200", body.len())),
            (Wanted::Fails(kinds), 500) => failed_as(kinds, &body)?,
            _ => {
                return Err(format!(
                    "{status} {}",
                    String::from_utf8_lossy(&body[..body.len().min(300)])
                ));
            }
        };
        match &heard {
            Heard::Whole(bytes) if *bytes != self.song.bytes() => {
                return Err(format!(
                    "a listener got a clean end after {} wrong bytes",
                    bytes.len()
                ));
            }
            Heard::Whole(_) if wanted != Wanted::Ready => {
                return Err("a listener heard a failed song whole".to_owned());
            }
            Heard::Refused(500) if wanted == Wanted::Ready => {
                return Err("a listener was told it failed".to_owned());
            }
            Heard::Refused(status) if *status != 500 => {
                return Err(format!("a listener got {status}"));
            }
            _ => {}
        }
        let (requests, sent) = (
            self.lab.media_requests(self.song.id()),
            self.lab.media_bytes_sent(self.song.id()),
        );
        if requests > most {
            return Err(format!(
                "{told}, but its audio was asked for {requests} times, {most} at most"
            ));
        }
        if sent > most_bytes {
            return Err(format!(
                "{told}, but {sent} bytes of audio were taken, {most_bytes} at most"
            ));
        }
        match wanted {
            Wanted::Ready => self.only_the_song_stands()?,
            Wanted::Fails(_) => self.nothing_broken_is_left()?,
        }
        self.recovers().await?;
        let again = self.fetch().await;
        if again.body.songs[0].tunnel != tunnel {
            return Err(format!(
                "the name {tunnel} became {}",
                again.body.songs[0].tunnel
            ));
        }
        Ok(format!("{told}, {} ({requests})", heard.word()))
    }

    /// Asks like an old client: again while it is 418.
    async fn end_of(&self, tunnel: &str) -> Result<(u16, Vec<u8>), String> {
        // Audio that drips takes fifty seconds to fail where nothing else runs.
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let answer = self.kmds.get(tunnel).await;
            let status = answer.status().as_u16();
            if status != 418 {
                return Ok((
                    status,
                    answer
                        .bytes()
                        .await
                        .map_err(|error| error.to_string())?
                        .to_vec(),
                ));
            }
            if Instant::now() > end {
                return Err(format!(
                    "still {}\n{}",
                    answer.text().await.unwrap_or_default(),
                    self.kmds.log()
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn listen(&self, tunnel: &str) -> Heard {
        let mut answer = self.kmds.get(&format!("{tunnel}&stream=1")).await;
        let status = answer.status().as_u16();
        if status != 200 {
            return Heard::Refused(status);
        }
        let mut bytes = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Heard::Whole(bytes),
                Err(_) => return Heard::Cut,
            }
        }
    }
}

/// The bytes that a listener with `stream=1` got.
enum Heard {
    Whole(Vec<u8>),
    Cut,
    Refused(u16),
}

impl Heard {
    const fn word(&self) -> &'static str {
        match self {
            Self::Whole(_) => "heard whole",
            Self::Cut => "listener cut",
            Self::Refused(_) => "listener told",
        }
    }
}

fn failed_as(kinds: &[&'static str], body: &[u8]) -> Result<String, String> {
    let body = Refusal::parse(body);
    if kinds.contains(&&*body.kind) {
        Ok(body.kind.clone())
    } else {
        Err(format!("{body} instead of {kinds:?}"))
    }
}

pub async fn fetch(kmds: &Kmds, link: &str) -> Fetched {
    let body = serde_json::json!({ "URL": link }).to_string();
    let answer = kmds
        .http
        .post(kmds.at("/fetch"))
        .body(body)
        .timeout(Duration::from_secs(60))
        .send()
        .await
        .expect("an answer");
    let retry_after = answer
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let (status, body) = Reply::of(answer).await;
    Fetched {
        status,
        retry_after,
        body,
    }
}

/// The fault of this name on the requests it is about.
pub fn injection(text: &str, on: impl FnOnce(Fault) -> Injection) -> Injection {
    on(text.parse().expect("a fault of the lab"))
}
