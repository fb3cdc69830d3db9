//! From a pasted link to metadata, with one question to the site.
//!
//! Owns the order in which an answer is looked for: the answers of the last minutes ([`super::answers`]), the catalog,
//! a question that is under way, the site. Signed URLs go to the jobs that use them. This module never queues a
//! download.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmds_extract::choose::Accept;
use kmds_extract::link::{LinkError, SearchLink};
use kmds_extract::search::{Hit, SearchSite, as_list};
use kmds_extract::{
    Collection, Entry, ExtractError, Failure, Kind, Link, Resolved, Site, Track, TrackId,
};

use super::answers::{Answer, Answers, Hits, Searches};
use super::target::Target;
use super::told::{self, forget_url};
use super::too_slow;
use crate::cluster::{Peers, Question, Reply, is_of_address, passes_on, sooner};
use crate::config::Config;
use crate::engine::Engines;
use crate::jobs::HeldStreams;
use crate::origin::SharedRecipes;
use crate::single_flight::SingleFlight;
use crate::store::Store;

/// Pages of a list must arrive within this share of the client's waiting time: in the rest its songs become rows.
const SHARE_FOR_PAGES: f64 = 0.8;
/// Results of a search that are tried until one can be played.
const SONGS_TRIED: usize = 3;

/// Asks the sites, or answers from memory and catalog.
pub(super) struct Resolver {
    engines: Engines,
    recipes: SharedRecipes,
    store: Store,
    streams: Arc<HeldStreams>,
    enabled: HashMap<Site, bool>,
    max_list_songs: usize,
    /// By link.
    asking: SingleFlight<String, Answer>,
    answers: Answers,
    searches: Searches,
    peers: Peers,
}

impl Resolver {
    pub(super) fn new(
        config: &Config,
        engines: Engines,
        recipes: SharedRecipes,
        store: Store,
        streams: Arc<HeldStreams>,
        peers: Peers,
    ) -> Self {
        Self {
            engines,
            recipes,
            store,
            streams,
            enabled: config
                .sites
                .iter()
                .map(|(site, of)| (*site, of.enabled))
                .collect(),
            max_list_songs: config.lists_max_songs,
            asking: SingleFlight::default(),
            answers: Answers::default(),
            searches: Searches::default(),
            peers,
        }
    }

    /// The target of a pasted text, in the form in which it is looked up.
    pub fn read(&self, text: &str, whole_list: bool) -> Result<Target, Failure> {
        let unsupported = |error: LinkError| Failure::new(Kind::UnsupportedLink, error.to_string());
        if let Some(search) = SearchLink::parse(text) {
            let search = search.map_err(unsupported)?;
            self.check_site(search.at.site())?;
            return Ok(Target::Search(search));
        }
        match Link::parse(text) {
            Ok(link) => {
                self.check_site(link.site())?;
                Ok(Target::Native(if whole_list {
                    link.whole_list()
                } else {
                    link
                }))
            }
            Err(LinkError::NotOurs) if self.is_on(Site::Other) => {
                Target::other(kmds_extract::link::bare(text))
            }
            Err(error) => Err(unsupported(error)),
        }
    }

    fn is_on(&self, site: Site) -> bool {
        self.enabled.get(&site).copied().unwrap_or(false)
    }

    /// Whether other nodes are asked for this site.
    fn is_taken_elsewhere(&self, site: Site) -> bool {
        !self.peers.are_none() && Site::NATIVE.contains(&site)
    }

    /// Checks that a site is switched on.
    pub fn check_site(&self, site: Site) -> Result<(), Failure> {
        let reason = || format!("{site} is switched off here (`{}.enabled`)", site.as_str());
        if self.is_on(site) || self.is_taken_elsewhere(site) {
            Ok(())
        } else {
            Err(Failure::new(Kind::UnsupportedLink, reason()))
        }
    }

