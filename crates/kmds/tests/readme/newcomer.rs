//! A newcomer who has a clone and the documents, and types what they say.
//!
//! Owns a home, a clone, a terminal for commands and another one for the service. Hides bash. Never types anything of
//! its own, except where [`super`] says so.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use kmds_lab::Lab;

use super::harness::{FAST_RECIPES, Folder, PATIENCE};

/// What bash says after each command, with its exit code.
const DONE: &str = "<<< done";
/// An answer of the service that is not a success makes curl fail, in every document.
const CURLRC: &str = "fail\nsilent\nshow-error\nmax-time = 60\nnoproxy = \"*\"\n";
/// Programs that a test machine does not have, or may not use.
const STAND_INS: [(&str, &str); 2] = [
    ("sudo", "exec \"$@\""),
    // A player without a loudspeaker.
    (
        "mpv",
        "for last; do case $last in --http-header-fields=*) head=${last#*=};; esac; done\n\
             exec curl -o /dev/null ${head:+-H \"$head\"} \"$last\"",
    ),
];
/// Folders of a machine that lie below the test's own folder here.
const MOVED: [&str; 6] = [
    "/etc/kmds",
    "/srv/music",
    "/mnt/music",
    "/var/lib/kmds",
    "/usr/local/bin",
    "/run/kmds",
];
/// Where the documents' services listen, and where their clients ask.
const ASKED: [&str; 3] = [
    "http://127.0.0.1:60071",
    "http://10.0.0.2:60071",
    "https://music.example.org/kmds",
];

pub struct Newcomer {
    pub folder: Folder,
    environment: Vec<(String, String)>,
    terminal: Child,
    keys: ChildStdin,
    screen: Receiver<String>,
    service: Option<Service>,
    /// Stands for `LINK`.
    link: String,
}

struct Service {
    process: Child,
    url: String,
}

