//! A real NATS server with JetStream, on a port of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use super::harness::{Folder, PATIENCE};

/// A running server. It is stopped with the test.
pub struct Nats {
    child: Child,
    folder: Folder,
    port: u16,
}

impl Nats {
    /// `None`, and a line on standard error, where there is no server to start.
    pub fn start() -> Option<Self> {
        Self::start_with(|_| String::new())
    }

    /// The same with these lines of configuration, which may name files in its folder.
    pub fn start_with(lines: impl FnOnce(&Folder) -> String) -> Option<Self> {
        let program = program()?;
        let folder = Folder::new();
        std::fs::write(folder.path("nats.conf"), lines(&folder)).expect("a configuration");
        let child = spawn(Path::new(&program), &folder, "-1");
        let port = port_of(&folder, child.id());
        Some(Self {
            child,
            folder,
            port,
        })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes into the bucket of songs.
    pub async fn note(&self, name: &str, entry: &serde_json::Value) {
        let client = async_nats::connect(self.url()).await.expect("a connection");
        let bucket = async_nats::jetstream::kv::Config {
            bucket: "kmds-songs".to_owned(),
            ..Default::default()
        };
        let jetstream = async_nats::jetstream::new(client);
        let songs = jetstream
            .create_key_value(bucket)
            .await
            .expect("the bucket");
        let text = entry.to_string().into();
        songs.put(name, text).await.expect("written");
    }

    /// What the bucket of songs holds of one; null where it holds nothing.
    pub async fn entry(&self, song: &kmds_lab::Song) -> serde_json::Value {
        let client = async_nats::connect(self.url()).await.expect("a connection");
        let jetstream = async_nats::jetstream::new(client);
        let songs = jetstream
            .get_key_value("kmds-songs")
            .await
            .expect("the bucket");
        let names = songs.keys().await.expect("names");
        let names = names.filter_map(async |name| name.ok());
        let names: Vec<String> = names.collect().await;
        let of_song = |name: &&String| name.contains(&format!(".{}.", song.id()));
        let Some(name) = names.iter().find(of_song) else {
            return serde_json::Value::Null;
        };
        let text = songs
            .get(name.as_str())
            .await
            .expect("an answer")
            .expect("an entry");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// A message of a client that is no node.
    pub fn publish(&self, subject: &str, message: &[u8]) {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let head = format!(
            "CONNECT {{\"verbose\":false}}\r\nPUB {subject} inbox {}\r\n",
            message.len()
        );
        let sent = [head.as_bytes(), message, b"\r\nPING\r\n"].concat();
        client.write_all(&sent).expect("sent");
        let mut lines = BufReader::new(client).lines();
        let answered = lines.any(|line| line.expect("an answer") == "PONG");
        assert!(answered, "NATS took it");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// It loses what it had on its drive.
    pub fn forget(&self) {
        std::fs::remove_dir_all(self.folder.path("store")).expect("removed");
    }

    /// The same server again, with what it has on its drive.
    pub fn restart(&mut self) {
        let program = std::env::var_os("KMDS_TEST_NATS").expect("it was started");
        self.child = spawn(Path::new(&program), &self.folder, &self.port.to_string());
        port_of(&self.folder, self.child.id());
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `None`, and a line on standard error, where there is no server to start.
pub fn program() -> Option<std::ffi::OsString> {
    let program = std::env::var_os("KMDS_TEST_NATS");
    if program.is_none() {
        eprintln!("SKIPPED: there is no NATS server (KMDS_TEST_NATS); `./test` installs one");
    }
    program
}

fn spawn(program: &Path, folder: &Folder, port: &str) -> Child {
    let mut command = Command::new(program);
    command
        .args(["--addr", "127.0.0.1", "--port", port, "--jetstream"])
        .arg("--config")
        .arg(folder.path("nats.conf"))
        .arg("--store_dir")
        .arg(folder.path("store"))
        .arg("--ports_file_dir")
        .arg(&folder.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("the NATS server starts")
}

/// The port that the server wrote down.
fn port_of(folder: &Folder, pid: u32) -> u16 {
    let end = Instant::now() + PATIENCE;
    loop {
        let files = std::fs::read_dir(&folder.0).expect("the folder");
        let own = format!("_{pid}.ports");
        let file = files
            .flatten()
            .find(|file| file.file_name().to_string_lossy().ends_with(&own));
        let text = file.and_then(|file| std::fs::read_to_string(file.path()).ok());
        let ports = text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        let url = ports.as_ref().and_then(|ports| ports["nats"][0].as_str());
        if let Some(port) = url.and_then(|url| url.rsplit(':').next()?.parse().ok()) {
            return port;
        }
        assert!(Instant::now() < end, "NATS says no port");
        std::thread::sleep(Duration::from_millis(20));
    }
}
