//! Requests to SoundCloud: the client id, and the meaning of a refused request.
//!
//! Owns when a client id is looked for, kept and renewed (field notes, 3), and the rows of the failure table that are
//! about requests (401, 403, 429, 5xx). No other module sees the id. It reads no tracks or sets.

use std::time::Duration;

use crate::error::ExtractError;
use crate::origin::{Origin, Page, PageRequest};
use crate::recipes::{SoundCloudRecipe, is_client_id};
use crate::site::Site;

use super::{client_id, parse, requests};

const SITE: Site = Site::SoundCloud;
const CLIENT_ID: &str = "soundcloud.client_id";
/// Holds when an id was last renewed because it had been refused.
const RENEWED: &str = "soundcloud.client_id.renewed";
/// Holds the operator's id once the site has refused it and accepted another one.
const REFUSED: &str = "soundcloud.client_id.refused";
/// The most scripts of the home page that are read, of its nine, and their size together: one has 3 MB.
const MOST_SCRIPTS: usize = 12;
const MOST_SCRIPT_BYTES: usize = 16 << 20;

pub struct Api<'a, O> {
    pub origin: &'a O,
    pub recipe: &'a SoundCloudRecipe,
}

impl<O: Origin> Api<'_, O> {
    /// Sends a request unchanged; every status is a page.
    pub async fn plain(&self, request: PageRequest) -> Result<Page, ExtractError> {
        let page = request.page;
        self.origin
            .send(request)
            .await
            .map_err(|error| error.at(SITE, page))
    }

    /// Sends an API call with the client id. An id that is refused is renewed once, and the call tried once more. 2xx,
    /// 400 and 404 are returned as pages, every other status as its error.
    pub async fn call(&self, request: PageRequest) -> Result<Page, ExtractError> {
        let first = self.client_id().await?;
        let mut page = self
            .plain(requests::with_client_id(&request, &first))
            .await?;
        let mut id = first.clone();
        let of_operator = first == self.recipe.client_id;
        // After the operator's id the kept one may be refused as well.
        for _ in 0..=usize::from(of_operator) {
            if !matches!(page.status, 401 | 403) || self.is_bot_block(&page) {
                break;
            }
            let Some(fresh) = self.renewed(&id).await? else {
                break;
            };
            page = self
                .plain(requests::with_client_id(&request, &fresh))
                .await?;
            id = fresh;
        }
        // Only if another id is accepted, the first id was the problem.
        if of_operator && id != first && !matches!(page.status, 401 | 403 | 429 | 500..) {
            self.origin.remember(REFUSED, &first);
        }
        match page.status {
            200..=299 | 400 | 404 => Ok(page),
            _ => Err(self.refusal(&page, request.page)),
        }
    }

    /// The error of an answer without content.
    pub fn refusal(&self, page: &Page, name: &'static str) -> ExtractError {
        match page.status {
            403 if self.is_bot_block(page) => ExtractError::BotCheck {
                site: SITE,
                retry_after: Some(self.recipe.bot_pause),
            },
            401 | 403 => ExtractError::OriginRefused {
                site: SITE,
                page: name,
                status: page.status,
            },
            429 => ExtractError::RateLimited {
                site: SITE,
                retry_after: self.limit_wait(page),
            },
            status => ExtractError::OriginFailed {
                site: SITE,
                page: name,
                reason: format!("it answered HTTP {status}"),
            },
        }
    }

    /// `Retry-After`, else the `reset_time` of the body (field notes, 13).
    fn limit_wait(&self, page: &Page) -> Option<Duration> {
        let now = self.origin.now_unix();
        page.retry_after(now).or_else(|| {
            let reset = parse::reset_time(&page.text())?;
            Some(Duration::from_secs(reset.checked_sub(now)?.max(1)))
        })
    }

    /// Whether it is a block of this address, which no other client id solves.
    fn is_bot_block(&self, page: &Page) -> bool {
        page.status == 403
            && (page.header("x-datadome").is_some() || {
                let text = page.text();
                self.recipe
                    .bot_marks
                    .iter()
                    .any(|mark| text.contains(mark.as_str()))
            })
    }

    async fn client_id(&self) -> Result<String, ExtractError> {
        if let Some(id) = self.of_operator().or_else(|| self.recalled()) {
            return Ok(id);
        }
        let _turn = self.origin.renewing(CLIENT_ID).await;
        match self.recalled() {
            Some(id) => Ok(id),
            None => self.find_and_keep().await,
        }
    }

    /// Another id than the refused one; `None` if one was renewed too recently for this to be the id's fault.
    async fn renewed(&self, refused: &str) -> Result<Option<String>, ExtractError> {
        let _turn = self.origin.renewing(CLIENT_ID).await;
        if let Some(id) = self.recalled().filter(|id| id != refused) {
            return Ok(Some(id));
        }
        let now = self.origin.now_unix();
        let pause = self.recipe.client_id_pause.as_secs();
        let last = self
            .origin
            .recall(RENEWED)
            .and_then(|mark| mark.value.parse::<u64>().ok());
        // A time in the future means that the clock was set back: it must not block renewals.
        if last.is_some_and(|last| last <= now && now - last < pause) {
            return Ok(None);
        }
        self.origin.remember(RENEWED, &now.to_string());
        self.find_and_keep().await.map(Some)
    }

    /// The id of the recipes, until it is refused.
    fn of_operator(&self) -> Option<String> {
        let id = &self.recipe.client_id;
        let refused = || {
            self.origin
                .recall(REFUSED)
                .is_some_and(|refused| refused.value == *id)
        };
        (is_client_id(id) && !refused()).then(|| id.clone())
    }

    fn recalled(&self) -> Option<String> {
        self.origin
            .recall(CLIENT_ID)
            .map(|kept| kept.value)
            .filter(|id| is_client_id(id))
    }

    async fn find_and_keep(&self) -> Result<String, ExtractError> {
        let id = self.find().await?;
        self.origin.remember(CLIENT_ID, &id);
        Ok(id)
    }

    /// The home page holds the id; one of its scripts does so too, the last as a rule.
    async fn find(&self) -> Result<String, ExtractError> {
        let missing = || ExtractError::PageChanged {
            site: SITE,
            page: "home page",
            field: "client_id",
        };
        let home = self
            .ok(requests::home_page(self.recipe))
            .await?
            .ok_or_else(missing)?;
        let home = home.text();
        if let Some(id) = client_id::of_home_page(&home) {
            return Ok(id);
        }
        let mut left_bytes = MOST_SCRIPT_BYTES;
        let mut in_part = Vec::new();
        let mut unread = None;
        // The beginnings of all come first: if a script has the id, it is there.
        for url in client_id::own_scripts(&home).take(MOST_SCRIPTS) {
            match self.script(&url, false, &mut left_bytes).await {
                Ok(script) if script.id.is_some() => return script.id.ok_or_else(missing),
                Ok(script) if script.in_part => in_part.push(url),
                Ok(_) => {}
                Err(error) if is_about_the_site(&error) => return Err(error),
                Err(error) => unread = Some(error),
            }
        }
        for url in in_part {
            match self.script(&url, true, &mut left_bytes).await {
                Ok(script) if script.id.is_some() => return script.id.ok_or_else(missing),
                Ok(_) => {}
                Err(error) if is_about_the_site(&error) => return Err(error),
                Err(error) => unread = Some(error),
            }
        }
        Err(unread.unwrap_or_else(missing))
    }

    /// The id in a script; `None` once all of them together are too large.
    async fn script(
        &self,
        url: &str,
        whole: bool,
        left_bytes: &mut usize,
    ) -> Result<Script, ExtractError> {
        if *left_bytes == 0 {
            return Ok(Script::default());
        }
        let Some(page) = self
            .ok(requests::script(url, whole, *left_bytes, self.recipe))
            .await?
        else {
            return Ok(Script::default());
        };
        *left_bytes = left_bytes.saturating_sub(page.body.len());
        Ok(Script {
            id: client_id::of_script(&page.text()),
            in_part: page.status == 206,
        })
    }

    /// The page, if it is a 2xx; `None` if it is gone.
    async fn ok(&self, request: PageRequest) -> Result<Option<Page>, ExtractError> {
        let name = request.page;
        let page = self.plain(request).await?;
        match page.status {
            200..=299 => Ok(Some(page)),
            404 | 410 => Ok(None),
            _ => Err(self.refusal(&page, name)),
        }
    }
}

/// The result of one script.
#[derive(Default)]
struct Script {
    id: Option<String>,
    /// Only its beginning was read.
    in_part: bool,
}

/// Whether other scripts would get the same error.
const fn is_about_the_site(error: &ExtractError) -> bool {
    matches!(
        error,
        ExtractError::Timeout { .. }
            | ExtractError::RateLimited { .. }
            | ExtractError::BotCheck { .. }
            | ExtractError::Closed { .. }
    )
}
