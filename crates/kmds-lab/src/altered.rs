//! Faults that are whole HTTP messages of another content.
//!
//! Owns the wrong bodies: empty, cut, bombs, pages of another site version, challenges. It sends no byte.

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::fault::Fault;
use crate::wire::{Reply, Request};

const BOMB_MEBIBYTES: usize = 256;

/// `reply` as `fault` changes it; the same where the fault is another one.
pub fn altered(request: &Request, mut reply: Reply, fault: &Fault) -> Reply {
    match fault {
        Fault::WrongLength => {
            let length = reply.body.len();
            let kept = if length > 2000 {
                length - 1000
            } else {
                length / 2
            };
            reply.body = reply.body.slice(..kept);
        }
        Fault::Empty200 => {
            reply.status = 200;
            reply.headers.retain(|(name, _)| name == "Content-Type");
            reply.body = Bytes::new();
        }
        Fault::HtmlInstead => {
            reply = Reply::html(
                "<!DOCTYPE html><html><title>Sorry</title><body>Something went wrong.</body></html>",
            );
        }
        Fault::WrongBytes => {
            let seed = b"these are not the bytes you are looking for. ";
            reply.body = seed
                .iter()
                .copied()
                .cycle()
                .take(reply.body.len())
                .collect::<Vec<u8>>()
                .into();
        }
        Fault::Status(code, after) => {
            reply = Reply::refusal(*code);
            if let Some(seconds) = after {
                reply.set_header("Retry-After", &seconds.to_string());
            }
        }
        Fault::CutGzip => {
            let whole = gzip(&reply.body);
            reply.body = whole.slice(..whole.len() / 2);
            reply.set_header("Content-Encoding", "gzip");
        }
        Fault::GzipBomb => {
            reply.body = bomb();
            reply.set_header("Content-Encoding", "gzip");
        }
        Fault::RedirectLoop => {
            let hop: u32 = request
                .param("hop")
                .and_then(|hop| hop.parse().ok())
                .unwrap_or(0);
            reply = Reply::redirect(&format!(
                "https://{}{}?hop={}",
                request.host,
                request.path,
                hop + 1
            ));
        }
        Fault::RedirectTo(url) => reply = Reply::redirect(url),
        Fault::ChangedPage => reply.body = without_what_is_needed(&reply.body),
        Fault::OddValue => reply.body = with_an_odd_value(&reply.body),
        Fault::BotCheck => reply = bot_check(request),
        _ => {}
    }
    reply
}

pub fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.map(Bytes::from).unwrap_or_default()
}

/// One deflate block of a mebibyte of zeros that refers to nothing before it, many times over.
fn bomb() -> Bytes {
    static BOMB: OnceLock<Bytes> = OnceLock::new();
    let made = BOMB.get_or_init(|| {
        let mut block = Vec::with_capacity(4096);
        let mut squeeze = flate2::Compress::new(Compression::best(), false);
        let squeezed =
            squeeze.compress_vec(&vec![0; 1 << 20], &mut block, flate2::FlushCompress::Full);
        debug_assert!(squeezed.is_ok());
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        for _ in 0..BOMB_MEBIBYTES {
            out.extend_from_slice(&block);
        }
        // A last, empty block; then a checksum that no client should reach.
        out.extend_from_slice(&[0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]);
        Bytes::from(out)
    });
    made.clone()
}

/// JSON, and the JSON in a page's attributes and scripts, with one field more that most parsers refuse.
fn with_an_odd_value(body: &[u8]) -> Bytes {
    const ODD: &str = r#"{"odd":["\ud83d",1e999],"#;
    let Ok(text) = std::str::from_utf8(body) else {
        return Bytes::copy_from_slice(body);
    };
    let mut text = text.to_owned();
    for (place, odd) in [
        ("__sc_hydration = [{", ODD.to_owned()),
        ("data-tralbum=\"{", ODD.replace('"', "&quot;")),
        ("data-player-data=\"{", ODD.replace('"', "&quot;")),
    ] {
        text = text.replace(place, &format!("{}{odd}", place.trim_end_matches('{')));
    }
    // Every object of a list, in case only some of them are read.
    if text.starts_with('{') || text.starts_with("[{") {
        text = text.replace("{\"", &format!("{ODD}\""));
    }
    text.into()
}

/// The same page, with the names that readers look for spelt differently.
fn without_what_is_needed(body: &[u8]) -> Bytes {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for name in [
        "\"videoDetails\"",
        "\"onResponseReceivedActions\"",
        "\"contents\"",
        "\"sidebar\"",
        "\"header\"",
        "\"metadata\"",
        "\"microformat\"",
        "\"playlist\"",
        "\"media\"",
        "\"title\"",
        "\"url\"",
        "\"tracks\"",
        "\"apiClient\"",
        "\"visitorData\"",
        "client_id:",
        "data-tralbum=",
        "data-band=",
        "application/ld+json",
        "data-player-data=",
    ] {
        let middle = name.len() / 2;
        let (front, back) = name.split_at(middle);
        text = text.replace(name, &format!("{front}x{back}"));
    }
    Bytes::from(text)
}

/// What each site says to a client that it takes for a robot (the field notes' failure tables).
fn bot_check(request: &Request) -> Reply {
    let host = request.host.as_str();
    if host.ends_with("soundcloud.com")
        || host.ends_with("sndcdn.com")
        || host.ends_with("soundcloud.cloud")
    {
        return Reply::new(
            403,
            "application/json",
            r#"{"url":"https://geo.captcha-delivery.com/captcha/?initialCid=x"}"#,
        )
        .with_header("x-datadome", "protected");
    }
    if host.ends_with("bandcamp.com") || host.ends_with("bcbits.com") {
        return Reply::html(challenge_page());
    }
    if request.path.ends_with("/player") || request.path.ends_with("/reel_item_watch") {
        let said = serde_json::json!({"responseContext": {"visitorData": "Cgt2aXNpdG9yTmV3"}, "playabilityStatus": {
            "status": "LOGIN_REQUIRED", "reason": "Sign in to confirm you\u{2019}re not a bot",
            "messages": ["This helps protect our community."]}});
        return Reply::json(&said);
    }
    Reply::refusal(429)
}

/// Bandcamp's challenge: HTTP 200, about 3 KB.
pub fn challenge_page() -> String {
    let filler = "0".repeat(2_400);
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Client Challenge</title>\
         <link rel=\"stylesheet\" href=\"/_fs-ch-1T1wmsGaOgGaSxcX/assets/styles.css\"></head><body>\
         <noscript>JavaScript is disabled in your browser.</noscript><div id=\"loading-error\" hidden>{filler}</div>\
         <script src=\"/_fs-ch-1T1wmsGaOgGaSxcX/script.js\"></script></body></html>"
    )
}
