//! What the service costs, measured on the release build against the lab on loopback: `./bench` runs it.
//!
//! Owns the figures of the design with their goals. Prints one table and fails when a goal is missed.
//! Never leaves this machine, and ends within a few minutes. Names of parts (`growth`, or `growth=1000000` for so many songs)
//! measure those alone.

mod growth;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use kmds_lab::{Lab, Site, Song, kib, mib};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// One round trip of the lab: a request, or the set-up of a connection.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// Runs of which the median counts.
const RUNS: usize = 5;
const LISTENERS: usize = 200;
const MEGABYTE: f64 = 1e6;
const PARTS: [&str; 5] = ["idle", "crowded", "first", "serving", "growth"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut given = std::env::args().skip(1);
    let Some(binary) = given.next().map(PathBuf::from) else {
        eprintln!("usage: bench PATH/TO/kmds [PART...]");
        return ExitCode::from(2);
    };
    let parts: Vec<String> = given.collect();
    for part in &parts {
        let name = part.split('=').next().unwrap_or_default();
        if !PARTS.contains(&name) {
            eprintln!("no part is called {name}; there are: {}", PARTS.join(", "));
            return ExitCode::from(2);
        }
    }
    let asked = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    let mut table = Table::default();
    let size = std::fs::metadata(&binary).map_or(f64::NAN, |of| of.len() as f64);
    table.row("size of the binary", size / MEGABYTE, "MB", Some(12.0));
    let lab = Lab::start().await;
    if asked("idle") {
        idle(&binary, &lab, &mut table).await;
    }
    if asked("crowded") {
        crowded(&binary, &lab, &mut table).await;
    }
    for site in [Site::YouTube, Site::SoundCloud, Site::Bandcamp] {
        if asked("first") {
            first_byte(&binary, &lab, site, &mut table).await;
        }
    }
    if asked("serving") {
        serving(&binary, &lab, &mut table).await;
    }
    let songs = parts.iter().find_map(|part| part.strip_prefix("growth="));
    if songs.is_some() || asked("growth") {
        let songs = songs.and_then(|songs| songs.parse().ok());
        growth::measure(&binary, &lab, songs.unwrap_or(100_000), &mut table).await;
    }
    table.verdict()
}

/// The figures as they are printed.
#[derive(Default)]
struct Table {
    missed: usize,
}

impl Table {
    fn row(&mut self, what: &str, measured: f64, unit: &str, goal: Option<f64>) {
        if self.missed == 0 && what.starts_with("size") {
            println!(
                "{:<58} {:>9} {:<12} {:>8}",
                "figure (median)", "measured", "unit", "goal"
            );
        }
        let (goal, verdict) = match goal {
            None => (String::new(), ""),
            // A figure that could not be taken is no success.
            Some(goal) if measured <= goal => (format!("≤ {goal}"), "met"),
            Some(goal) => {
                self.missed += 1;
                (format!("≤ {goal}"), "MISSED")
            }
        };
        println!("{what:<58} {measured:>9.2} {unit:<12} {goal:>8} {verdict}");
    }

    fn verdict(&self) -> ExitCode {
        if self.missed == 0 {
            println!("every goal is met");
            return ExitCode::SUCCESS;
        }
        println!(
            "{} goals are missed; docs/performance.md tells what was tried",
            self.missed
        );
        ExitCode::FAILURE
    }
}

/// A running service.
struct Service {
    child: Child,
    address: String,
    /// Its own folder, gone with it; `None` if the folder outlives it.
    folder: Option<PathBuf>,
}

