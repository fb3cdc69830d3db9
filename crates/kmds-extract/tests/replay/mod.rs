//! A site played from recorded exchanges, in memory.
//!
//! Owns reading a folder of recordings and matching requests to them tolerantly: method, path, and what names the thing
//! asked for; never versions, visitor ids, random parts or header order. A request that was not recorded gets 404. One
//! case folder or many may be loaded; the first fitting exchange answers. Counts what was asked.
#![allow(dead_code, reason = "each test file uses its part of it")]

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use kmds_extract::Origin;
use kmds_extract::origin::{Method, OriginError, Page, PageRequest, Remembered, RenewGuard};
use serde_json::Value;

/// The folder of recordings, or a loud word on stderr that they were skipped.
pub fn recordings() -> Option<PathBuf> {
    let folder = std::env::var_os("KMDS_RECORDINGS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: KMDS_RECORDINGS is not set, so the recorded pages were not read");
    }
    folder
}

struct Exchange {
    method: String,
    path: String,
    names: Vec<(String, String)>,
    page: Page,
}

pub struct Replay {
    exchanges: Vec<Exchange>,
    asked: Mutex<Vec<PageRequest>>,
    memory: Mutex<HashMap<String, String>>,
    now_unix: u64,
}

impl Replay {
    /// Every exchange of these case folders, in the order of their file names: `youtube/video-plain`.
    pub fn of(recordings: &Path, cases: &[&str]) -> Self {
        let mut exchanges = Vec::new();
        for case in cases {
            let folder = recordings.join(case);
            let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
                .map(|entry| entry.expect("a readable folder").path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
                .collect();
            files.sort();
            exchanges.extend(files.iter().flat_map(|file| exchange(file)));
        }
        Self {
            exchanges,
            asked: Mutex::default(),
            memory: Mutex::default(),
            now_unix: 1_780_900_000,
        }
    }

    /// What each request was, in order.
    pub fn pages(&self) -> Vec<&'static str> {
        self.asked
            .lock()
            .expect("not poisoned")
            .iter()
            .map(|request| request.page)
            .collect()
    }

    pub fn requests(&self) -> Vec<PageRequest> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

/// The exchange of a file, and the same refusal lent to the player call where it was recorded wrapped.
fn exchange(file: &Path) -> Vec<Exchange> {
    let text =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let recorded: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (request, response) = (&recorded["request"], &recorded["response"]);
    let url = request["url"].as_str().expect("a URL");
    let body = match &request["body"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    let headers = response["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, values)| {
            let value = values
                .as_array()
                .and_then(|values| values.first())
                .unwrap_or(values);
            Some((name.to_lowercase(), value.as_str()?.to_owned()))
        });
    let page = Page {
        status: response["status"]
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .expect("a status"),
        final_url: response["final_url"].as_str().unwrap_or(url).to_owned(),
        headers: headers.collect(),
        body: response["body"]
            .as_str()
            .unwrap_or_default()
            .as_bytes()
            .to_vec(),
    };
    let first = Exchange {
        method: request["method"].as_str().unwrap_or("GET").to_owned(),
        path: path(url),
        names: names(url, &body),
        page,
    };
    let lent = lend(&first);
    std::iter::once(first).chain(lent).collect()
}

fn lend(wrapped: &Exchange) -> Option<Exchange> {
    let inner = serde_json::from_slice::<Value>(&wrapped.page.body)
        .ok()?
        .get("playerResponse")?
        .clone();
    let refused = inner["playabilityStatus"]["status"].as_str()? != "OK";
    let names = wrapped
        .names
        .iter()
        .filter(|(name, _)| name != "clientName")
        .cloned()
        .collect();
    refused.then(|| Exchange {
        method: wrapped.method.clone(),
        path: "/youtubei/v1/player".to_owned(),
        names,
        page: Page {
            body: inner.to_string().into_bytes(),
            ..wrapped.page.clone()
        },
    })
}

fn path(url: &str) -> String {
    let url = url::Url::parse(url).expect("a URL");
    format!(
        "{}{}",
        url.host_str()
            .filter(|_| !url.path().starts_with("/youtubei/"))
            .unwrap_or_default(),
        url.path()
    )
}

/// What names the thing asked for: of YouTube the client and the id in the body; of other sites the query, without
/// what changes from session to session.
fn names(url: &str, body: &Value) -> Vec<(String, String)> {
    let url = url::Url::parse(url).expect("a URL");
    if url.path().starts_with("/youtubei/") {
        let player = &body["playerRequest"];
        let named = ["videoId", "browseId", "continuation", "playlistId"]
            .iter()
            .filter_map(|name| {
                Some((
                    *name,
                    body[*name].as_str().or_else(|| player[*name].as_str())?,
                ))
            });
        let client = body["context"]["client"]["clientName"]
            .as_str()
            .map(|client| ("clientName", client));
        return named
            .chain(client)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }
    const PASSING: [&str; 7] = [
        "client_id",
        "app_version",
        "app_locale",
        "ts",
        "token",
        "user_id",
        "stage",
    ];
    url.query_pairs()
        .filter(|(name, _)| !PASSING.contains(&name.as_ref()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

impl Origin for Replay {
    fn send(&self, request: PageRequest) -> impl Future<Output = Result<Page, OriginError>> + Send {
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let body = request
            .body
            .as_deref()
            .and_then(|body| serde_json::from_slice(body).ok())
            .unwrap_or_default();
        let (path, names) = (path(&request.url), names(&request.url, &body));
        let found = self.exchanges.iter().find(|exchange| {
            exchange.method == method
                && exchange.path == path
                && exchange.names.iter().all(|name| names.contains(name))
                && (exchange.names.len() == names.len() || exchange.path == "/youtubei/v1/player")
        });
        let page = found.map_or_else(
            || Page {
                status: 404,
                final_url: request.url.clone(),
                headers: Vec::new(),
                body: b"not recorded".to_vec(),
            },
            |exchange| exchange.page.clone(),
        );
        self.asked.lock().expect("not poisoned").push(request);
        std::future::ready(Ok(page))
    }

    fn recall(&self, key: &str) -> Option<Remembered> {
        let value = self
            .memory
            .lock()
            .expect("not poisoned")
            .get(key)
            .cloned()?;
        Some(Remembered {
            value,
            stored_unix: self.now_unix,
        })
    }

    fn remember(&self, key: &str, value: &str) {
        let mut memory = self.memory.lock().expect("not poisoned");
        if value.is_empty() {
            memory.remove(key);
        } else {
            memory.insert(key.to_owned(), value.to_owned());
        }
    }

    fn renewing(&self, _: &str) -> impl Future<Output = RenewGuard> + Send {
        std::future::ready(RenewGuard::holding(()))
    }

    fn nonce(&self, length: usize) -> String {
        "n".repeat(length)
    }

    fn now_unix(&self) -> u64 {
        self.now_unix
    }

    fn pause(&self, _: Duration) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}
