//! From a pasted link to metadata, asked of the site once.
//!
//! Owns what is remembered between resolves: one flight a link, lists and final refusals for ten minutes, known songs
//! from the catalog. Hides whether anybody was asked. Never queues a download.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmds_extract::choose::Accept;
use kmds_extract::link::{LinkError, SearchLink, SoundCloudLink};
use kmds_extract::recipes::Times;
use kmds_extract::search::{Hit, SearchSite, as_list};
use kmds_extract::{Collection, Entry, Kind, Link, Resolved, Site, Stream, Track, TrackId};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OnceCell;

use super::packed::Packed;
use super::search::Searches;
use super::words::Failure;
use crate::config::Config;
use crate::engine::Engines;
use crate::origin::SharedRecipes;
use crate::origin::url::PublicLink;
use crate::store::Store;

/// Links remembered at once, refusals and lists together; a song's link costs a few hundred bytes.
const REMEMBERED: usize = 2_000;
/// Songs of remembered lists in memory, about 1 KB each in short lists and 60 bytes in long ones.
const REMEMBERED_SONGS: usize = 5_000;
/// Streams that nobody downloaded for so long make room for others.
const STREAMS_WAIT: Duration = Duration::from_secs(600);
/// A song just resolved is no row yet: until it is one at the latest, whoever comes for it gets the same answer.
const LANDED_LIFE: Duration = Duration::from_secs(10);
/// Pages of a list are asked for within this share of the time its client waits: its songs become rows in the rest.
const SHARE_FOR_PAGES: f64 = 0.8;
/// Results of a search that are asked for until one can be played.
const SONGS_TRIED: usize = 3;
/// Signed URLs kept in memory, in bytes: one YouTube song has 6 KB of them.
const STREAM_BYTES: usize = 512 << 10;

pub struct Resolver {
    engines: Engines,
    recipes: SharedRecipes,
    store: Store,
    enabled: HashMap<Site, bool>,
    max_list_songs: usize,
    /// Invariant: an entry lives while somebody resolves its link.
    flights: Mutex<HashMap<String, Flight>>,
    remembered: Mutex<Remembered>,
    streams: Mutex<Streams>,
    searches: Searches,
}

type Answer = Result<Arc<Resolved>, Failure>;
type Flight = Arc<OnceCell<Answer>>;

#[derive(Default)]
struct Remembered {
    answers: HashMap<String, (Instant, Arc<Kept>)>,
    /// Songs resolved within [`LANDED_LIFE`].
    landed: HashMap<String, (Instant, Arc<Resolved>)>,
    /// A link that leads to one song, in whatever form it was pasted.
    songs: HashMap<String, TrackId>,
}

/// A remembered answer.
enum Kept {
    AsItIs(Answer),
    Packed(Packed),
}

impl Kept {
    fn new(answer: Answer) -> Self {
        match answer.as_ref().ok().and_then(Packed::new) {
            Some(packed) => Self::Packed(packed),
            None => Self::AsItIs(answer),
        }
    }

    fn answer(&self) -> Option<Answer> {
        match self {
            Self::AsItIs(answer) => Some(answer.clone()),
            Self::Packed(packed) => packed.unpack().map(Ok),
        }
    }

    /// Whether it ends before the site's list does.
    fn is_cut(&self) -> bool {
        match self {
            Self::AsItIs(Ok(resolved)) => {
                matches!(&**resolved, Resolved::Collection(list) if list.rest.is_some())
            }
            Self::AsItIs(Err(_)) => false,
            Self::Packed(packed) => packed.is_cut(),
        }
    }

    fn songs(&self) -> usize {
        match self {
            Self::AsItIs(Ok(resolved)) => match &**resolved {
                Resolved::Collection(list) => list.entries.len(),
                Resolved::Track(_) => 0,
            },
            Self::AsItIs(Err(_)) => 0,
            Self::Packed(packed) => packed.songs,
        }
    }

    /// How long it holds.
    fn life(&self, times: &Times) -> Duration {
        let is_refusal = matches!(self, Self::AsItIs(Err(_)));
        Times::seconds(if is_refusal {
            times.remember_refusal
        } else {
            times.remember_list
        })
    }
}

