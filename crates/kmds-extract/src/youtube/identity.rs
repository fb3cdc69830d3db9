//! The identities that KMDS uses for YouTube, and their visitor ids.
//!
//! Owns which identity comes first, which are not used for an hour, and each identity's visitor id: requested once,
//! kept for hours, renewed once for any number of resolves. It reads no video.

use std::time::Duration;

use crate::error::ExtractError;
use crate::link::youtube::VideoId;
use crate::origin::{Origin, OriginError};
use crate::recipes::{Identity, Recipes};
use crate::site::Site;

use super::requests;

/// The identities to try, in order: those that are switched on and were not refused within the last hour. If none is
/// left, the one that was refused longest ago: one request finds out whether the site has opened again, so that not
/// every song of a list asks as all of them.
pub(super) fn candidates<'a>(origin: &impl Origin, recipes: &'a Recipes) -> Vec<&'a Identity> {
    let fresh: Vec<&Identity> = switched_on(recipes)
        .filter(|identity| !is_passed_over(identity, origin, recipes))
        .collect();
    if !fresh.is_empty() {
        return fresh;
    }
    let refused_at = |identity: &&Identity| {
        let mark = origin.recall(&off_key(identity));
        mark.map_or(0, |mark| mark.stored_unix)
    };
    switched_on(recipes)
        .min_by_key(refused_at)
        .into_iter()
        .collect()
}

/// Whether there is an identity that was not refused within the last hour.
pub(super) fn is_one_left(origin: &impl Origin, recipes: &Recipes) -> bool {
    switched_on(recipes).any(|identity| !is_passed_over(identity, origin, recipes))
}

fn switched_on(recipes: &Recipes) -> impl Iterator<Item = &Identity> {
    recipes
        .youtube
        .identities
        .iter()
        .filter(|identity| !identity.off)
}

pub(super) fn is_passed_over(identity: &Identity, origin: &impl Origin, recipes: &Recipes) -> bool {
    origin.recall(&off_key(identity)).is_some_and(|off| {
        let age = Duration::from_secs(origin.now_unix().saturating_sub(off.stored_unix));
        age < recipes.youtube.identity_off
    })
}

/// This identity is not used for an hour.
pub(super) fn switch_off(identity: &Identity, origin: &impl Origin) {
    origin.remember(&off_key(identity), "refused");
}

fn off_key(identity: &Identity) -> String {
    format!("youtube.off.{}", identity.name)
}

fn visitor_key(identity: &Identity) -> String {
    format!("youtube.visitor.{}", identity.name)
}

/// Holds when the site last failed to give this identity a visitor id.
fn none_given_key(identity: &Identity) -> String {
    format!("youtube.visitor_none.{}", identity.name)
}

/// A remembered visitor id: `BORN VALUE`. Every answer brings a fresher value of the same visitor; the age counts from
/// the time the first value was asked for.
struct Visitor {
    born_unix: u64,
    value: String,
}

fn remembered(identity: &Identity, origin: &impl Origin, recipes: &Recipes) -> Option<Visitor> {
    let kept = origin.recall(&visitor_key(identity))?.value;
    let (born, value) = kept.split_once(' ')?;
    let born_unix = born.parse().ok()?;
    let age = Duration::from_secs(origin.now_unix().saturating_sub(born_unix));
    (!value.is_empty() && age < recipes.youtube.visitor_life).then(|| Visitor {
        born_unix,
        value: value.to_owned(),
    })
}

/// The visitor id to send, requested if there is none, or if the only one is `stale`. `None` if the site gives none: a
/// player call may work without.
/// # Errors
/// The site may not be asked now, so that a player call would fail too.
pub(super) async fn visitor(
    identity: &Identity,
    stale: Option<&str>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<String>, ExtractError> {
    let usable = || {
        remembered(identity, origin, recipes)
            .map(|visitor| visitor.value)
            .filter(|value| Some(value.as_str()) != stale)
    };
    if let Some(value) = usable() {
        return Ok(Some(value));
    }
    let came_unix = origin.now_unix();
    let _guard = origin.renewing(&visitor_key(identity)).await;
    if let Some(value) = usable() {
        return Ok(Some(value));
    }
    // If another resolve has asked without an answer meanwhile, this one does not ask: a silent site would delay each
    // one.
    if origin
        .recall(&none_given_key(identity))
        .is_some_and(|mark| mark.stored_unix > came_unix)
    {
        return Ok(None);
    }
    let value = match origin
        .send(requests::visitor_id(&recipes.youtube, identity))
        .await
    {
        Ok(page) => (page.status == 200)
            .then(|| super::parse::player::visitor(&page))
            .flatten(),
        Err(OriginError::Timeout | OriginError::Failed(_) | OriginError::TooLarge(_)) => None,
        Err(
            error @ (OriginError::NotAllowed(_) | OriginError::Closed(_) | OriginError::Wait(_)),
        ) => {
            return Err(error.at(Site::YouTube, requests::VISITOR));
        }
    };
    match &value {
        Some(value) => origin.remember(
            &visitor_key(identity),
            &format!("{} {value}", origin.now_unix()),
        ),
        None => origin.remember(&none_given_key(identity), "asked in vain"),
    }
    Ok(value)
}

/// Keeps the fresher value that an answer brought, unless the visitor was replaced meanwhile.
pub(super) fn keep_newest(
    identity: &Identity,
    sent: Option<&str>,
    newest: Option<&str>,
    origin: &impl Origin,
    recipes: &Recipes,
) {
    let (Some(sent), Some(newest)) = (sent, newest) else {
        return;
    };
    if let Some(have) = remembered(identity, origin, recipes)
        && have.value == sent
        && newest != sent
    {
        origin.remember(
            &visitor_key(identity),
            &format!("{} {newest}", have.born_unix),
        );
    }
}

/// Random parts of a request: `t` and `cpn`.
pub(super) fn nonces(origin: &impl Origin) -> (String, String) {
    (origin.nonce(12), origin.nonce(16))
}

/// One player call.
pub(super) async fn player(
    identity: &Identity,
    visitor: Option<&str>,
    video: VideoId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<crate::Page, ExtractError> {
    let (t, cpn) = nonces(origin);
    origin
        .send(requests::player(
            &recipes.youtube,
            identity,
            visitor,
            video,
            (&t, &cpn),
        ))
        .await
        .map_err(|error| error.at(Site::YouTube, requests::PLAYER))
}
