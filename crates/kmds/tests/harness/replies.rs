//! The service's answers, as values: a key that is missing or of another type fails where the answer is read.
//!
//! A key that only one test reads has no field: a reply also keeps its JSON (`reply["Debug"]`).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A body together with the JSON it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Body<T> {
    told: T,
    raw: Value,
}

/// The answer to `POST /fetch`.
pub type Reply = Body<Fetched>;
/// The answer to `POST /api/v1/fetch`, and a list of tracks.
pub type V1Reply = Body<V1Fetched>;
/// One track of v1, or the problem in its place.
pub type V1Track = Body<Track>;
/// The classic body of a failure, or of a song that is not finished.
pub type Refusal = Body<Refused>;

/// Songs of a link, or why there are none.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Fetched {
    pub songs: Vec<Entry>,
    pub unavailable: Vec<Missing>,
    /// Empty where the link was resolved.
    pub kind: String,
    pub error: String,
}

/// One song of a classic reply.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Entry {
    #[serde(rename = "Cover_Name")]
    pub cover_name: String,
    #[serde(rename = "File_Name")]
    pub file_name: String,
    #[serde(rename = "Music_URL")]
    pub url: String,
    #[serde(rename = "Tunnel_URL")]
    pub tunnel: String,
    #[serde(rename = "Cache_Path")]
    pub path: String,
    #[serde(rename = "State")]
    pub state: String,
    #[serde(rename = "Metadata")]
    pub metadata: Metadata,
}

impl Entry {
    /// Where its audio is served while it grows.
    pub fn stream(&self) -> String {
        format!("{}&stream=1", self.tunnel)
    }

    /// Where its audio is served when it is finished. The service gives up before the client does.
    pub fn wait(&self) -> String {
        format!("{}&wait=40", self.tunnel)
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Metadata {
    #[serde(rename = "Title")]
    pub title: String,
    #[serde(rename = "Artist")]
    pub artist: Option<String>,
    #[serde(rename = "Album")]
    pub album: Option<String>,
    #[serde(rename = "Duration")]
    pub seconds: Option<f64>,
    #[serde(rename = "Approximate_Size")]
    pub bytes: Option<u64>,
    /// 0 outside an album.
    #[serde(rename = "Track_Number")]
    pub number: u32,
    #[serde(rename = "Track_Total")]
    pub total: Option<u32>,
}

/// A song of a list that cannot be had.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Missing {
    #[serde(rename = "Track_Number")]
    pub number: u32,
    #[serde(rename = "Kind")]
    pub kind: String,
    #[serde(rename = "Reason")]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Refused {
    /// Empty where the song is only not finished.
    pub kind: String,
    pub error: String,
    pub retryable: bool,
    /// Empty where it failed.
    pub state: String,
    pub received: u64,
    pub total: Option<u64>,
}

/// Tracks of v1, or why there are none.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct V1Fetched {
    pub tracks: Vec<Track>,
    #[serde(flatten)]
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Track {
    pub site: String,
    pub id: String,
    pub rendition: String,
    pub title: String,
    #[serde(rename = "track_number")]
    pub number: Option<u64>,
    pub state: String,
    pub approximate_bytes: Option<u64>,
    pub path: String,
    pub path_final: bool,
    pub links: BTreeMap<String, String>,
    #[serde(flatten)]
    pub problem: Problem,
}

/// `application/problem+json`; empty where the answer is none.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub kind: String,
    pub status: u16,
    pub detail: String,
}

impl<T: DeserializeOwned> Body<T> {
    /// # Panics
    /// Where the text is no JSON, or not of this form.
    pub fn parse(text: &[u8]) -> Self {
        let shown = || String::from_utf8_lossy(text).into_owned();
        let raw: Value =
            serde_json::from_slice(text).unwrap_or_else(|_| panic!("no JSON: {}", shown()));
        let told = T::deserialize(&raw).unwrap_or_else(|error| panic!("{error}: {}", shown()));
        Self { told, raw }
    }

    /// Status and body of an answer.
    pub async fn of(answer: reqwest::Response) -> (u16, Self) {
        let status = answer.status().as_u16();
        (status, Self::parse(&answer.bytes().await.expect("a body")))
    }
}

impl<T> Body<T> {
    pub const fn json(&self) -> &Value {
        &self.raw
    }
}

impl<T> Deref for Body<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.told
    }
}

impl<T> std::ops::Index<&str> for Body<T> {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        &self.raw[key]
    }
}

impl<T> fmt::Display for Body<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
