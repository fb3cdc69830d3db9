//! The service as users run it: the real binary, real settings, its own port.
//!
//! On failure the harness prints the service's log, its folders, and the requests to the lab.
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kmds_lab::Lab;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub mod replies;

use replies::{Body, Entry, Reply, V1Reply};

/// Longest any single step of a story may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Longest a song may take there: a conversion shares the processor with all other programs.
const LONGEST_SONG: Duration = Duration::from_secs(300);

/// Pauses and paces of a test: the same order of events, in less time.
pub const FAST_RECIPES: &str = r#"
[time]
metadata_request = 2.0
retry_pauses = [0.02, 0.02, 0.02]
audio_stall = 1.0
audio_pauses = [0.02, 0.02, 0.02, 0.02, 0.02]
limit_pause = 0.2
connect = 2.0
[soundcloud]
limit_pause = 0.2
[bandcamp]
limit_pause = 0.2
[bandcamp.hosts]
pace = 0.0
"#;

/// The same for tests without silent sites: a site that answers late on a busy machine does not count as silent.
pub fn unhurried_recipes() -> String {
    FAST_RECIPES
        .replace("metadata_request = 2.0", "metadata_request = 20.0")
        .replace("audio_stall = 1.0", "audio_stall = 20.0")
        .replace("connect = 2.0", "connect = 20.0")
}

/// A folder that goes away with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kmds-test-{}-{serial}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the folder is kept: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// How a service is started.
pub struct Setup {
    pub folder: std::sync::Arc<Folder>,
    settings: Vec<(String, String)>,
    recipes: String,
    behind: Vec<String>,
    /// `None`: the binary of this build.
    binary: Option<PathBuf>,
}

impl Setup {
    pub fn new() -> Self {
        Self {
            folder: std::sync::Arc::new(Folder::new()),
            settings: Vec::new(),
            recipes: FAST_RECIPES.to_owned(),
            behind: Vec::new(),
            binary: None,
        }
    }

    pub fn of(lab: &Lab) -> Self {
        Self::new()
            .set("KMDS_EGRESS__PROXY", &lab.proxy_url())
            .set("KMDS_EGRESS__CA_FILE", &lab.ca_file().display().to_string())
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves out a setting that an earlier version does not know.
    pub fn without(mut self, name: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self
    }

    /// Lines of TOML laid over the fast recipes.
    pub fn recipes(mut self, text: &str) -> Self {
        self.recipes = text.to_owned();
        self
    }

    /// Allows a site to be silent while the test holds a song back.
    pub fn patient(self) -> Self {
        let patient = FAST_RECIPES.replace("audio_stall = 1.0", "audio_stall = 60.0");
        self.recipes(&patient)
    }

    /// Runs this binary, which may be of another version.
    pub fn by(mut self, binary: PathBuf) -> Self {
        self.binary = Some(binary);
        self
    }

    /// Runs behind this command, which enters another network, on a socket that is opened here.
    pub fn behind(mut self, command: Vec<String>) -> Self {
        self.behind = command;
        self
    }

    /// The program, on a socket of its own or (behind another command) on one handed to it as a service manager does.
    fn program(&self) -> Command {
        let binary = self.binary.clone().map_or_else(
            || std::env::var_os("KMDS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_kmds").into()),
            PathBuf::into_os_string,
        );
        if self.behind.is_empty() {
            let mut command = Command::new(binary);
            command.stdin(Stdio::null());
            return command;
        }
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let hand = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", hand, "sh"])
            .args(&self.behind)
            .arg(binary);
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)));
        command
    }

    pub fn start(&self) -> Kmds {
        let recipes = self.folder.path("recipes.toml");
        std::fs::write(&recipes, &self.recipes).expect("recipes");
        let mut command = self.program();
        command
            .arg("serve")
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| name == "PATH"))
            .env("HOME", &self.folder.0)
            .env("KMDS_LOG", "debug")
            .env("KMDS_SERVER__LISTEN", "127.0.0.1:0")
            .env("KMDS_CACHE__DIR", self.folder.path("cache"))
            .env("KMDS_STATE__DIR", self.folder.path("state"))
            .env("KMDS_RECIPES__FILE", &recipes)
            .env("KMDS_CACHE__MIN_FREE_BYTES", "0")
            .env("KMDS_ENGINES__YTDLP__ENABLED", "false")
            .envs(self.settings.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the kmds binary starts");
        let log = std::sync::Arc::new(parking_lot::Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("piped");
        let sink = std::sync::Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = sink.lock();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let (sender, ready) = mpsc::channel();
        let stdout = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let line = ready
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("kmds did not get ready:\n{}", log.lock().clone()));
        let url = line
            .split(" ready on ")
            .nth(1)
            .unwrap_or_else(|| panic!("not the ready line: {line}"))
            .to_owned();
        Kmds {
            child,
            url,
            log,
            folder: std::sync::Arc::clone(&self.folder),
            http: http(),
        }
    }
}

