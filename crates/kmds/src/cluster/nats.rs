//! The connection to NATS: what this node sends by it, and which part gets each message that arrives.
//!
//! Owns subjects and keys. One task ([`Nats::run`]) reports this node every two seconds, and receives the reports and
//! questions of the others. A task of its own answers each question, at most [`ANSWERED_AT_ONCE`] at a time. The
//! library connects again by itself; while there is no connection this node publishes nothing, so no messages pile up.
//!
//! | in NATS | as | holds |
//! | --- | --- | --- |
//! | `{name}.nodes` | plain subject | each node's report of itself; a node that is silent is gone |
//! | `{name}.news` | plain subject | what happens to songs |
//! | `{name}.ask.{node}` | request and reply | questions to one node |
//! | `{name}-songs` | key-value bucket | which node makes or has each song ([`super::claims`]) |

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
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use super::messages::Messages;
use super::presence::PROTOCOL;
use super::questions::{Reply, pack, unpack_question};
use super::relay::Relay;
use super::reports::Reports;
use super::songs::ANSWERS_WITHIN;
use super::{
    Answering, Arriving, Claim, Closed, Finished, HearingNews, Network, NewsTold, NodeReport,
    NotGiven, Service, TellingNews,
};
use crate::config::{ClusterConfig, ClusterToken};

/// How often a node reports itself.
const BEAT: Duration = Duration::from_secs(2);
const ANSWERED_AT_ONCE: usize = 64;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection that is silent is given up after three of these.
const PING_EVERY: Duration = Duration::from_secs(3);

