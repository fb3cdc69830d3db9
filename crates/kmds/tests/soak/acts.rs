//! What one of the crowd does, once. Each act ends by itself, and says whether it came to its good end.

use std::time::Duration;

use kmds_lab::Song;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::crowd::World;
use super::load::{At, Dice, Heard, is_as_sent, is_whole_audio};

type Answer = Result<bool, reqwest::Error>;

/// Paths that only look.
const LOOKS: [&str; 9] = [
    "/",
    "/readyz",
    "/healthz",
    "/openapi.json",
    "/ui/",
    "/api/v1/stats",
    "/api/v1/tracks?limit=50",
    "/api/v1/tracks?q=song&state=ready",
    "/api/v1/tracks?cursor=nonsense",
];

/// Bytes that are no request.
const NONSENSE: [&[u8]; 6] = [
    b"",
    b"GET /heal",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /fetch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"URL\"",
    b"GET /tunnel?file=%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /fetch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
];

pub async fn one(at: &At, world: &World, dice: &mut Dice) -> (&'static str, bool) {
    let song = world.song(dice);
    let (name, answer) = match dice.roll(100) {
        0..24 => ("fetch", fetch(at, &song, dice).await),
        24..44 => ("listen", listen(at, &song, dice).await),
        44..52 => ("dawdle", dawdle(at, &song).await),
        52..60 => ("wait", wait(at, &song).await),
        60..65 => ("ranges", ranges(at, &song, dice).await),
        65..70 => ("list", list(at, world, dice).await),
        70..75 => ("copy", copy(at, &song, dice).await),
        75..80 => ("remove", at.delete(&song).await.map(|()| true)),
        80..84 => ("cover", cover(at, &song).await),
        84..87 => ("watch events", events(at).await),
        87..94 => (
            "look",
            at.get(dice.one_of(&LOOKS))
                .await
                .map(|answer| answer.status() == 200),
        ),
        94..97 => ("retry", retry(at, &song).await),
        _ => ("nonsense", Ok(nonsense(at, dice.one_of(&NONSENSE)).await)),
    };
    (name, answer.unwrap_or(false))
}

async fn fetch(at: &At, song: &Song, dice: &mut Dice) -> Answer {
    Ok(at.fetch(&song.link(), dice.roll(4) == 0).await?.is_some())
}

async fn listen(at: &At, song: &Song, dice: &mut Dice) -> Answer {
    let Some(entry) = at.fetch(&song.link(), false).await? else {
        return Ok(false);
    };
    let leaves_at = (dice.roll(3) == 0).then_some(100_000);
    match at.listen(&entry, leaves_at).await? {
        Heard::Nothing => Ok(false),
        Heard::Some => Ok(true),
        Heard::Whole(bytes) => {
            // Under faults it may be another encoding, converted, or the audio out of a video.
            let whole = is_as_sent(song, &bytes) || is_whole_audio(song, &bytes);
            assert!(
                whole,
                "{}: a clean end after {} bytes",
                song.link(),
                bytes.len()
            );
            Ok(true)
        }
    }
}

/// A listener who plays at the song's own speed, and soon has enough.
async fn dawdle(at: &At, song: &Song) -> Answer {
    let Some(entry) = at.fetch(&song.link(), false).await? else {
        return Ok(false);
    };
    let mut answer = at.get(&format!("{}&stream=1", entry.tunnel)).await?;
    for _ in 0..20 {
        if answer.chunk().await?.is_none() {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(true)
}

async fn wait(at: &At, song: &Song) -> Answer {
    let Some(entry) = at.fetch(&song.link(), false).await? else {
        return Ok(false);
    };
    let tunnel = entry.tunnel;
    let answer = at.get(&format!("{tunnel}&wait=5")).await?;
    let whole = answer.status() == 200;
    answer.bytes().await.map(|_| whole)
}

async fn ranges(at: &At, song: &Song, dice: &mut Dice) -> Answer {
    let Some(entry) = at.fetch(&song.link(), false).await? else {
        return Ok(false);
    };
    let tunnel = entry.tunnel;
    let url = format!(
        "{}{tunnel}{}",
        at.url,
        if dice.roll(2) == 0 { "&stream=1" } else { "" }
    );
    let range = dice.one_of(&[
        "bytes=0-99",
        "bytes=1000-",
        "bytes=-500",
        "bytes=0-9,500-600",
        "bytes=9999999999-",
    ]);
    let answer = at.http.get(url).header("range", range).send().await?;
    let part = answer.status() == 206;
    answer.bytes().await.map(|_| part)
}

/// A list: as a reply with a window, as a playlist, or as one ZIP.
async fn list(at: &At, world: &World, dice: &mut Dice) -> Answer {
    let link = world.list(dice);
    let encoded: String = link.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = match dice.roll(3) {
        0 => {
            let body = json!({"url": link, "prefetch": 2});
            let request = at
                .http
                .post(format!("{}/api/v1/fetch", at.url))
                .header("content-type", "application/json");
            request.body(body.to_string()).send().await?
        }
        1 => at.get(&format!("/play?url={encoded}&playlist=1")).await?,
        _ => {
            at.get(&format!("/play?url={encoded}&playlist=1&archive=zip"))
                .await?
        }
    };
    let well = answer.status() == 200;
    answer.bytes().await.map(|_| well)
}

async fn copy(at: &At, song: &Song, dice: &mut Dice) -> Answer {
    if at.fetch(&song.link(), false).await?.is_none() {
        return Ok(false);
    }
    at.copy(
        song,
        dice.one_of(&[
            "rendition=mp3",
            "rendition=ogg",
            "rendition=original&tags=true",
        ]),
    )
    .await
}

async fn cover(at: &At, song: &Song) -> Answer {
    let answer = at
        .get(&format!(
            "/api/v1/tracks/{}/{}/cover",
            song.site().name(),
            song.id()
        ))
        .await?;
    let well = answer.status() == 200;
    answer.bytes().await.map(|_| well)
}

/// Watches for a moment, and goes without a word.
async fn events(at: &At) -> Answer {
    let mut answer = at.get("/api/v1/events").await?;
    let watched = tokio::time::timeout(Duration::from_secs(1), async {
        while answer.chunk().await.is_ok() {}
    })
    .await;
    Ok(watched.is_err())
}

async fn retry(at: &At, song: &Song) -> Answer {
    let path = format!(
        "{}/api/v1/tracks/{}/{}/retry",
        at.url,
        song.site().name(),
        song.id()
    );
    let answer = at
        .http
        .post(path)
        .header("content-type", "application/json")
        .send()
        .await?;
    Ok(answer.status() == 202)
}

/// A stranger who says nothing of use and stays until sent away, or for two seconds.
async fn nonsense(at: &At, bytes: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(at.url.trim_start_matches("http://")).await else {
        return false;
    };
    if stream.write_all(bytes).await.is_err() {
        return true;
    }
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer))
        .await
        .is_ok()
}
