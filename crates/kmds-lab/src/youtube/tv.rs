//! The television client (TVHTML5), whose answers need the player script.
//!
//! Owns the page that names the script, the script, and the challenges in answers: every second format has an
//! enciphered signature, and all have an `n`. A media request with the original `n` is refused (YouTube's update, Y2).

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::make::ID_ALPHABET;
use super::player::{self, Video};
use crate::sign;
use crate::wire::Reply;
use crate::world::Shared;

pub const CLIENT: &str = "TVHTML5";

/// `GET /iframe_api`.
pub fn page(shared: &Shared) -> Reply {
    match shared.youtube.script.lock().as_ref() {
        Some((script, _)) => {
            let id = script.id();
            let text = format!(
                "var scriptUrl = 'https:\\/\\/www.youtube.com\\/s\\/player\\/{id}\\/www-widgetapi.vflset\\/www-widgetapi.js';"
            );
            Reply::new(200, "text/javascript; charset=utf-8", text.into_bytes())
        }
        None => Reply::not_found(),
    }
}

/// `GET /s/player/{id}/player_ias.vflset/{language}/base.js`.
pub fn script(shared: &Shared, path: &str) -> Reply {
    match shared.youtube.script.lock().as_ref() {
        Some((script, text))
            if path.starts_with(&format!("/s/player/{}/player_ias.vflset/", script.id())) =>
        {
            Reply::new(200, "text/javascript", text.clone().into_bytes())
        }
        _ => Reply::not_found(),
    }
}

/// What a player call as the television is told. One that is no Samsung, or names another player's timestamp, gets no
/// URL.
pub fn answer(shared: &Shared, video: &Arc<Video>, body: &Value) -> Value {
    let script = shared
        .youtube
        .script
        .lock()
        .as_ref()
        .map(|(script, _)| *script);
    let timestamp = body
        .pointer("/playbackContext/contentPlaybackContext/signatureTimestamp")
        .and_then(Value::as_u64);
    let is_samsung = body
        .pointer("/context/client/deviceMake")
        .and_then(Value::as_str)
        == Some("Samsung");
    let Some(script) = script
        .filter(|script| is_samsung && timestamp == Some(script.signature_timestamp().into()))
    else {
        return player::for_others(shared, video);
    };
    let mut answer = video.answer.clone();
    answer["responseContext"]["visitorData"] = json!(player::visitor_data(shared));
    player::date(shared, video, &mut answer);
    let Some(formats) = answer
        .pointer_mut("/streamingData/adaptiveFormats")
        .and_then(Value::as_array_mut)
    else {
        return answer;
    };
    for (index, format) in formats.iter_mut().enumerate() {
        let Some(url) = format["url"]
            .as_str()
            .map(|url| url.replace("&c=VISIONOS", "&c=TVHTML5"))
        else {
            continue;
        };
        let value = |name: &str| {
            let query = url.split_once('?').map_or("", |(_, query)| query);
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs
                .find_map(|(known, value)| (known == name).then(|| value.into_owned()))
                .unwrap_or_default()
        };
        let url = format!(
            "{url}&n={}",
            given_n(shared, &value("itag"), &value("expire"))
        );
        let signature = value("sig");
        if index % 2 == 0 || signature.is_empty() {
            format["url"] = json!(url);
            continue;
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let bare = url.replace(
            &format!(
                "&sig={}",
                utf8_percent_encode(&signature, super::googlevideo::PLAIN)
            ),
            "",
        );
        let cipher = format!(
            "s={}&sp=sig&url={}",
            encoded(&script.enciphered(&signature)),
            encoded(&bare)
        );
        format["signatureCipher"] = json!(cipher);
        if let Some(format) = format.as_object_mut() {
            format.remove("url");
        }
    }
    answer
}

/// The `n` of a URL as it is given out.
fn given_n(shared: &Shared, itag: &str, expire: &str) -> String {
    sign::word(&[&shared.secret, "n", itag, expire], 17, ID_ALPHABET)
}

/// Whether `n` is what the script makes of the one that was given out.
pub fn is_transformed(shared: &Shared, n: &str, itag: &str, expire: &str) -> bool {
    let script = shared
        .youtube
        .script
        .lock()
        .as_ref()
        .map(|(script, _)| *script);
    script.is_some_and(|script| n == script.n(&given_n(shared, itag, expire)))
}
