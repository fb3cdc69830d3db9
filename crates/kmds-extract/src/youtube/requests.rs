//! The requests to YouTube, as values.
//!
//! Owns URLs, headers and bodies of the field notes' sections 2.3, 2.7 and 4, and the continuation that KMDS builds
//! itself. It sends nothing, and takes every number that ages from the recipes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Map, Value, json};

use crate::link::youtube::{ListId, VideoId};
use crate::origin::{PageRequest, Redirects};
use crate::recipes::{Identity, YouTubeRecipe, known_header};
use crate::site::Site;

pub(super) const PLAYER: &str = "player answer";
pub(super) const REEL: &str = "reel answer";
pub(super) const VISITOR: &str = "visitor id";
pub(super) const LIST: &str = "list answer";
pub(super) const MIX: &str = "mix answer";
pub(super) const ALBUM: &str = "album page";
pub(super) const SCRIPT: &str = "player script";
pub(super) const SEARCH: &str = "search answer";

const API: &str = "https://www.youtube.com/youtubei/v1";
const MUSIC: &str = "https://music.youtube.com";
/// "Show unavailable videos", protobuf field 104 {1: 0}.
const SHOW_UNAVAILABLE: &str = "wgYCCAA%3D";
/// The placeholder for the visitor id in a recipe's header.
const VISITOR_PLACE: &str = "{visitor}";

/// `POST …/player` as one identity (2.3). `t` and `cpn` are random.
pub(super) fn player(
    recipe: &YouTubeRecipe,
    identity: &Identity,
    visitor: Option<&str>,
    video: VideoId,
    (t, cpn): (&str, &str),
) -> PageRequest {
    let mut body = Map::new();
    body.insert("context".to_owned(), context(recipe, identity, visitor));
    body.insert("videoId".to_owned(), video.as_str().into());
    body.insert("cpn".to_owned(), cpn.into());
    body.insert("contentCheckOk".to_owned(), true.into());
    body.insert("racyCheckOk".to_owned(), true.into());
    for (key, value) in &identity.body {
        body.insert(key.clone(), from_toml(value));
    }
    let url = format!(
        "https://{}/youtubei/v1/player?prettyPrint=false&t={t}&id={video}",
        identity.host
    );
    as_identity(recipe, identity, visitor, PLAYER, url, &Value::Object(body))
}

/// The same as the client that needs the player script, whose signature timestamp it names.
pub(super) fn scripted_player(
    recipe: &YouTubeRecipe,
    visitor: Option<&str>,
    video: VideoId,
    nonces: (&str, &str),
    signature_timestamp: u32,
) -> PageRequest {
    let mut identity = recipe.script.identity.clone();
    let path = [
        "playbackContext",
        "contentPlaybackContext",
        "signatureTimestamp",
    ];
    set(
        &mut identity.body,
        &path,
        toml::Value::Integer(signature_timestamp.into()),
    );
    player(recipe, &identity, visitor, video, nonces)
}

