//! A made-up SoundCloud in memory: answers by closure, counts what it is asked, keeps what it is told to remember.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kmds_extract::origin::{Origin, OriginError, Page, PageRequest, Remembered, RenewGuard};
use serde_json::{Value, json};

pub const ID: &str = "firstfirstfirstfirstfirstfirst01";
pub const FRESH_ID: &str = "freshfreshfreshfreshfreshfresh02";
/// 2026-02-21 01:35:24 UTC.
pub const NOW: u64 = 1_771_637_724;

type Answer = Result<Page, OriginError>;
type Answering = dyn Fn(&Asked) -> Answer + Send + Sync;

/// One request as the site saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub request: PageRequest,
    pub url: url::Url,
    /// Requests of the same page before this one.
    pub before: usize,
}

impl Asked {
    pub fn query(&self, name: &str) -> Option<String> {
        self.url
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The numbers of `ids=`.
    pub fn ids(&self) -> Vec<u64> {
        self.query("ids")
            .unwrap_or_default()
            .split(',')
            .filter_map(|id| id.parse().ok())
            .collect()
    }
}

pub struct Fake {
    answering: Box<Answering>,
    asked: Mutex<Vec<Asked>>,
    memory: Mutex<BTreeMap<String, Remembered>>,
    renewals: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    pub now: Mutex<u64>,
    at_once: Mutex<(usize, usize)>,
}

impl Fake {
    /// A site whose home page tells [`ID`] and which answers everything else by `answering`.
    pub fn new(answering: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::bare(move |asked| match asked.request.page {
            "home page" => home(if asked.before == 0 { ID } else { FRESH_ID }),
            _ => answering(asked),
        })
    }

    pub fn bare(answering: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            answering: Box::new(answering),
            asked: Mutex::default(),
            memory: Mutex::default(),
            renewals: Mutex::default(),
            now: Mutex::new(NOW),
            at_once: Mutex::default(),
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("whole").clone()
    }

    /// The names of the pages asked for, in order.
    pub fn pages(&self) -> Vec<&'static str> {
        self.asked()
            .iter()
            .map(|asked| asked.request.page)
            .collect()
    }

    /// The most requests that were under way at the same time.
    pub fn most_at_once(&self) -> usize {
        self.at_once.lock().expect("whole").1
    }
}

