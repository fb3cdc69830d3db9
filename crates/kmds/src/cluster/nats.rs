//! The connection to NATS: presence, questions, and which node has which song.
//!
//! Owns subjects and keys. One task ([`Nats::run`]) tells of this node every two seconds, hears of the others and gets
//! questions, each of which is answered by a task of its own, at most [`ANSWERED_AT_ONCE`]. The library connects again by
//! itself; while it is not connected nothing is published, so nothing piles up.
//!
//! | in NATS | as | holds |
//! | --- | --- | --- |
//! | `{name}.nodes` | plain subject | what each node tells of itself; one that is silent is gone |
//! | `{name}.news` | plain subject | what happens to songs |
//! | `{name}.ask.{node}` | request and reply | questions to one node |
//! | `{name}-songs` | key-value bucket | for each song the node that makes or has it ([`super::songs`]) |

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use kmds_extract::{Failure, Kind, Site};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::presence::{GONE_AFTER, Known, PROTOCOL};
use super::questions::{Question, Reply, pack, unpack_question, unpack_reply};
use super::relay::Relay;
use super::seal::{Seal, Unopened};
use super::songs::{ANSWERS_WITHIN, SongEntry, Songs, Unsaid};
use super::{
    Answering, Arriving, Claim, Finished, HearingNews, Network, NewsTold, NodeReport, NotGiven,
    Service, TellingNews,
};
use crate::clock::unix_millis;
use crate::config::{ClusterConfig, read_cluster_token};
use crate::random;

/// How often a node tells of itself.
const BEAT: Duration = Duration::from_secs(2);
/// Within this time every node has told of itself.
const ONE_BEAT: Duration = Duration::from_millis(2_500);
const ANSWERED_AT_ONCE: usize = 64;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that is silent is given up after three of these.
const PING_EVERY: Duration = Duration::from_secs(3);
/// A node that has just come has heard all others after so long: they answer its first report, or tell at their next beat.
const KNOWS_ALL_AFTER: Duration = Duration::from_millis(2500);
/// Songs that this node began without NATS and tells of later; more are forgotten, and may be fetched twice.
const MOST_UNTOLD: usize = 10_000;
/// Nodes of another version that are told of, one by one.
const MOST_STRANGE: usize = 100;
/// Other nodes may change a song's entry at the same time.
const TRIES: u32 = 5;
/// After another node has changed it; a quarter shorter to a quarter longer.
const AFTER_ANOTHER: Duration = Duration::from_millis(120);

/// The cluster as one node sees it.
pub struct Nats {
    config: ClusterConfig,
    instance: String,
    relay: Relay,
    seal: Seal,
    /// When a node of the same name, and of a lower instance, told of itself.
    twin: Mutex<Option<Instant>>,
    /// Nodes of another version; each is told once.
    strange: Mutex<BTreeSet<String>>,
    /// Why messages were passed by; each reason is told once.
    passed_by: Mutex<HashSet<Unopened>>,
    known: Arc<Known>,
    started: Instant,
    /// When NATS gave the first report.
    first_report: watch::Sender<Option<Instant>>,
    client: OnceLock<Client>,
    songs: Songs,
    /// Songs that this node makes or has, and that NATS was away for.
    untold: Mutex<BTreeSet<String>>,
    /// Held by the task that tells of them.
    telling: tokio::sync::Mutex<()>,
    answers: Arc<Semaphore>,
}

/// What a node is subscribed to.
struct Heard {
    nodes: Subscriber,
    questions: Subscriber,
    news: Subscriber,
}

/// A message about a song.
#[derive(Serialize, Deserialize)]
struct News {
    node: String,
    news: NewsTold,
}

