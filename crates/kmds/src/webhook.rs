//! Tells another program that a song is ready or has failed: one signed POST for each song.
//!
//! Owns the body, the signature, the retries and the queue between events and receiver. `lib.rs` spawns
//! [`Webhook::follow`] and aborts it when the service ends. A job never waits for it: if a receiver is slow or away,
//! calls are lost; the log and a metric count them. The request goes straight to the operator's address, mostly in the
//! private network, and never by the way out to the sites.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kmds_extract::{Kind, Loudness};
use ring::hmac;
use serde::Serialize;
use tokio::sync::mpsc;
use url::Url;

use crate::app::{App, Event, EventName, Origin, State};
use crate::config::WebhookConfig;
use crate::hex;
use crate::origin::{EgressError, egress};

/// The most calls that wait for the receiver; each is about 300 bytes.
const WAITING: usize = 256;
/// One try, from the connection to the answer's head.
const WITHIN: Duration = Duration::from_secs(10);
/// The pauses before each try after the first.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(16),
];

/// A setting of the webhook that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("webhook.url must be http://HOST/… or https://HOST/…")]
    Url,
    #[error("webhook.secret_file {path}: {why}")]
    Secret { path: PathBuf, why: String },
    #[error("webhook.url: {0}")]
    Client(#[from] EgressError),
}

/// The body of a POST.
#[derive(Debug, Serialize)]
struct Call {
    /// `track.ready` or `track.failed`.
    event: &'static str,
    site: &'static str,
    id: String,
    form: Option<&'static str>,
    rendition: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    title: Option<String>,
    /// If the site tells it, in decibels above −14 LUFS.
    loudness_db: Option<Loudness>,
    /// The path of the finished file, as in `Cache_Path`.
    path: Option<String>,
    /// RFC 3339, UTC.
    at: String,
}

/// A receiver, ready to be called.
#[derive(Debug)]
pub struct Webhook {
    url: Url,
    http: reqwest::Client,
    key: Option<hmac::Key>,
}

impl Webhook {
    /// Reads the secret; connects to nothing.
    /// # Errors
    /// See [`WebhookError`].
    pub fn new(config: &WebhookConfig) -> Result<Self, WebhookError> {
        let url = Url::parse(&config.url).map_err(|_| WebhookError::Url)?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(WebhookError::Url);
        }
        let key = config.secret_file.as_ref().map(read_secret).transpose()?;
        let http = egress::direct_client(url.scheme() == "https", WITHIN)?;
        Ok(Self { url, http, key })
    }

    /// Calls the receiver for every song that gets ready or fails, until the service stops.
    pub async fn follow(self, app: App) {
        let (calls, waiting) = mpsc::channel(WAITING);
        let mut events = app.events(None);
        let collect = async {
            while let Some(event) = events.next().await {
                let is_end = matches!(event.state, State::Ready | State::Failed);
                if event.name != EventName::Track || !is_end {
                    continue;
                }
                if calls.try_send(call(&app, &event).await).is_err() {
                    tracing::warn!(track = %event.key.track(), "the webhook's receiver is too slow: a call is dropped");
                    app.metrics().webhook("dropped");
                }
            }
        };
        tokio::join!(collect, self.deliver(waiting, &app));
    }

    async fn deliver(&self, mut waiting: mpsc::Receiver<Call>, app: &App) {
        while let Some(call) = waiting.recv().await {
            let outcome = match self.insist(&call).await {
                Ok(()) => "delivered",
                Err(why) => {
                    tracing::warn!(track = call.id, "the webhook was not delivered: {why}");
                    "failed"
                }
            };
            app.metrics().webhook(outcome);
        }
    }

    /// Tries until one succeeds; returns the reason of the last try if all fail.
    async fn insist(&self, call: &Call) -> Result<(), String> {
        let body = serde_json::to_vec(call).map_err(|error| error.to_string())?;
        let mut last = self.post(&body).await;
        for pause in PAUSES {
            if last.is_ok() {
                break;
            }
            tokio::time::sleep(pause).await;
            last = self.post(&body).await;
        }
        last
    }

    async fn post(&self, body: &[u8]) -> Result<(), String> {
        let mut request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header(
                "x-kmds-signature",
                format!("sha256={}", signature(key, body)),
            );
        }
        // The URL may contain a key: it is not logged.
        let answer = request
            .body(body.to_vec())
            .send()
            .await
            .map_err(|error| error.without_url().to_string())?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(format!("HTTP {}", answer.status().as_u16()))
        }
    }
}

/// Title and path are looked up: events do not have them.
async fn call(app: &App, event: &Event) -> Call {
    if event.origin == Origin::OfNode {
        app.learn(event.key.track()).await;
    }
    let song = app.song_in(&event.key).await.ok().flatten();
    let is_ready = event.state == State::Ready;
    Call {
        event: if is_ready {
            "track.ready"
        } else {
            "track.failed"
        },
        site: event.key.track().site().as_str(),
        id: event.key.track().id().to_owned(),
        form: song.as_ref().map(|song| song.form().ext()),
        rendition: event.key.word(),
        state: event.state,
        kind: event.kind,
        reason: event.reason.clone(),
        title: song.as_ref().map(|song| song.track.title.clone()),
        loudness_db: song.as_ref().and_then(|song| song.track.loudness_db),
        path: song
            .filter(|song| is_ready && song.state == State::Ready)
            .map(|song| song.cache_path),
        at: jiff::Timestamp::try_from(SystemTime::now())
            .map_or_else(|_| String::new(), |now| now.to_string()),
    }
}

fn read_secret(path: &PathBuf) -> Result<hmac::Key, WebhookError> {
    let failed = |why: String| WebhookError::Secret {
        path: path.clone(),
        why,
    };
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    match text.trim_ascii() {
        [] => Err(failed(
            "it is empty; write a long random text into it".to_owned(),
        )),
        secret => Ok(hmac::Key::new(hmac::HMAC_SHA256, secret)),
    }
}

fn signature(key: &hmac::Key, body: &[u8]) -> String {
    hex::encode(hmac::sign(key, body).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_rfc_4231_says() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let signed = signature(&key, b"what do ya want for nothing?");
        assert_eq!(
            signed,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        let new = |url: &str, secret: Option<&str>| {
            let config = WebhookConfig {
                url: url.to_owned(),
                secret_file: secret.map(PathBuf::from),
            };
            Webhook::new(&config).expect_err("bad").to_string()
        };
        assert!(new("socks5://x/", None).contains("webhook.url"));
        assert!(new("http://x/", Some("/nonexistent/secret")).contains("/nonexistent/secret"));
    }
}
