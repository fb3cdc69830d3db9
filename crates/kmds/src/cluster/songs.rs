//! The bucket of songs in NATS: which node makes or has each song, written by compare-and-set.
//!
//! Owns the handle of the bucket, and the reason where there is none. NATS may come back without its data: then the
//! next node that asks makes the bucket again. `JetStream` may be silent while the rest of NATS answers, as several
//! servers are until they have agreed on a leader: then only [`Songs::probe`] asks it, so that no download waits for
//! it.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{
    CreateKeyValueError, CreateStreamError, CreateStreamErrorKind, GetStreamError,
    GetStreamErrorKind, KeyValueError,
};
use async_nats::jetstream::{self, ErrorCode, kv, stream};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Finished;

/// If NATS does not answer within this time, it is away.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// The bucket forgets a song that no node was asked for so long, so that it stays small; the song may be fetched again.
const SONGS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// JetStream keeps so many copies where it has so many servers: enough to go on after the loss of one.
const COPIES: usize = 3;
/// No song has this name.
const PROBE: &str = "probe";

/// An entry of the bucket.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SongEntry {
    pub node: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Finished>,
    /// An entry of another version.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl SongEntry {
    /// `None` for what no node writes.
    fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    pub(super) fn text(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Why NATS refuses a call.
#[derive(Debug)]
pub(super) enum Unsaid {
    /// Another node wrote at the same time.
    Overtaken,
    /// NATS may have no such bucket any more. The next question looks for it.
    Lost(String),
    /// No answer in time.
    Silent,
    /// There is no bucket, and none can be made.
    Missing,
}

impl From<kv::EntryError> for Unsaid {
    fn from(error: kv::EntryError) -> Self {
        match error.kind() {
            kv::EntryErrorKind::TimedOut => Self::Silent,
            kv::EntryErrorKind::InvalidKey | kv::EntryErrorKind::Other => {
                Self::Lost(error.to_string())
            }
        }
    }
}

impl From<kv::UpdateError> for Unsaid {
    fn from(error: kv::UpdateError) -> Self {
        match error.kind() {
            kv::UpdateErrorKind::TimedOut => Self::Silent,
            kv::UpdateErrorKind::WrongLastRevision => Self::Overtaken,
            kv::UpdateErrorKind::InvalidKey | kv::UpdateErrorKind::Other => {
                Self::Lost(error.to_string())
            }
        }
    }
}

/// Why the bucket cannot be used.
struct Fault {
    is_silent: bool,
    sentence: String,
}

pub(super) struct Songs {
    name: String,
    copies: usize,
    /// It was there before.
    was_found: AtomicBool,
    /// `None` until the first question, and after the bucket was lost.
    handle: tokio::sync::Mutex<Option<Arc<kv::Store>>>,
    fault: Mutex<Option<Fault>>,
}

impl Songs {
    /// `servers`: how many of NATS this node knows.
    pub(super) fn new(cluster: &str, servers: usize) -> Self {
        Self {
            name: format!("{cluster}-songs"),
            copies: if servers < COPIES { 1 } else { COPIES },
            was_found: AtomicBool::new(false),
            handle: tokio::sync::Mutex::default(),
            fault: Mutex::default(),
        }
    }

    /// Why the bucket cannot be used now.
    pub(super) fn fault(&self) -> Option<String> {
        let fault = self.fault.lock();
        fault.as_ref().map(|fault| fault.sentence.clone())
    }

    /// A song's entry, if there is one, and the revision to write after. `by_leader`: the other servers may not have
    /// heard of the last write yet.
    pub(super) async fn read(
        &self,
        client: &Client,
        song: &str,
        by_leader: bool,
    ) -> Result<(Option<SongEntry>, u64), Unsaid> {
        let bucket = self.bucket(client, false).await?;
        let read = within(async {
            let (text, revision) = if by_leader {
                last_written(&bucket, song).await?
            } else {
                let entry = bucket.entry(song).await?;
                entry.map_or_else(Default::default, |entry| (entry.value, entry.revision))
            };
            // A deleted entry is empty.
            let entry = (!text.is_empty()).then(|| SongEntry::read(&text).unwrap_or_default());
            Ok((entry, revision))
        });
        self.note(&bucket, read.await).await
    }

    /// Writes an entry, if the last one still has this revision.
    pub(super) async fn write(
        &self,
        client: &Client,
        song: &str,
        entry: Bytes,
        revision: u64,
    ) -> Result<(), Unsaid> {
        let bucket = self.bucket(client, false).await?;
        let written = within(async {
            bucket.update(song, entry, revision).await?;
            Ok(())
        });
        self.note(&bucket, written.await).await
    }

    /// Deletes the last entry; with a revision only if it still has that one.
    pub(super) async fn delete(&self, client: &Client, song: &str, revision: Option<u64>) {
        if let Ok(bucket) = self.bucket(client, false).await {
            let deleted = bucket.delete_expect_revision(song, revision);
            // If another node was faster, the entry belongs to that node.
            let _ = tokio::time::timeout(ANSWERS_WITHIN, deleted).await;
        }
    }

    /// Whether the bucket can be used again: it takes a write.
    pub(super) async fn probe(&self, client: &Client) -> bool {
        let Ok(bucket) = self.bucket(client, true).await else {
            return false;
        };
        let put = within(async {
            let put = bucket.put(PROBE, Bytes::new()).await;
            put.map_err(|error| match error.kind() {
                kv::PutErrorKind::Ack => Unsaid::Silent,
                kv::PutErrorKind::InvalidKey | kv::PutErrorKind::Publish => {
                    Unsaid::Lost(error.to_string())
                }
            })
        });
        let is_taken = self.note(&bucket, put.await).await.is_ok();
        if is_taken && self.fault.lock().take().is_some() {
            tracing::info!("NATS keeps the bucket of songs again");
        }
        is_taken
    }

    /// The bucket, which is made where there is none. One that is there stays as its operator has set it, but gets more
    /// copies where there are servers for them. `probes`: it is asked although `JetStream` was silent last.
    async fn bucket(&self, client: &Client, probes: bool) -> Result<Arc<kv::Store>, Unsaid> {
        let mut handle = self.handle.lock().await;
        if self.is_silent() && !probes {
            return Err(Unsaid::Silent);
        }
        if let Some(bucket) = &*handle {
            return Ok(Arc::clone(bucket));
        }
        match within(self.open(client)).await {
            Ok(bucket) => {
                if !self.is_silent() {
                    self.fault.lock().take();
                }
                Ok(Arc::clone(handle.insert(Arc::new(bucket))))
            }
            Err(Unsaid::Lost(why)) => {
                self.complain(false, format!("NATS gives no bucket of songs ({why})"));
                Err(Unsaid::Missing)
            }
            Err(why) => {
                self.complain_of_silence();
                Err(why)
            }
        }
    }

    async fn open(&self, client: &Client) -> Result<kv::Store, Unsaid> {
        let jetstream = jetstream::new(client.clone());
        let bucket = match jetstream.get_key_value(&self.name).await {
            Ok(bucket) => self.with_more_copies(&jetstream, bucket).await,
            Err(error) if is_away(&error) => return Err(Unsaid::Silent),
            Err(_) => self.make(&jetstream).await?,
        };
        self.was_found.store(true, Ordering::Relaxed);
        Ok(bucket)
    }

    async fn make(&self, jetstream: &jetstream::Context) -> Result<kv::Store, Unsaid> {
        let config = |copies| kv::Config {
            bucket: self.name.clone(),
            description: "which node makes or has a song".to_owned(),
            history: 1,
            max_age: SONGS_KEPT,
            num_replicas: copies,
            ..kv::Config::default()
        };
        let mut made = jetstream.create_key_value(config(self.copies)).await;
        if made.as_ref().is_err_and(is_of_one_server) {
            made = jetstream.create_key_value(config(1)).await;
        }
        let why = match made {
            Ok(bucket) => {
                if self.was_found.load(Ordering::Relaxed) {
                    tracing::warn!(
                        "NATS does not know the bucket of songs any more; it is made again, and songs may be fetched once more. \
                         Look at --store_dir of nats-server"
                    );
                }
                return Ok(bucket);
            }
            Err(error) => error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string),
        };
        // A node of another version was faster.
        let there = jetstream.get_key_value(&self.name).await;
        there.map_err(|_| Unsaid::Lost(why))
    }

    /// A bucket from the time of one server gets its other copies.
    async fn with_more_copies(
        &self,
        jetstream: &jetstream::Context,
        bucket: kv::Store,
    ) -> kv::Store {
        let stream::Info { config, .. } = bucket.stream.cached_info();
        if config.num_replicas >= self.copies {
            return bucket;
        }
        let copies = stream::Config {
            num_replicas: self.copies,
            ..config.clone()
        };
        match jetstream.update_stream(copies).await {
            Ok(_) => tracing::info!(
                copies = self.copies,
                "NATS keeps more copies of the bucket of songs from now on"
            ),
            Err(error) => tracing::warn!(
                copies = config.num_replicas,
                "NATS keeps no more copies of the bucket of songs, although cluster.nats names {} servers or more ({error})",
                self.copies
            ),
        }
        bucket
    }

    /// Passes on what NATS said. A handle that may be of no use any more is dropped.
    async fn note<T>(&self, bucket: &Arc<kv::Store>, said: Result<T, Unsaid>) -> Result<T, Unsaid> {
        if matches!(said, Ok(_) | Err(Unsaid::Overtaken)) {
            return said;
        }
        let mut handle = self.handle.lock().await;
        handle.take_if(|held| Arc::ptr_eq(held, bucket));
        match &said {
            Err(Unsaid::Lost(why)) => {
                tracing::debug!(why, "NATS is asked for the bucket of songs anew")
            }
            _ => self.complain_of_silence(),
        }
        said
    }

    fn is_silent(&self) -> bool {
        self.fault
            .lock()
            .as_ref()
            .is_some_and(|fault| fault.is_silent)
    }

    fn complain_of_silence(&self) {
        let sentence = "JetStream of NATS does not answer, so the bucket of songs cannot be used";
        self.complain(true, sentence.to_owned());
    }

    /// The log says it once, until the bucket can be used again.
    fn complain(&self, is_silent: bool, sentence: String) {
        let fault = Fault {
            is_silent,
            sentence: sentence.clone(),
        };
        if self.fault.lock().replace(fault).is_none() {
            tracing::warn!(
                "{sentence}: two nodes may fetch the same song; look at JetStream of nats-server"
            );
        }
    }
}

