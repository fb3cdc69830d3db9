//! `kmds solve-player`: what YouTube's player script makes of `n` and of a signature, by the real binary.
//!
//! The real script is read from the folder that `KMDS_RECORDINGS` names; the dialects of the lab are there always. The
//! judge is yt-dlp's own solver in node, where there is a node: `KMDS_TEST_PYTHON` is a Python with `yt-dlp-ejs`.

#[path = "../harness/mod.rs"]
mod harness;

mod answers;
mod caged;
mod hostile;
mod oracle;
mod service;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::Folder;
use serde_json::{Value, json};

/// The real script, from its recording; one whose shape the site has used.
pub fn recorded() -> Option<String> {
    let Some(folder) = std::env::var_os("KMDS_RECORDINGS").filter(|folder| !folder.is_empty())
    else {
        eprintln!("SKIPPED: KMDS_RECORDINGS is not set, so no real player script was read");
        return None;
    };
    let file = PathBuf::from(folder).join("youtube/player-script/base-js.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: there is no {}", file.display());
        return None;
    };
    let exchange: Value = serde_json::from_str(&text).expect("a recorded exchange");
    Some(
        exchange["response"]["body"]
            .as_str()
            .expect("a body")
            .to_owned(),
    )
}

/// Challenges of the site's own shape, made on the spot; the seed is printed when a test fails.
pub struct Challenges {
    pub seed: u64,
    state: u64,
}

impl Challenges {
    pub fn made() -> Self {
        let since = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .expect("a clock");
        let seed = u64::try_from(since.as_nanos() & u128::from(u64::MAX)).expect("it was cut") | 1;
        eprintln!("challenges made from seed {seed}");
        Self { seed, state: seed }
    }

    fn next(&mut self, below: usize) -> usize {
        // Xorshift: any sequence will do.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % below
    }

    fn text(&mut self, length: usize) -> String {
        let signs = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..length)
            .map(|_| char::from(signs[self.next(signs.len())]))
            .collect()
    }

    /// So many of `n`, and so many of a signature.
    pub fn take(&mut self, n: usize, sig: usize) -> Value {
        let n: Vec<String> = (0..n).map(|_| self.text(17)).collect();
        let sig: Vec<String> = (0..sig)
            .map(|_| {
                let length = 96 + self.next(12);
                self.text(length)
            })
            .collect();
        json!({ "n": n, "sig": sig })
    }
}

pub fn write(folder: &Folder, name: &str, script: &str) -> PathBuf {
    let path = folder.path(name);
    std::fs::write(&path, script).expect("a script");
    path
}

/// `kmds solve-player` with more arguments, fed `input`.
pub fn solve_player(arguments: &[&str], script: &Path, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kmds"))
        .arg("solve-player")
        .args(arguments)
        .arg(script)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kmds starts");
    // It may end before it has read all.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes());
    child.wait_with_output().expect("kmds ends")
}

/// What it answers; it must.
pub fn solved(script: &Path, questions: &Value) -> Value {
    let output = solve_player(&[], script, &questions.to_string());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON on standard output")
}
