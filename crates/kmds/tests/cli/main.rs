//! The command line as users run it: the real binary, its exit codes, its output and the files that it leaves.

#[path = "../harness/mod.rs"]
mod harness;

mod cancel;
mod get;
mod hostile;
mod out;
mod pauses;
mod playing;
mod search;
mod settings;
mod tend;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use harness::{FAST_RECIPES, Folder};
use kmds_lab::Lab;
use serde_json::Value;

/// A user at a prompt, with a separate home, and the lab as the internet.
pub struct Person {
    pub folder: Folder,
    environment: BTreeMap<String, String>,
}

impl Person {
    pub fn alone() -> Self {
        let folder = Folder::new();
        let recipes = folder.path("recipes.toml");
        std::fs::write(&recipes, FAST_RECIPES).expect("recipes");
        let path = |path: PathBuf| path.display().to_string();
        let environment = [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", path(folder.0.clone())),
            ("KMDS_RECIPES__FILE", path(recipes)),
            ("KMDS_CACHE__DIR", path(folder.path("cache"))),
            ("KMDS_STATE__DIR", path(folder.path("state"))),
            ("KMDS_CACHE__MIN_FREE_BYTES", "0".to_owned()),
            ("KMDS_ENGINES__YTDLP__ENABLED", "false".to_owned()),
        ];
        Self {
            folder,
            environment: environment
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    pub fn of(lab: &Lab) -> Self {
        Self::alone()
            .set("KMDS_EGRESS__PROXY", &lab.proxy_url())
            .set("KMDS_EGRESS__CA_FILE", &lab.ca_file().display().to_string())
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmds"));
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.folder.0)
            .stdin(Stdio::null());
        command
    }

    pub fn runs(&self, arguments: &[&str]) -> Said {
        Said::from(self.command(arguments).output().expect("kmds starts"))
    }

    pub fn starts(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kmds starts")
    }

    /// Files below a folder, as relative paths, sorted.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.folder.path(folder), "", &mut found);
        found.sort();
        found
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
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => walk(&entry.path(), &path, found),
            false => found.push(path),
        }
    }
}

/// The output of a command.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}
