//! Which engine answers: the native one (`kmds-extract`) or yt-dlp; in what order, and their health.
//!
//! Owns the rule for asking yt-dlp after the native engine, and the breaker of each site, which decides which of the
//! two goes first. It queues, stores and serves nothing.

mod backoff;
mod breaker;
mod native;
mod ytdlp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kmds_extract::choose::Accept;
use kmds_extract::search::{Hit, SearchSite};
use kmds_extract::{
    Collection, ExtractError, Failure, Kind, Lack, Link, Refreshed, Resolved, Site, Source, Stream,
    Track,
};

use crate::config::Config;
use crate::origin::url::PublicLink;
use crate::origin::{Client, SharedRecipes};
use backoff::Backoffs;
use breaker::Breaker;
use native::Native;
pub use ytdlp::{About, Remark, YtDlp, YtDlpError, remarks};

/// Which engine gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Native,
    YtDlp,
}

impl Engine {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::YtDlp => "ytdlp",
        }
    }
}

/// One site's engines, for people.
#[derive(Debug, Clone)]
pub struct Health {
    pub site: Site,
    pub first: Engine,
    pub native_failures: u64,
    /// Why the native engine failed last; `None` once it works again.
    pub reason: Option<String>,
    /// Why yt-dlp gave nothing when it was last run for this site.
    pub ytdlp_reason: Option<String>,
}

/// Both engines, for all sites. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    native: Native,
    ytdlp: Option<YtDlp>,
    breakers: Arc<BTreeMap<Site, Breaker>>,
    backoffs: Arc<Backoffs>,
}

/// Whether yt-dlp may try after this failure (field notes, failure tables): a changed page, a wall, or a refusal of the
/// native engine's client. Never after a site's refusal of the song itself, nor after a limit that both engines share.
#[must_use]
pub const fn second_engine_may_try(error: &ExtractError) -> bool {
    match error {
        ExtractError::PageChanged { .. }
        | ExtractError::BotCheck { .. }
        | ExtractError::OriginRefused { .. }
        | ExtractError::Withheld { .. } => true,
        ExtractError::Refused { kind, .. } => {
            matches!(kind, Kind::AgeRestricted | Kind::LoginRequired)
        }
        ExtractError::UnsupportedLink { .. }
        | ExtractError::RateLimited { .. }
        | ExtractError::OriginFailed { .. }
        | ExtractError::Closed { .. }
        | ExtractError::Timeout { .. }
        | ExtractError::StreamGone { .. } => false,
    }
}

impl Engines {
    #[must_use]
    pub fn new(config: &Config, client: Client, recipes: SharedRecipes) -> Self {
        let breakers = Site::NATIVE
            .into_iter()
            .map(|site| (site, Breaker::new(recipes.clone())))
            .collect();
        let ytdlp = config
            .ytdlp
            .enabled
            .then(|| YtDlp::new(config, client.clone(), recipes.clone()));
        if let Some(tool) = &ytdlp {
            tool.sweep();
        }
        Self {
            ytdlp,
            native: Native::new(client, recipes),
            breakers: Arc::new(breakers),
            backoffs: Arc::default(),
        }
    }

    /// Metadata of a link, and the streams that came with it; of a list what could be read until `until`. A band's page
    /// is never given to yt-dlp, which would take all releases of the band.
    /// # Errors
    /// The native engine's error, or yt-dlp's if that is the site's refusal of the song.
    pub async fn resolve(
        &self,
        link: &Link,
        accept: &Accept,
        until: Option<Instant>,
    ) -> Result<(Resolved, Engine), ExtractError> {
        let native = || self.native.resolve(link, until);
        if link.is_band_page() {
            self.admit(link.site()).await?;
            return Ok((self.ask_native(link.site(), native).await?, Engine::Native));
        }
        let ytdlp = |tool: YtDlp| async move { tool.resolve(link, accept).await };
        self.either(link.site(), native, ytdlp).await
    }

    /// Continues a list that was cut for lack of time; `None` if it must be resolved again.
    /// # Errors
    /// The native engine's: nothing more could be read now.
    pub async fn resume(
        &self,
        link: &Link,
        so_far: Collection,
        until: Option<Instant>,
    ) -> Result<Option<Collection>, ExtractError> {
        self.admit(link.site()).await?;
        self.ask_native(link.site(), || self.native.resume(link, so_far, until))
            .await
    }