impl Newcomer {
    pub fn with_a_clone(lab: &Lab, way_out: &str, link: &str) -> Self {
        let folder = Folder::new();
        let at = |name: &str| folder.path(name).display().to_string();
        for made in [
            "clone/target/release",
            "home",
            "stand-ins",
            "mnt",
            "usr/local/bin",
            "etc/kmds",
            "srv/music",
        ] {
            std::fs::create_dir_all(folder.path(made)).expect("a folder");
        }
        let link_to = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, folder.path(name)).expect("a link")
        };
        link_to(&super::root().join("clients"), "clone/clients");
        link_to(
            Path::new(env!("CARGO_BIN_EXE_kmds")),
            "clone/target/release/kmds",
        );
        // One drive, mounted on both hosts.
        link_to(&folder.path("srv/music"), "mnt/music");
        std::fs::write(folder.path("home/.curlrc"), CURLRC).expect("a file");
        std::fs::write(folder.path("recipes.toml"), FAST_RECIPES).expect("a file");
        // A python that is chosen by the home it runs in would not be found from this one.
        let python = std::env::var("KMDS_TEST_PYTHON")
            .map(|python| ("python3", format!("exec '{python}' \"$@\"")));
        let stand_ins = STAND_INS
            .map(|(name, script)| (name, script.to_owned()))
            .into_iter()
            .chain(python);
        for (name, script) in stand_ins {
            let file = folder.path("stand-ins").join(name);
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("a script");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
                .expect("a mode");
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let own = [
            (
                "PATH",
                format!("{}:{}:{path}", at("usr/local/bin"), at("stand-ins")),
            ),
            ("HOME", at("home")),
            ("USER", rustix::process::getuid().as_raw().to_string()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("KMDS_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("KMDS_EGRESS__PROXY", way_out.to_owned()),
            ("KMDS_EGRESS__CA_FILE", lab.ca_file().display().to_string()),
            ("KMDS_RECIPES__FILE", at("recipes.toml")),
            ("KMDS_CACHE__MIN_FREE_BYTES", "0".to_owned()),
            ("KMDS_ENGINES__YTDLP__ENABLED", "false".to_owned()),
        ];
        let environment: Vec<(String, String)> = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let mut terminal = bash(&folder, &environment)
            .stdin(Stdio::piped())
            .spawn()
            .expect("bash");
        let keys = terminal.stdin.take().expect("piped");
        let screen = lines(&mut terminal);
        Self {
            folder,
            environment,
            terminal,
            keys,
            screen,
            service: None,
            link: link.to_owned(),
        }
    }

    /// The archive and the sums of a release, in the folder where commands are typed. The binary is the one of this
    /// build.
    pub fn downloads_a_release(&self) {
        let binary = self
            .folder
            .path("binaries/x86_64-unknown-linux-musl")
            .join("kmds");
        std::fs::create_dir_all(binary.parent().expect("a folder")).expect("a folder");
        std::fs::copy(env!("CARGO_BIN_EXE_kmds"), &binary).expect("a copy");
        let out = Command::new(super::root().join("packaging/release.sh"))
            .env("KMDS_GZIP", "-1")
            .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
            .arg(self.folder.path("binaries"))
            .arg(self.folder.path("clone"))
            .output()
            .expect("a shell");
        assert!(out.status.success(), "{out:?}");
    }

    /// A text of a document, with the paths and addresses of this test.
    fn here(&self, text: &str) -> String {
        let mut text = text.replace("LINK", &self.link);
        for folder in MOVED {
            text = text.replace(folder, &format!("{}{folder}", self.folder.0.display()));
        }
        if let Some(service) = &self.service {
            text = ASKED
                .into_iter()
                .fold(text, |text, asked| text.replace(asked, &service.url));
        }
        for listens in ["127.0.0.1:60071", "10.0.0.2:60071", "0.0.0.0:60071"] {
            text = text.replace(listens, "127.0.0.1:0");
        }
        text.replace("https://api.ipify.org", "http://outside.test/")
            .replace("10.0.0.2", "127.0.0.1")
    }

    /// A file of the document, in the clone unless it says where.
    pub fn writes(&self, name: &str, text: &str) {
        let file = self.folder.path("clone").join(self.here(name));
        std::fs::write(&file, self.here(text))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Types a command into the terminal and reads until the prompt is back: what was printed, or what went wrong.
    pub fn types(&mut self, command: &str) -> Result<String, String> {
        let command = self.here(command);
        let line = format!("{{ {command}\n}} </dev/null 2>&1; printf '\\n{DONE} %d\\n' $?\n");
        self.keys.write_all(line.as_bytes()).expect("bash reads");
        let mut said = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self
                .screen
                .recv_timeout(left)
                .map_err(|_| format!("no end of it: {command}\n{said:?}"))?;
            match line.strip_prefix(DONE) {
                Some(" 0") => return Ok(said.join("\n")),
                Some(code) => {
                    return Err(format!("exit code{code}: {command}\n{}", said.join("\n")));
                }
                None => said.push(line),
            }
        }
    }

    /// Leaves a command running in a terminal of its own until it has printed a line, and ends it.
    pub fn watches(&self, command: &str) -> Result<String, String> {
        let mut process = self.starts(command);
        let first = lines(&mut process).recv_timeout(PATIENCE);
        let _ = process.kill();
        let _ = process.wait();
        first.map_err(|_| format!("it prints nothing: {command}"))
    }

    /// Runs the service, in place of one that runs.
    pub fn serves(&mut self, command: &str) -> Result<String, String> {
        self.stops();
        let mut process = self.starts(command);
        let screen = lines(&mut process);
        let end = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while let Ok(line) = screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if let Some((_, url)) = line.split_once(" ready on ") {
                let url = url.to_owned();
                // What it logs later is read on, so that its pipe does not fill.
                std::thread::spawn(move || screen.into_iter().for_each(drop));
                self.service = Some(Service { process, url });
                return Ok(line);
            }
            said.push(line);
        }
        let _ = process.kill();
        let _ = process.wait();
        Err(format!(
            "the service does not get ready: {command}\n{}",
            said.join("\n")
        ))
    }

    pub fn stops(&mut self) {
        if let Some(mut service) = self.service.take() {
            let pid = i32::try_from(service.process.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw)
                .expect("a pid");
            rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("Ctrl-C");
            let status = service.process.wait().expect("an end");
            assert!(status.success(), "Ctrl-C is no failure, yet: {status}");
        }
    }

    fn starts(&self, command: &str) -> Child {
        let line = format!("exec 2>&1\nexec {}", self.here(command));
        bash(&self.folder, &self.environment)
            .args(["-c", &line])
            .stdin(Stdio::null())
            .spawn()
            .expect("bash")
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let service = self.service.as_mut().map(|service| &mut service.process);
        for process in [Some(&mut self.terminal), service].into_iter().flatten() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn bash(folder: &Folder, environment: &[(String, String)]) -> Command {
    let mut bash = Command::new("bash");
    bash.env_clear()
        .envs(environment.iter().cloned())
        .current_dir(folder.path("clone"));
    bash.stdout(Stdio::piped()).stderr(Stdio::null());
    bash
}

fn lines(process: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let out = BufReader::new(process.stdout.take().expect("piped"));
    std::thread::spawn(move || {
        for line in out.split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}
