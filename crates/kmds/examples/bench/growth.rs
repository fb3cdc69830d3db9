//! What the service costs with a large catalog: start, requests, new songs, evictions.
//!
//! Makes the catalog itself: one song is fetched from the lab, and its rows are copied under other names, each with a
//! sparse audio file of the right length and time, and a sidecar. A million songs take some minutes and 4 GB.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use kmds_lab::{Lab, kib};
use rusqlite::{Connection, params};

use crate::MEGABYTE;
use crate::service::{Folder, Service};
use crate::table::Table;

/// Requests of which the 99th of a hundred counts.
const REQUESTS: usize = 200;
/// To each service in turn. One second of processor for both, of which hundredths are counted.
const NEW_SONGS: usize = 200;
const LIST_SONGS: usize = 500;
const EVICTED: u64 = 100;
/// The tidying after a start is over when the processor rested so long.
const QUIET: Duration = Duration::from_secs(3);
/// The service unmaps the code that ran every 10 s.
const REST: Duration = Duration::from_secs(12);
const WORDS: [&str; 16] = [
    "love", "the", "night", "kettle", "harbour", "signal", "winter", "blue", "of", "remix", "live",
    "bloom", "paper", "echo", "river", "東京",
];

pub async fn measure(binary: &Path, lab: &Lab, songs: u64, table: &mut Table) {
    let folder = Folder::new();
    let state = folder.join("state").display().to_string();
    let cache = folder.join("cache").display().to_string();
    let settings: Vec<(&str, &str)> = vec![
        ("KMDS_STATE__DIR", &state),
        ("KMDS_CACHE__DIR", &cache),
        ("KMDS_LOG", "warn"),
        // More than all of it: nothing leaves before it is asked to.
        ("KMDS_CACHE__MAX_BYTES", "1000000000000000"),
    ];
    let list = lab
        .youtube()
        .playlist(LIST_SONGS)
        .seconds(1.0)
        .publish()
        .link();
    let first = lab.bandcamp().track("The first").size(kib(200)).publish();

    // Empty: then what is to be copied.
    let begun = Instant::now();
    let service = Service::start_in(binary, lab, &settings, &folder);
    let empty_start = begun.elapsed().as_secs_f64() * 1e3;
    service.whole(&first).await;
    let listed = serde_json::json!({ "URL": list }).to_string();
    service.answered(&service.post(&listed)).await;
    until_quiet(&service).await;
    service.stop();
    let begun = Instant::now();
    let size = make(&folder, songs).await;
    println!(
        "{songs} songs made in {:.0} s; catalog {:.0} MB",
        begun.elapsed().as_secs_f64(),
        std::fs::metadata(folder.join("state/kmds.db")).map_or(f64::NAN, |of| of.len() as f64)
            / MEGABYTE
    );

    let begun = Instant::now();
    let service = Service::start_in(binary, lab, &settings, &folder);
    let start = begun.elapsed().as_secs_f64() * 1e3;
    let name = |what: &str| format!("{songs} songs: {what}");
    table.row("empty: start to ready", empty_start, "ms", Some(50.0));
    let start_goal = if songs > 100_000 { 500.0 } else { 150.0 };
    table.row(&name("start to ready"), start, "ms", Some(start_goal));
    let tidied = until_quiet(&service).await;
    tokio::time::sleep(REST).await;
    let goal = 2.0 * songs as f64 / 1e5;
    table.row(&name("processor until quiet"), tidied, "s", Some(goal));
    table.row(
        &name("resident at rest"),
        service.memory("VmRSS") / MEGABYTE,
        "MB",
        Some(8.0),
    );
    let known = serde_json::json!({ "URL": first.link() }).to_string();
    let beside = Service::start(binary, lab, &[("KMDS_LOG", "warn")]);
    beside.whole(&first).await;
    beside.answered(&beside.post(&listed)).await;
    until_quiet(&beside).await;
    for (what, body, path, goal) in [
        ("/fetch of a known song", Some(&known), "", 2.0),
        ("/fetch of a known list of 500", Some(&listed), "", 20.0),
        ("/api/v1/stats", None, "/api/v1/stats", 5.0),
        ("/metrics", None, "/metrics", 5.0),
        ("/readyz", None, "/readyz", 5.0),
    ] {
        let request = |to: &Service| body.map_or_else(|| to.get(path), |body| to.post(body));
        let both = [(&service, request(&service)), (&beside, request(&beside))];
        let [large, small] = in_turn(&both).await;
        large.show(&name(what), goal, table);
        for (of, ratio) in [
            ("p50", large.p50 / small.p50),
            ("p99", large.p99 / small.p99),
            ("processor", large.processor / small.processor),
        ] {
            let what = format!("{what}, {of} against an empty one in turn");
            table.row(&name(&what), ratio, "times", None);
        }
    }
    let [new_song, with_empty] = new_songs([&service, &beside], lab).await;
    beside.stop();
    table.row("empty: processor for a new song", with_empty, "ms", None);
    table.row(
        &name("processor for a new song, against an empty one in turn"),
        new_song / with_empty,
        "times",
        Some(1.1),
    );
    for (what, request, goal) in [
        ("tracks", service.get("/api/v1/tracks?limit=50"), 50.0),
        (
            "tracks of a site without any",
            service.get("/api/v1/tracks?site=soundcloud&state=failed"),
            50.0,
        ),
        (
            "tracks?q=, no hit",
            service.get("/api/v1/tracks?q=nothinglikeit"),
            50.0,
        ),
        (
            "tracks?q=, frequent words",
            service.get("/api/v1/tracks?q=love+kettle"),
            50.0,
        ),
        (
            "tracks?q=, one song",
            service.get("/api/v1/tracks?q=number77x"),
            50.0,
        ),
        (
            "tracks?q=, two letters",
            service.get("/api/v1/tracks?q=%E6%9D%B1%E4%BA%AC"),
            50.0,
        ),
    ] {
        let [answers] = in_turn(&[(&service, request)]).await;
        answers.show(&name(what), goal, table);
    }
    let bytes = ready_bytes(&service).await;
    service.stop();

    // Room is short by what a hundred songs have.
    let most = (bytes - (EVICTED - 1) * size).to_string();
    let mut settings = settings.clone();
    settings.push(("KMDS_CACHE__MAX_BYTES", &most));
    let service = Service::start_in(binary, lab, &settings, &folder);
    until_quiet(&service).await;
    let late = lab.bandcamp().track("The last").size(size).publish();
    let before = service.cpu_seconds();
    service.whole(&late).await;
    // It waited for its own room only; the others leave behind it.
    until_quiet(&service).await;
    let evicting = (service.cpu_seconds() - before) * 1e3 - new_song;
    let gone = bytes.saturating_sub(ready_bytes(&service).await) / size;
    assert!(gone + 1 >= EVICTED, "{gone} songs were evicted");
    table.row(
        &name("processor to evict 100 songs"),
        evicting,
        "ms",
        Some(50.0),
    );
    service.stop();
}