/// The last message for a song, from the server that decides what is written.
async fn last_written(bucket: &kv::Store, song: &str) -> Result<(Bytes, u64), Unsaid> {
    let subject = format!("{}{song}", bucket.prefix);
    let read = bucket.stream.get_last_raw_message_by_subject(&subject);
    match read.await {
        Ok(message) => Ok((message.payload, message.sequence)),
        Err(error) => match error.kind() {
            stream::LastRawMessageErrorKind::NoMessageFound => Ok(Default::default()),
            _ => Err(Unsaid::Lost(error.to_string())),
        },
    }
}

/// Whether `JetStream` does not say if there is a bucket. Several servers that have no leader answer so.
fn is_away(error: &KeyValueError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    source.is_some_and(|error: &GetStreamError| match error.kind() {
        GetStreamErrorKind::Request => true,
        GetStreamErrorKind::JetStream(error) => {
            error.error_code() == ErrorCode::CLUSTER_NOT_AVAILABLE
        }
        GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => false,
    })
}

/// Whether more copies are refused because there is one server under several names.
fn is_of_one_server(error: &CreateKeyValueError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    source.is_some_and(|error: &CreateStreamError| {
        matches!(error.kind(), CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED)
    })
}

async fn within<T>(asked: impl Future<Output = Result<T, Unsaid>>) -> Result<T, Unsaid> {
    let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
    answer.unwrap_or(Err(Unsaid::Silent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_another_version_wrote_is_read_and_keeps_what_is_unknown() {
        let before = SongEntry::read(br#"{"node":"a"}"#).expect("the first version's");
        assert_eq!((before.node.as_str(), before.finished), ("a", None));
        let text = br#"{"node":"a","finished":{"ext":"m4a","size":5,"sha256":"00","mood":1},"colour":"red"}"#;
        let later = SongEntry::read(text).expect("a later version's");
        assert_eq!(later.finished.as_ref().map(|song| song.size), Some(5));
        let again: serde_json::Value = serde_json::from_slice(&later.text()).expect("JSON");
        assert_eq!(again["colour"], "red");
    }
}
