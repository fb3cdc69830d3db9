//! The client whose answers need YouTube's player script.
//!
//! Owns which script is today's, the challenges in an answer (`n`, `signatureCipher`), and putting their solutions into
//! its URLs. Another process runs the script. It reports no reason of its own failure: the error of the clients without
//! a script counts.

use std::time::Duration;

use serde_json::Value;

use super::parse::player;
use super::parse::status::Verdict;
use super::{identity, itag, requests};
use crate::link::youtube::VideoId;
use crate::origin::{Challenges, Origin, Page, Solved};
use crate::recipes::Recipes;
use crate::track::Track;

/// `ID TIMESTAMP` of today's player.
const TODAY: &str = "youtube.script.today";
/// The time when the script, or the client, last failed.
const OFF: &str = "youtube.script.off";
/// Set since this client has worked and the others have not.
const FIRST: &str = "youtube.script.first";
/// An answer has some thirty formats.
const MOST_FORMATS: usize = 200;

/// A player script: eight hexadecimal digits.
struct Player {
    id: String,
    signature_timestamp: u32,
}

/// Whether this client is asked before the others.
pub(super) fn goes_first(origin: &impl Origin, recipes: &Recipes) -> bool {
    is_fresh(FIRST, recipes.youtube.identity_off, origin) && !is_off(origin, recipes)
}

pub(super) fn worked(origin: &impl Origin) {
    origin.remember(FIRST, "worked");
}

pub(super) fn goes_last(origin: &impl Origin) {
    origin.remember(FIRST, "");
}

/// Does not use this client for a while.
pub(super) fn leave(origin: &impl Origin, recipes: &Recipes) {
    identity::switch_off(&recipes.youtube.script.identity, origin);
    goes_last(origin);
}

fn is_off(origin: &impl Origin, recipes: &Recipes) -> bool {
    let recipe = &recipes.youtube.script;
    recipe.identity.off
        || is_fresh(OFF, recipe.pause, origin)
        || identity::is_passed_over(&recipe.identity, origin, recipes)
}

fn is_fresh(key: &str, life: Duration, origin: &impl Origin) -> bool {
    origin.recall(key).is_some_and(|mark| {
        Duration::from_secs(origin.now_unix().saturating_sub(mark.stored_unix)) < life
    })
}

