//! A service under measurement.
//!
//! Owns starting it against the lab with settings of its own, asking it, what it used, and its end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kmds_lab::{Lab, Song};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running service.
pub struct Service {
    child: Child,
    pub address: String,
    /// Its own folder; `None` if the folder outlives it.
    _folder: Option<Folder>,
}

/// A folder that is removed with this.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |age| age.as_nanos());
        let name = format!("kmds-bench-{}-{nanos}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        Self(folder)
    }
}

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Service {
    pub fn start(binary: &Path, lab: &Lab, settings: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let service = Self::start_in(binary, lab, settings, &folder);
        service.keeping(folder)
    }

    /// With it goes this folder.
    fn keeping(mut self, folder: Folder) -> Self {
        self._folder = Some(folder);
        self
    }

    /// In a folder that outlives it.
    pub fn start_in(binary: &Path, lab: &Lab, settings: &[(&str, &str)], folder: &Path) -> Self {
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
            _folder: None,
        }
    }

    /// Asks it to end, and waits until it did.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }

    /// Its number as a process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A value of `/proc/PID/status`, in bytes.
    pub fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok())
            .map_or(f64::NAN, |kb| kb * 1024.0)
    }

    /// Processor time used so far, without that of programs that it runs.
    pub fn cpu_seconds(&self) -> f64 {
        processor(&self.id().to_string()).0
    }

    /// The same with that of the programs that it ran and that ended.
    pub fn tree_seconds(&self) -> f64 {
        let (own, children) = processor(&self.id().to_string());
        own + children
    }

    /// Sends a request; the connection, whose answer is still to be read.
    pub async fn ask(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address)
            .await
            .expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    }

    pub fn get(&self, path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
    }

    /// A `POST /fetch`.
    pub fn post(&self, body: &str) -> String {
        format!(
            "POST /fetch HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }

    /// The body of the answer, which is a success.
    pub async fn body(&self, request: &str) -> Vec<u8> {
        let mut answer = Vec::new();
        self.ask(request)
            .await
            .read_to_end(&mut answer)
            .await
            .expect("an answer");
        let shown = || String::from_utf8_lossy(&answer[..answer.len().min(500)]).into_owned();
        assert!(answer.starts_with(b"HTTP/1.1 20"), "{request}: {}", shown());
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(head) = head else {
            panic!("no head: {}", shown());
        };
        answer.split_off(head + 4)
    }

    /// Milliseconds until a request was answered whole.
    pub async fn answered(&self, request: &str) -> f64 {
        let begun = Instant::now();
        self.body(request).await;
        begun.elapsed().as_secs_f64() * 1e3
    }

    /// `POST /fetch`; the path of the first song.
    pub async fn fetch(&self, song: &Song) -> String {
        let body = serde_json::json!({ "URL": song.link() }).to_string();
        let answer = self.body(&self.post(&body)).await;
        let reply: Value = serde_json::from_slice(&answer).expect("JSON");
        reply["Songs"][0]["Tunnel_URL"]
            .as_str()
            .unwrap_or_else(|| panic!("no song: {reply}"))
            .to_owned()
    }

    /// Fetches a song and waits until all of it is there. The path of its file.
    pub async fn whole(&self, song: &Song) -> String {
        let path = self.fetch(song).await;
        // One byte: what is measured is its arrival.
        let one = self
            .get(&format!("{path}&wait=300"))
            .replace("\r\n\r\n", "\r\nRange: bytes=0-0\r\n\r\n");
        self.body(&one).await;
        path
    }

    /// From a link to the first byte of its audio.
    pub async fn time_to_audio(&self, song: &Song) -> Duration {
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
    }
}

/// Processor time in seconds that a process (its number, or `self`) used so far, and that its children used that ended.
/// Ticks are 1/100 s on every Linux we know.
pub fn processor(process: &str) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let seconds = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(f64::NAN)
            / 100.0
    };
    (seconds(11) + seconds(12), seconds(13) + seconds(14))
}
