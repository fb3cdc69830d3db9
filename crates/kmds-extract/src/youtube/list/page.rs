//! One page of a list, and its first page.
//!
//! Owns the requests for a list, the second try if an answer is not a page, and the meaning of an alert instead of
//! songs.

use super::super::parse::list::{self as parse, Alert, ListPage};
use super::super::{by_status, page_changed, refused, requests};
use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::youtube::ListId;
use crate::origin::{Origin, Page, PageRequest};
use crate::recipes::Recipes;
use crate::site::Site;

pub(super) const NO_SUCH_LIST: &str =
    "there is no such list; it is private, was deleted or never existed";

/// The kind of a list's first page.
pub(super) enum First {
    Page(Box<ListPage>),
    /// "This playlist type is unviewable": a mix, or nonsense.
    Unviewable,
}

/// The first page, by the continuation that KMDS builds; if that brings nothing, the header for its alert; and if the
/// header promises songs that neither brought, the page that a browser starts with.
pub(super) async fn first_page(
    list: &ListId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<First, ExtractError> {
    let recipe = &recipes.youtube;
    let mut page = viewed(requests::list_start(recipe, list), origin, recipes).await?;
    if page.as_ref().is_none_or(|page| {
        page.alert.is_none() && page.items.is_empty() && page.header.title.is_none()
    }) {
        page = viewed(requests::list_header(recipe, list), origin, recipes).await?;
    }
    if page.as_ref().is_some_and(promises_songs) {
        page = viewed(requests::list_plain(recipe, list), origin, recipes)
            .await?
            .or(page);
    }
    let Some(page) = page else {
        return Err(refused(Kind::NotFound, NO_SUCH_LIST, None));
    };
    match &page.alert {
        Some(alert) if page.items.is_empty() => alerted(alert, page.header.title.clone(), recipes),
        _ if page.items.is_empty() && !is_empty_list(&page) => {
            Err(page_changed(requests::LIST, "items"))
        }
        _ => Ok(First::Page(Box::new(page))),
    }
}

/// Whether a list with a name says that it has no songs, or has an empty place for them.
fn is_empty_list(page: &ListPage) -> bool {
    page.header.title.is_some() && page.header.count.map_or(page.has_place, |songs| songs == 0)
}

/// A header without songs, of a list that is not said to be empty.
fn promises_songs(page: &ListPage) -> bool {
    page.alert.is_none()
        && page.items.is_empty()
        && page.header.title.is_some()
        && page.header.count != Some(0)
}

/// The answer to an alert instead of songs.
pub(super) fn alerted(
    Alert(text): &Alert,
    title: Option<String>,
    recipes: &Recipes,
) -> Result<First, ExtractError> {
    if says(text, "list_unviewable", recipes) {
        Ok(First::Unviewable)
    } else if says(text, "list_not_found", recipes) {
        Err(refused(Kind::NotFound, NO_SUCH_LIST, title))
    } else if says(text, "list_hiccup", recipes) {
        let reason = "it reported an unknown error".to_owned();
        Err(ExtractError::OriginFailed {
            site: Site::YouTube,
            page: requests::LIST,
            reason,
        })
    } else if says(text, "private", recipes) {
        Err(refused(
            Kind::Private,
            "this list is private; make it public or unlisted",
            title,
        ))
    } else {
        let said = Some(text.trim()).filter(|text| !text.is_empty());
        Err(refused(
            Kind::Unavailable,
            said.unwrap_or("this list cannot be opened"),
            title,
        ))
    }
}

/// Whether an alert says what a row of the recipes describes.
pub(super) fn says(text: &str, row: &str, recipes: &Recipes) -> bool {
    let text = text.replace('’', "'").to_lowercase();
    recipes
        .youtube
        .reasons
        .get(row)
        .is_some_and(|parts| parts.iter().any(|part| text.contains(part.as_str())))
}

/// One page; requested once more if it is not a page, or reports a temporary error. `None` for HTTP 400 and 404.
pub(super) async fn viewed(
    request: PageRequest,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<ListPage>, ExtractError> {
    let again = request.clone();
    let page = send(request, origin).await?;
    if matches!(page.status, 400 | 404) {
        return Ok(None);
    }
    match read(&page, origin, recipes) {
        Ok(page)
            if page
                .alert
                .as_ref()
                .is_none_or(|alert| !says(&alert.0, "list_hiccup", recipes)) =>
        {
            return Ok(Some(page));
        }
        Ok(_) | Err(ExtractError::PageChanged { .. }) => {}
        Err(error) => return Err(error),
    }
    let page = send(again, origin).await?;
    if matches!(page.status, 400 | 404) {
        return Ok(None);
    }
    read(&page, origin, recipes).map(Some)
}

pub(super) async fn send(request: PageRequest, origin: &impl Origin) -> Result<Page, ExtractError> {
    let name = request.page;
    origin
        .send(request)
        .await
        .map_err(|error| error.at(Site::YouTube, name))
}

pub(super) fn read(
    page: &Page,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<ListPage, ExtractError> {
    if page.status != 200 {
        return Err(by_status(page, requests::LIST, origin, recipes));
    }
    parse::read(page).map_err(|field| page_changed(requests::LIST, field))
}
