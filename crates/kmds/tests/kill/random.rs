//! kill -9 at random moments, under a load of everything at once.
//!
//! After each kill: nothing that is not whole stands under a final name. After each start: no accepted song is
//! forgotten. At the end: each of them is ready, byte for byte, or failed with a reason; catalog, sidecars and drive
//! agree.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Song};
use parking_lot::Mutex;
use serde_json::Value;

use super::harness::replies::Entry;
use super::harness::{Kmds, Setup, read};
use super::load::{At, Dice, Heard, OPUS_ONLY, is_as_sent, is_whole_audio, seed};

const SHORT: u64 = 25;
const LONG: u64 = 200;
/// How many songs, the shortest ones, clients also want in other forms: ffmpeg takes time.
const COPIED: u64 = 4;
/// Bytes a kill may cost, taken over all kills of a run: of each of eight downloads what was on its way through sockets
/// and chunks (256 KiB). The worst single kill costs more (HLS pieces that were not whole), most cost nothing.
const LOST_BYTES: u64 = 2 << 20;

/// The answers to clients, across all kills.
#[derive(Default)]
struct Told {
    /// Songs that were answered with 200, by site and id.
    accepted: HashSet<(String, String)>,
    /// Songs whose removal was requested: it is not known whether it happened before the kill.
    removed: HashSet<(String, String)>,
    fetches: u64,
    streams: u64,
    /// Copies that came whole.
    copies: u64,
    deletes: u64,
    /// Bytes of the songs of those deletes.
    deleted_bytes: u64,
}

