//! yt-dlp's command line in KMDS: compared with the real yt-dlp, and called by programs that call yt-dlp.

#[path = "../harness/mod.rs"]
mod harness;

mod answers;
mod callers;
mod keeping;
mod same;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use harness::{FAST_RECIPES, Folder, Kmds};
use kmds_lab::{Lab, Song};
use serde_json::Value;

/// The song that most callers ask for, by link or by its words.
fn copper_kettles(lab: &Lab) -> Song {
    lab.youtube()
        .video("Copper Kettles")
        .artist("Ada")
        .seconds(20.0)
        .publish()
}

/// A program that calls yt-dlp, where the binary of KMDS has that name.
pub struct Caller {
    pub folder: Folder,
    pub environment: BTreeMap<String, String>,
}

impl Caller {
    fn new() -> Self {
        let folder = Folder::new();
        let program = folder.path("yt-dlp");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kmds"), &program).expect("a link");
        std::fs::create_dir(folder.path("tmp")).expect("a folder");
        let path = |path: PathBuf| path.display().to_string();
        let environment = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".to_owned(), path(folder.0.clone())),
            ("TMPDIR".to_owned(), path(folder.path("tmp"))),
        ]);
        Self {
            folder,
            environment,
        }
    }

    /// One whose calls ask the sites themselves.
    pub fn alone(lab: &Lab) -> Self {
        let caller = Self::new();
        let recipes = caller.folder.path("recipes.toml");
        std::fs::write(&recipes, FAST_RECIPES).expect("recipes");
        caller
            .set("KMDS_RECIPES__FILE", &recipes.display().to_string())
            .set("KMDS_EGRESS__PROXY", &lab.proxy_url())
            .set("KMDS_EGRESS__CA_FILE", &lab.ca_file().display().to_string())
            .set("KMDS_CACHE__MIN_FREE_BYTES", "0")
            .set("KMDS_ENGINES__YTDLP__ENABLED", "false")
    }

    /// One whose calls ask a server.
    pub fn of(kmds: &Kmds) -> Self {
        Self::new().set("KMDS_SERVER", &kmds.url)
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn program(&self) -> String {
        self.folder.path("yt-dlp").display().to_string()
    }

    /// A command in this caller's folder and environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.folder.0)
            .stdin(Stdio::null());
        command
    }

    pub fn runs(&self, arguments: &[&str]) -> Said {
        let mut command = self.command(&self.program());
        Said::from(command.args(arguments).output().expect("kmds starts"))
    }

    /// The number of files left in the folder for temporary files.
    pub fn left_behind(&self) -> usize {
        std::fs::read_dir(self.folder.path("tmp"))
            .expect("a folder")
            .count()
    }
}

/// The result of a call.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.text(), self.err);
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Its lines as JSON.
    #[track_caller]
    pub fn documents(&self) -> Vec<Value> {
        let read = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
        };
        self.text().lines().map(read).collect()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let [document] = self.documents().try_into().expect("one document");
        document
    }
}

/// Prints why a test is skipped.
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
