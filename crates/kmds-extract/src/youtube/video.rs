//! One video: the player call, and the reactions if it fails.
//!
//! Owns the reactions of the field notes' table 5, column "do first": a new visitor id, the next identity, once more.
//! The recipes limit the number of requests. After a final refusal it does not try again.

use std::collections::VecDeque;

use super::parse::player;
use super::parse::status::Verdict;
use super::{by_status, identity, limited, page_changed, refused, requests, script};
use crate::error::ExtractError;
use crate::link::youtube::VideoId;
use crate::origin::{Origin, Page};
use crate::recipes::{Identity, Recipes};
use crate::site::Site;
use crate::track::Track;

pub(super) async fn resolve(
    video: VideoId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Track, ExtractError> {
    match ask(video, origin, recipes).await? {
        PlayerAnswer::Plays(track) => Ok(*track),
        PlayerAnswer::Withheld {
            reason,
            title,
            track: None,
        } => Err(withheld(reason, title)),
        PlayerAnswer::Withheld {
            reason,
            track: Some(mut track),
            ..
        } => {
            track.withheld = Some(reason);
            Ok(*track)
        }
    }
}

pub(super) async fn refresh(
    video: VideoId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Track, ExtractError> {
    match ask(video, origin, recipes).await? {
        PlayerAnswer::Plays(track) => Ok(*track),
        PlayerAnswer::Withheld {
            reason,
            title,
            track,
        } => {
            if let Some(track) = reel(video, track, origin, recipes).await? {
                return Ok(track);
            }
            let scripted = script::ask(video, origin, recipes).await;
            scripted
                .map(|track| *track)
                .ok_or_else(|| withheld(reason, title))
        }
    }
}

/// Asks as each client; the one that needs the player script is last, or first if it has lately worked and the others
/// have not.
async fn ask(
    video: VideoId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<PlayerAnswer, ExtractError> {
    if script::goes_first(origin, recipes) {
        if let Some(track) = script::ask(video, origin, recipes).await {
            return Ok(PlayerAnswer::Plays(track));
        }
        script::goes_last(origin);
        return ask_plain(video, origin, recipes).await;
    }
    let error = match ask_plain(video, origin, recipes).await {
        Err(error @ (ExtractError::PageChanged { .. } | ExtractError::BotCheck { .. })) => error,
        other => return other,
    };
    match script::ask(video, origin, recipes).await {
        Some(track) => {
            script::worked(origin);
            Ok(PlayerAnswer::Plays(track))
        }
        None => Err(error),
    }
}

enum PlayerAnswer {
    Plays(Box<Track>),
    /// Made for kids, or refused for the native client for another reason; mostly with its metadata.
    Withheld {
        reason: String,
        title: Option<String>,
        track: Option<Box<Track>>,
    },
}

fn withheld(reason: String, title: Option<String>) -> ExtractError {
    ExtractError::Withheld {
        site: Site::YouTube,
        reason,
        title,
    }
}

/// The reaction to a bad answer, and the error if it does not help.
struct BadAnswer {
    cure: Cure,
    error: ExtractError,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cure {
    NewVisitor,
    /// A new visitor id first, then another identity.
    NewVisitorThenIdentity,
    NextIdentity,
    OnceMore,
    /// Once more, then another identity.
    OnceMoreThenIdentity,
}

/// The state of one resolve.
struct Attempts<'a> {
    identity: &'a Identity,
    others: VecDeque<&'a Identity>,
    left: u32,
    stale_visitor: Option<String>,
    renewed: bool,
    changed_for_bot_check: bool,
    repeated: bool,
    /// Identities without a usable URL; they are not used for an hour if another one works.
    suspects: Vec<&'a Identity>,
}

async fn ask_plain(
    video: VideoId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<PlayerAnswer, ExtractError> {
    let mut others: VecDeque<&Identity> = identity::candidates(origin, recipes).into();
    let first = others
        .pop_front()
        .ok_or_else(|| page_changed(requests::PLAYER, "client identity"))?;
    let mut at = Attempts {
        identity: first,
        others,
        left: recipes.youtube.player_tries,
        stale_visitor: None,
        renewed: false,
        changed_for_bot_check: false,
        repeated: false,
        suspects: Vec::new(),
    };
    loop {
        at.left = at.left.saturating_sub(1);
        let visitor = {
            let stale = at.stale_visitor.take();
            identity::visitor(at.identity, stale.as_deref(), origin, recipes).await?
        };
        let page =
            identity::player(at.identity, visitor.as_deref(), video, origin, recipes).await?;
        let trouble = match judge(&page, video, &at, visitor.as_deref(), origin, recipes) {
            Ok(answer) => return answer,
            Err(trouble) => trouble,
        };
        if at.left == 0 || !at.cure(trouble.cure, visitor) {
            return Err(trouble.error);
        }
        if matches!(page.status, 403 | 429) {
            let wait = page
                .retry_after(origin.now_unix())
                .unwrap_or(recipes.youtube.limited_pause);
            origin.pause(wait.min(recipes.time.longest_pause)).await;
        }
    }
}

impl<'a> Attempts<'a> {
    /// Prepares the next try; false if this reaction was used up.
    fn cure(&mut self, cure: Cure, visitor: Option<String>) -> bool {
        match cure {
            Cure::NewVisitor | Cure::NewVisitorThenIdentity if !self.renewed => {
                self.renewed = true;
                self.stale_visitor = visitor;
                true
            }
            Cure::NewVisitor => false,
            Cure::NewVisitorThenIdentity => {
                !std::mem::replace(&mut self.changed_for_bot_check, true)
                    && self.next_identity().is_some()
            }
            Cure::NextIdentity => match self.next_identity() {
                Some(suspect) => {
                    self.suspects.push(suspect);
                    true
                }
                None => false,
            },
            Cure::OnceMore => !std::mem::replace(&mut self.repeated, true),
            Cure::OnceMoreThenIdentity => {
                !std::mem::replace(&mut self.repeated, true) || self.next_identity().is_some()
            }
        }
    }

    /// Moves on; returns the identity that was left.
    fn next_identity(&mut self) -> Option<&'a Identity> {
        let next = self.others.pop_front()?;
        self.stale_visitor = None;
        Some(std::mem::replace(&mut self.identity, next))
    }
}

/// The final answer, or the next reaction.
fn judge(
    page: &Page,
    video: VideoId,
    at: &Attempts<'_>,
    visitor: Option<&str>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Result<PlayerAnswer, ExtractError>, BadAnswer> {
    if page.status != 200 {
        return judge_status(page, at, origin, recipes).map(Err);
    }
    let reading = player::read(
        page,
        video,
        at.identity,
        &recipes.youtube,
        origin.now_unix(),
    )
    .map_err(|field| BadAnswer {
        cure: Cure::OnceMore,
        error: page_changed(requests::PLAYER, field),
    })?;
    if let Some(trouble) = trouble(&reading.verdict, recipes) {
        return Err(trouble);
    }
    identity::keep_newest(
        at.identity,
        visitor,
        reading.visitor.as_deref(),
        origin,
        recipes,
    );
    let title = reading.title.clone();
    Ok(match reading.verdict.clone() {
        Verdict::Final { kind, reason } => Err(refused(kind, &reason, title)),
        Verdict::ClientRefused { reason } => Ok(PlayerAnswer::Withheld {
            reason,
            title,
            track: reading.track,
        }),
        _ => {
            for suspect in &at.suspects {
                identity::switch_off(suspect, origin);
            }
            reading
                .into_track()
                .map(|track| PlayerAnswer::Plays(Box::new(track)))
                .ok_or_else(|| page_changed(requests::PLAYER, "videoDetails"))
        }
    })
}

/// The same for an answer without a video.
fn judge_status(
    page: &Page,
    at: &Attempts<'_>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<ExtractError, BadAnswer> {
    let (cure, error) = match page.status {
        400 => {
            identity::switch_off(at.identity, origin);
            let error = page_changed(requests::PLAYER, "client identity");
            (Cure::NextIdentity, error)
        }
        403 | 429 => (Cure::NewVisitor, limited(page, origin, recipes)),
        status => {
            let error = by_status(page, requests::PLAYER, origin, recipes);
            if !(300..400).contains(&status) {
                return Ok(error);
            }
            (Cure::OnceMore, error)
        }
    };
    Err(BadAnswer { cure, error })
}

/// Verdicts about the client, not about the video.
fn trouble(verdict: &Verdict, recipes: &Recipes) -> Option<BadAnswer> {
    let site = Site::YouTube;
    Some(match verdict {
        Verdict::Playable | Verdict::Final { .. } | Verdict::ClientRefused { .. } => return None,
        Verdict::BotCheck => BadAnswer {
            cure: Cure::NewVisitorThenIdentity,
            error: ExtractError::BotCheck {
                site,
                retry_after: Some(recipes.youtube.bot_check_wait),
            },
        },
        Verdict::RateLimited => BadAnswer {
            cure: Cure::NewVisitor,
            error: ExtractError::RateLimited {
                site,
                retry_after: Some(recipes.youtube.quota_wait),
            },
        },
        Verdict::Substituted => BadAnswer {
            cure: Cure::NewVisitor,
            error: page_changed(requests::PLAYER, "videoDetails.videoId"),
        },
        Verdict::SabrOnly => BadAnswer {
            cure: Cure::NextIdentity,
            error: page_changed(requests::PLAYER, "streamingData.url"),
        },
        Verdict::Unknown => {
            let error = page_changed(requests::PLAYER, "playabilityStatus.reason");
            BadAnswer {
                cure: Cure::OnceMoreThenIdentity,
                error,
            }
        }
        Verdict::ClientBroken => BadAnswer {
            cure: Cure::NextIdentity,
            error: page_changed(requests::PLAYER, "client identity"),
        },
    })
}

/// The other way to the audio of a refused video: itag 18 of the call that Shorts use (2.7). `None` if it has none.
async fn reel(
    video: VideoId,
    known: Option<Box<Track>>,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<Track>, ExtractError> {
    let recipe = &recipes.youtube;
    let visitor = identity::visitor(&recipe.reel, None, origin, recipes).await?;
    let (t, cpn) = identity::nonces(origin);
    let page = origin
        .send(requests::reel(
            recipe,
            visitor.as_deref(),
            video,
            (&t, &cpn),
        ))
        .await
        .map_err(|error| error.at(Site::YouTube, requests::REEL))?;
    match page.status {
        200 => {}
        401 | 403 | 429 | 500.. => return Err(by_status(&page, requests::REEL, origin, recipes)),
        _ => return Ok(None),
    }
    let Ok(reading) = player::read(&page, video, &recipe.reel, recipe, origin.now_unix()) else {
        return Ok(None);
    };
    match reading.verdict {
        Verdict::Playable => {}
        Verdict::BotCheck => {
            let retry_after = Some(recipe.bot_check_wait);
            return Err(ExtractError::BotCheck {
                site: Site::YouTube,
                retry_after,
            });
        }
        _ => return Ok(None),
    }
    identity::keep_newest(
        &recipe.reel,
        visitor.as_deref(),
        reading.visitor.as_deref(),
        origin,
        recipes,
    );
    Ok(reading.into_track().map(|reel| match known {
        Some(mut track) => {
            track.duration = reel.duration.or(track.duration);
            track.loudness_db = reel.loudness_db.or(track.loudness_db);
            track.offered = reel.offered;
            track.streams = reel.streams;
            *track
        }
        None => reel,
    }))
}
