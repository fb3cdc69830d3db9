//! Following the tokens of a list from page to page.
//!
//! Owns when to stop: no token, a page that came before, as many songs as are taken, no time left, a page that the site
//! does not give. The songs that were read are never lost; the next call reads the rest.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::super::parse::list::{Item, ListPage};
use super::super::requests;
use super::page::{alerted, says, viewed};
use crate::error::ExtractError;
use crate::link::youtube::VideoId;
use crate::origin::Origin;
use crate::recipes::Recipes;
use crate::site::Site;
use crate::track::Rest;

/// Songs the site puts on one page.
const PAGE_SONGS: usize = 100;

/// Why the songs end before the list does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IsCut {
    No,
    /// A token or a whole page was repeated or led nowhere, or there are more songs than KMDS takes.
    Yes,
    /// The client's time is over, or the site did not give the next page. The next call continues there.
    Later,
}

/// A list as far as it was read, or a part of it.
pub(super) struct Reading {
    pub items: Vec<Item>,
    pub token: Option<String>,
    /// Hashes of the tokens and pages so far.
    pub seen: Vec<u64>,
    pub cut: IsCut,
}

impl Reading {
    /// Follows the tokens, after `before` songs. A missing token is the end, never a short page. If a page fails, the
    /// songs before it stay: its token is kept to continue later. It is an error only if nothing was read.
    pub(super) async fn read_on(
        &mut self,
        before: usize,
        origin: &impl Origin,
        recipes: &Recipes,
    ) -> Result<(), ExtractError> {
        let limit = recipes.youtube.list_songs;
        // A page and its token are two hashes.
        let most_seen = limit
            .div_ceil(PAGE_SONGS)
            .saturating_mul(4)
            .saturating_add(10);
        while let Some(token) = &self.token {
            let next = hash(token);
            if before + self.items.len() >= limit
                || self.seen.len() >= most_seen
                || self.seen.contains(&next)
            {
                self.cut = IsCut::Yes;
                return Ok(());
            }
            let page = match self.next_page(token, origin, recipes).await {
                Ok(page) => page,
                Err(error)
                    if self.items.is_empty() && !matches!(error, ExtractError::Timeout { .. }) =>
                {
                    return Err(error);
                }
                Err(_) => {
                    self.cut = IsCut::Later;
                    return Ok(());
                }
            };
            let Some(page) = page.filter(|page| {
                page.items.is_empty() || !self.seen.contains(&hash(&places(&page.items)))
            }) else {
                self.cut = IsCut::Yes;
                return Ok(());
            };
            self.seen.push(next);
            if !page.items.is_empty() {
                self.seen.push(hash(&places(&page.items)));
            }
            self.items.extend(page.items);
            self.token = page.token;
        }
        Ok(())
    }

    async fn next_page(
        &self,
        token: &str,
        origin: &impl Origin,
        recipes: &Recipes,
    ) -> Result<Option<ListPage>, ExtractError> {
        if origin.time_left().is_some_and(|left| left.is_zero()) {
            return Err(ExtractError::Timeout {
                site: Site::YouTube,
                page: requests::LIST,
            });
        }
        let page = viewed(
            requests::list_next(&recipes.youtube, token),
            origin,
            recipes,
        )
        .await?;
        match page
            .as_ref()
            .and_then(|page| page.alert.as_ref().filter(|_| page.items.is_empty()))
        {
            Some(alert) if says(&alert.0, "list_hiccup", recipes) => {
                alerted(alert, None, recipes).map(|_| None)
            }
            _ => Ok(page),
        }
    }

    /// Where it continues, if only the next page is missing.
    pub(super) fn rest(&mut self, count: Option<u32>, is_course: bool) -> Option<Rest> {
        let token = self.token.take().filter(|_| self.cut == IsCut::Later)?;
        Some(Rest::Page {
            token,
            count,
            is_course,
            seen: std::mem::take(&mut self.seen),
        })
    }
}

/// The value by which two pages are compared.
pub(super) fn places(items: &[Item]) -> Vec<Option<VideoId>> {
    items.iter().map(|item| item.video).collect()
}

pub(super) fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
