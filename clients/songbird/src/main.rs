//! Songs from KMDS for songbird: by yt-dlp's command line, by the path of a file, and as a stream.
//!
//! `kmds-songbird ytdl PROGRAM LINK`, `kmds-songbird file PATH`, `kmds-songbird stream ADDRESS` read a song to its end,
//! as the driver of a call does, and print what came as JSON: the codec, the sizes of its packets, and how many of them
//! songbird's own decoder decoded to sound. A driver passes packets of the codec `opus` on as they are while one song
//! plays at full volume.

#![forbid(unsafe_code)]
#![deny(warnings)]

use std::error::Error;

use serde_json::json;
use songbird::input::codecs::{get_codec_registry, get_probe};
use songbird::input::core::codecs::CODEC_TYPE_OPUS;
use songbird::input::core::errors::Error as ReadError;
use songbird::input::{Compose, File, HttpRequest, Input, LiveInput, Parsed, YoutubeDl};

// What a bot plays with `call.play_input(song)`:

/// By yt-dlp's command line, with `KMDS_SERVER` in the bot's environment. `link` may be a search: `ytsearch:WORDS`.
fn by_ytdlp(program: &'static str, client: reqwest::Client, link: String) -> YoutubeDl<'static> {
    YoutubeDl::new_ytdl_like(program, client, link)
}

/// From the shared drive, once the song is ready.
fn by_path(path: String) -> Input {
    File::new(path).into()
}

/// While it arrives: `address` is `links.stream` of a track that was fetched with `"accept": ["opus"]`.
fn as_stream(client: reqwest::Client, address: String) -> Input {
    HttpRequest::new(client, address).into()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("ytdl PROGRAM LINK, file PATH, or stream ADDRESS")
    };
    let client = reqwest::Client::new();
    let mut title = None;
    let song = match next()?.as_str() {
        "ytdl" => {
            let program = next()?.leak();
            let mut song = by_ytdlp(program, client, next()?);
            title = song.aux_metadata().await?.title;
            song.into()
        }
        "file" => by_path(next()?),
        "stream" => as_stream(client, next()?),
        other => return Err(format!("{other} is none of ytdl, file, stream").into()),
    };
    let song = song
        .make_playable_async(get_codec_registry(), get_probe())
        .await?;
    let Input::Live(LiveInput::Parsed(parsed), _) = song else {
        return Err("songbird made no playable input of it".into());
    };
    let is_opus = codec_of(&parsed) == Some(CODEC_TYPE_OPUS);
    // Reading waits for bytes: they are brought by tasks of this thread.
    let read = tokio::task::spawn_blocking(|| read(parsed)).await?;
    let (sizes, decoded) = read?;
    println!(
        "{}",
        json!({"title": title, "codec": is_opus.then_some("opus"), "sizes": sizes, "decoded": decoded})
    );
    Ok(())
}

fn codec_of(song: &Parsed) -> Option<songbird::input::core::codecs::CodecType> {
    let tracks = song.format.tracks();
    let track = tracks.iter().find(|track| track.id == song.track_id);
    track.map(|track| track.codec_params.codec)
}

/// The sizes of all packets of a song, and how many of them are sound.
fn read(mut song: Parsed) -> Result<(Vec<usize>, usize), ReadError> {
    let (mut sizes, mut decoded) = (Vec::new(), 0);
    loop {
        let packet = match song.format.next_packet() {
            Ok(packet) => packet,
            Err(ReadError::IoError(end)) if end.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok((sizes, decoded));
            }
            Err(error) => return Err(error),
        };
        if packet.track_id() == song.track_id {
            sizes.push(packet.buf().len());
            decoded += usize::from(song.decoder.decode(&packet)?.frames() > 0);
        }
    }
}