fn http() -> reqwest::Client {
    // No TLS is spoken to the service, but the client wants to know how.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(POOL_IDLE)
        .build()
        .expect("an HTTP client")
}

/// A connection that has been idle for so long is not used again. The service closes one after 10 s: a request that is
/// sent at that moment gets no answer, and a `POST` is not repeated by the client.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// A running service.
pub struct Kmds {
    child: Child,
    pub url: String,
    log: std::sync::Arc<parking_lot::Mutex<String>>,
    pub folder: std::sync::Arc<Folder>,
    pub http: reqwest::Client,
}

impl Kmds {
    pub fn start(lab: &Lab) -> Self {
        Setup::of(lab).start()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log that was read so far. Another thread reads it: wait for a line with [`Self::until`], and call
    /// [`Self::whole_log`] before you assert that a line is missing.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// The whole log up to now: this makes a last request and waits for its line.
    pub async fn whole_log(&self) -> String {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let mark = format!("/last-line-{}", SERIAL.fetch_add(1, Ordering::Relaxed));
        self.get(&mark).await;
        let line = format!("path={mark} ");
        self.until("the log is read", async || self.log().contains(&line))
            .await;
        self.log()
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http
            .get(self.at(path))
            .timeout(PATIENCE)
            .send()
            .await
            .expect("an answer")
    }

    /// Status and body of a `GET`.
    pub async fn body<T: DeserializeOwned>(&self, path: &str) -> (u16, Body<T>) {
        Body::of(self.get(path).await).await
    }

    /// `POST /fetch` as a modern client does: status and body.
    pub async fn fetch(&self, link: &str) -> (u16, Reply) {
        self.fetch_with(serde_json::json!({ "URL": link })).await
    }

    pub async fn fetch_with(&self, body: Value) -> (u16, Reply) {
        let answer = self
            .http
            .post(self.at("/fetch"))
            .body(body.to_string())
            .timeout(PATIENCE)
            .send()
            .await
            .expect("an answer to /fetch");
        Body::of(answer).await
    }

    /// `POST /api/v1/fetch`: status and body.
    pub async fn v1_fetch(&self, body: Value) -> (u16, V1Reply) {
        let request = self
            .http
            .post(self.at("/api/v1/fetch"))
            .header("content-type", "application/json");
        let answer = request
            .body(body.to_string())
            .timeout(PATIENCE)
            .send()
            .await
            .expect("an answer");
        Body::of(answer).await
    }

    /// Fetches a song and waits for its file: the bytes.
    pub async fn download(&self, link: &str) -> Vec<u8> {
        let (status, reply) = self.fetch(link).await;
        assert_eq!(status, 200, "{reply}");
        self.whole(&reply.songs[0]).await
    }

    /// Waits for the file of a song of a reply.
    pub async fn whole(&self, song: &Entry) -> Vec<u8> {
        let (path, end) = (song.wait(), Instant::now() + LONGEST_SONG);
        let mut answer = self.get(&path).await;
        while answer.status() == 418 && Instant::now() < end {
            answer = self.get(&path).await;
        }
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.expect("a body").to_vec();
        assert_eq!(
            status,
            200,
            "{path}: {}\n{}",
            String::from_utf8_lossy(&bytes),
            self.log()
        );
        bytes
    }

    /// Bytes of audio that went to clients over HTTP.
    pub async fn audio_sent(&self) -> u64 {
        let text = self.get("/metrics").await.text().await.expect("a body");
        let sum = text
            .lines()
            .find_map(|line| line.strip_prefix("kmds_served_bytes_total "));
        sum.and_then(|sum| sum.trim().parse().ok())
            .unwrap_or_else(|| panic!("no such metric: {text}"))
    }

    /// Asks until `wanted` holds; fails with the log when it never does.
    pub async fn until(&self, what: &str, mut wanted: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !wanted().await {
            assert!(Instant::now() < end, "never: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it without warning.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, as a service manager does; its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).ok()?)?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok()?;
        self.ended()
    }

    /// Waits until it has ended by itself; its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().ok()?.code()
    }

    /// Everything below the cache folder, as relative paths, sorted; the work folder left out.
    pub fn published(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.folder.path("cache"), "", &mut found);
        found.retain(|path| !path.starts_with('.'));
        found.sort();
        found
    }

    /// Its open files, with the kernel's names.
    pub fn open_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string()))
            .collect()
    }

    /// Its partial files.
    pub fn partials(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.folder.path("cache"), "", &mut found);
        found.retain(|path| path.ends_with(".part"));
        found
    }
}

impl Drop for Kmds {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the service's log\n{}", self.log());
            eprintln!("--- its drive: {:?}", self.published());
        }
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), &path, found);
        } else {
            found.push(path);
        }
    }
}

/// Runs a tool; its standard output. Fails with what it said.
pub fn tool(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}); `./test` installs it"));
    assert!(
        out.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

pub fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .read_to_end(&mut bytes)
        .expect("readable");
    bytes
}