/// Milliseconds of requests of one kind.
struct Answers {
    p50: f64,
    p99: f64,
    /// The time of one request.
    processor: f64,
}

impl Answers {
    fn show(&self, what: &str, goal: f64, table: &mut Table) {
        let (p50, processor) = (self.p50, self.processor);
        let what = format!("{what}, p99 (p50 {p50:.2}, processor {processor:.2})");
        table.row(&what, self.p99, "ms", Some(goal));
    }
}

/// The same request to each of these services, again and again.
async fn in_turn<const N: usize>(services: &[(&Service, String); N]) -> [Answers; N] {
    let before = services
        .each_ref()
        .map(|(service, _)| service.cpu_seconds());
    let mut times = [const { Vec::new() }; N];
    for _ in 0..REQUESTS {
        for ((service, request), times) in services.iter().zip(&mut times) {
            times.push(service.answered(request).await);
        }
    }
    let mut at = 0;
    times.map(|mut times: Vec<f64>| {
        let used = services[at].0.cpu_seconds() - before[at];
        at += 1;
        times.sort_by(f64::total_cmp);
        Answers {
            p50: times[REQUESTS / 2],
            p99: times[REQUESTS * 99 / 100 - 1],
            processor: used * 1e3 / REQUESTS as f64,
        }
    })
}

