//! Mixes: songs that YouTube puts together for one request.
//!
//! Owns the place of the requested song of the mix: the first, even if the answer has it elsewhere or not at all.

use super::super::parse::list::{self as parse, Mix};
use super::super::{by_status, page_changed, refused, requests, video};
use super::entries::{ListFacts, as_number, entries, first_cover};
use super::page::send;
use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::youtube::{ListId, VideoId, YouTubeLink};
use crate::origin::{Origin, Page};
use crate::recipes::Recipes;
use crate::site::Site;
use crate::track::{Collection, Entry, Resolved, Unavailable};

/// The first songs of a mix: they are made for this request, and there is no end to them.
pub(in crate::youtube) async fn mix(
    list: &ListId,
    seed: Option<VideoId>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    let mix = asked(list, seed, origin, recipes).await?;
    let Some(mut mix) = mix.filter(|mix| !mix.items.is_empty()) else {
        return match seed {
            Some(seed) => video::resolve(seed, origin, recipes)
                .await
                .map(|track| Resolved::Track(Box::new(track))),
            None => Err(refused(Kind::NotFound, "there is no such mix", None)),
        };
    };
    // The requested song comes first, wherever the answer has it.
    let first = seed.and_then(|seed| mix.items.iter().position(|item| item.video == Some(seed)));
    if let Some(first) = first {
        mix.items[..=first].rotate_right(1);
    }
    let missing = seed.filter(|_| first.is_none());
    mix.items.truncate(
        recipes
            .youtube
            .mix_songs
            .saturating_sub(missing.iter().len())
            .max(1),
    );
    let count = as_number(mix.items.len() + missing.iter().len());
    let mut entries = entries(mix.items, 0, count, &ListFacts::default(), recipes);
    if let Some(seed) = missing {
        entries.iter_mut().for_each(one_place_further);
        entries.insert(0, entry_of(seed, count, origin, recipes).await);
        entries.truncate(recipes.youtube.mix_songs);
    }
    Ok(Resolved::Collection(Collection {
        id: list.as_str().to_owned(),
        site: Site::YouTube,
        link: YouTubeLink::Mix {
            list: list.clone(),
            seed,
        }
        .canonical(),
        title: mix.title,
        artist: None,
        cover_url: first_cover(&entries),
        entries,
        truncated: true,
        endless: true,
        rest: None,
    }))
}

/// The site's mix, requested once more if the answer is not a mix. `None` for HTTP 400 and 404.
async fn asked(
    list: &ListId,
    seed: Option<VideoId>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<Mix>, ExtractError> {
    let request = requests::mix(&recipes.youtube, list, seed);
    let read = |page: &Page| match page.status {
        200 => parse::read_mix(page).map_err(|field| page_changed(requests::MIX, field)),
        400 | 404 => Ok(None),
        _ => Err(by_status(page, requests::MIX, origin, recipes)),
    };
    match read(&send(request.clone(), origin).await?) {
        Err(ExtractError::PageChanged { .. }) => read(&send(request, origin).await?),
        answer => answer,
    }
}

/// The first song of a mix whose answer leaves it out.
async fn entry_of(video: VideoId, total: u32, origin: &impl Origin, recipes: &Recipes) -> Entry {
    match video::resolve(video, origin, recipes).await {
        Ok(mut track) => {
            (track.number, track.total) = (Some(1), Some(total));
            Entry::Track(Box::new(track))
        }
        Err(error) => Entry::Unavailable(Unavailable {
            title: error.title().map(str::to_owned),
            number: 1,
            error,
        }),
    }
}

fn one_place_further(entry: &mut Entry) {
    match entry {
        Entry::Track(track) => track.number = track.number.map(|number| number + 1),
        Entry::Unavailable(gone) => gone.number += 1,
    }
}