fn publish(lab: &Lab) -> Vec<Song> {
    let mut songs = Vec::new();
    for place in 0..4 {
        let seconds = f64::from(40 + 25 * place);
        songs.push(
            lab.youtube()
                .video(&format!("Video {place}"))
                .seconds(seconds)
                .publish(),
        );
        songs.push(
            lab.soundcloud()
                .track(&format!("joined-{place}"))
                .seconds(seconds)
                .formats(&[Format::AacHls])
                .publish(),
        );
        songs.push(
            lab.soundcloud()
                .track(&format!("file-{place}"))
                .seconds(seconds)
                .formats(&[Format::Mp3Progressive])
                .publish(),
        );
        songs.push(
            lab.bandcamp()
                .track(&format!("Track {place}"))
                .seconds(seconds)
                .publish(),
        );
    }
    // Converted by ffmpeg where there is one, re-wrapped for those who play Opus.
    songs.push(
        lab.youtube()
            .video(OPUS_ONLY)
            .seconds(50.0)
            .opus_only()
            .publish(),
    );
    for song in &songs {
        song.drip_at(2_500_000);
    }
    songs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_broken_by_kills_at_random_moments() {
    survives(SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: cargo test -p kmds --test kill -- --ignored --nocapture"]
async fn nothing_is_lost_or_broken_by_two_hundred_kills() {
    survives(LONG).await;
}

async fn survives(kills: u64) {
    let seed = seed();
    println!("KMDS_SEED={seed}");
    let mut dice = Dice(seed);
    let lab = Lab::start().await;
    let songs = publish(&lab);
    let setup = Setup::of(&lab).set("PATH", &std::env::var("PATH").unwrap_or_default());
    let told = Arc::new(Mutex::new(Told::default()));
    let begun = Instant::now();
    for round in 0..kills {
        let mut kmds = setup.start();
        remembers(&kmds, &told, round).await;
        let clients: Vec<_> = (0..6)
            .map(|_| {
                tokio::spawn(client(
                    at(&kmds),
                    songs.clone(),
                    Arc::clone(&told),
                    dice.child(),
                ))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(dice.roll(900))).await;
        kmds.kill();
        for client in clients {
            client.abort();
            let _ = client.await;
        }
        drive_is_whole(&kmds, &songs, &format!("seed {seed}, after kill {round}"));
    }
    let kmds = setup.start();
    let (ready, failed) = ends(&kmds, &told).await;
    // Other forms of a song that was asked for by other clients come to their end as well.
    kmds.until("no partial file is left", async || {
        kmds.partials().is_empty()
    })
    .await;
    drive_is_whole(&kmds, &songs, &format!("seed {seed}, at the end"));
    catalog_and_drive_agree(&kmds).await;
    let told = told.lock();
    let (sent, twice) = bytes_sent(&lab, &songs);
    println!(
        "| kills | fetches | streams | copies | deletes | ready | failed | bytes sent | sent again | of deleted songs | most allowed | seconds |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
         | {kills} | {} | {} | {} | {} | {ready} | {failed} | {sent} | {twice} | {} | {} | {} |",
        told.fetches,
        told.streams,
        told.copies,
        told.deletes,
        told.deleted_bytes,
        most(kills, &told),
        begun.elapsed().as_secs()
    );
    assert!(
        twice <= most(kills, &told),
        "seed {seed}: {twice} bytes were downloaded again"
    );
}

/// The bytes that downloads lose at each kill, and that deletes throw away.
const fn most(kills: u64, told: &Told) -> u64 {
    kills * LOST_BYTES + told.deleted_bytes
}

fn bytes_sent(lab: &Lab, songs: &[Song]) -> (u64, u64) {
    let of = |song: &Song| lab.media_bytes_sent(song.id());
    let sent = songs.iter().map(of).sum();
    (
        sent,
        songs
            .iter()
            .map(|song| of(song).saturating_sub(song.len()))
            .sum(),
    )
}

fn at(kmds: &Kmds) -> At {
    At {
        http: kmds.http.clone(),
        url: kmds.url.clone(),
    }
}

/// One client: fetches, listens, wants copies and removes until the service dies.
async fn client(at: At, songs: Vec<Song>, told: Arc<Mutex<Told>>, mut dice: Dice) {
    loop {
        let song = dice.one_of(&songs);
        let done = match dice.roll(60) {
            0 => {
                remove(&told, &song);
                at.delete(&song).await
            }
            1..20 => {
                let leaves_at = (dice.roll(2) == 0).then_some(200_000);
                listen(&at, &song, &told, leaves_at).await
            }
            20..24 => copy(&at, &songs[dice.roll(COPIED) as usize], &told, &mut dice).await,
            _ => fetch(&at, &song, &told, dice.roll(4) == 0).await.map(drop),
        };
        if done.is_err() {
            return;
        }
    }
}

fn name(song: &Song) -> (String, String) {
    (song.site().name().to_owned(), song.id().to_owned())
}

/// Recorded before the request: the kill may come between the removal and the answer.
fn remove(told: &Mutex<Told>, song: &Song) {
    let mut told = told.lock();
    told.removed.insert(name(song));
    told.deletes += 1;
    told.deleted_bytes += song.len();
}

async fn fetch(
    at: &At,
    song: &Song,
    told: &Mutex<Told>,
    opus: bool,
) -> Result<Option<Entry>, reqwest::Error> {
    let entry = at.fetch(&song.link(), opus).await?;
    if entry.is_some() {
        let mut told = told.lock();
        told.fetches += 1;
        told.accepted.insert(name(song));
    }
    Ok(entry)
}

/// A listener who stays or leaves.
async fn listen(
    at: &At,
    song: &Song,
    told: &Mutex<Told>,
    leaves_at: Option<usize>,
) -> Result<(), reqwest::Error> {
    let Some(entry) = fetch(at, song, told, false).await? else {
        return Ok(());
    };
    let heard = at.listen(&entry, leaves_at).await?;
    told.lock().streams += u64::from(!matches!(heard, Heard::Nothing));
    if let Heard::Whole(bytes) = heard {
        assert!(
            is_whole(song, &entry.path, &bytes),
            "{}: a clean end after {} bytes",
            song.link(),
            bytes.len()
        );
    }
    Ok(())
}

/// Another form of a song, made by ffmpeg or with tags written into it.
async fn copy(
    at: &At,
    song: &Song,
    told: &Mutex<Told>,
    dice: &mut Dice,
) -> Result<(), reqwest::Error> {
    let wish = dice.one_of(&["rendition=mp3", "rendition=ogg", "tags=true"]);
    let made = at.copy(song, wish).await?;
    told.lock().copies += u64::from(made);
    Ok(())
}

/// No song that was accepted is unknown after a start, unless its removal was asked for.
async fn remembers(kmds: &Kmds, told: &Mutex<Told>, round: u64) {
    let accepted: Vec<_> = {
        let told = told.lock();
        told.accepted
            .iter()
            .filter(|name| !told.removed.contains(*name))
            .cloned()
            .collect()
    };
    for (site, id) in accepted {
        let answer = kmds.get(&format!("/api/v1/tracks/{site}/{id}")).await;
        assert_eq!(
            answer.status(),
            200,
            "start {round}: {site}-{id} was accepted and is forgotten"
        );
    }
}

/// Waits until every accepted song has its end; how many are ready and failed.
async fn ends(kmds: &Kmds, told: &Mutex<Told>) -> (usize, usize) {
    let (accepted, removed) = {
        let told = told.lock();
        (told.accepted.clone(), told.removed.clone())
    };
    let (mut ready, mut failed) = (0, 0);
    for name in accepted {
        let path = format!("/api/v1/tracks/{}/{}", name.0, name.1);
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            let answer = kmds.get(&path).await;
            if answer.status() == 404 && removed.contains(&name) {
                break;
            }
            let track: Value =
                serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
            match track["state"].as_str() {
                Some("ready") => {
                    ready += 1;
                    break;
                }
                Some("failed") => {
                    let reason = track["failure"]["reason"].as_str().unwrap_or_default();
                    assert!(
                        !reason.is_empty(),
                        "{name:?} failed without a reason: {track}"
                    );
                    // Without ffmpeg an Opus-only song has this end.
                    assert_eq!(
                        track["failure"]["kind"],
                        "conversion_unavailable",
                        "{name:?}: {track}\n{}",
                        kmds.log()
                    );
                    failed += 1;
                    break;
                }
                state => assert!(
                    Instant::now() < end,
                    "{name:?} stays {state:?}: {track}\n{}",
                    kmds.log()
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    (ready, failed)
}

/// Every file under a final name is whole: the song itself, or the file that its sidecar describes.
fn drive_is_whole(kmds: &Kmds, songs: &[Song], when: &str) {
    let by_id: HashMap<&str, &Song> = songs.iter().map(|song| (song.id(), song)).collect();
    let cache = kmds.folder.path("cache");
    for path in kmds.published() {
        if path.ends_with(".json") {
            continue;
        }
        let bytes = read(&cache.join(&path));
        let id = path.split_once('/').map_or("", |(_, name)| {
            name.rsplit_once('.').map_or("", |(id, _)| id)
        });
        let song = by_id
            .get(id.split('.').next().unwrap_or_default())
            .unwrap_or_else(|| panic!("{when}: {path} is no song"));
        let is_copy = path
            .rsplit_once('.')
            .is_some_and(|(name, _)| name.ends_with(".r"));
        let whole = if is_copy {
            is_whole_audio(song, &bytes)
        } else {
            is_whole(song, &path, &bytes)
        };
        assert!(
            whole,
            "{when}: {path} has {} bytes that are not the song",
            bytes.len()
        );
        if let Some(sidecar) = sidecar(&cache, &path) {
            assert_eq!(
                sidecar["sha256"],
                sha256(&bytes),
                "{when}: {path} and its sidecar"
            );
        }
    }
}

/// Byte for byte as the site sent it; what is converted cannot be compared.
fn is_whole(song: &Song, path: &str, bytes: &[u8]) -> bool {
    // SoundCloud has MP3 of most songs. Of one that it has none of, the MP3 is converted.
    let is_mp4 = song.bytes().get(4..8) == Some(b"ftyp");
    if song.title() == OPUS_ONLY || (is_mp4 && path.ends_with(".mp3")) {
        is_whole_audio(song, bytes)
    } else {
        is_as_sent(song, bytes)
    }
}

fn sidecar(cache: &Path, path: &str) -> Option<Value> {
    let text = std::fs::read(cache.join(format!("{path}.json"))).ok()?;
    Some(serde_json::from_slice(&text).expect("a sidecar is whole JSON"))
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Each file has its sidecar and its row, and each ready row its file.
async fn catalog_and_drive_agree(kmds: &Kmds) {
    let answer = kmds.get("/api/v1/tracks?state=ready&limit=500").await;
    let list: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    let rows: HashMap<String, String> = list["tracks"]
        .as_array()
        .expect("tracks")
        .iter()
        .map(|track| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&track["cache_path"]), text(&track["stored"]["sha256"]))
        })
        .collect();
    let cache = kmds.folder.path("cache");
    let files: HashSet<String> = kmds
        .published()
        .into_iter()
        .filter(|path| !path.ends_with(".json"))
        .collect();
    let listed: HashSet<String> = rows.keys().cloned().collect();
    assert_eq!(files, listed, "files and ready rows");
    for (path, hash) in rows {
        assert_eq!(sha256(&read(&cache.join(&path))), hash, "{path}");
        assert_eq!(
            sidecar(&cache, &path).expect("a sidecar")["sha256"],
            hash,
            "{path}"
        );
    }
}
