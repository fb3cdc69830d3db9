//! kill -9 at random moments, under a load of everything at once.
//!
//! After each kill: nothing that is not whole stands under a final name. After each start: no accepted song is forgotten.
//! At the end: each of them is ready, byte for byte, or failed with a reason; catalog, sidecars and drive agree.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kmds_lab::soundcloud::Format;
use kmds_lab::{Lab, Song};
use serde_json::{Value, json};

use super::harness::{Kmds, Setup, read};

/// Kills of the short form.
const KILLS: u32 = 25;
/// Bytes a kill may cost: for each of eight downloads what was on its way through sockets and chunks (256 KiB), and for
/// three of them HLS pieces that were not whole (four of 200 KB).
const LOST_BYTES: u64 = 4 << 20;

/// xorshift64*: the same moments for the same seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// What clients were told, across all kills.
#[derive(Default)]
struct Told {
    /// Songs that were answered with 200, by site and id.
    accepted: HashSet<(String, String)>,
    /// Those whose removal was asked for: whether it happened before the kill is anyone's guess.
    removed: HashSet<(String, String)>,
    fetches: u64,
    streams: u64,
    deletes: u64,
    /// Bytes of the songs of those deletes.
    deleted_bytes: u64,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn publish(lab: &Lab) -> Vec<Song> {
    let mut songs = Vec::new();
    for place in 0..4 {
        let seconds = f64::from(40 + 25 * place);
        songs.push(lab.youtube().video(&format!("Video {place}")).seconds(seconds).publish());
        songs.push(
            lab.soundcloud().track(&format!("joined-{place}")).seconds(seconds).formats(&[Format::AacHls]).publish(),
        );
        songs.push(
            lab.soundcloud()
                .track(&format!("file-{place}"))
                .seconds(seconds)
                .formats(&[Format::Mp3Progressive])
                .publish(),
        );
        songs.push(lab.bandcamp().track(&format!("Track {place}")).seconds(seconds).publish());
    }
    // Converted by ffmpeg where there is one, re-wrapped for those who play Opus.
    songs.push(lab.youtube().video("Opus only").seconds(50.0).opus_only().publish());
    for song in &songs {
        song.drip_at(2_500_000);
    }
    songs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_broken_by_kills_at_random_moments() {
    let kills = number("KMDS_KILLS").unwrap_or(u64::from(KILLS));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let seed = number("KMDS_SEED").unwrap_or(u64::from(now.subsec_nanos()) | 1);
    println!("KMDS_SEED={seed} KMDS_KILLS={kills}");
    let mut dice = Dice(seed);
    let lab = Lab::start().await;
    let songs = publish(&lab);
    let path = std::env::var("PATH").unwrap_or_default();
    let setup = Setup::of(&lab).set("PATH", &path);
    let told = Arc::new(Mutex::new(Told::default()));
    let begun = Instant::now();
    for round in 0..kills {
        let mut kmds = setup.start();
        remembers(&kmds, &told, round).await;
        let clients: Vec<_> = (0..6)
            .map(|_| tokio::spawn(client(at(&kmds), songs.clone(), Arc::clone(&told), Dice(dice.roll(u64::MAX) | 1))))
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
    kmds.until("no partial file is left", async || kmds.partials().is_empty()).await;
    drive_is_whole(&kmds, &songs, &format!("seed {seed}, at the end"));
    catalog_and_drive_agree(&kmds).await;
    let told = told.lock().expect("told");
    let (sent, twice) = bytes_sent(&lab, &songs);
    println!(
        "| kills | fetches | streams | deletes | ready | failed | bytes sent | sent again | of deleted songs | most allowed | seconds |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
         | {kills} | {} | {} | {} | {ready} | {failed} | {sent} | {twice} | {} | {} | {} |",
        told.fetches,
        told.streams,
        told.deletes,
        told.deleted_bytes,
        most(kills, &told),
        begun.elapsed().as_secs()
    );
    assert!(twice <= most(kills, &told), "seed {seed}: {twice} bytes were downloaded again");
}

/// What downloads lose at each kill, and what deletes throw away.
const fn most(kills: u64, told: &Told) -> u64 {
    kills * LOST_BYTES + told.deleted_bytes
}

fn bytes_sent(lab: &Lab, songs: &[Song]) -> (u64, u64) {
    let of = |song: &Song| lab.media_bytes_sent(song.id());
    let sent = songs.iter().map(of).sum();
    (sent, songs.iter().map(|song| of(song).saturating_sub(song.len())).sum())
}

struct At {
    http: reqwest::Client,
    url: String,
}

fn at(kmds: &Kmds) -> At {
    At { http: kmds.http.clone(), url: kmds.url.clone() }
}

/// One client: fetches, listens and removes until the service dies.
async fn client(at: At, songs: Vec<Song>, told: Arc<Mutex<Told>>, mut dice: Dice) {
    loop {
        let song = &songs[usize::try_from(dice.roll(songs.len() as u64)).unwrap_or(0)];
        let name = (song.site().name().to_owned(), song.id().to_owned());
        let done = match dice.roll(60) {
            0 => {
                {
                    let mut told = told.lock().expect("told");
                    told.removed.insert(name.clone());
                    told.deletes += 1;
                    told.deleted_bytes += song.len();
                }
                let path = format!("{}/api/v1/tracks/{}/{}", at.url, name.0, name.1);
                at.http.delete(path).send().await.map(drop)
            }
            1..20 => listen(&at, song, &told, dice.roll(2) == 0).await,
            _ => fetch(&at, song, &told, dice.roll(4) == 0).await.map(drop),
        };
        if done.is_err() {
            return;
        }
    }
}

async fn fetch(at: &At, song: &Song, told: &Mutex<Told>, opus: bool) -> Result<Option<Value>, reqwest::Error> {
    let mut body = json!({ "URL": song.link() });
    if opus {
        body["Accept"] = json!(["m4a", "mp3", "opus"]);
    }
    let answer = at.http.post(format!("{}/fetch", at.url)).body(body.to_string()).send().await?;
    let status = answer.status();
    let reply: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    if status != 200 {
        return Ok(None);
    }
    let mut told = told.lock().expect("told");
    told.fetches += 1;
    told.accepted.insert((song.site().name().to_owned(), song.id().to_owned()));
    Ok(Some(reply))
}

/// A listener who stays or leaves. Whoever hears a song to its clean end has heard all of it.
async fn listen(at: &At, song: &Song, told: &Mutex<Told>, leaves: bool) -> Result<(), reqwest::Error> {
    let Some(reply) = fetch(at, song, told, false).await? else { return Ok(()) };
    let tunnel = reply["Songs"][0]["Tunnel_URL"].as_str().unwrap_or_default();
    let mut answer = at.http.get(format!("{}{tunnel}&stream=1", at.url)).send().await?;
    if answer.status() != 200 {
        return Ok(());
    }
    told.lock().expect("told").streams += 1;
    let mut heard = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => heard.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(_) => return Ok(()),
        }
        if leaves && heard.len() > 200_000 {
            return Ok(());
        }
    }
    if is_kept_as_it_is(song) {
        assert!(heard == song.bytes(), "{}: a clean end after {} of {} bytes", song.link(), heard.len(), song.len());
    }
    Ok(())
}

/// Every other song is published byte for byte.
fn is_kept_as_it_is(song: &Song) -> bool {
    song.title() != "Opus only"
}

/// No song that was accepted is unknown after a start, unless its removal was asked for.
async fn remembers(kmds: &Kmds, told: &Mutex<Told>, round: u64) {
    let accepted: Vec<_> = {
        let told = told.lock().expect("told");
        told.accepted.iter().filter(|name| !told.removed.contains(*name)).cloned().collect()
    };
    for (site, id) in accepted {
        let answer = kmds.get(&format!("/api/v1/tracks/{site}/{id}")).await;
        assert_eq!(answer.status(), 200, "start {round}: {site}-{id} was accepted and is forgotten");
    }
}

/// Waits until every accepted song has its end; how many are ready and failed.
async fn ends(kmds: &Kmds, told: &Mutex<Told>) -> (usize, usize) {
    let (accepted, removed) = {
        let told = told.lock().expect("told");
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
            let track: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
            match track["state"].as_str() {
                Some("ready") => {
                    ready += 1;
                    break;
                }
                Some("failed") => {
                    let reason = track["failure"]["reason"].as_str().unwrap_or_default();
                    assert!(!reason.is_empty(), "{name:?} failed without a reason: {track}");
                    // Without ffmpeg an Opus-only song has this end.
                    assert_eq!(track["failure"]["kind"], "conversion_unavailable", "{name:?}: {track}\n{}", kmds.log());
                    failed += 1;
                    break;
                }
                state => assert!(Instant::now() < end, "{name:?} stays {state:?}: {track}\n{}", kmds.log()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    (ready, failed)
}

/// Whatever stands under a final name is whole: the song itself, or what its sidecar says of it.
fn drive_is_whole(kmds: &Kmds, songs: &[Song], when: &str) {
    let by_id: HashMap<&str, &Song> = songs.iter().map(|song| (song.id(), song)).collect();
    let cache = kmds.folder.path("cache");
    for path in kmds.published() {
        if path.ends_with(".json") {
            continue;
        }
        let bytes = read(&cache.join(&path));
        let id = path.split_once('/').map_or("", |(_, name)| name.rsplit_once('.').map_or("", |(id, _)| id));
        let song =
            by_id.get(id.split('.').next().unwrap_or_default()).unwrap_or_else(|| panic!("{when}: {path} is no song"));
        if is_kept_as_it_is(song) {
            let streams = song.streams().iter().filter_map(|stream| song.stream_bytes(&stream.key));
            let whole = streams.chain([song.bytes()]).any(|stream| stream == bytes);
            assert!(whole, "{when}: {path} has {} bytes that are not the song's {}", bytes.len(), song.len());
        } else {
            assert!(bytes.len() > 50_000, "{when}: {path} has {} bytes only", bytes.len());
        }
        if let Some(sidecar) = sidecar(&cache, &path) {
            assert_eq!(sidecar["sha256"], sha256(&bytes), "{when}: {path} and its sidecar");
        }
    }
}

fn sidecar(cache: &Path, path: &str) -> Option<Value> {
    let text = std::fs::read(cache.join(format!("{path}.json"))).ok()?;
    Some(serde_json::from_slice(&text).expect("a sidecar is whole JSON"))
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
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
    let files: HashSet<String> = kmds.published().into_iter().filter(|path| !path.ends_with(".json")).collect();
    let listed: HashSet<String> = rows.keys().cloned().collect();
    assert_eq!(files, listed, "files and ready rows");
    for (path, hash) in rows {
        assert_eq!(sha256(&read(&cache.join(&path))), hash, "{path}");
        assert_eq!(sidecar(&cache, &path).expect("a sidecar")["sha256"], hash, "{path}");
    }
}