#[derive(Default)]
struct Streams {
    of: HashMap<TrackId, (Instant, Vec<Stream>)>,
    bytes: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl Resolver {
    pub fn new(config: &Config, engines: Engines, recipes: SharedRecipes, store: Store) -> Self {
        Self {
            engines,
            recipes,
            store,
            enabled: config
                .sites
                .iter()
                .map(|(site, of)| (*site, of.enabled))
                .collect(),
            max_list_songs: config.lists_max_songs,
            flights: Mutex::default(),
            remembered: Mutex::default(),
            streams: Mutex::default(),
            searches: Searches::default(),
        }
    }

    /// What a pasted text links to, in the form that is looked up.
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

    /// Whether a site is one that is taken.
    pub fn check_site(&self, site: Site) -> Result<(), Failure> {
        let reason = || format!("{site} is switched off here (`{}.enabled`)", site.as_str());
        if self.is_on(site) {
            Ok(())
        } else {
            Err(Failure::new(Kind::UnsupportedLink, reason()))
        }
    }

    /// The time a client is made to wait for this link.
    pub fn limit(&self, target: &Target) -> Duration {
        let times = &self.recipes.current().time;
        Times::seconds(if target.is_list() {
            times.fetch_list
        } else {
            times.fetch_song
        })
    }

    /// Metadata of what is asked for: of a link, or of what a site finds for words.
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
                // The site listed it, but it cannot be played: the next one may be.
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// What a site finds for words, asked of it by one of all who want it now, and remembered like a list.
    pub async fn search(&self, at: SearchSite, words: &str) -> Result<Arc<Vec<Hit>>, Failure> {
        let times = self.recipes.current().time.clone();
        let asking = self.searches.find(
            (at, words.to_owned()),
            Times::seconds(times.remember_list),
            || self.engines.search(at, words),
        );
        let found = tokio::time::timeout(Times::seconds(times.fetch_song), asking).await;
        let late = |_| {
            Failure::new(
                Kind::Timeout,
                "the site did not answer in time; try again later",
            )
        };
        found.map_err(late)?.map_err(|error| Failure::from(&error))
    }

    /// Metadata of the link, asked of the site by one of all who want it now.
    async fn resolve_link(&self, target: &Target, accept: &Accept) -> Answer {
        if let Some(answer) = self.remembered_link(target).await {
            return answer;
        }
        let key = target.key();
        let flight = Boarded {
            flights: &self.flights,
            flight: board(&self.flights, &key),
            key: &key,
        };
        let fly = async || match self.just_landed(&key) {
            // While we looked into the catalog.
            Some(answer) => answer,
            None => self.ask(target, accept, &key).await,
        };
        flight.flight.get_or_init(fly).await.clone()
    }

    /// What is known of the link without asking the site.
    pub async fn remembered(&self, target: &Target) -> Option<Answer> {
        let Target::Search(search) = target else {
            return self.remembered_link(target).await;
        };
        let life = Times::seconds(self.recipes.current().time.remember_list);
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
        let key = target.key();
        if let Some(answer) = self.recall(&key, &self.recipes.current().time) {
            return Some(answer);
        }
        self.known(target, &key)
            .await
            .map(|track| Ok(Arc::new(Resolved::Track(Box::new(track)))))
    }

    /// The answer of a flight that has only just ended.
    fn just_landed(&self, key: &str) -> Option<Answer> {
        if let Some(answer) = self.recall(key, &self.recipes.current().time) {
            return Some(answer);
        }
        let remembered = locked(&self.remembered);
        let (at, song) = remembered.landed.get(key)?;
        (at.elapsed() < LANDED_LIFE).then(|| Ok(Arc::clone(song)))
    }

    /// Asks the site, and remembers what may be.
    async fn ask(&self, target: &Target, accept: &Accept, key: &str) -> Answer {
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
            .map_err(|error| Failure::from(&error))
            .map(|resolved| Arc::new(self.take_streams(resolved)));
        match &answer {
            Ok(_) if matches!(target, Target::Native(link) if link.is_band_page()) => {}
            Ok(resolved) => self.remember_answer(key, resolved),
            // A limit is remembered by the limiter, not here: the next one may be luckier.
            Err(failure) if !failure.retryable() => self.remember(key, answer.clone()),
            Err(_) => {}
        }
        answer
    }

    /// Goes on in a list that was remembered before its end.
    async fn read_on(&self, link: &Link, key: &str, until: Option<Instant>) -> ReadOn {
        let kept = self.kept(key, &self.recipes.current().time);
        let remembered = kept.and_then(|kept| kept.answer()).and_then(Result::ok);
        let Some(so_far) = remembered else {
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

    fn remember_answer(&self, key: &str, resolved: &Arc<Resolved>) {
        match &**resolved {
            Resolved::Track(track) => {
                let mut remembered = locked(&self.remembered);
                if remembered.songs.len() >= REMEMBERED {
                    // The catalog finds most of them again.
                    remembered.songs.clear();
                }
                remembered.songs.insert(key.to_owned(), track.id.clone());
                remembered
                    .landed
                    .retain(|_, (at, _)| at.elapsed() < LANDED_LIFE);
                remembered
                    .landed
                    .insert(key.to_owned(), (Instant::now(), Arc::clone(resolved)));
            }
            // Made anew for each request.
            Resolved::Collection(list) if list.endless => {}
            // What a failing site did not tell this time is worth asking for again.
            Resolved::Collection(list) if list.is_half_told() => {}
            Resolved::Collection(_) => self.remember(key, Ok(Arc::clone(resolved))),
        }
    }

    /// A remembered answer that is all there is to tell.
    fn recall(&self, key: &str, times: &Times) -> Option<Answer> {
        self.kept(key, times)
            .filter(|kept| !kept.is_cut())?
            .answer()
    }

    fn kept(&self, key: &str, times: &Times) -> Option<Arc<Kept>> {
        let mut remembered = locked(&self.remembered);
        let (at, kept) = remembered.answers.get(key)?;
        if at.elapsed() < kept.life(times) {
            return Some(Arc::clone(kept));
        }
        remembered.answers.remove(key);
        None
    }

    fn remember(&self, key: &str, answer: Answer) {
        let kept = Arc::new(Kept::new(answer));
        let times = &self.recipes.current().time;
        let mut remembered = locked(&self.remembered);
        // Most links never come again.
        remembered
            .answers
            .retain(|_, (at, kept)| at.elapsed() < kept.life(times));
        remembered
            .answers
            .insert(key.to_owned(), (Instant::now(), kept));
        while remembered.answers.len() > REMEMBERED
            || remembered
                .answers
                .values()
                .map(|(_, kept)| kept.songs())
                .sum::<usize>()
                > REMEMBERED_SONGS
        {
            let oldest = remembered
                .answers
                .iter()
                .min_by_key(|(_, (at, _))| *at)
                .map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            remembered.answers.remove(&oldest);
        }
    }

    /// A song the catalog knows as it is when asked for alone.
    async fn known(&self, target: &Target, key: &str) -> Option<Track> {
        let Target::Native(link) = target else {
            return None;
        };
        let id = match song_of(link) {
            Some(id) => id,
            None => {
                let remembered = locked(&self.remembered).songs.get(key).cloned();
                match remembered {
                    Some(id) => id,
                    None => self.store.track_by_link(key).await.ok().flatten()?,
                }
            }
        };
        self.store
            .track_alone(&id)
            .await
            .ok()
            .flatten()
            .map(|(track, _)| track)
    }

    /// Keeps the streams of what was resolved, apart from the metadata: they expire.
    fn take_streams(&self, mut resolved: Resolved) -> Resolved {
        match &mut resolved {
            Resolved::Track(track) => self.keep_streams(&track.id, track.streams.clone()),
            Resolved::Collection(list) => {
                if list.entries.len() > self.max_list_songs {
                    list.entries.truncate(self.max_list_songs);
                    (list.truncated, list.rest) = (true, None);
                }
                for entry in &mut list.entries {
                    if let Entry::Track(track) = entry {
                        self.keep_streams(&track.id, track.streams.clone());
                        track.streams.iter_mut().for_each(forget_url);
                    }
                }
            }
        }
        resolved
    }

    pub fn keep_streams(&self, id: &TrackId, streams: Vec<Stream>) {
        if !streams.is_empty() {
            locked(&self.streams).put(id, streams);
        }
    }

    /// Streams that came with the metadata and still live long enough to start a download.
    pub fn fresh_streams(&self, id: &TrackId, now_unix: u64) -> Option<Vec<Stream>> {
        let spare = self.recipes.current().time.fresh_url as u64;
        let streams = locked(&self.streams).take(id)?;
        let fresh = streams
            .iter()
            .all(|stream| stream.expires_unix.is_none_or(|end| end > now_unix + spare));
        fresh.then_some(streams)
    }
}

/// What came of going on in a list.
enum ReadOn {
    Longer(Collection),
    /// Nothing more could be read now.
    AsItWas(Arc<Resolved>),
    /// There is nothing to go on with.
    Anew,
}

/// The results of a search as a list, where one was asked for.
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

fn nothing_found() -> Failure {
    Failure::new(
        Kind::NotFound,
        "the site finds no song for these words; write other words, or search another site",
    )
}

impl Streams {
    fn put(&mut self, id: &TrackId, streams: Vec<Stream>) {
        self.take(id);
        let more = weight(&streams);
        if self.bytes + more > STREAM_BYTES {
            let old =
                |(_, (at, _)): &(&TrackId, &(Instant, Vec<Stream>))| at.elapsed() > STREAMS_WAIT;
            let old: Vec<TrackId> = self
                .of
                .iter()
                .filter(old)
                .map(|(id, _)| id.clone())
                .collect();
            old.iter().for_each(|id| drop(self.take(id)));
        }
        // The first songs of a list are the first to be downloaded: what comes later is asked for again.
        if self.bytes + more <= STREAM_BYTES {
            self.bytes += more;
            self.of.insert(id.clone(), (Instant::now(), streams));
        }
    }

    fn take(&mut self, id: &TrackId) -> Option<Vec<Stream>> {
        let (_, streams) = self.of.remove(id)?;
        self.bytes -= weight(&streams).min(self.bytes);
        Some(streams)
    }
}

/// Somebody's part in a flight; whoever leaves last, for whatever reason, ends it.
struct Boarded<'a> {
    flights: &'a Mutex<HashMap<String, Flight>>,
    flight: Flight,
    key: &'a str,
}

fn board(flights: &Mutex<HashMap<String, Flight>>, key: &str) -> Flight {
    Arc::clone(locked(flights).entry(key.to_owned()).or_default())
}

impl Drop for Boarded<'_> {
    fn drop(&mut self) {
        let mut flights = locked(self.flights);
        // Ours and the map's: nobody else is aboard. A landed one takes no more passengers.
        let last = Arc::strong_count(&self.flight) <= 2 || self.flight.initialized();
        if last
            && flights
                .get(self.key)
                .is_some_and(|have| Arc::ptr_eq(have, &self.flight))
        {
            flights.remove(self.key);
        }
    }
}

/// A remembered list tells what its songs will be, not where they are: URLs expire and weigh.
fn forget_url(stream: &mut Stream) {
    stream.delivery = kmds_extract::Delivery::File { url: String::new() };
    stream.headers = Vec::new();
}

fn weight(streams: &[Stream]) -> usize {
    use kmds_extract::Delivery;
    let url = |stream: &Stream| match &stream.delivery {
        Delivery::File { url } | Delivery::Hls { url } | Delivery::Asked { url, .. } => url.len(),
    };
    streams.iter().map(|stream| 300 + url(stream)).sum()
}

/// The track a link names by its id alone.
fn song_of(link: &Link) -> Option<TrackId> {
    use kmds_extract::link::{BandcampLink, YouTubeLink};
    match link {
        Link::YouTube(YouTubeLink::Video { id, .. }) => TrackId::new(Site::YouTube, id.as_str()),
        Link::SoundCloud(SoundCloudLink::TrackById { id, token: None }) => {
            TrackId::new(Site::SoundCloud, &id.to_string())
        }
        Link::Bandcamp(BandcampLink::TrackById { id }) => {
            TrackId::new(Site::Bandcamp, &id.to_string())
        }
        _ => None,
    }
}

/// What is resolved.
#[derive(Debug, Clone)]
pub enum Target {
    Native(Link),
    /// An https link that only yt-dlp may know.
    Other(String),
    /// Words that stand for what a site finds.
    Search(SearchLink),
}

impl Target {
    fn other(text: &str) -> Result<Self, Failure> {
        match PublicLink::parse(text) {
            Ok(link) => Ok(Self::Other(link.as_str().to_owned())),
            Err(why) => Err(Failure::new(Kind::UnsupportedLink, why)),
        }
    }

    /// Equal for equal links, however they were pasted.
    pub fn key(&self) -> String {
        match self {
            Self::Native(link) => link.canonical(),
            Self::Other(url) => url.clone(),
            Self::Search(search) => search.canonical(),
        }
    }

    /// Short links of SoundCloud tell only later.
    const fn may_be_list(&self) -> bool {
        match self {
            Self::Native(link) => {
                link.is_list() || matches!(link, Link::SoundCloud(SoundCloudLink::Short { .. }))
            }
            Self::Other(_) | Self::Search(_) => false,
        }
    }

    pub const fn is_list(&self) -> bool {
        match self {
            Self::Native(link) => link.is_list(),
            Self::Other(_) => false,
            Self::Search(search) => search.count.is_some(),
        }
    }
}

pub use crate::clock::unix_now as now_unix;