impl Origin for Fake {
    async fn send(&self, request: PageRequest) -> Result<Page, OriginError> {
        {
            let mut at_once = self.at_once.lock().expect("whole");
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        tokio::task::yield_now().await;
        let asked = {
            let mut all = self.asked.lock().expect("whole");
            let before = all
                .iter()
                .filter(|asked| asked.request.page == request.page)
                .count();
            let url = url::Url::parse(&request.url).expect("requests are to URLs");
            all.push(Asked {
                request,
                url,
                before,
            });
            all.last().cloned().expect("just pushed")
        };
        let answer = (self.answering)(&asked);
        self.at_once.lock().expect("whole").0 -= 1;
        answer.map(|page| Page {
            final_url: asked.request.url,
            ..page
        })
    }

    fn recall(&self, key: &str) -> Option<Remembered> {
        self.memory.lock().expect("whole").get(key).cloned()
    }

    fn remember(&self, key: &str, value: &str) {
        let kept = Remembered {
            value: value.to_owned(),
            stored_unix: self.now_unix(),
        };
        self.memory
            .lock()
            .expect("whole")
            .insert(key.to_owned(), kept);
    }

    async fn renewing(&self, key: &str) -> RenewGuard {
        let lock = self
            .renewals
            .lock()
            .expect("whole")
            .entry(key.to_owned())
            .or_default()
            .clone();
        RenewGuard::holding(lock.lock_owned().await)
    }

    fn nonce(&self, length: usize) -> String {
        "n".repeat(length)
    }

    fn now_unix(&self) -> u64 {
        *self.now.lock().expect("whole")
    }

    async fn pause(&self, _wait: Duration) {}
}

pub fn page(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Ok(Page {
        status,
        final_url: String::new(),
        headers: Vec::new(),
        body: body.into(),
    })
}

pub fn with_header(answer: Answer, name: &str, value: &str) -> Answer {
    answer.map(|mut page| {
        page.headers.push((name.to_owned(), value.to_owned()));
        page
    })
}

pub fn ok(body: &Value) -> Answer {
    page(200, body.to_string())
}

pub fn nothing() -> Answer {
    page(404, "{}")
}

pub fn home(id: &str) -> Answer {
    page(
        200,
        format!(
            r#"<html><script>window.__sc_version="1"</script><script>window.__sc_hydration = [{{"hydratable":"apiClient","data":{{"id":"{id}","isExpiring":false}}}}];</script></html>"#
        ),
    )
}

pub fn redirect(to: &str) -> Answer {
    with_header(page(302, ""), "location", to)
}

pub fn transcoding(id: u64, preset: &str, protocol: &str, mime: &str) -> Value {
    let part = if protocol == "progressive" {
        "progressive"
    } else {
        "hls"
    };
    json!({
        "url": format!("https://api-v2.soundcloud.com/media/soundcloud:tracks:{id}/key-{preset}/stream/{part}"),
        "preset": preset, "duration": 200_000, "snipped": false,
        "format": {"protocol": protocol, "mime_type": mime}, "quality": "sq",
    })
}

pub fn aac(id: u64) -> Value {
    transcoding(id, "aac_160k", "hls", "audio/mp4; codecs=\"mp4a.40.2\"")
}

pub fn mp3(id: u64, protocol: &str) -> Value {
    transcoding(id, "mp3_1_0", protocol, "audio/mpeg")
}

pub fn opus(id: u64) -> Value {
    transcoding(id, "opus_0_0", "hls", "audio/ogg; codecs=\"opus\"")
}

pub fn encrypted(id: u64) -> Value {
    transcoding(id, "aac_160k", "ctr-encrypted-hls", "audio/mp4")
}

pub fn song(id: u64) -> Value {
    json!({
        "kind": "track", "id": id, "title": format!("Song {id}"),
        "permalink_url": format!("https://soundcloud.com/someone/song-{id}"),
        "user": {"username": "Some One", "avatar_url": "https://i1.sndcdn.com/avatars-1-x-large.png"},
        "publisher_metadata": null, "duration": 200_000, "full_duration": 200_010,
        "artwork_url": format!("https://i1.sndcdn.com/artworks-{id}-large.png"),
        "waveform_url": format!("https://wave.sndcdn.com/wave{id}_m.json"),
        "policy": "ALLOW", "streamable": true, "state": "finished", "sharing": "public", "secret_token": null,
        "track_authorization": "head.body.sign", "release_date": null, "display_date": "2014-02-18T21:25:01Z",
        "media": {"transcodings": [opus(id), mp3(id, "hls"), mp3(id, "progressive"), aac(id)]},
    })
}

/// `base` with some fields replaced.
pub fn with(mut base: Value, fields: &Value) -> Value {
    for (key, value) in fields.as_object().expect("an object") {
        base[key] = value.clone();
    }
    base
}

pub fn stub(id: u64) -> Value {
    json!({"id": id, "kind": "track", "policy": "ALLOW", "monetization_model": "NOT_APPLICABLE"})
}

pub fn set(id: u64, tracks: &[Value]) -> Value {
    json!({
        "kind": "playlist", "id": id, "title": "The Set", "permalink_url": "https://soundcloud.com/someone/sets/the-set",
        "user": {"username": "Some One"}, "artwork_url": "https://i1.sndcdn.com/artworks-set-large.jpg",
        "secret_token": null, "is_album": true, "set_type": "album",
        "track_count": tracks.len(), "tracks": tracks,
    })
}