/// The track with its streams, if this client gets any.
pub(super) async fn ask(
    video: VideoId,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Option<Box<Track>> {
    if is_off(origin, recipes) {
        return None;
    }
    let recipe = &recipes.youtube;
    let identity = &recipe.script.identity;
    let Some(today) = today(origin, recipes).await else {
        origin.remember(OFF, "no script");
        return None;
    };
    let visitor = identity::visitor(identity, None, origin, recipes)
        .await
        .ok()?;
    let (t, cpn) = identity::nonces(origin);
    let request = requests::scripted_player(
        recipe,
        visitor.as_deref(),
        video,
        (&t, &cpn),
        today.signature_timestamp,
    );
    let page = origin.send(request).await.ok()?;
    if page.status == 400 {
        identity::switch_off(identity, origin);
    }
    if page.status != 200 {
        return None;
    }
    let page = unlock(page, &today, origin).await?;
    let reading = player::read(&page, video, identity, recipe, origin.now_unix()).ok()?;
    if reading.verdict != Verdict::Playable {
        return None;
    }
    identity::keep_newest(
        identity,
        visitor.as_deref(),
        reading.visitor.as_deref(),
        origin,
        recipes,
    );
    reading.into_track().map(Box::new)
}

/// Today's script, kept and read. It is requested once for any number of songs.
async fn today(origin: &impl Origin, recipes: &Recipes) -> Option<Player> {
    if let Some(known) = known(origin, recipes).await {
        return Some(known);
    }
    let _guard = origin.renewing(TODAY).await;
    if let Some(known) = known(origin, recipes).await {
        return Some(known);
    }
    if is_off(origin, recipes) {
        return None;
    }
    let page = origin
        .send(requests::script_page(&recipes.youtube))
        .await
        .ok()?;
    let id = (page.status == 200)
        .then(|| player_id(&page.text()))
        .flatten()?;
    let signature_timestamp = match origin.script(&id).await {
        Some(kept) => kept,
        None => {
            let page = origin
                .send(requests::script_text(&recipes.youtube, &id))
                .await
                .ok()?;
            if page.status != 200 {
                return None;
            }
            origin.keep_script(&id, page.body).await.ok()?
        }
    };
    origin.remember(TODAY, &format!("{id} {signature_timestamp}"));
    Some(Player {
        id,
        signature_timestamp,
    })
}

async fn known(origin: &impl Origin, recipes: &Recipes) -> Option<Player> {
    if !is_fresh(TODAY, recipes.youtube.script.life, origin) {
        return None;
    }
    let value = origin.recall(TODAY)?.value;
    let (id, timestamp) = value.split_once(' ')?;
    let signature_timestamp = timestamp.parse().ok()?;
    // The script may have been removed from the state folder since.
    (is_player_id(id) && origin.script(id).await == Some(signature_timestamp)).then(|| Player {
        id: id.to_owned(),
        signature_timestamp,
    })
}

/// `player/c9168c90/`, its slashes escaped or not.
fn player_id(page: &str) -> Option<String> {
    page.match_indices("player").find_map(|(at, word)| {
        let id = page[at + word.len()..]
            .trim_start_matches('\\')
            .strip_prefix('/')?
            .get(..8)?;
        is_player_id(id).then(|| id.to_owned())
    })
}

fn is_player_id(id: &str) -> bool {
    id.len() == 8
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The challenges of one format, and its URL.
struct Locked {
    url: String,
    n: Option<String>,
    /// The parameter, and the enciphered signature.
    signature: Option<(String, String)>,
}

/// The answer with working URLs; formats that KMDS does not use are left out of it.
async fn unlock(mut page: Page, player: &Player, origin: &impl Origin) -> Option<Page> {
    let mut answer: Value = serde_json::from_slice(&page.body).ok()?;
    let mut locked: Vec<(&mut Value, Locked)> = Vec::new();
    if let Some(streaming) = answer
        .get_mut("streamingData")
        .and_then(Value::as_object_mut)
    {
        for (name, formats) in streaming
            .iter_mut()
            .filter(|(name, _)| matches!(name.as_str(), "formats" | "adaptiveFormats"))
        {
            let muxed = name == "formats";
            let Some(formats) = formats.as_array_mut() else {
                continue;
            };
            formats.retain(|format| is_wanted(format, muxed));
            formats.truncate(MOST_FORMATS);
            locked.extend(
                formats
                    .iter_mut()
                    .filter_map(|format| Locked::of(format).map(|locked| (format, locked))),
            );
        }
    }
    let challenges = Challenges {
        n: locked
            .iter()
            .filter_map(|(_, locked)| locked.n.clone())
            .collect(),
        sig: locked
            .iter()
            .filter_map(|(_, locked)| locked.signature.as_ref().map(|(_, s)| s.clone()))
            .collect(),
    };
    let counts = (challenges.n.len(), challenges.sig.len());
    let solved = if counts == (0, 0) {
        Solved::default()
    } else {
        origin.solve(&player.id, challenges).await.ok()?
    };
    if counts != (solved.n.len(), solved.sig.len()) {
        return None;
    }
    let (mut n, mut sig) = (solved.n.into_iter(), solved.sig.into_iter());
    for (format, locked) in locked {
        let n = locked.n.as_ref().and_then(|_| n.next());
        let signature = locked.signature.as_ref().and_then(|_| sig.next());
        format["url"] = locked.opened(n, signature).into();
        if let Some(format) = format.as_object_mut() {
            format.remove("signatureCipher");
            format.remove("cipher");
        }
    }
    page.body = serde_json::to_vec(&answer).ok()?;
    Some(page)
}

/// Only audio, and the one muxed file that KMDS would take.
fn is_wanted(format: &Value, muxed: bool) -> bool {
    if muxed {
        return format["itag"].as_u64() == Some(itag::MUXED.into());
    }
    format["mimeType"]
        .as_str()
        .is_some_and(|mime| mime.starts_with("audio/"))
}

impl Locked {
    fn of(format: &Value) -> Option<Self> {
        let cipher = format["signatureCipher"]
            .as_str()
            .or(format["cipher"].as_str());
        let (url, signature) = match (format["url"].as_str(), cipher) {
            (Some(url), _) => (url.to_owned(), None),
            (None, Some(cipher)) => {
                let part = |wanted: &str| {
                    let mut pairs = url::form_urlencoded::parse(cipher.as_bytes());
                    pairs.find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
                };
                let is_plain = |name: &String| {
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                };
                let name = part("sp")
                    .filter(is_plain)
                    .unwrap_or_else(|| "signature".to_owned());
                (part("url")?, Some((name, part("s")?)))
            }
            (None, None) => return None,
        };
        let n = n_of(&url).map(str::to_owned).filter(|n| !n.is_empty());
        Some(Self { url, n, signature })
    }

    /// Only these two parameters are changed: the others are signed as they are.
    fn opened(&self, n: Option<String>, signature: Option<String>) -> String {
        let mut url = self.url.clone();
        if let (Some(from), Some(to)) = (&self.n, n)
            && let Some(at) = n_place(&url)
        {
            url.replace_range(at..at + from.len(), &to);
        }
        if let (Some((name, _)), Some(value)) = (&self.signature, signature) {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={value}"));
        }
        url
    }
}

/// Where the value of `n` begins.
fn n_place(url: &str) -> Option<usize> {
    let query = url.find('?')?;
    url[query..]
        .match_indices("n=")
        .map(|(at, _)| query + at)
        .find(|at| matches!(url.as_bytes()[at - 1], b'?' | b'&'))
        .map(|at| at + 2)
}

fn n_of(url: &str) -> Option<&str> {
    let rest = &url[n_place(url)?..];
    rest.split(['&', '#']).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_player_of_today_is_read_from_its_page() {
        let page = r"var scriptUrl = 'https:\/\/www.youtube.com\/s\/player\/c9168c90\/www-widgetapi.vflset\/www-widgetapi.js';";
        assert_eq!(player_id(page).as_deref(), Some("c9168c90"));
        assert_eq!(
            player_id("/s/player/0004de42/player_ias.vflset").as_deref(),
            Some("0004de42")
        );
        for page in [
            "",
            "player",
            "player/",
            "player/C9168C90/",
            "player/../../x",
            "player\\/c9168c9é",
        ] {
            assert_eq!(player_id(page), None, "{page}");
        }
    }

    #[test]
    fn only_the_challenges_of_a_url_are_touched() {
        let format =
            json!({"url": "https://a.googlevideo.com/videoplayback?fn=1&n=abc%2D&sig=x%3D"});
        let locked = Locked::of(&format).expect("a URL");
        assert_eq!(locked.n.as_deref(), Some("abc%2D"));
        assert_eq!(
            locked.opened(Some("XYZ".to_owned()), None),
            "https://a.googlevideo.com/videoplayback?fn=1&n=XYZ&sig=x%3D"
        );
        let format = json!({"signatureCipher": "s=ab%3D&sp=sig&url=https%3A%2F%2Fa.googlevideo.com%2Fvideoplayback%3Fn%3Dq%26lmt%3D1"});
        let locked = Locked::of(&format).expect("a cipher");
        assert_eq!(locked.signature, Some(("sig".to_owned(), "ab=".to_owned())));
        let opened = locked.opened(Some("p".to_owned()), Some("=ba".to_owned()));
        assert_eq!(
            opened,
            "https://a.googlevideo.com/videoplayback?n=p&lmt=1&sig=%3Dba"
        );
    }
}