/// Sets the value at the end of `path`, and makes the tables on the way.
fn set(table: &mut toml::Table, path: &[&str], value: toml::Value) {
    match path {
        [] => {}
        [name] => {
            table.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => {
            let inner = table
                .entry(*name)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// The small page that names today's player script.
pub(super) fn script_page(recipe: &YouTubeRecipe) -> PageRequest {
    script_get(recipe, recipe.script.page.clone(), 256 << 10)
}

pub(super) fn script_text(recipe: &YouTubeRecipe, player: &str) -> PageRequest {
    script_get(
        recipe,
        recipe.script.url.replace("{id}", player),
        recipe.script.most_bytes,
    )
}

/// Requested once: the other clients and the other engine are there too.
fn script_get(recipe: &YouTubeRecipe, url: String, max_bytes: usize) -> PageRequest {
    let headers = common_headers(recipe, &recipe.script.identity.user_agent).split_off(1);
    let request = PageRequest::get(Site::YouTube, SCRIPT, url);
    PageRequest {
        headers,
        max_bytes,
        insist: false,
        redirects: Redirects::Show,
        ..request
    }
}

/// The call whose answer still has itag 18 with a URL (2.7, made for kids).
pub(super) fn reel(
    recipe: &YouTubeRecipe,
    visitor: Option<&str>,
    video: VideoId,
    (t, cpn): (&str, &str),
) -> PageRequest {
    let identity = &recipe.reel;
    let body = json!({
        "context": context(recipe, identity, visitor),
        "playerRequest": {"videoId": video.as_str(), "cpn": cpn, "contentCheckOk": true, "racyCheckOk": true},
        "disablePlayerResponse": false,
    });
    let url = format!(
        "https://{}/youtubei/v1/reel/reel_item_watch?prettyPrint=false&t={t}&id={video}&$fields=playerResponse",
        identity.host
    );
    as_identity(recipe, identity, visitor, REEL, url, &body)
}

/// A fresh visitor id for an identity.
pub(super) fn visitor_id(recipe: &YouTubeRecipe, identity: &Identity) -> PageRequest {
    let body = json!({"context": context(recipe, identity, None)});
    let request = as_identity(
        recipe,
        identity,
        None,
        VISITOR,
        format!("{API}/visitor_id?prettyPrint=false"),
        &body,
    );
    // The player call works without it. The tries and the time belong to that call (three tries, and the rest of the
    // client's waiting time).
    PageRequest {
        insist: false,
        ..request
    }
    .before(&identity.host)
}

/// Header parts and the first 100 items of a list in one answer (4.1, form 2).
pub(super) fn list_start(recipe: &YouTubeRecipe, list: &ListId) -> PageRequest {
    list_next(recipe, &first_continuation(list))
}

/// The next 100.
pub(super) fn list_next(recipe: &YouTubeRecipe, token: &str) -> PageRequest {
    browse(
        recipe,
        LIST,
        "",
        &json!({"context": web_context(recipe), "continuation": token}),
    )
}

/// The header alone, which has the errors (4.1, form 1).
pub(super) fn list_header(recipe: &YouTubeRecipe, list: &ListId) -> PageRequest {
    let body = json!({"context": web_context(recipe), "browseId": format!("VL{list}"), "params": SHOW_UNAVAILABLE});
    browse(
        recipe,
        LIST,
        "$fields=sidebar,header,microformat,alerts&",
        &body,
    )
}

/// Header and first page in `contents` (4.1, form 3).
pub(super) fn list_plain(recipe: &YouTubeRecipe, list: &ListId) -> PageRequest {
    browse(
        recipe,
        LIST,
        "",
        &json!({"context": web_context(recipe), "browseId": format!("VL{list}")}),
    )
}

/// The first page of a mix (4.5).
pub(super) fn mix(recipe: &YouTubeRecipe, list: &ListId, seed: Option<VideoId>) -> PageRequest {
    let mut body = json!({"context": web_context(recipe), "playlistId": list.as_str()});
    if let (Some(seed), Some(body)) = (seed, body.as_object_mut()) {
        body.insert("videoId".to_owned(), seed.as_str().into());
    }
    as_web(recipe, MIX, format!("{API}/next?prettyPrint=false"), &body)
}

/// The page of a YouTube Music album, which names its list.
pub(super) fn album(recipe: &YouTubeRecipe, id: &str) -> PageRequest {
    let mut body = json!({"context": web_context(recipe), "browseId": id});
    if let Some(client) = body.pointer_mut("/context/client") {
        client["clientName"] = "WEB_REMIX".into();
        client["clientVersion"] = recipe.music_version.as_str().into();
        client["originalUrl"] = "https://music.youtube.com".into();
    }
    let mut request = post(ALBUM, format!("{API}/browse?prettyPrint=false"), &body);
    request.headers = web_headers(recipe, "67", &recipe.music_version);
    request
}

/// Videos for words.
pub(super) fn search(recipe: &YouTubeRecipe, words: &str) -> PageRequest {
    let body =
        json!({"context": web_context(recipe), "query": words, "params": recipe.search_params});
    as_web(
        recipe,
        SEARCH,
        format!("{API}/search?prettyPrint=false"),
        &body,
    )
}

/// Songs of YouTube Music for words: its own host knows albums and lengths.
pub(super) fn search_music(recipe: &YouTubeRecipe, words: &str) -> PageRequest {
    let client = json!({
        "hl": recipe.language, "gl": recipe.country, "clientName": "WEB_REMIX", "clientVersion": recipe.music_version,
        "platform": "DESKTOP", "utcOffsetMinutes": 0,
    });
    let body =
        json!({"context": around(client), "query": words, "params": recipe.music_search_params});
    let mut request = post(
        SEARCH,
        format!("{MUSIC}/youtubei/v1/search?prettyPrint=false"),
        &body,
    );
    request.headers = web_headers(recipe, "67", &recipe.music_version);
    for (name, value) in &mut request.headers {
        if matches!(*name, "Origin" | "Referer") {
            MUSIC.clone_into(value);
        }
    }
    request
}

fn browse(recipe: &YouTubeRecipe, page: &'static str, query: &str, body: &Value) -> PageRequest {
    as_web(
        recipe,
        page,
        format!("{API}/browse?{query}prettyPrint=false"),
        body,
    )
}

fn as_web(recipe: &YouTubeRecipe, page: &'static str, url: String, body: &Value) -> PageRequest {
    let mut request = post(page, url, body);
    request.headers = web_headers(recipe, "1", &recipe.web_version);
    request
}

fn web_headers(recipe: &YouTubeRecipe, client: &str, version: &str) -> Vec<(&'static str, String)> {
    let mut headers = common_headers(recipe, &recipe.web_user_agent);
    headers.extend([
        ("Origin", "https://www.youtube.com".to_owned()),
        ("Referer", "https://www.youtube.com".to_owned()),
        ("X-YouTube-Client-Name", client.to_owned()),
        ("X-YouTube-Client-Version", version.to_owned()),
        ("Cookie", recipe.cookie.clone()),
    ]);
    headers
}

fn as_identity(
    recipe: &YouTubeRecipe,
    identity: &Identity,
    visitor: Option<&str>,
    page: &'static str,
    url: String,
    body: &Value,
) -> PageRequest {
    let mut request = post(page, url, body);
    request.headers = common_headers(recipe, &identity.user_agent);
    for (name, value) in &identity.headers {
        let value = match (value.as_str(), visitor) {
            (VISITOR_PLACE, None) => continue,
            (VISITOR_PLACE, Some(visitor)) => visitor.to_owned(),
            (value, _) => value.to_owned(),
        };
        if let Some(name) = known_header(name) {
            request.headers.push((name, value));
        }
    }
    request
}

fn common_headers(recipe: &YouTubeRecipe, user_agent: &str) -> Vec<(&'static str, String)> {
    let base = recipe.language.split('-').next().unwrap_or("en");
    vec![
        ("Content-Type", "application/json".to_owned()),
        (
            "Accept-Language",
            format!("{}, {base};q=0.9", recipe.language),
        ),
        ("User-Agent", user_agent.to_owned()),
    ]
}

fn context(recipe: &YouTubeRecipe, identity: &Identity, visitor: Option<&str>) -> Value {
    let mut client: Map<String, Value> = identity
        .client
        .iter()
        .map(|(key, value)| (key.clone(), from_toml(value)))
        .collect();
    client.insert("hl".to_owned(), recipe.language.as_str().into());
    client.insert("gl".to_owned(), recipe.country.as_str().into());
    if let Some(visitor) = visitor {
        client.insert("visitorData".to_owned(), visitor.into());
    }
    around(client.into())
}

fn web_context(recipe: &YouTubeRecipe) -> Value {
    around(json!({
        "hl": recipe.language, "gl": recipe.country, "clientName": "WEB", "clientVersion": recipe.web_version,
        "originalUrl": "https://www.youtube.com", "platform": "DESKTOP", "utcOffsetMinutes": 0,
    }))
}

fn around(client: Value) -> Value {
    json!({
        "client": client,
        "request": {"internalExperimentFlags": [], "useSsl": true},
        "user": {"lockedSafetyMode": false},
    })
}

fn from_toml(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A call with a JSON answer never redirects: a redirect is an interstitial, and not followed.
fn post(page: &'static str, url: String, body: &Value) -> PageRequest {
    let request = PageRequest::post(Site::YouTube, page, url, body.to_string().into_bytes());
    PageRequest {
        redirects: Redirects::Show,
        ..request
    }
}

/// The token of a list's first page, which the site would hand out with the header (4.1): protobuf field 80226972
/// { 2: `VL` + list, 3: a fixed inner token, 35: list }, base64url, its padding percent-encoded.
pub(super) fn first_continuation(list: &ListId) -> String {
    let mut inner = Vec::new();
    field(&mut inner, 2, format!("VL{list}").as_bytes());
    field(&mut inner, 3, b"CADCBgIIAA%3D%3D");
    field(&mut inner, 35, list.as_str().as_bytes());
    let mut outer = Vec::new();
    field(&mut outer, 80_226_972, &inner);
    URL_SAFE.encode(outer).replace('=', "%3D")
}

/// One length-delimited protobuf field.
fn field(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_continuation_is_built_as_in_the_field_notes() {
        for (list, token) in [
            (
                "PLMC9KNkIncKtPzgY-5rmhvj7fax8fdxoj",
                "4qmFsgJdEiRWTFBMTUM5S05rSW5jS3RQemdZLTVybWh2ajdmYXg4ZmR4b2oaEENBRENCZ0lJQUElM0QlM0SaAiJQTE1DOUtOa0luY0t0UHpnWS01cm1odmo3ZmF4OGZkeG9q",
            ),
            (
                "UUMOQuLXlFNAeDJMSmuzHU5axw",
                "4qmFsgJNEhxWTFVVTU9RdUxYbEZOQWVESk1TbXV6SFU1YXh3GhBDQURDQmdJSUFBJTNEJTNEmgIaVVVNT1F1TFhsRk5BZURKTVNtdXpIVTVheHc%3D",
            ),
        ] {
            assert_eq!(
                first_continuation(&ListId::parse(list).expect("an id")),
                token
            );
        }
    }

    #[test]
    fn a_player_request_is_what_the_identity_says() {
        let recipe = crate::Recipes::built_in().youtube;
        let video = VideoId::parse("M4gD1WSo5mA").expect("an id");
        let request = player(
            &recipe,
            recipe.identities.last().expect("an identity"),
            Some("CgtX%3D"),
            video,
            ("tttttttttttt", "cpncpncpncpncpnc"),
        );
        assert_eq!(
            request.url,
            "https://youtubei.googleapis.com/youtubei/v1/player?prettyPrint=false&t=tttttttttttt&id=M4gD1WSo5mA"
        );
        let body: Value = serde_json::from_slice(&request.body.expect("a body")).expect("JSON");
        assert_eq!(
            body,
            json!({"context": {"client": {"clientName": "VISIONOS", "clientVersion": "1.02", "clientScreen": "WATCH",
                "platform": "MOBILE", "visitorData": "CgtX%3D", "deviceMake": "Apple", "deviceModel": "RealityDevice14,1",
                "osName": "visionOS", "osVersion": "25.6.0.23O471", "hl": "en-GB", "gl": "GB", "utcOffsetMinutes": 0},
                "request": {"internalExperimentFlags": [], "useSsl": true}, "user": {"lockedSafetyMode": false}},
                "videoId": "M4gD1WSo5mA", "cpn": "cpncpncpncpncpnc", "contentCheckOk": true, "racyCheckOk": true})
        );
        let header = |name| {
            request
                .headers
                .iter()
                .find(|(have, _)| *have == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(header("X-Goog-Api-Format-Version"), Some("2"));
        assert_eq!(header("Accept-Language"), Some("en-GB, en;q=0.9"));
        assert!(
            header("User-Agent")
                .is_some_and(|agent| agent.starts_with("com.google.visionos.youtube/1.02("))
        );
        assert_eq!(header("Cookie"), None);
    }

    #[test]
    fn an_identity_that_sends_its_visitor_as_a_header_sends_it_only_when_there_is_one() {
        let recipe = crate::Recipes::built_in().youtube;
        let identity = recipe
            .identities
            .iter()
            .find(|identity| identity.name == "visionos-b")
            .expect("identity b");
        let named = |request: PageRequest| {
            request
                .headers
                .iter()
                .any(|(name, _)| *name == "X-Goog-Visitor-Id")
        };
        let video = VideoId::parse("M4gD1WSo5mA").expect("an id");
        assert!(named(player(
            &recipe,
            identity,
            Some("v"),
            video,
            ("t", "c")
        )));
        assert!(!named(visitor_id(&recipe, identity)));
    }
}