/// Milliseconds of processor for a new song in each of these services.
async fn new_songs<const N: usize>(services: [&Service; N], lab: &Lab) -> [f64; N] {
    let mut before = [f64::NAN; N];
    for number in 0..=NEW_SONGS {
        // The first one pays for the connections.
        if number == 1 {
            before = services.map(Service::cpu_seconds);
        }
        for (place, service) in services.into_iter().enumerate() {
            let title = format!("new {place} {number}");
            let song = lab.bandcamp().track(&title).size(kib(200)).publish();
            service.whole(&song).await;
        }
    }
    let mut at = 0;
    services.map(|service| {
        let used = service.cpu_seconds() - before[at];
        at += 1;
        used * 1e3 / NEW_SONGS as f64
    })
}

async fn ready_bytes(service: &Service) -> u64 {
    let answer = service.body(&service.get("/api/v1/stats")).await;
    let stats: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    stats["bytes_on_disk"].as_u64().expect("bytes")
}

/// Seconds of processor from the start until it rests.
async fn until_quiet(service: &Service) -> f64 {
    let (mut used, mut since) = (service.cpu_seconds(), Instant::now());
    while since.elapsed() < QUIET {
        tokio::time::sleep(QUIET / 10).await;
        let now = service.cpu_seconds();
        if now > used {
            (used, since) = (now, Instant::now());
        }
    }
    used
}

/// Copies the first song so many times; the bytes of each.
async fn make(folder: &Path, songs: u64) -> u64 {
    let catalog = Connection::open(folder.join("state/kmds.db")).expect("the catalog");
    // One transaction would need as much room again.
    let mut copying = catalog.unchecked_transaction().expect("a transaction");
    let (id, size, mtime_ns): (String, u64, u64) = copying
        .query_row(
            "SELECT id, size, mtime_ns FROM renditions WHERE site = 'bandcamp' ORDER BY seq LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .expect("the first song");
    // Every column as it is, but these.
    let copy = |table: &str, changed: &[(&str, &str)], without: &str| {
        let all = catalog
            .prepare(&format!("SELECT * FROM {table} LIMIT 0"))
            .expect("a table");
        let names: Vec<&str> = all.column_names().filter(|name| *name != without).collect();
        let values: Vec<String> = names
            .iter()
            .map(|name| {
                let new = changed.iter().find(|(column, _)| column == name);
                new.map_or_else(|| (*name).to_owned(), |(_, value)| (*value).to_owned())
            })
            .collect();
        format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {table} WHERE site = 'bandcamp' AND id = ?1 LIMIT 1",
            names.join(", "),
            values.join(", ")
        )
    };
    let statements = [
        copy(
            "tracks",
            &[
                ("id", "?2"),
                ("words", "?3"),
                ("metadata", "replace(metadata, ?1, ?2)"),
                ("alone", "replace(alone, ?1, ?2)"),
            ],
            "",
        ),
        copy(
            "renditions",
            &[
                ("id", "?2"),
                ("queue_order", "queue_order + ?2"),
                ("published_at", "published_at - ?2 % 1000000"),
            ],
            "seq",
        ),
        copy(
            "names",
            &[("name", "replace(name, ?1, ?2)"), ("id", "?2")],
            "",
        ),
    ];
    let shelf = folder.join("cache/bandcamp");
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(mtime_ns);
    for number in 0..songs {
        if number % 1_000 == 0 {
            // An interruption is seen here.
            tokio::task::yield_now().await;
        }
        if number % 50_000 == 0 {
            copying.commit().expect("written");
            copying = catalog.unchecked_transaction().expect("a transaction");
        }
        let new = format!("{}", 7_000_000_000 + number);
        let word = |at: u64| WORDS[(number.wrapping_mul(0x9e37_79b9) >> at) as usize % WORDS.len()];
        let words = format!("{} {} {} number{number}x", word(3), word(9), word(15));
        for statement in &statements {
            let mut statement = catalog.prepare_cached(statement).expect("our tables");
            match statement.parameter_count() {
                2 => statement.execute(params![id, new]),
                _ => statement.execute(params![id, new, words]),
            }
            .expect("copied");
        }
        let audio = File::create(shelf.join(format!("{new}.mp3"))).expect("audio");
        audio.set_len(size).expect("a length");
        audio.set_modified(time).expect("a time");
        // Beside a row nothing reads it.
        File::create(shelf.join(format!("{new}.mp3.json"))).expect("a sidecar");
    }
    copying.commit().expect("written");
    size
}