impl Nats {
    /// Reads the token; connects to nothing yet.
    /// # Errors
    /// A sentence: a file that cannot be used.
    pub fn new(config: ClusterConfig) -> Result<Self, String> {
        let token = config.token_file.as_deref().map(|file| {
            read_cluster_token(file)
                .map_err(|why| format!("cluster.token_file {}: {why}", file.display()))
        });
        let token = token.transpose()?;
        for (key, file) in [
            ("credentials_file", &config.credentials_file),
            ("ca_file", &config.ca_file),
        ] {
            let Some(file) = file else { continue };
            std::fs::File::open(file)
                .map_err(|error| format!("cluster.{key} {}: {error}", file.display()))?;
        }
        Ok(Self {
            seal: Seal::new(token.as_deref()),
            relay: Relay::new(config.node.clone(), token)?,
            twin: Mutex::default(),
            passed_by: Mutex::default(),
            strange: Mutex::default(),
            instance: random::id(),
            known: Arc::default(),
            started: Instant::now(),
            first_report: watch::Sender::new(None),
            client: OnceLock::new(),
            songs: Songs::new(&config.name),
            untold: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            answers: Arc::new(Semaphore::new(ANSWERED_AT_ONCE)),
            config,
        })
    }

    /// Works among the others until `stop`. `address` is where they reach this node's HTTP.
    /// # Errors
    /// A sentence: settings that cannot be used. A server that does not answer is waited for.
    pub async fn run(
        self: Arc<Self>,
        address: Option<String>,
        service: Service,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let client = self.connect().await?;
        let own = format!("{}.ask.{}", self.config.name, self.config.node);
        let subscribed = async {
            Ok(Heard {
                nodes: client.subscribe(self.nodes_subject()).await?,
                questions: client.subscribe(own).await?,
                news: client.subscribe(self.news_subject()).await?,
            })
        };
        let subscribed: Result<_, async_nats::SubscribeError> = subscribed.await;
        let heard = subscribed.map_err(|error| error.to_string())?;
        // Questions that come from now on are answered.
        let _ = self.client.set(client.clone());
        tracing::info!(
            node = self.config.node,
            servers = self.config.server_names(),
            "one node of the cluster {}",
            self.config.name
        );
        let Service {
            telling,
            answering,
            news,
            hearing,
        } = service;
        let report = |leaves| NodeReport {
            node: self.config.node.clone(),
            instance: self.instance.clone(),
            protocol: PROTOCOL,
            version: crate::VERSION.to_owned(),
            address: address.clone(),
            sites: telling(),
            leaves,
        };
        tokio::select! {
            () = self.work(&client, heard, &report, (&answering, &hearing)) => {}
            // A slow client of this node's events must not keep answers waiting.
            () = self.tell_news(&client, news) => {}
            () = stop.cancelled() => {}
        }
        self.tell(&client, &report(true)).await;
        let _ = tokio::time::timeout(ANSWERS_WITHIN, client.flush()).await;
        Ok(())
    }

    /// See [`super::Membership::blind_to`].
    pub async fn blind_to(&self, file: &str) -> Result<(Vec<String>, usize), String> {
        let client = self.connect().await?;
        let told = client.subscribe(self.nodes_subject()).await;
        let mut told = told.map_err(|error| error.to_string())?;
        let _ = tokio::time::timeout(ANSWERS_WITHIN, client.flush()).await;
        if client.connection_state() != State::Connected {
            return Err("NATS does not answer".to_owned());
        }
        let mut nodes = BTreeSet::new();
        let _ = tokio::time::timeout(ONE_BEAT, async {
            while let Some(message) = told.next().await {
                let text = self.opened(&message);
                let report = text.and_then(|text| serde_json::from_slice::<NodeReport>(&text).ok());
                nodes.extend(
                    report
                        .filter(|report| !report.leaves)
                        .map(|report| report.node),
                );
            }
        })
        .await;
        let question = pack(&Question::Sees {
            file: file.to_owned(),
        });
        let mut blind = Vec::new();
        for node in &nodes {
            let asked = self
                .request(&client, node, question.clone(), ANSWERS_WITHIN)
                .await;
            // A node of an earlier version does not understand.
            if let Some(Reply::Sees(false)) = asked.as_deref().and_then(unpack_reply) {
                blind.push(node.clone());
            }
        }
        Ok((blind, nodes.len()))
    }

    async fn request(
        &self,
        client: &Client,
        node: &str,
        question: Bytes,
        within: Duration,
    ) -> Option<Bytes> {
        let subject = format!("{}.ask.{node}", self.config.name);
        let request = async_nats::Request::new()
            .payload(self.sealed(&subject, question))
            .timeout(Some(within));
        let reply = client.send_request(subject, request).await.ok()?;
        self.opened(&reply)
    }