    /// Searches a site by words. Only the native engine searches. The breaker may forbid it; a changed page of results
    /// says nothing about songs, so it does not open the breaker.
    /// # Errors
    /// The native engine's error.
    pub async fn search(&self, at: SearchSite, words: &str) -> Result<Vec<Hit>, ExtractError> {
        let site = at.site();
        self.admit(site).await?;
        if let Some(error) = self.backoffs.refusal(site) {
            return Err(error);
        }
        let breaker = self.breakers.get(&site);
        if let Some(refusal) = breaker.and_then(Breaker::refusal_while_open) {
            return Err(refusal);
        }
        let found = self.native.search(at, words).await;
        match &found {
            Ok(_) => self.backoffs.success(site),
            Err(error) => self.backoffs.record(error),
        }
        if let (Some(breaker), Err(error)) = (breaker, &found)
            && !matches!(error, ExtractError::PageChanged { .. })
        {
            breaker.failure(error);
        }
        found
    }

    /// Fresh streams of a known track.
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn refresh(
        &self,
        known: &Track,
        lack: Lack,
        accept: &Accept,
    ) -> Result<(Refreshed, Engine), ExtractError> {
        let site = known.id.site();
        self.admit(site).await?;
        if let Source::Other { url } = &known.source {
            let tool = self.tool_for_other(url).await?;
            let track = tool
                .refresh(known, accept)
                .await
                .map_err(|error| error.into_extract(site))?;
            return Ok((track.into(), Engine::YtDlp));
        }
        let native = || self.native.refresh(&known.source, lack);
        let ytdlp = |tool: YtDlp| async move { Ok(tool.refresh(known, accept).await?.into()) };
        self.either(site, native, ytdlp).await
    }

    /// A stream that can be fetched, from one whose URL must be asked for.
    /// # Errors
    /// As [`kmds_extract::locate`].
    pub async fn locate(&self, stream: &Stream) -> Result<Stream, ExtractError> {
        let located = self.native.locate(stream).await;
        if let Err(error @ ExtractError::BotCheck { .. }) = &located {
            self.backoffs.record(error);
        }
        located
    }

    /// Several fresh URLs of this stream were refused at the same byte: the client that asked for it gets no more.
    /// Returns whether the site can be asked as another client; if not, yt-dlp goes first for a while.
    #[must_use]
    pub fn walled(&self, stream: &Stream, engine: Engine, at: u64) -> bool {
        let another = engine == Engine::Native && self.native.walled(stream);
        let (site, client) = (stream.site, stream.client.as_str());
        tracing::warn!(
            site = site.as_str(),
            client,
            at,
            another,
            "the audio ends at a wall for this client"
        );
        if !another
            && engine == Engine::Native
            && let Some(breaker) = self.breakers.get(&site)
        {
            breaker.wall(&format!(
                "{site} refuses audio to every client identity from byte {at} on"
            ));
        }
        another
    }

    /// yt-dlp's streams of a track whose native ones would not download; `None` if yt-dlp may not or cannot help.
    pub async fn rescue(&self, known: &Track, accept: &Accept) -> Option<Track> {
        let tool = self.ytdlp.clone()?;
        let site = known.id.site();
        self.admit(site).await.ok()?;
        match tool.refresh(known, accept).await {
            Ok(track) if !track.streams.is_empty() => Some(track),
            Ok(_) => None,
            Err(error) => {
                tracing::info!(site = site.as_str(), %error, "yt-dlp could not help either");
                None
            }
        }
    }

    /// The link through yt-dlp alone (`engines.ytdlp.sites = "any"`).
    /// # Errors
    /// yt-dlp's.
    pub async fn resolve_other(
        &self,
        url: &str,
        accept: &Accept,
    ) -> Result<Resolved, ExtractError> {
        self.admit(Site::Other).await?;
        self.tool_for_other(url)
            .await?
            .resolve_other(url, accept)
            .await
    }

    /// yt-dlp for a link of an unknown site, whose host must be a public one.
    async fn tool_for_other(&self, url: &str) -> Result<YtDlp, ExtractError> {
        let refused = |reason: String| ExtractError::UnsupportedLink { reason };
        let Some(tool) = self.ytdlp.clone() else {
            return Err(no_engine());
        };
        let link = PublicLink::parse(url).map_err(|why| refused(why.to_owned()))?;
        self.native
            .client()
            .leads_outside(&link)
            .await
            .map_err(refused)?;
        Ok(tool)
    }

    /// The native engine has just fetched a song of this site: it goes first again.
    pub fn works_again(&self, site: Site) {
        self.backoffs.success(site);
        if let Some(breaker) = self.breakers.get(&site) {
            breaker.success();
        }
    }

    /// The site's refusal, and how long it gets no request for that.
    #[must_use]
    pub fn limited(&self, site: Site) -> Option<Failure> {
        let refusal = self.backoffs.refusal(site)?;
        Some(Failure::from(&refusal))
    }

    #[must_use]
    pub fn ytdlp(&self) -> Option<&YtDlp> {
        self.ytdlp.as_ref()
    }