/// The cluster as one node sees it.
pub struct Nats {
    pub(super) config: ClusterConfig,
    pub(super) relay: Relay,
    pub(super) messages: Messages,
    reports: Arc<Reports>,
    claims: Claims,
    client: OnceLock<Client>,
    /// Rung when this node has to report at once.
    changed: Notify,
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
            ClusterToken::read(file)
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
        let reports = Arc::new(Reports::new(config.node.clone()));
        Ok(Self {
            messages: Messages::new(token.as_ref()),
            relay: Relay::new(config.node.clone(), token.map(|token| token.bearer()))?,
            claims: Claims::new(
                &config.name,
                config.servers.len(),
                config.node.clone(),
                Arc::clone(&reports),
            ),
            reports,
            client: OnceLock::new(),
            changed: Notify::new(),
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
        // From now on this node answers questions.
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
            instance: self.reports.instance().to_owned(),
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

    pub(super) async fn request(
        &self,
        client: &Client,
        node: &str,
        question: Bytes,
        within: Duration,
    ) -> Option<Bytes> {
        let subject = format!("{}.ask.{node}", self.config.name);
        let request = async_nats::Request::new()
            .payload(self.messages.sealed(&subject, question))
            .timeout(Some(within));
        let reply = client.send_request(subject, request).await.ok()?;
        self.messages.opened(&reply)
    }

    pub(super) async fn connect(&self) -> Result<Client, String> {
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
                () = self.changed.notified() => self.tell(client, &report(false)).await,
                Some(message) = heard.nodes.next() => {
                    if self.hear(&message) {
                        // The new node gets this node's report at once.
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
            if client.connection_state() != State::Connected || self.reports.is_second() {
                continue;
            }
            let subject = self.news_subject();
            let told = News {
                node: self.config.node.clone(),
                news,
            };
            let text = serde_json::to_vec(&told).unwrap_or_default();
            // Lost news does no harm: other news follow.
            let _ = client
                .publish(subject.clone(), self.messages.sealed(&subject, text.into()))
                .await;
        }
        std::future::pending().await
    }

    fn hear_news(&self, message: &Message, hearing: &HearingNews) {
        let told = self.messages.opened(message);
        let told = told.and_then(|text| serde_json::from_slice::<News>(&text).ok());
        if let Some(News { news, .. }) = told.filter(|told| told.node != self.config.node) {
            hearing(news);
        }
    }

    async fn tell(&self, client: &Client, report: &NodeReport) {
        if client.connection_state() == State::Connected && !self.reports.is_second() {
            let (subject, text) = (self.nodes_subject(), serde_json::to_vec(report));
            let sealed = self
                .messages
                .sealed(&subject, text.unwrap_or_default().into());
            // The next report tells it again.
            let _ = client.publish(subject, sealed).await;
        }
    }

    /// Writes down the songs that this node made while NATS was away, in a task of its own; the next beat goes on where
    /// it ends.
    fn tell_later(self: &Arc<Self>) {
        if self.claims.has_to_tell() && self.is_connected() {
            let nats = Arc::clone(self);
            tokio::spawn(async move { nats.claims.tell(&|| nats.connected()).await });
        }
    }

    /// Whether the message is the first report of a node.
    fn hear(&self, message: &Message) -> bool {
        let report = self.messages.opened(message);
        let report = report.and_then(|text| serde_json::from_slice(&text).ok());
        report.is_some_and(|report| self.reports.hear(report))
    }

    /// Answers a question in a task of its own.
    async fn answer(self: &Arc<Self>, client: &Client, message: Message, answering: &Answering) {
        let question = self.messages.opened(&message);
        let (Some(back), Some(question), false) =
            (message.reply, question, self.reports.is_second())
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
        let sealed = self.messages.sealed(&back, pack(reply));
        client.publish(back, sealed).await.is_ok()
    }

    pub(super) fn nodes_subject(&self) -> String {
        format!("{}.nodes", self.config.name)
    }

    fn news_subject(&self) -> String {
        format!("{}.news", self.config.name)
    }

    /// The connection, while NATS answers and this node works among the others.
    fn connected(&self) -> Option<Client> {
        let client = self.client.get()?;
        let is_connected = client.connection_state() == State::Connected;
        let is_silent = self.reports.known().is_silent(Instant::now());
        (is_connected && !is_silent && !self.reports.is_second()).then(|| client.clone())
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
        if self.reports.is_second() {
            let sentence = format!("another node is named {} too", self.config.node);
            return Some((sentence, "cluster.node"));
        }
        if !self.is_connected() {
            return Some(("NATS does not answer".to_owned(), "cluster.nats"));
        }
        let fault = self.claims.fault();
        fault.map(|sentence| (sentence, "JetStream of nats-server"))
    }

    fn nodes(&self) -> Vec<NodeReport> {
        if self.is_connected() {
            self.reports.known().there(Instant::now())
        } else {
            Vec::new()
        }
    }

    fn took(&self, node: &str, site: Site) {
        self.reports.known().took(node, site);
    }

    fn limited(&self, node: &str, site: Site, closed: Closed) {
        let known = self.reports.known();
        known.limited(node, site, closed, Instant::now());
    }

    fn tell_now(&self) {
        self.changed.notify_one();
    }

    fn ask<'a>(
        &'a self,
        node: &'a str,
        question: Bytes,
        within: Duration,
    ) -> BoxFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            let client = self.connected()?;
            self.request(&client, node, question, within).await
        })
    }

    fn claim<'a>(&'a self, song: &'a str, from: Option<&'a str>) -> BoxFuture<'a, Claim> {
        Box::pin(async move {
            self.reports.until_connected().await;
            self.claims.claim(&|| self.connected(), song, from).await
        })
    }

    fn holder<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move { self.claims.holder(&|| self.connected(), song).await })
    }

    fn finished<'a>(&'a self, song: &'a str) -> BoxFuture<'a, Option<Finished>> {
        Box::pin(async move { self.claims.finished(&|| self.connected(), song).await })
    }

    fn finish<'a>(&'a self, song: &'a str, finished: Finished) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let connected = &|| self.connected();
            self.claims.finish(connected, song, finished).await;
        })
    }

    fn shares_drive(&self) -> bool {
        self.config.shared_drive
    }

    fn forget<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.claims.forget(&|| self.connected(), song).await })
    }

    fn release<'a>(&'a self, song: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.claims.release(&|| self.connected(), song).await })
    }

    fn open<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        from: Option<(u64, String)>,
        listened: bool,
    ) -> BoxFuture<'a, Result<Arriving, NotGiven>> {
        Box::pin(async move {
            let url = self.reports.url(node, path).ok_or(NotGiven::Lost)?;
            let (known, node) = (Arc::clone(self.reports.known()), node.to_owned());
            let is_there = move || known.sends(&node, Instant::now());
            let is_there = Arc::new(is_there);
            self.relay.open(&url, from, listened, is_there).await
        })
    }

    fn read<'a>(
        &'a self,
        node: &'a str,
        path: &'a str,
        most: usize,
    ) -> BoxFuture<'a, Option<Bytes>> {
        Box::pin(async move { self.relay.read(&self.reports.url(node, path)?, most).await })
    }
}
