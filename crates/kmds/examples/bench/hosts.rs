//! Several hosts: what nodes bring at sites that limit each address, what that costs in NATS, and how long a killed
//! node's song stands still.
//!
//! All nodes are on this machine, each with an address of its own on loopback, and a door that a client asks. NATS is a
//! real one (`KMDS_TEST_NATS`); its monitoring port tells what it carried.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kmds_lab::{Kind, Lab};
use serde_json::Value;

use crate::service::{Folder, Service, processor};
use crate::table::{Goal, Table};
use crate::{MEGABYTE, median};

const COUNTS: [usize; 5] = [1, 2, 3, 8, 20];
/// A site lets one address ask for audio so often in each window: 30 songs a minute, so that 20 nodes, the door and the
/// site beside them stay far below what two cores can do.
const REQUESTS: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// Songs are counted for so long from the first link on: four windows, each a little longer than the site's, since
/// pauses are told in whole seconds.
const COUNTED: Duration = Duration::from_secs(40);
const SONG_SECONDS: f64 = 5.0;
/// Songs of one list. More are waiting than can come.
const ALBUM: usize = 50;
/// Nodes are looked at when they have rested for so long; what NATS carries meanwhile is what it carries at rest.
const RESTS: Duration = Duration::from_secs(6);
const KILLS: usize = 3;

/// A NATS server of its own.
struct Nats {
    child: Child,
    url: String,
    monitor: String,
    _folder: Folder,
}

/// What it carried so far.
#[derive(Clone, Copy)]
struct Carried {
    messages: f64,
    bytes: f64,
}