    /// The state of yt-dlp, in words for an operator; empty before the first check.
    #[must_use]
    pub fn second_engine(&self, youtube: bool) -> Vec<Remark> {
        match &self.ytdlp {
            Some(tool) => tool.worth(youtube),
            None => vec![Remark::switched_off()],
        }
    }

    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        self.breakers
            .iter()
            .map(|(site, breaker)| {
                let (open, native_failures, reason) = breaker.state();
                let first = if open && self.ytdlp.is_some() {
                    Engine::YtDlp
                } else {
                    Engine::Native
                };
                let ytdlp_reason = self.ytdlp.as_ref().and_then(|tool| tool.trouble(*site));
                Health {
                    site: *site,
                    first,
                    native_failures,
                    reason,
                    ytdlp_reason,
                }
            })
            .collect()
    }

    /// Checks that the site may be asked. yt-dlp uses the same way out and follows the same rules.
    async fn admit(&self, site: Site) -> Result<(), ExtractError> {
        self.native
            .client()
            .admit(site)
            .await
            .map_err(|reason| ExtractError::Closed { site, reason })
    }

    /// Asks one engine, then the other if that may help. The breaker says which one goes first.
    async fn either<T, N, Y>(
        &self,
        site: Site,
        native: impl FnOnce() -> N,
        ytdlp: impl FnOnce(YtDlp) -> Y,
    ) -> Result<(T, Engine), ExtractError>
    where
        N: Future<Output = Result<T, ExtractError>>,
        Y: Future<Output = Result<T, YtDlpError>>,
    {
        self.admit(site).await?;
        let breaker = self.breakers.get(&site);
        let tool = self.ytdlp.clone();
        let mut ytdlp = Some(ytdlp);
        if let Some(breaker) = breaker.filter(|breaker| breaker.prefers_ytdlp()) {
            if let Some(tool) = &tool
                && let Some(ask) = ytdlp.take()
            {
                match ask(tool.clone()).await {
                    Ok(answer) => return Ok((answer, Engine::YtDlp)),
                    Err(YtDlpError::Extract(error)) if is_final(&error) => return Err(error),
                    Err(error) => {
                        tracing::warn!(site = site.as_str(), %error, "yt-dlp failed while it goes first")
                    }
                }
            }
            if let Some(refusal) = breaker.refusal() {
                return Err(refusal);
            }
        }
        let error = match self.ask_native(site, native).await {
            Ok(answer) => return Ok((answer, Engine::Native)),
            Err(error) => error,
        };
        let (Some(tool), Some(ask), true) = (tool, ytdlp, second_engine_may_try(&error)) else {
            return Err(error);
        };
        tracing::info!(site = site.as_str(), %error, "asking yt-dlp");
        match ask(tool).await {
            Ok(answer) => Ok((answer, Engine::YtDlp)),
            Err(YtDlpError::Extract(last_word)) if is_final(&last_word) => Err(last_word),
            // yt-dlp understood the site, and was told to wait: that says more than "changed".
            Err(YtDlpError::Extract(wait))
                if wait.retry_after().is_some() && error.retry_after().is_none() =>
            {
                Err(wait)
            }
            Err(second) => {
                tracing::info!(site = site.as_str(), error = %second, "yt-dlp could not help either");
                Err(error)
            }
        }
    }
}

impl Engines {
    /// Asks the native engine, unless the site's back-off lasts. Its outcome is recorded in back-off and breaker.
    async fn ask_native<T, N>(
        &self,
        site: Site,
        native: impl FnOnce() -> N,
    ) -> Result<T, ExtractError>
    where
        N: Future<Output = Result<T, ExtractError>>,
    {
        if let Some(error) = self.backoffs.refusal(site) {
            return Err(error);
        }
        let breaker = self.breakers.get(&site);
        let error = match native().await {
            Ok(answer) => {
                self.works_again(site);
                return Ok(answer);
            }
            Err(error) => error,
        };
        self.backoffs.record(&error);
        if let Some(breaker) = breaker
            && breaker.failure(&error)
        {
            let then = if self.ytdlp.is_some() {
                "yt-dlp goes first for a while"
            } else {
                "yt-dlp is switched off"
            };
            tracing::warn!(site = site.as_str(), %error, "the native engine fails repeatedly; {then}");
        }
        Err(error)
    }
}

/// Whether the error is the site's refusal of the song itself, from either engine.
fn is_final(error: &ExtractError) -> bool {
    matches!(error, ExtractError::Refused { .. })
}

fn no_engine() -> ExtractError {
    ExtractError::UnsupportedLink {
        reason: "this link needs yt-dlp, which is switched off".to_owned(),
    }
}
