//! Words → videos, or songs of YouTube Music.
//!
//! Owns how a result becomes a [`Hit`]; live streams and unreleased videos are left out. It asks
//! once.

use super::parse::search::{self as parse, MusicItem};
use super::parse::{artist, cover};
use super::{by_status, page_changed, requests};
use crate::error::ExtractError;
use crate::link::youtube::VideoId;
use crate::origin::{Origin, Page, PageRequest};
use crate::recipes::Recipes;
use crate::search::{Hit, HitKind};
use crate::site::Site;
use crate::track::{Source, TrackId};

pub(crate) async fn videos(
    words: &str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Vec<Hit>, ExtractError> {
    let page = answered(requests::search(&recipes.youtube, words), origin, recipes).await?;
    let found = parse::videos(&page).map_err(|field| page_changed(requests::SEARCH, field))?;
    let hits = found.into_iter().filter(parse::is_song).filter_map(|item| {
        let video = item.video?;
        let by = item.byline.as_ref().and_then(|byline| artist(&byline.name));
        let hit = hit(video, item.title?, by)?;
        let cover_url = cover(video, item.thumbnails.iter(), &recipes.youtube.hosts);
        Some(Hit {
            duration: item.duration,
            cover_url: Some(cover_url),
            ..hit
        })
    });
    Ok(hits.collect())
}

pub(crate) async fn music(
    words: &str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Vec<Hit>, ExtractError> {
    let page = answered(
        requests::search_music(&recipes.youtube, words),
        origin,
        recipes,
    )
    .await?;
    let found = parse::music(&page).map_err(|field| page_changed(requests::SEARCH, field))?;
    let hits = found.into_iter().filter_map(
        |MusicItem {
             video,
             title,
             artist,
             album,
             duration,
             thumbnails,
         }| {
            let cover_url = cover(video, thumbnails.iter(), &recipes.youtube.hosts);
            Some(Hit {
                album,
                duration,
                cover_url: Some(cover_url),
                ..hit(video, title, artist)?
            })
        },
    );
    Ok(hits.collect())
}

fn hit(video: VideoId, title: String, artist: Option<String>) -> Option<Hit> {
    Some(Hit {
        kind: HitKind::Song,
        id: TrackId::new(Site::YouTube, video.as_str())?,
        title,
        artist,
        album: None,
        duration: None,
        cover_url: None,
        link: video.link(),
        source: Some(Source::YouTube {
            video: video.to_string(),
        }),
    })
}

async fn answered(
    request: PageRequest,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Page, ExtractError> {
    let page = origin
        .send(request)
        .await
        .map_err(|error| error.at(Site::YouTube, requests::SEARCH))?;
    if page.status == 200 {
        Ok(page)
    } else {
        Err(by_status(&page, requests::SEARCH, origin, recipes))
    }
}