impl Nats {
    fn start(program: &Path) -> Self {
        let folder = Folder::new();
        let child = Command::new(program)
            .args(["--addr", "127.0.0.1", "--port", "-1", "--http_port", "-1"])
            .args(["--jetstream", "--store_dir"])
            .arg(folder.join("store"))
            .arg("--ports_file_dir")
            .arg(&*folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the NATS server starts");
        let ports = folder.join(format!("nats-server_{}.ports", child.id()));
        let mut nats = Self {
            child,
            url: String::new(),
            monitor: String::new(),
            _folder: folder,
        };
        let end = Instant::now() + Duration::from_secs(20);
        while nats.monitor.is_empty() {
            assert!(Instant::now() < end, "NATS says no port");
            std::thread::sleep(Duration::from_millis(20));
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            let told: Value = serde_json::from_str(&text).unwrap_or_default();
            if let [Some(url), Some(monitor)] =
                ["nats", "monitoring"].map(|name| told[name][0].as_str())
            {
                url.clone_into(&mut nats.url);
                monitor
                    .trim_start_matches("http://")
                    .clone_into(&mut nats.monitor);
            }
        }
        nats
    }

    fn told(&self) -> Value {
        let mut stream = TcpStream::connect(&self.monitor).expect("the monitoring port");
        let request = "GET /varz HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).expect("JSON")
    }

    fn carried(&self) -> Carried {
        let told = self.told();
        let sum = |names: [&str; 2]| names.iter().filter_map(|name| told[name].as_f64()).sum();
        Carried {
            messages: sum(["in_msgs", "out_msgs"]),
            bytes: sum(["in_bytes", "out_bytes"]),
        }
    }

    fn memory(&self) -> f64 {
        self.told()["mem"].as_f64().unwrap_or(f64::NAN)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Cluster {
    nats: Nats,
    nodes: Vec<Service>,
    door: Service,
}

fn address(number: usize) -> String {
    format!("127.0.8.{}", number + 1)
}

fn start_node(binary: &Path, lab: &Lab, nats: &Nats, number: usize) -> Service {
    let settings = [
        ("KMDS_CLUSTER__NATS", nats.url.clone()),
        ("KMDS_CLUSTER__NODE", format!("node-{number}")),
        ("KMDS_CLUSTER__SHARED_DRIVE", "false".to_owned()),
        ("KMDS_EGRESS__SOURCE_ADDRESS", address(number)),
    ];
    let settings = settings.each_ref().map(|(name, value)| (*name, &**value));
    Service::start(binary, lab, &settings)
}

impl Cluster {
    async fn start(binary: &Path, lab: &Lab, program: &Path, count: usize) -> Self {
        let nats = Nats::start(program);
        let nodes = (0..count)
            .map(|number| start_node(binary, lab, &nats, number))
            .collect();
        // Some for each node, as its operator sets it.
        let at_once = (2 * count).to_string();
        let settings = [
            ("KMDS_CLUSTER__NATS", &*nats.url),
            ("KMDS_CLUSTER__NODE", "door"),
            ("KMDS_CLUSTER__SHARED_DRIVE", "false"),
            ("KMDS_YOUTUBE__ENABLED", "false"),
            ("KMDS_SOUNDCLOUD__ENABLED", "false"),
            ("KMDS_BANDCAMP__ENABLED", "false"),
            ("KMDS_BANDCAMP__MAX_DOWNLOADS", &at_once),
            ("KMDS_QUEUE__MAX_DOWNLOADS", &at_once),
        ];
        let door = Service::start(binary, lab, &settings);
        let cluster = Self { nats, nodes, door };
        cluster.until_known(count).await;
        cluster
    }

    async fn stats(&self) -> Value {
        let text = self.door.body(&self.door.get("/api/v1/stats")).await;
        serde_json::from_slice(&text).expect("JSON")
    }

    async fn until_known(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let stats = self.stats().await;
            let nodes = stats["cluster"]["nodes"].as_array();
            if nodes.is_some_and(|nodes| nodes.len() == count) {
                return;
            }
            assert!(
                Instant::now() < end,
                "the door does not know all nodes: {stats}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Processor time that all of it used so far, the site included.
    fn cpu_seconds(&self) -> f64 {
        let nodes = self.nodes.iter().chain([&self.door]);
        let nats = processor(&self.nats.child.id().to_string()).0;
        nodes.map(Service::cpu_seconds).sum::<f64>() + nats + processor("self").0
    }

    async fn ready(&self) -> f64 {
        self.stats().await["songs"]["ready"].as_f64().unwrap_or(0.0)
    }

    /// Queues more songs than can come.
    async fn queue(&self, lab: &Lab) {
        let most = self.nodes.len() * REQUESTS as usize * 6;
        for _ in 0..most.div_ceil(ALBUM) {
            let album = lab.bandcamp().album(ALBUM).seconds(SONG_SECONDS).publish();
            let body = serde_json::json!({ "url": album.link(), "prefetch": "all" }).to_string();
            let request = format!(
                "POST /api/v1/fetch HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                self.door.address,
                body.len()
            );
            self.door.body(&request).await;
        }
    }
}

/// What one number of nodes brought.
struct Brought {
    songs_a_minute: f64,
    requests_a_song: f64,
    messages_a_song: f64,
    bytes_a_song: f64,
    at_rest: f64,
    messages_at_rest: f64,
    nats: f64,
    cores: f64,
}

async fn bring(binary: &Path, lab: &Lab, program: &Path, count: usize) -> Brought {
    lab.clear_faults();
    let cluster = Cluster::start(binary, lab, program, count).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cluster.nats.carried();
    tokio::time::sleep(RESTS).await;
    let rested = cluster.nats.carried();
    let memory = |node: &Service| node.memory("VmRSS");
    let at_rest = median(cluster.nodes.iter().map(memory).collect());
    let beats = |of: fn(&Carried) -> f64| (of(&rested) - of(&before)) / RESTS.as_secs_f64();
    lab.limit_each_address(REQUESTS, WINDOW);
    lab.forget_requests();
    let (begun, carried) = (Instant::now(), cluster.nats.carried());
    let used = cluster.cpu_seconds();
    cluster.queue(lab).await;
    tokio::time::sleep(COUNTED.saturating_sub(begun.elapsed())).await;
    let songs = cluster.ready().await;
    let (seconds, after) = (begun.elapsed().as_secs_f64(), cluster.nats.carried());
    let spent = |of: fn(&Carried) -> f64| of(&after) - of(&carried) - beats(of) * seconds;
    let cores = (cluster.cpu_seconds() - used) / seconds;
    let asked = lab.count(|_| true);
    let brought = Brought {
        songs_a_minute: songs / seconds * 60.0,
        requests_a_song: asked as f64 / songs,
        messages_a_song: spent(|carried| carried.messages) / songs,
        bytes_a_song: spent(|carried| carried.bytes) / songs,
        at_rest,
        messages_at_rest: beats(|carried| carried.messages),
        nats: cluster.nats.memory(),
        cores,
    };
    lab.clear_faults();
    brought
}

/// Milliseconds from the kill of a song's node until another one asks the site for the rest.
async fn goes_on_after(binary: &Path, lab: &Lab, program: &Path) -> f64 {
    let mut cluster = Cluster::start(binary, lab, program, 2).await;
    let mut times = Vec::new();
    for kill in 0..KILLS {
        lab.forget_requests();
        let song = lab.bandcamp().track(&format!("killed-{kill}"));
        let song = song.seconds(60.0).holds_at(200_000).publish();
        cluster.door.fetch(&song).await;
        lab.until(|seen| {
            seen.iter()
                .any(|seen| seen.kind == Kind::Media && seen.sent_bytes >= 200_000)
        })
        .await;
        let holder = lab
            .requests()
            .iter()
            .find(|seen| seen.kind == Kind::Media)
            .map(|seen| seen.from);
        let holder = holder.map_or_else(String::new, |from| from.to_string());
        let number = usize::from(holder == address(1));
        let begun = Instant::now();
        drop(cluster.nodes.remove(number));
        lab.until(|seen| {
            let mut media = seen.iter().filter(|seen| seen.kind == Kind::Media);
            media.any(|seen| seen.from.to_string() != holder)
        })
        .await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        song.release();
        cluster
            .nodes
            .insert(number, start_node(binary, lab, &cluster.nats, number));
        cluster.until_known(2).await;
    }
    median(times)
}

pub async fn measure(binary: &Path, lab: &Lab, table: &mut Table) {
    let Some(program) = std::env::var_os("KMDS_TEST_NATS") else {
        table.skip("hosts", "there is no NATS server (KMDS_TEST_NATS)");
        return;
    };
    let program = Path::new(&program);
    let mut one = f64::NAN;
    for count in COUNTS {
        let brought = bring(binary, lab, program, count).await;
        if count == 1 {
            one = brought.songs_a_minute;
        }
        let mut row = |what: &str, measured: f64, unit: &str, goal: Option<Goal>| {
            table.row_with(&format!("{count} nodes: {what}"), measured, unit, goal);
        };
        row("songs a minute", brought.songs_a_minute, "", None);
        let goal = (count == 3).then_some(Goal::AtLeast(2.7));
        row(
            "songs, times those of one node",
            brought.songs_a_minute / one,
            "×",
            goal,
        );
        row(
            "requests to the site a song, refused ones included",
            brought.requests_a_song,
            "",
            None,
        );
        row(
            "messages in NATS a song, in and out",
            brought.messages_a_song,
            "",
            None,
        );
        row(
            "bytes in NATS a song, in and out",
            brought.bytes_a_song / 1e3,
            "kB",
            None,
        );
        row(
            "messages in NATS a second at rest",
            brought.messages_at_rest,
            "",
            None,
        );
        let goal = Some(Goal::AtMost(11.0));
        row(
            "resident at rest, a node",
            brought.at_rest / MEGABYTE,
            "MB",
            goal,
        );
        row(
            "processor, all nodes and the site",
            brought.cores,
            "cores",
            None,
        );
        row("resident, NATS", brought.nats / MEGABYTE, "MB", None);
    }
    let goes_on = goes_on_after(binary, lab, program).await;
    table.row(
        "a killed node's song is asked for by another one after",
        goes_on,
        "ms",
        None,
    );
}