    async fn connect(&self) -> Result<Client, String> {
        let refused = Mutex::new(None);
        let mut options = ConnectOptions::new()
            .name(format!("kmds {}", self.config.node))
            .retry_on_initial_connect()
            .request_timeout(Some(ANSWERS_WITHIN))
            .ping_interval(PING_EVERY)
            .reconnect_delay_callback(|attempts| {
                let pause = Duration::from_millis(100).saturating_mul(attempts as u32);
                pause.min(LONGEST_PAUSE)
            })
            .event_callback(move |event| {
                log(&event, &mut refused.lock());
                std::future::ready(())
            });
        if let Some(file) = &self.config.credentials_file {
            let read = options.credentials_file(file).await;
            options = read
                .map_err(|error| format!("cluster.credentials_file {}: {error}", file.display()))?;
        }
        if let Some(file) = &self.config.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        let connecting = options.connect(self.config.servers.clone());
        connecting.await.map_err(|error| error.to_string())
    }

    async fn work(
        self: &Arc<Self>,
        client: &Client,
        mut heard: Heard,
        report: &impl Fn(bool) -> NodeReport,
        (answering, hearing): (&Answering, &HearingNews),
    ) {
        let mut first = std::pin::pin!(tokio::time::sleep(ANSWERS_WITHIN));
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = first.as_mut(), if !first.is_elapsed() => {
                    if client.connection_state() != State::Connected {
                        tracing::warn!(
                            servers = self.config.server_names(),
                            "NATS does not answer; it is asked again and again. Look at cluster.nats"
                        );
                    }
                }
                _ = beat.tick() => {
                    self.tell(client, &report(false)).await;
                    self.tell_later();
                }
                Some(message) = heard.nodes.next() => {
                    if self.hear(&message) {
                        // The new one learns of this one at once.
                        self.tell(client, &report(false)).await;
                    }
                }
                Some(message) = heard.questions.next() => self.answer(client, message, answering).await,
                Some(message) = heard.news.next() => self.hear_news(&message, hearing),
                else => return,
            }
        }
    }

    /// Tells the others what happens to this node's songs.
    async fn tell_news(&self, client: &Client, mut news: TellingNews) {
        while let Some(news) = news.next().await {
            if client.connection_state() != State::Connected || self.is_second() {
                continue;
            }
            let subject = self.news_subject();
            let told = News {
                node: self.config.node.clone(),
                news,
            };
            let text = serde_json::to_vec(&told).unwrap_or_default();
            // News that is lost is followed by other news.
            let _ = client
                .publish(subject.clone(), self.sealed(&subject, text.into()))
                .await;
        }
        std::future::pending().await
    }

    fn hear_news(&self, message: &Message, hearing: &HearingNews) {
        let told = self.opened(message);
        let told = told.and_then(|text| serde_json::from_slice::<News>(&text).ok());
        if let Some(News { news, .. }) = told.filter(|told| told.node != self.config.node) {
            hearing(news);
        }
    }

    async fn tell(&self, client: &Client, report: &NodeReport) {
        if client.connection_state() == State::Connected && !self.is_second() {
            let (subject, text) = (self.nodes_subject(), serde_json::to_vec(report));
            let sealed = self.sealed(&subject, text.unwrap_or_default().into());
            // The next beat tells it anew.
            let _ = client.publish(subject, sealed).await;
        }
    }

    /// Tells of the songs that NATS was away for, one after the other, in a task of its own. It ends where NATS does not take
    /// one; the next beat goes on.
    fn tell_later(self: &Arc<Self>) {
        let is_told = self.untold.lock().is_empty() && self.songs.fault().is_none();
        if is_told || !self.is_connected() {
            return;
        }
        let nats = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(_turn) = nats.telling.try_lock() else {
                return;
            };
            if nats.songs.fault().is_some() && !nats.finds_the_bucket().await {
                return;
            }
            loop {
                let Some(song) = nats.untold.lock().pop_first() else {
                    return;
                };
                match nats.claim(&song, None).await {
                    Claim::Ours => {
                        tracing::debug!(song, "told NATS of a song that was made without it");
                    }
                    Claim::Theirs(_) => {}
                    Claim::Unknown => return,
                }
            }
        });
    }

    async fn finds_the_bucket(&self) -> bool {
        match self.connected() {
            Some(client) => self.songs.probe(client).await,
            None => false,
        }
    }

    /// NATS is away, and this node makes the song without it.
    fn note_untold(&self, song: &str) {
        let mut untold = self.untold.lock();
        if untold.len() < MOST_UNTOLD {
            untold.insert(song.to_owned());
        }
    }

    /// Whether the message tells of a node that was not known.
    fn hear(&self, message: &Message) -> bool {
        let report = self.opened(message);
        let Some(report) = report.and_then(|text| serde_json::from_slice::<NodeReport>(&text).ok())
        else {
            return false;
        };
        self.known.note_report(Instant::now());
        self.first_report.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(Instant::now);
            is_first
        });
        if report.node == self.config.node {
            if report.instance != self.instance {
                self.meet_twin(&report);
            }
            return false;
        }
        if report.protocol != PROTOCOL {
            let mut strange = self.strange.lock();
            if strange.len() < MOST_STRANGE && strange.insert(report.node.clone()) {
                let older = if report.protocol < PROTOCOL {
                    "that node"
                } else {
                    "this one"
                };
                tracing::warn!(
                    node = report.node,
                    version = report.version,
                    "the node speaks another version of the cluster's language: each passes the other by; update {older}"
                );
            }
            return false;
        }
        let node = report.node.clone();
        let is_new = self.known.hear(report, Instant::now());
        if is_new {
            tracing::info!(node, "a node is there");
        }
        is_new
    }

    /// Another program has this node's name. Of two that run, the one of the higher instance works alone.
    fn meet_twin(&self, twin: &NodeReport) {
        let is_second = !twin.leaves && self.instance > twin.instance;
        let met = is_second.then(Instant::now);
        let before = std::mem::replace(&mut *self.twin.lock(), met);
        if is_second && before.is_none() {
            tracing::error!(
                node = twin.node,
                "another node has the same name, and this one works alone; set cluster.node to another name here or there"
            );
        }
    }

    /// Whether another program has this node's name, and works under it.
    fn is_second(&self) -> bool {
        let met = *self.twin.lock();
        met.is_some_and(|met| met.elapsed() < GONE_AFTER)
    }

    /// What a message says, if a node of this cluster sent it, now and once.
    fn opened(&self, message: &Message) -> Option<Bytes> {
        let opened = self
            .seal
            .open(&message.subject, &message.payload, unix_millis());
        let why = match opened {
            Ok(text) => return Some(text),
            Err(why) => why,
        };
        // Each is told once.
        if self.passed_by.lock().insert(why) {
            let subject = message.subject.as_str();
            match why {
                Unopened::Foreign => tracing::warn!(
                    subject,
                    "a message without the secret of cluster.token_file is passed by, as all that follow; it has to be the same on all nodes"
                ),
                Unopened::Earlier => tracing::warn!(
                    subject,
                    "a node of an earlier version is passed by, as it passes this one by: each works alone; update it"
                ),
                Unopened::WrongTime => tracing::warn!(
                    subject,
                    "a node whose clock differs by more than 30 s is passed by, or a message was kept back; set the clocks of all nodes by NTP"
                ),
                Unopened::Repeated => tracing::warn!(
                    subject,
                    "a message that came before is passed by: another client of NATS repeats what nodes say; give nodes an account of their own there"
                ),
            }
        }
        None
    }

    fn sealed(&self, subject: &str, message: Bytes) -> Bytes {
        self.seal.close(subject, message, unix_millis())
    }

    /// Answers a question in a task of its own.
    async fn answer(self: &Arc<Self>, client: &Client, message: Message, answering: &Answering) {
        let question = self.opened(&message);
        let (Some(back), Some(question), false) = (message.reply, question, self.is_second())
        else {
            return;
        };
        let Ok(place) = Arc::clone(&self.answers).try_acquire_owned() else {
            self.reply(client, back, &Reply::Refused(busy())).await;
            return;
        };
        let (client, answering, nats) = (client.clone(), Arc::clone(answering), Arc::clone(self));
        tokio::spawn(async move {
            let _place = place;
            let reply = match unpack_question(&question) {
                Some(question) => answering(question).await,
                None => Reply::Refused(not_understood()),
            };
            if !nats.reply(&client, back.clone(), &reply).await {
                nats.reply(&client, back, &Reply::Refused(too_long())).await;
            }
        });
    }

    /// Whether NATS takes the answer.
    async fn reply(&self, client: &Client, back: Subject, reply: &Reply) -> bool {
        let sealed = self.sealed(&back, pack(reply));
        client.publish(back, sealed).await.is_ok()
    }

    fn nodes_subject(&self) -> String {
        format!("{}.nodes", self.config.name)
    }

    fn news_subject(&self) -> String {
        format!("{}.news", self.config.name)
    }

    fn connected(&self) -> Option<&Client> {
        let client = self.client.get()?;
        let is_connected = client.connection_state() == State::Connected;
        let is_silent = self.known.is_silent(Instant::now());
        (is_connected && !is_silent && !self.is_second()).then_some(client)
    }

    /// Waits after a start until NATS answers, else until it is clear that it is away.
    async fn until_connected(&self) {
        let mut first = self.first_report.subscribe();
        let left = ANSWERS_WITHIN.saturating_sub(self.started.elapsed());
        let _ = tokio::time::timeout(left, first.wait_for(Option::is_some)).await;
    }

    /// Waits after a start until the other nodes had time to tell of themselves.
    async fn until_all_are_known(&self) {
        let first = *self.first_report.borrow();
        let since = first.map_or(Duration::ZERO, |first| first.elapsed());
        tokio::time::sleep(KNOWS_ALL_AFTER.saturating_sub(since)).await;
    }

    /// A song's entry, if there is one, and its revision; `None` if NATS does not say.
    async fn entry(&self, song: &str) -> Option<(Option<SongEntry>, u64)> {
        let client = self.connected()?;
        self.songs.read(client, song, false).await.ok()
    }

    /// `None` if NATS does not say.
    async fn claimed(&self, song: &str, from: Option<&str>) -> Option<Claim> {
        let mut was_overtaken = false;
        for _ in 0..TRIES {
            match self.try_to_claim(song, from, was_overtaken).await {
                Ok(claim) => return Some(claim),
                Err(Unsaid::Overtaken) => {
                    was_overtaken = true;
                    tokio::time::sleep(random::varied(AFTER_ANOTHER)).await;
                }
                Err(Unsaid::Lost(_)) => {}
                Err(Unsaid::Silent | Unsaid::Missing) => return None,
            }
        }
        None
    }

    async fn try_to_claim(
        &self,
        song: &str,
        from: Option<&str>,
        by_leader: bool,
    ) -> Result<Claim, Unsaid> {
        let client = self.connected().ok_or(Unsaid::Missing)?;
        let (entry, revision) = self.songs.read(client, song, by_leader).await?;
        let entry = entry.unwrap_or_default();
        let holder = &entry.node;
        let is_theirs = !holder.is_empty() && *holder != self.config.node;
        let may_be_theirs = is_theirs && from != Some(holder);
        if may_be_theirs && !self.is_there(holder) {
            self.until_all_are_known().await;
        }
        if may_be_theirs && self.is_there(holder) {
            return Ok(Claim::Theirs(entry.node));
        }
        let own = self.own(entry);
        self.songs.write(client, song, own, revision).await?;
        Ok(Claim::Ours)
    }

    /// The entry as that of a song which this node fetches.
    fn own(&self, entry: SongEntry) -> Bytes {
        let node = self.config.node.clone();
        let own = SongEntry {
            node,
            finished: None,
            ..entry
        };
        own.text()
    }

    fn is_there(&self, node: &str) -> bool {
        let there = self.known.there(Instant::now());
        there.iter().any(|report| report.node == node)
    }

    fn url(&self, node: &str, path: &str) -> Option<String> {
        let there = self.known.there(Instant::now());
        let report = there.into_iter().find(|report| report.node == node)?;
        Some(format!("{}{path}", report.address?))
    }
}