    /// The longest time that a client waits for this link.
    pub fn limit(&self, target: &Target) -> Duration {
        let times = &self.recipes.current().time;
        if target.is_list() {
            times.fetch_list
        } else {
            times.fetch_song
        }
    }

    /// The metadata of a link, or of the first result of a search.
    pub async fn resolve(&self, target: &Target, accept: &Accept) -> Answer {
        let Target::Search(search) = target else {
            return self.resolve_link(target, accept).await;
        };
        let hits = self.search(search.at, &search.words).await?;
        if let Some(list) = listed(&hits, search) {
            return list;
        }
        let mut last = nothing_found();
        for song in hits.iter().filter_map(song_link).take(SONGS_TRIED) {
            match self.resolve_link(&song, accept).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.retryable() => return Err(failure),
                // The site listed it, but it cannot be played: try the next one.
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// The results of a search: one request for all clients that search at the same time, remembered like a list.
    pub async fn search(&self, at: SearchSite, words: &str) -> Result<Hits, Failure> {
        if !self.is_on(at.site()) {
            return self.search_elsewhere(at, words).await;
        }
        match self.search_of_the_site(at, words).await {
            Err(failure) if passes_on(failure.kind) && !self.peers.are_none() => {
                let elsewhere = self.search_elsewhere(at, words).await;
                elsewhere.map_err(|_| failure)
            }
            found => found,
        }
    }

    async fn search_of_the_site(&self, at: SearchSite, words: &str) -> Result<Hits, Failure> {
        self.check_not_refused(at.site())?;
        let times = self.recipes.current().time.clone();
        let asking = self
            .searches
            .find((at, words.to_owned()), times.remember_list, || {
                self.engines.search(at, words)
            });
        let found = tokio::time::timeout(times.fetch_song, asking).await;
        let found = found.map_err(|_| too_slow())?;
        found.map_err(|error| self.failure(at.site(), &error))
    }

    /// Checks that the site has not refused its pages to this address a moment ago, where other nodes may ask it.
    fn check_not_refused(&self, site: Site) -> Result<(), Failure> {
        self.peers.pages_closed(site).map_or(Ok(()), Err)
    }

    /// What the site said for a page. A refusal of this address keeps songs away from it too.
    fn failure(&self, site: Site, error: &ExtractError) -> Failure {
        let failure = Failure::from(error);
        self.peers.note_page(site, &failure);
        failure
    }

    /// A song as a search of the last minutes found it.
    pub fn found_track(&self, id: &TrackId) -> Option<Track> {
        let life = self.recipes.current().time.remember_list;
        self.searches.track(id, life)
    }

    /// The metadata of the link: one request to the site for all clients that ask at the same time.
    async fn resolve_link(&self, target: &Target, accept: &Accept) -> Answer {
        if let Some(answer) = self.remembered_link(target).await {
            return answer;
        }
        let link = target.key();
        let ask = async || {
            // The answer may have arrived while the catalog was asked.
            let times = &self.recipes.current().time;
            match self.answers.recent(&link, times) {
                Some(answer) => answer,
                None => self.ask(target, accept, &link).await,
            }
        };
        self.asking.run(link.clone(), ask).await
    }

    /// What is known about the link without asking the site.
    pub async fn remembered(&self, target: &Target) -> Option<Answer> {
        let Target::Search(search) = target else {
            return self.remembered_link(target).await;
        };
        let life = self.recipes.current().time.remember_list;
        let hits = self
            .searches
            .recall(&(search.at, search.words.clone()), life)?;
        match listed(&hits, search) {
            Some(list) => Some(list),
            None => {
                self.remembered_link(&hits.iter().find_map(song_link)?)
                    .await
            }
        }
    }

    async fn remembered_link(&self, target: &Target) -> Option<Answer> {
        let link = target.key();
        if let Some(answer) = self.answers.whole(&link, &self.recipes.current().time) {
            return Some(answer);
        }
        let track = self.known(target, &link).await?;
        Some(Ok(Arc::new(Resolved::Track(Box::new(track)))))
    }

    /// Asks the site, or another node if this one cannot, and remembers the answer if that is allowed.
    async fn ask(&self, target: &Target, accept: &Accept, key: &str) -> Answer {
        let site = target.native_site();
        let Some(site) = site.filter(|site| self.is_taken_elsewhere(*site)) else {
            return self.ask_the_site(target, accept, key).await;
        };
        let own = if self.is_on(site) {
            match self.ask_the_site(target, accept, key).await {
                Err(failure) if passes_on(failure.kind) => Some(failure),
                answer => return answer,
            }
        } else {
            None
        };
        let answer = self.ask_a_node(site, target, accept).await;
        self.answers
            .keep(key, &answer, &self.recipes.current().time);
        match (answer, own) {
            (Err(other), Some(own)) if is_of_address(own.kind) && is_of_address(other.kind) => {
                Err(sooner(Some(own), other))
            }
            (Err(_), Some(own)) => Err(own),
            (answer, _) => answer,
        }
    }

    async fn ask_a_node(&self, site: Site, target: &Target, accept: &Accept) -> Answer {
        let question = Question::Link {
            link: target.key(),
            accept: accept.clone(),
        };
        let asking = self.peers.ask(site, &question, self.limit(target), &[]);
        let (_, reply) = asking.await?;
        let answer = told::resolved(reply);
        answer.map(Arc::new).ok_or_else(another_answer)
    }

    async fn search_elsewhere(&self, at: SearchSite, words: &str) -> Result<Hits, Failure> {
        let question = Question::Search {
            at: at.as_str().to_owned(),
            words: words.to_owned(),
        };
        let within = self.recipes.current().time.fetch_song;
        let asking = self.peers.ask(at.site(), &question, within, &[]);
        match asking.await?.1 {
            Reply::Hits(hits) => Ok(Arc::new(hits)),
            _ => Err(another_answer()),
        }
    }

    /// Resolves a link for another node: only this node asks the site.
    pub async fn resolve_here(&self, link: &str, accept: &Accept) -> Result<Reply, Failure> {
        let target = self.read(link, false)?;
        self.check_asked_here(&target)?;
        let answer = match self.remembered_link(&target).await {
            Some(answer) => answer,
            None => {
                let key = target.key();
                let ask = async || self.ask_the_site(&target, accept, &key).await;
                // Separate from this node's own questions, which may wait for the asking node.
                self.asking.run(format!("here {key}"), ask).await
            }
        };
        answer.map(|resolved| told::told(&resolved))
    }

    /// The same for words.
    pub async fn search_here(&self, at: &str, words: &str) -> Result<Reply, Failure> {
        let at = SearchSite::parse(at).filter(|at| self.is_on(at.site()));
        let at = at.ok_or_else(another_answer)?;
        let hits = self.search_of_the_site(at, words).await?;
        Ok(Reply::Hits(hits.to_vec()))
    }

    fn check_asked_here(&self, target: &Target) -> Result<(), Failure> {
        let site = target.native_site();
        match site.filter(|site| self.is_on(*site)) {
            Some(_) => Ok(()),
            None => Err(another_answer()),
        }
    }

    /// Asks the site, and remembers the answer if that is allowed.
    async fn ask_the_site(&self, target: &Target, accept: &Accept, key: &str) -> Answer {
        let site = target.native_site();
        if let Some(site) = site {
            self.check_not_refused(site)?;
        }
        let until = target
            .may_be_list()
            .then(|| Instant::now() + self.limit(target).mul_f64(SHARE_FOR_PAGES));
        let answer = match target {
            Target::Native(link) => match self.read_on(link, key, until).await {
                ReadOn::Longer(list) => Ok(Resolved::Collection(list)),
                ReadOn::AsItWas(answer) => return Ok(answer),
                ReadOn::Anew => self
                    .engines
                    .resolve(link, accept, until)
                    .await
                    .map(|(resolved, _)| resolved),
            },
            Target::Other(url) => self.engines.resolve_other(url, accept).await,
            Target::Search(_) => return Err(nothing_found()),
        };
        let answer = answer
            .map_err(|error| self.failure(site.unwrap_or(Site::Other), &error))
            .map(|resolved| Arc::new(self.take_streams(resolved)));
        let is_band_page = matches!(target, Target::Native(link) if link.is_band_page());
        if !(is_band_page && answer.is_ok()) {
            let times = &self.recipes.current().time;
            self.answers.keep(key, &answer, times);
        }
        answer
    }

    /// Continues a list of which only the beginning is remembered.
    async fn read_on(&self, link: &Link, key: &str, until: Option<Instant>) -> ReadOn {
        let so_far = self.answers.list(key, &self.recipes.current().time);
        let Some(so_far) = so_far else {
            return ReadOn::Anew;
        };
        let Resolved::Collection(list) = &*so_far else {
            return ReadOn::Anew;
        };
        match self.engines.resume(link, list.clone(), until).await {
            Ok(Some(longer)) => ReadOn::Longer(longer),
            Ok(None) => ReadOn::Anew,
            Err(error) => {
                tracing::info!(site = link.site().as_str(), %error, "the rest of a list cannot be read now");
                ReadOn::AsItWas(so_far)
            }
        }
    }

    /// A song that the catalog knows, as a single song and not as part of a list.
    async fn known(&self, target: &Target, key: &str) -> Option<Track> {
        let id = self.song_at(target, key).await?;
        let alone = self.store.track_alone(&id).await.ok().flatten();
        alone.map(|(track, _)| track)
    }

    /// The song that a link leads to, if that is known.
    pub async fn song_of(&self, target: &Target) -> Option<TrackId> {
        self.song_at(target, &target.key()).await
    }

    async fn song_at(&self, target: &Target, key: &str) -> Option<TrackId> {
        if !matches!(target, Target::Native(_)) {
            return None;
        }
        match target.song().or_else(|| self.answers.song(key)) {
            Some(id) => Some(id),
            None => self.store.track_by_link(key).await.ok().flatten(),
        }
    }

    /// Keeps the streams of a resolved link apart from its metadata, since they expire.
    fn take_streams(&self, mut resolved: Resolved) -> Resolved {
        match &mut resolved {
            Resolved::Track(track) => self.streams.keep(&track.id, track.streams.clone()),
            Resolved::Collection(list) => {
                if list.entries.len() > self.max_list_songs {
                    list.entries.truncate(self.max_list_songs);
                    (list.truncated, list.rest) = (true, None);
                }
                for entry in &mut list.entries {
                    if let Entry::Track(track) = entry {
                        self.streams.keep(&track.id, track.streams.clone());
                        track.streams.iter_mut().for_each(forget_url);
                    }
                }
            }
        }
        resolved
    }
}

/// The result of continuing a list.
enum ReadOn {
    Longer(Collection),
    /// Nothing more could be read now.
    AsItWas(Arc<Resolved>),
    /// There is no place to continue from.
    Anew,
}

/// The results of a search as a list, if the client asked for a list.
fn listed(hits: &[Hit], search: &SearchLink) -> Option<Answer> {
    let list = as_list(
        hits,
        search.at,
        &search.words,
        search.canonical(),
        search.count?,
    );
    Some(if list.entries.is_empty() {
        Err(nothing_found())
    } else {
        Ok(Arc::new(Resolved::Collection(list)))
    })
}

/// The link of a result that can be played.
fn song_link(hit: &Hit) -> Option<Target> {
    hit.source.as_ref()?;
    Link::parse(&hit.link).ok().map(Target::Native)
}

/// The versions of the two nodes do not match.
fn another_answer() -> Failure {
    let sentence = "another node gave no answer to this; update the older one";
    Failure::new(Kind::ClusterUnavailable, sentence)
}

fn nothing_found() -> Failure {
    Failure::new(
        Kind::NotFound,
        "the site finds no song for these words; write other words, or search another site",
    )
}