fn temporary_folder() -> PathBuf {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| age.as_nanos());
    let folder = std::env::temp_dir().join(format!("kmds-bench-{}-{nanos}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

impl Service {
    fn start(binary: &Path, lab: &Lab, settings: &[(&str, &str)]) -> Self {
        let folder = temporary_folder();
        let mut service = Self::start_in(binary, lab, settings, &folder);
        service.folder = Some(folder);
        service
    }

    /// In a folder that outlives it.
    fn start_in(binary: &Path, lab: &Lab, settings: &[(&str, &str)], folder: &Path) -> Self {
        // A pause between pages is politeness, not a round trip.
        let recipes = folder.join("recipes.toml");
        std::fs::write(&recipes, "[bandcamp.hosts]\npace = 0.0\n").expect("recipes");
        let mut child = Command::new(binary)
            .arg("serve")
            .env_clear()
            .env("HOME", folder)
            .env("KMDS_LOG", "error")
            .env("KMDS_SERVER__LISTEN", "127.0.0.1:0")
            .env("KMDS_CACHE__MIN_FREE_BYTES", "0")
            .env("KMDS_ENGINES__YTDLP__ENABLED", "false")
            .env("KMDS_RECIPES__FILE", &recipes)
            .env("KMDS_EGRESS__PROXY", lab.proxy_url())
            .env("KMDS_EGRESS__CA_FILE", lab.ca_file())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the release build starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the ready line");
        let address = line
            .trim()
            .rsplit("http://")
            .next()
            .expect("an address")
            .to_owned();
        Self {
            child,
            address,
            folder: None,
        }
    }

    /// Asks it to end, and waits until it did.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }

    /// A value of `/proc/PID/status`, in bytes.
    fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok())
            .map_or(f64::NAN, |kb| kb * 1024.0)
    }

    /// Processor time used so far; ticks are 1/100 s on every Linux we know.
    fn cpu_seconds(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|text| text.parse::<f64>().ok())
                .unwrap_or(f64::NAN)
        };
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Sends a request; the connection, whose answer is still to be read.
    async fn ask(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address)
            .await
            .expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    }

    fn get(&self, path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
    }

    /// `POST /fetch`; the path of the first song.
    async fn fetch(&self, song: &Song) -> String {
        let body = serde_json::json!({ "URL": song.link() }).to_string();
        let (host, length) = (&self.address, body.len());
        let head = format!(
            "POST /fetch HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let mut answer = Vec::new();
        self.ask(&(head + &body))
            .await
            .read_to_end(&mut answer)
            .await
            .expect("an answer");
        let text = String::from_utf8_lossy(&answer);
        let json = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let reply: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {text}"));
        reply["Songs"][0]["Tunnel_URL"]
            .as_str()
            .unwrap_or_else(|| panic!("no song: {text}"))
            .to_owned()
    }

    /// From a link to the first byte of its audio.
    async fn time_to_audio(&self, song: &Song) -> Duration {
        let begun = Instant::now();
        let path = self.fetch(song).await;
        let mut stream = self.ask(&self.get(&format!("{path}&stream=1"))).await;
        let (mut received, mut block) = (Vec::new(), [0; 4096]);
        while received
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .is_none_or(|head| head + 4 >= received.len())
        {
            let read = stream.read(&mut block).await.expect("audio");
            assert!(read > 0, "no audio: {}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&block[..read]);
        }
        assert!(
            received.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&received[..64])
        );
        begun.elapsed()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn idle(binary: &Path, lab: &Lab, table: &mut Table) {
    let mut resident = Vec::new();
    for _ in 0..RUNS {
        let service = Service::start(binary, lab, &[]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        resident.push(service.memory("VmRSS"));
    }
    table.row(
        "resident when idle",
        median(resident) / MEGABYTE,
        "MB",
        Some(8.0),
    );
}

/// Eight downloads, each heard by 25 who read slower than it comes.
async fn crowded(binary: &Path, lab: &Lab, table: &mut Table) {
    let (mut most, mut after) = (Vec::new(), Vec::new());
    for run in 0..3 {
        let slots = [
            ("KMDS_YOUTUBE__MAX_DOWNLOADS", "3"),
            ("KMDS_QUEUE__MAX_DOWNLOADS", "8"),
        ];
        let service = Service::start(binary, lab, &slots);
        let mut songs = Vec::new();
        for number in 0..8 {
            let name = format!("crowded-{run}-{number}");
            songs.push(match number % 3 {
                0 => lab
                    .youtube()
                    .video(&name)
                    .size(mib(4))
                    .drips(kib(300))
                    .publish(),
                1 => lab
                    .soundcloud()
                    .track(&name)
                    .seconds(240.0)
                    .drips(kib(300))
                    .publish(),
                _ => lab
                    .bandcamp()
                    .track(&name)
                    .size(mib(4))
                    .drips(kib(300))
                    .publish(),
            });
        }
        let mut paths = Vec::new();
        for song in &songs {
            paths.push(service.fetch(song).await);
        }
        let mut listeners = Vec::new();
        for number in 0..LISTENERS {
            let request = service.get(&format!("{}&stream=1", paths[number % paths.len()]));
            let address = service.address.clone();
            listeners.push(tokio::spawn(async move {
                listen_slowly(&address, &request).await
            }));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        for listener in listeners {
            assert!(!listener.is_finished(), "a slow listener was cut off");
            listener.abort();
        }
        most.push(service.memory("VmHWM"));
        tokio::time::sleep(Duration::from_secs(5)).await;
        after.push(service.memory("VmRSS"));
    }
    table.row(
        "most resident: 8 downloads, 200 slow listeners",
        median(most) / MEGABYTE,
        "MB",
        Some(22.0),
    );
    table.row(
        "resident 5 s after they left",
        median(after) / MEGABYTE,
        "MB",
        None,
    );
}

/// Reads 64 KiB a second through a small window, so that what is not read waits in the service.
async fn listen_slowly(address: &str, request: &str) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8192).expect("a small window");
    let mut stream = socket
        .connect(address.parse().expect("an address"))
        .await
        .expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut block = [0; 4096];
    while stream.read(&mut block).await.is_ok_and(|read| read > 0) {
        tokio::time::sleep(ROUND_TRIP + ROUND_TRIP / 2).await;
    }
}

fn fresh_song(lab: &Lab, site: Site, name: &str) -> Song {
    match site {
        Site::YouTube => lab.youtube().video(name).seconds(20.0).publish(),
        Site::SoundCloud => lab.soundcloud().track(name).seconds(20.0).publish(),
        Site::Bandcamp => lab.bandcamp().track(name).seconds(20.0).publish(),
    }
}

/// Round trips from `POST /fetch` to the first byte of audio, by the clock and by the lab's log.
async fn first_byte(binary: &Path, lab: &Lab, site: Site, table: &mut Table) {
    let (mut cold, mut warm, mut asked) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for run in 0..RUNS {
        let mut times = Vec::new();
        for delay in [Duration::ZERO, ROUND_TRIP] {
            lab.delay_ms(0);
            // A service that knows nothing and has no connection yet; then the same, a song later.
            let service = Service::start(binary, lab, &[]);
            lab.delay_ms(u64::try_from(delay.as_millis()).unwrap_or(0));
            for (turn, name) in ["cold", "warm"].into_iter().enumerate() {
                let song = fresh_song(lab, site, &format!("{name}-{run}-{}", delay.as_millis()));
                lab.forget_requests();
                times.push(service.time_to_audio(&song).await.as_secs_f64());
                let first_media = lab
                    .requests()
                    .iter()
                    .take_while(|seen| seen.kind == kmds_lab::Kind::Page)
                    .count()
                    + 1;
                asked[turn].push((first_media + lab.connections().len()) as f64);
                // Whole before the next one, so that its connections are free again.
                let path = service.fetch(&song).await;
                let mut whole = Vec::new();
                let request = service.get(&format!("{path}&wait=30"));
                service
                    .ask(&request)
                    .await
                    .read_to_end(&mut whole)
                    .await
                    .expect("the whole song");
            }
        }
        let trips = |at: usize| (times[at + 2] - times[at]) / ROUND_TRIP.as_secs_f64();
        cold.push(trips(0));
        warm.push(trips(1));
    }
    lab.delay_ms(0);
    let [asked_cold, asked_warm] = asked;
    let name = site.name();
    table.row(
        &format!("{name}: link to first audio, cold"),
        median(cold),
        "round trips",
        Some(6.0),
    );
    table.row(
        &format!("{name}: requests and connections meanwhile"),
        median(asked_cold),
        "",
        None,
    );
    table.row(
        &format!("{name}: link to first audio, warm"),
        median(warm),
        "round trips",
        Some(4.0),
    );
    table.row(
        &format!("{name}: requests and connections meanwhile"),
        median(asked_warm),
        "",
        None,
    );
}

/// Processor time to serve a gigabyte of a finished file.
async fn serving(binary: &Path, lab: &Lab, table: &mut Table) {
    let service = Service::start(binary, lab, &[]);
    let song = lab.bandcamp().track("Large").size(mib(32)).publish();
    let before = service.cpu_seconds();
    let path = service.fetch(&song).await;
    let request = service.get(&format!("{path}&wait=60"));
    let mut sink = vec![0; 256 << 10];
    let mut drain = async || {
        let (mut stream, mut sum) = (service.ask(&request).await, 0.0);
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            sum += read as f64;
        }
        sum
    };
    let gigabytes = drain().await / 1e9;
    table.row(
        "processor time to download (TLS included)",
        (service.cpu_seconds() - before) / gigabytes,
        "s/GB",
        None,
    );
    let before = service.cpu_seconds();
    let mut served = 0.0;
    for _ in 0..30 {
        served += drain().await;
    }
    table.row(
        "processor time to serve",
        (service.cpu_seconds() - before) / (served / 1e9),
        "s/GB",
        None,
    );
}
