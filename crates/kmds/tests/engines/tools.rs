//! The tools of these tests: yt-dlp and its stand-ins, the process table, ffprobe.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::harness::{Folder, Kmds, Setup, tool};

/// The native engine of YouTube with one identity only, so that one host answers for it and nothing else.
pub const ONE_IDENTITY: &str = r#"
[[youtube.identities]]
name = "visionos-a"
host = "youtubei.googleapis.com"
user_agent = "com.google.visionos.youtube/1.02(RealityDevice14,1; U; CPU visionOS 25_6_0 like Mac OS X; GB)"
client = { clientName = "VISIONOS", clientVersion = "1.02", clientScreen = "WATCH", platform = "MOBILE", deviceMake = "Apple", deviceModel = "RealityDevice14,1", osName = "visionOS", osVersion = "25.6.0.23O471", utcOffsetMinutes = 0 }
headers = { "X-Goog-Api-Format-Version" = "2" }
"#;

/// The real yt-dlp, or `None` after a message that it is missing.
pub fn ytdlp() -> Option<String> {
    named("KMDS_TEST_YTDLP", "a yt-dlp to test with")
}

/// The real yt-dlp, where it finds a JavaScript runtime and its solver.
pub fn ytdlp_with_runtime() -> Option<String> {
    let ytdlp = ytdlp()?;
    let said = Command::new(&ytdlp)
        .args(["--ignore-config", "--no-cache-dir", "-v"])
        .output()
        .expect("yt-dlp runs");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let has = said.contains("JS runtimes: deno-") && said.contains("yt_dlp_ejs-");
    if !has {
        eprintln!("SKIPPED: {ytdlp} finds no deno, or no yt-dlp-ejs, so it cannot solve a script");
    }
    has.then_some(ytdlp)
}

/// A Python that has mutagen.
pub fn python() -> Option<String> {
    let python = named("KMDS_TEST_PYTHON", "a Python with mutagen")?;
    let has = Command::new(&python)
        .args(["-c", "import mutagen"])
        .status()
        .is_ok_and(|status| status.success());
    if !has {
        eprintln!("SKIPPED: {python} has no mutagen");
    }
    has.then_some(python)
}

fn named(variable: &str, what: &str) -> Option<String> {
    let value = std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("SKIPPED: {variable} does not name {what}");
    }
    value
}

/// False, with a message, if ffmpeg or ffprobe is missing.
pub fn has_ffmpeg() -> bool {
    let has = ["ffmpeg", "ffprobe"]
        .iter()
        .all(|tool| Command::new(tool).arg("-version").output().is_ok());
    if !has {
        eprintln!("SKIPPED: ffmpeg and ffprobe are not installed");
    }
    has
}

/// A program in place of yt-dlp: it records every run, then does what `body` says.
pub struct Wrapper {
    folder: Folder,
}

impl Wrapper {
    /// Records runs and becomes the real yt-dlp.
    pub fn around(ytdlp: &str) -> Self {
        Self::doing(&format!("exec '{ytdlp}' \"$@\""))
    }

    /// Records runs and does this instead, in sh. `$NOTES` is its own folder.
    pub fn doing(body: &str) -> Self {
        let folder = Folder::new();
        let notes = folder.0.display();
        let script = format!(
            "#!/bin/sh\nNOTES='{notes}'\necho $$ >> \"$NOTES/pids\"\nprintf '%s\\n' \"$@\" >> \"$NOTES/arguments\"\n{body}\n"
        );
        let path = folder.path("yt-dlp");
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("executable");
        Self { folder }
    }

    pub fn command(&self) -> String {
        self.folder.path("yt-dlp").display().to_string()
    }

    /// Process groups of all runs so far: each run leads its own.
    pub fn runs(&self) -> Vec<i32> {
        self.note("pids")
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// A file among its notes.
    pub fn leave(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path(name), text).expect("written");
    }

    pub fn note(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path(name)).unwrap_or_default()
    }
}

/// A service that may use this yt-dlp.
pub trait WithYtDlp {
    fn ytdlp(self, command: &str) -> Self;
}

impl WithYtDlp for Setup {
    fn ytdlp(self, command: &str) -> Self {
        self.set("KMDS_ENGINES__YTDLP__ENABLED", "true")
            .set("KMDS_ENGINES__YTDLP__COMMAND", command)
    }
}

/// Processes alive in a group, by the process table; zombies that wait for their parent do not count.
pub fn alive_in_group(group: i32) -> Vec<i32> {
    processes()
        .into_iter()
        .filter(|process| process.group == group && !process.dead)
        .map(|p| p.pid)
        .collect()
}

/// Live children of a process with this name.
pub fn children(parent: u32, name: &str) -> Vec<i32> {
    let parent = i32::try_from(parent).unwrap_or(0);
    let ours =
        |process: &Process| process.parent == parent && process.name == name && !process.dead;
    processes()
        .into_iter()
        .filter(ours)
        .map(|process| process.pid)
        .collect()
}

struct Process {
    pid: i32,
    name: String,
    parent: i32,
    group: i32,
    dead: bool,
}

fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let stat = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stat.filter_map(|text| {
        let (head, rest) = text.rsplit_once(')')?;
        let (pid, name) = head.split_once(" (")?;
        let mut rest = rest.split_whitespace();
        let dead = matches!(rest.next()?, "Z" | "X");
        let mut number = || rest.next()?.parse().ok();
        Some(Process {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            parent: number()?,
            group: number()?,
            dead,
        })
    })
    .collect()
}

/// What yt-dlp's runs left in the state folder.
pub fn work_folders(kmds: &Kmds) -> Vec<PathBuf> {
    let runs = std::fs::read_dir(kmds.folder.path("state").join("ytdlp"))
        .into_iter()
        .flatten()
        .flatten();
    runs.map(|entry| entry.path()).collect()
}

/// The row of a site in `/api/v1/stats`.
pub async fn engine(kmds: &Kmds, site: &str) -> Value {
    let (_, stats) = json(kmds, "/api/v1/stats").await;
    let rows = stats["engines"].as_array().cloned().unwrap_or_default();
    rows.into_iter()
        .find(|row| row["site"] == site)
        .unwrap_or_else(|| panic!("no {site} in {stats}"))
}

/// Codec name and seconds of a file, as ffprobe sees it.
pub fn probe(file: &Path) -> (String, f64) {
    let path = file.display().to_string();
    let wanted = "stream=codec_name:format=duration";
    let out = tool(
        "ffprobe",
        &["-v", "error", "-show_entries", wanted, "-of", "json", &path],
    );
    let out: Value = serde_json::from_str(&out).expect("JSON");
    let codec = out["streams"][0]["codec_name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let seconds = out["format"]["duration"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(-1.0);
    (codec, seconds)
}

/// Decodes all of it: the seconds of audio that come out.
pub fn decoded_seconds(file: &Path) -> f64 {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file)
        .args([
            "-map", "0:a:0", "-f", "s16le", "-ac", "1", "-ar", "8000", "pipe:1",
        ])
        .output()
        .expect("ffmpeg runs");
    assert!(
        out.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout.len() as f64 / 16_000.0
}

/// Status and JSON body of a GET.
pub async fn json(kmds: &Kmds, path: &str) -> (u16, Value) {
    let answer = kmds.get(path).await;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a body");
    (
        status,
        serde_json::from_slice(&body)
            .unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&body))),
    )
}
