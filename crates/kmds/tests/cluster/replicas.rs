//! Three NATS servers that keep the bucket of songs three times, as docs/operation.md describes them.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kmds_lab::{Lab, Song};
use serde_json::Value;

use super::harness::{Folder, Kmds, PATIENCE, Setup};
use super::nats::program;
use super::{acquainted, door_of, node_at, times_fetched};

const PAUSE: Duration = Duration::from_millis(100);
const ENTRY: &str = "bandcamp.1.mp3";
/// Songs that are on their way while a server is killed.
const LOAD: usize = 8;

/// Servers on an address of their own, so that their ports are free.
struct Servers {
    address: Ipv4Addr,
    folder: Folder,
    children: [Option<Child>; 3],
}

impl Servers {
    fn start() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        program()?;
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let number = 100 + NEXT.fetch_add(1, Ordering::Relaxed) as u8;
        let mut servers = Self {
            address: Ipv4Addr::new(127, number, high, low),
            folder: Folder::new(),
            children: [None, None, None],
        };
        for number in 0..3 {
            servers.start_one(number);
        }
        Some(servers)
    }

    fn at(&self, port: u16, number: usize) -> String {
        format!("{}:{}", self.address, port + number as u16)
    }

    fn urls(&self) -> String {
        let urls = [0, 1, 2].map(|number| format!("nats://{}", self.at(4222, number)));
        urls.join(",")
    }

    fn start_one(&mut self, number: usize) {
        let routes = [0, 1, 2].map(|number| format!("\"nats://{}\"", self.at(6222, number)));
        let lines = format!(
            "server_name: nats-{number}\nlisten: \"{}\"\nhttp: \"{}\"\njetstream {{ store_dir: {:?} }}\n\
             cluster {{ name: kmds, listen: \"{}\", routes: [{}] }}\n",
            self.at(4222, number),
            self.at(8222, number),
            self.folder.path(&format!("store-{number}")),
            self.at(6222, number),
            routes.join(","),
        );
        let file = self.folder.path(&format!("nats-{number}.conf"));
        std::fs::write(&file, lines).expect("a configuration");
        let child = Command::new(program().expect("it was there"))
            .arg("--config")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.children[number] = Some(child.expect("the NATS server starts"));
    }

    fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.children[number].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What its leader tells of the bucket's stream, as an operator sees it; null while none leads it.
    async fn bucket(&self) -> Value {
        for (number, _) in self.children.iter().enumerate() {
            let address = self.at(8222, number);
            let url = format!("http://{address}/jsz?streams=true&config=true");
            let Ok(answer) = reqwest::get(url).await else {
                continue;
            };
            let text = answer.text().await.unwrap_or_default();
            let told: Value = serde_json::from_str(&text).unwrap_or_default();
            let streams = told["account_details"][0]["stream_detail"].as_array();
            let is_led = |stream: &&Value| {
                stream["name"] == "KV_kmds-songs"
                    && stream["cluster"]["leader"] == format!("nats-{number}")
            };
            if let Some(stream) = streams.into_iter().flatten().find(is_led) {
                return stream.clone();
            }
        }
        Value::Null
    }

    /// The number of the server that decides what is written, once the two others have all of the bucket.
    async fn leader(&self) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let bucket = self.bucket().await;
            let others = bucket["cluster"]["replicas"].as_array();
            let others = others.into_iter().flatten();
            let current =
                others.filter(|other| other["current"] == true && other["offline"] != true);
            let leader = bucket["cluster"]["leader"].as_str().unwrap_or_default();
            if let (2, Some(leader)) = (current.count(), leader.strip_prefix("nats-")) {
                return leader.parse().expect("a number");
            }
            assert!(Instant::now() < end, "{bucket}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Servers {
    /// As a node makes it that knows one server.
    async fn bucket_with_one_copy(&self) -> async_nats::jetstream::kv::Store {
        let (urls, end) = (self.urls(), Instant::now() + PATIENCE);
        loop {
            let made = async {
                let client = async_nats::connect(urls.split(',').collect::<Vec<_>>());
                let jetstream = async_nats::jetstream::new(client.await.ok()?);
                let config = async_nats::jetstream::kv::Config {
                    bucket: "kmds-songs".to_owned(),
                    ..Default::default()
                };
                jetstream.create_key_value(config).await.ok()
            };
            // The leader may need a moment until all servers know it.
            if let Some(made) = made.await
                && made.put(ENTRY, "{}".into()).await.is_ok()
            {
                return made;
            }
            assert!(Instant::now() < end, "the servers agree on no leader");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for number in 0..3 {
            self.kill(number);
        }
    }
}

/// Asks again, as the answers say: a node that lost its server looks for another one, and a question that went by the
/// killed server has no answer.
async fn whole(node: &Kmds, link: &str) -> Vec<u8> {
    let end = Instant::now() + PATIENCE;
    loop {
        let (status, reply) = node.fetch(link).await;
        if status == 200 {
            return node.whole(&reply.songs[0]).await;
        }
        assert!(matches!(status, 503 | 504), "{reply}");
        assert!(Instant::now() < end, "{reply}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn knows_the_bucket(node: &Kmds) {
    node.until("JetStream answers", async || {
        let (_, stats) = node.body::<Value>("/api/v1/stats").await;
        let text = node.get("/readyz").await.text().await.expect("a body");
        stats["cluster"]["connected"] == true && !text.contains("JetStream")
    })
    .await;
}

/// The leader of the bucket is killed, and one of the others; with `KMDS_LONG` ten servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nats_servers_each_may_be_killed_and_no_song_is_lost() {
    let Some(mut servers) = Servers::start() else {
        return;
    };
    let lab = Lab::start().await;
    let urls = servers.urls();
    let nodes = [1, 2].map(|number| node_at(&lab, &urls, number).start());
    let door = door_of(Setup::of(&lab), &urls).start();
    let all = [&nodes[0], &nodes[1], &door];
    acquainted(&all).await;
    let publish = |name: String| lab.bandcamp().track(&name).seconds(5.0).publish();
    let first = publish("first".to_owned());
    assert!(door.download(&first.link()).await == first.bytes());
    let mut leader = servers.leader().await;
    assert_eq!(servers.bucket().await["config"]["num_replicas"], 3);
    let rounds = if std::env::var_os("KMDS_LONG").is_some() {
        10
    } else {
        2
    };
    let mut songs: Vec<Song> = vec![first];
    for round in 0..rounds {
        let load: Vec<Song> = (0..LOAD)
            .map(|number| publish(format!("song {round} {number}")))
            .collect();
        let killed = (leader + round % 2) % 3;
        let ask = |(number, song): (usize, &Song)| {
            let (node, link, bytes) = (all[number % 3], song.link(), song.bytes().to_vec());
            async move { whole(node, &link).await == bytes }
        };
        let half = LOAD / 2;
        let before = join_all(load[..half].iter().enumerate().map(ask));
        let kill = async { servers.kill(killed) };
        let (before, ()) = tokio::join!(before, kill);
        let after = join_all(load[half..].iter().enumerate().map(ask)).await;
        assert_eq!([before, after].concat(), vec![true; LOAD], "round {round}");
        for node in all {
            knows_the_bucket(node).await;
        }
        for song in &load {
            assert!(whole(&door, &song.link()).await == song.bytes());
        }
        servers.start_one(killed);
        leader = servers.leader().await;
        songs.extend(load);
    }
    // One server of three decides nothing: each node works alone, and says why.
    for number in [0, 1] {
        servers.kill(number);
    }
    let alone = publish("alone".to_owned());
    assert!(whole(&nodes[0], &alone.link()).await == alone.bytes());
    nodes[0]
        .until("it is told", async || {
            let text = nodes[0].get("/readyz").await.text().await.expect("a body");
            text.contains("JetStream of NATS does not answer")
        })
        .await;
    for number in [0, 1] {
        servers.start_one(number);
    }
    servers.leader().await;
    for node in all {
        knows_the_bucket(node).await;
    }
    assert!(whole(&door, &alone.link()).await == alone.bytes());
    songs.push(alone);
    for song in &songs {
        let times = times_fetched(&lab, song);
        assert!(times < 2.5, "{song:?} was fetched {times} times");
    }
    for node in all {
        let log = node.whole_log().await;
        assert!(!log.contains("does not know the bucket"), "{log}");
    }
}

#[tokio::test]
async fn a_bucket_with_one_copy_gets_two_more_once_nodes_know_three_servers() {
    let Some(servers) = Servers::start() else {
        return;
    };
    let lab = Lab::start().await;
    let songs = servers.bucket_with_one_copy().await;
    let one = node_at(&lab, &servers.urls(), 1).start();
    let song = lab.bandcamp().track("first").seconds(5.0).publish();
    one.until("it is connected", async || {
        one.log().contains("connected to NATS")
    })
    .await;
    assert!(one.download(&song.link()).await == song.bytes());
    servers.leader().await;
    let bucket = servers.bucket().await;
    assert_eq!(bucket["config"]["num_replicas"], 3);
    assert!(songs.get(ENTRY).await.expect("an answer").is_some());
}
