//! Promises of downloads, against scripted sites: which ranges are asked for, and that only right bytes come out.

#[path = "../scripted/mod.rs"]
mod scripted;

mod files;
mod hls;
mod youtube;

use kmds::download::{self, CHUNK_BYTES, Download, DownloadError, Kept};
use kmds::origin::Client;
use kmds_extract::{Codec, Container, Delivery, Recipes, Site, Stream};
use scripted::fast_recipes;

/// Bytes that print as their number: a failed test shows lengths and different places, not kilobytes.
#[derive(Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wanted = file(self.0.len());
        let differs = self
            .0
            .iter()
            .zip(wanted)
            .position(|(have, wanted)| *have != wanted);
        write!(f, "{} bytes, differing at {differs:?}", self.0.len())
    }
}

/// Begins like an MP3; every byte tells its place.
fn file(bytes: usize) -> Vec<u8> {
    let mut file = b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\0".to_vec();
    file.extend((file.len()..bytes).map(|at| (at % 251) as u8));
    file.truncate(bytes);
    file
}

fn stream(site: Site, delivery: Delivery, size_bytes: Option<u64>) -> Stream {
    Stream {
        site,
        delivery,
        container: Container::Mp3,
        codec: Codec::Mp3,
        rank: 0,
        bitrate_bps: None,
        size_bytes,
        duration: None,
        loudness_db: None,
        validator: String::new(),
        expires_unix: None,
        headers: vec![("User-Agent", "test".to_owned())],
        bounded_ranges: site == Site::YouTube,
        muxed: false,
        available_unix: None,
        client: String::new(),
        label: String::new(),
    }
}

/// Ranges of 1,000 bytes, then 4,000, never under 250.
fn recipes() -> Recipes {
    let mut recipes = fast_recipes();
    let youtube = &mut recipes.youtube;
    (
        youtube.first_range_bytes,
        youtube.range_bytes,
        youtube.least_range_bytes,
    ) = (1000, 4000, 250);
    recipes
}

async fn open(
    stream: &Stream,
    kept: Option<Kept>,
    client: &Client,
) -> Result<Download, DownloadError> {
    download::open(stream, kept, client, &recipes()).await
}

fn kept(bytes: usize, mark: Option<&str>) -> Option<Kept> {
    Some(Kept {
        bytes: bytes as u64,
        mark: mark.map(str::to_owned),
    })
}

/// All bytes up to the end, or to the failure.
async fn drain(download: &mut Download) -> (Bytes, Option<DownloadError>) {
    let mut bytes = Bytes(Vec::new());
    loop {
        match download.next().await {
            Ok(Some(chunk)) => {
                assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
                bytes.0.extend_from_slice(&chunk);
            }
            Ok(None) => return (bytes, None),
            Err(error) => return (bytes, Some(error)),
        }
    }
}

async fn whole(stream: &Stream, client: &Client) -> Result<Bytes, DownloadError> {
    let mut download = open(stream, None, client).await?;
    let (bytes, error) = drain(&mut download).await;
    error.map_or(Ok(bytes), Err)
}