/// `refused`: why NATS gave no connection last; each reason is told once.
fn log(event: &async_nats::Event, refused: &mut Option<String>) {
    use async_nats::Event;
    match event {
        Event::Connected => {
            *refused = None;
            tracing::info!("connected to NATS");
        }
        Event::Disconnected => tracing::warn!("NATS does not answer; it is asked again and again"),
        Event::ServerError(_) | Event::ClientError(_) => {
            let why = event.to_string();
            if refused.as_ref() != Some(&why) {
                tracing::warn!(
                    "NATS gives no connection ({why}); look at cluster.nats, cluster.credentials_file and cluster.ca_file"
                );
                *refused = Some(why);
            }
        }
        other => tracing::debug!("NATS: {other}"),
    }
}

fn busy() -> Failure {
    let sentence = "the node answers as many questions as it can; ask again";
    Failure::new(Kind::QueueFull, sentence).after(BEAT)
}

fn not_understood() -> Failure {
    let sentence = "the node does not understand the question; update the older one";
    Failure::new(Kind::Internal, sentence)
}

fn too_long() -> Failure {
    let sentence =
        "the answer is too long for NATS; raise its max_payload, or lower lists.max_songs";
    Failure::new(Kind::Internal, sentence)
}

impl Network for Nats {
    fn is_connected(&self) -> bool {
        self.connected().is_some()
    }

