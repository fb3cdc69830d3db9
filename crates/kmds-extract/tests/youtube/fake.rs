//! A YouTube that answers from rows of made-up answers, in memory.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use kmds_extract::origin::{OriginError, Page, PageRequest, Redirects, Remembered, RenewGuard};
use kmds_extract::{Collection, ExtractError, Link, Origin, Recipes, Resolved, Track};
use serde_json::{Value, json};

pub const VIDEO: &str = "M4gD1WSo5mA";
pub const NOW: u64 = 1_790_000_000;

/// A site that answers each kind of page from a row of answers; the last one stays.
#[derive(Default)]
pub struct Fake {
    pub answers: Mutex<HashMap<&'static str, Vec<Result<Page, OriginError>>>>,
    asked: Mutex<Vec<(&'static str, String, Value)>>,
    memory: Mutex<HashMap<String, String>>,
    visitors: Mutex<u32>,
    followed: Mutex<Vec<&'static str>>,
    pub paused: Mutex<Duration>,
    pub late: Mutex<u64>,
}

pub fn page(status: u16, body: impl ToString) -> Page {
    let final_url = "https://youtubei.googleapis.com/youtubei/v1/player".to_owned();
    Page {
        status,
        final_url,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    }
}

pub fn ok(body: Value) -> Page {
    page(200, body)
}

impl Fake {
    pub fn player(answers: impl IntoIterator<Item = Page>) -> Self {
        Self::default().with("player answer", answers)
    }

    pub fn list(answers: impl IntoIterator<Item = Page>) -> Self {
        Self::default().with("list answer", answers)
    }

    pub fn with(self, name: &'static str, answers: impl IntoIterator<Item = Page>) -> Self {
        self.answers
            .lock()
            .expect("lock")
            .insert(name, answers.into_iter().map(Ok).collect());
        self
    }

    pub fn asked(&self) -> Vec<(&'static str, String, Value)> {
        self.asked.lock().expect("lock").clone()
    }

    pub fn pages(&self) -> Vec<&'static str> {
        self.asked().iter().map(|(page, ..)| *page).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.pages().iter().filter(|page| **page == name).count()
    }

    /// Pages whose redirects would be followed.
    pub fn followed(&self) -> Vec<&'static str> {
        self.followed.lock().expect("lock").clone()
    }

    /// Device and visitor of each player call: which identity it was, with which session.
    pub fn callers(&self) -> Vec<(String, String)> {
        let field = |body: &Value, name: &str| {
            body["context"]["client"][name]
                .as_str()
                .unwrap_or("-")
                .to_owned()
        };
        let asked = self.asked();
        let calls = asked.iter().filter(|(page, ..)| *page == "player answer");
        calls
            .map(|(.., body)| (field(body, "osVersion"), field(body, "visitorData")))
            .collect()
    }

    pub async fn resolve(&self, link: &str) -> Result<Resolved, ExtractError> {
        kmds_extract::resolve(
            &Link::parse(link).expect("a link"),
            self,
            &Recipes::built_in(),
        )
        .await
    }

    pub async fn track(&self) -> Result<Track, ExtractError> {
        self.resolve(&format!("https://youtu.be/{VIDEO}"))
            .await
            .map(|resolved| match resolved {
                Resolved::Track(track) => *track,
                other => panic!("{other:?}"),
            })
    }

    pub async fn refused(&self) -> ExtractError {
        self.track().await.expect_err("refused")
    }

    pub async fn collection(&self, link: &str) -> Collection {
        match self.resolve(link).await {
            Ok(Resolved::Collection(collection)) => collection,
            other => panic!("{other:?}"),
        }
    }
}

impl Origin for Fake {
    fn send(&self, request: PageRequest) -> impl Future<Output = Result<Page, OriginError>> + Send {
        let body = request
            .body
            .as_deref()
            .and_then(|body| serde_json::from_slice(body).ok())
            .unwrap_or_default();
        self.asked
            .lock()
            .expect("lock")
            .push((request.page, request.url.clone(), body));
        if request.redirects != Redirects::Show {
            self.followed.lock().expect("lock").push(request.page);
        }
        let mut answers = self.answers.lock().expect("lock");
        let answer = match answers.get_mut(request.page) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None if request.page == "visitor id" => {
                let mut visitors = self.visitors.lock().expect("lock");
                *visitors += 1;
                Ok(ok(
                    json!({"responseContext": {"visitorData": format!("visitor-{visitors}%3D")}}),
                ))
            }
            None => Ok(page(
                404,
                json!({"error": {"code": 404, "status": "NOT_FOUND"}}),
            )),
        };
        std::future::ready(answer)
    }

    fn recall(&self, key: &str) -> Option<Remembered> {
        let value = self.memory.lock().expect("lock").get(key).cloned()?;
        Some(Remembered {
            value,
            stored_unix: NOW,
        })
    }

    fn remember(&self, key: &str, value: &str) {
        self.memory
            .lock()
            .expect("lock")
            .insert(key.to_owned(), value.to_owned());
    }

    fn renewing(&self, _: &str) -> impl Future<Output = RenewGuard> + Send {
        std::future::ready(RenewGuard::holding(()))
    }

    fn nonce(&self, length: usize) -> String {
        "n".repeat(length)
    }

    fn now_unix(&self) -> u64 {
        NOW + *self.late.lock().expect("lock")
    }

    fn pause(&self, wait: Duration) -> impl Future<Output = ()> + Send {
        *self.paused.lock().expect("lock") += wait;
        std::future::ready(())
    }
}

pub fn format(itag: u32, mime_type: &str) -> Value {
    json!({
        "itag": itag, "mimeType": mime_type, "bitrate": 130_000, "averageBitrate": 129_500,
        "contentLength": "1000", "approxDurationMs": "61500", "lastModified": "17", "audioChannels": 2,
        "url": format!("https://rr1---sn-x.googlevideo.com/videoplayback?expire=1790021600&itag={itag}&clen=1000&lmt=17&rqh=1"),
    })
}

pub const AAC: &str = "audio/mp4; codecs=\"mp4a.40.2\"";
pub const OPUS: &str = "audio/webm; codecs=\"opus\"";

pub fn details() -> Value {
    json!({"videoId": VIDEO, "title": "A Song", "author": "Someone", "lengthSeconds": "62",
        "shortDescription": "words", "thumbnail": {"thumbnails": []}})
}

pub fn playing(formats: &[Value]) -> Value {
    json!({
        "responseContext": {"visitorData": "newest%3D"},
        "playabilityStatus": {"status": "OK"},
        "videoDetails": details(),
        "streamingData": {"expiresInSeconds": "21540", "adaptiveFormats": formats},
    })
}

pub fn good() -> Page {
    ok(playing(&[format(140, AAC), format(251, OPUS)]))
}

pub fn status(status: &str, reason: &str) -> Page {
    ok(
        json!({"playabilityStatus": {"status": status, "reason": reason}, "videoDetails": details()}),
    )
}

pub fn bot_check() -> Page {
    ok(
        json!({"playabilityStatus": {"status": "LOGIN_REQUIRED", "reason": "Sign in to confirm you’re not a bot"}}),
    )
}