    fn why_alone(&self) -> Option<(String, &'static str)> {
        if self.is_second() {
            let sentence = format!("another node is named {} too", self.config.node);
            return Some((sentence, "cluster.node"));
        }
        if !self.is_connected() {
            return Some(("NATS does not answer".to_owned(), "cluster.nats"));
        }
        let fault = self.songs.fault();
        fault.map(|sentence| (sentence, "JetStream of nats-server"))
    }

    fn nodes(&self) -> Vec<NodeReport> {
        if self.is_connected() {
            self.known.there(Instant::now())
        } else {
            Vec::new()
        }
    }

    fn took(&self, node: &str, site: Site) {
        self.known.took(node, site);
    }

    fn ask<'a>(
        &'a self,
        node: &'a str,
        question: Bytes,
        within: Duration,
    ) -> BoxFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            let client = self.connected()?;
            self.request(client, node, question, within).await
        })
    }

    fn claim<'a>(&'a self, song: &'a str, from: Option<&'a str>) -> BoxFuture<'a, Claim> {
        Box::pin(async move {
            self.until_connected().await;
            let claim = self.claimed(song, from).await;
            claim.unwrap_or_else(|| {
                self.note_untold(song);
                Claim::Unknown
            })
        })
    }

    fn holder<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let (entry, _) = self.entry(song).await?;
            entry
                .map(|entry| entry.node)
                .filter(|node| self.is_there(node))
        })
    }

    fn finished<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<Finished>> {
        Box::pin(async move { self.entry(song).await?.0?.finished })
    }

    fn finish<'a>(&'a self, song: &'a str, finished: Finished) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(client) = self.connected()
                && let Some((Some(entry), revision)) = self.entry(song).await
                && entry.node == self.config.node
            {
                let entry = SongEntry {
                    finished: Some(finished),
                    ..entry
                };
                // Where another node was faster the entry is its own.
                let _ = self.songs.write(client, song, entry.text(), revision).await;
            }
        })
    }

    fn shares_drive(&self) -> bool {
        self.config.shared_drive
    }

    fn forget<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(client) = self.connected() {
                // An entry that stays leads to a node that says it has no such song.
                self.songs.delete(client, song, None).await;
            }
        })
    }

    fn release<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.untold.lock().remove(song);
            if let Some(client) = self.connected()
                && let Some((Some(entry), revision)) = self.entry(song).await
                && entry.node == self.config.node
            {
                self.songs.delete(client, song, Some(revision)).await;
            }
        })
    }

    fn open<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        from: Option<(u64, String)>,
    ) -> BoxFuture<'a, Result<Arriving, NotGiven>> {
        Box::pin(async move {
            let url = self.url(node, path).ok_or(NotGiven::Lost)?;
            let (known, node) = (Arc::clone(&self.known), node.to_owned());
            let is_there = move || known.sends(&node, Instant::now());
            self.relay.open(&url, from, Arc::new(is_there)).await
        })
    }

    fn read<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Option<Bytes>> {
        Box::pin(async move { self.relay.read(&self.url(node, path)?, most).await })
    }
}
