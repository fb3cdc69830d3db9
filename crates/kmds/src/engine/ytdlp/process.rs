//! One bounded run of yt-dlp.
//!
//! Owns the child process: its own working folder, process group, time, memory and output limits, and its end, which
//! comes even if KMDS fails. It does not interpret the output.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::error::YtDlpError;

/// Standard output of one run: 200 songs of 4 KB, with room.
const MAX_STDOUT_BYTES: usize = 4 << 20;
/// Standard error: warnings and the one line with the reason.
const MAX_STDERR_BYTES: usize = 64 << 10;

pub struct Run {
    pub command: String,
    pub args: Vec<String>,
    /// Parent of this run's own folder.
    pub work_dir: PathBuf,
    /// The only way out that yt-dlp gets.
    pub proxy: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub cookies_file: Option<PathBuf>,
    pub timeout: Duration,
    pub max_memory: u64,
}

pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// `None` for a clean exit, else what the system says.
    pub status: Option<String>,
    /// It was ended because its time was over; the output until then is here.
    pub timed_out: bool,
}

impl Run {
    pub async fn output(self) -> Result<Output, YtDlpError> {
        let folder =
            Folder::create(&self.work_dir).map_err(|error| broken("no working folder", error))?;
        let mut child = self
            .command(&folder)?
            .spawn()
            .map_err(|error| YtDlpError::Missing {
                command: self.command.clone(),
                reason: error.to_string(),
            })?;
        // Declared after the child, so dropped before it: the whole group ends in every case.
        let group = Group::of(&child);
        group.limit_memory(self.max_memory);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended = async {
            let status = child
                .wait()
                .await
                .map_err(|error| broken("its exit status was lost", error));
            // Processes that it left running hold its pipes open.
            group.kill();
            status
        };
        let work = async {
            tokio::try_join!(
                ended,
                read_up_to(stdout, MAX_STDOUT_BYTES, &mut out),
                read_last(stderr, &mut err)
            )
        };
        let status = match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => Some(done?.0),
            Err(_) => None,
        };
        group.kill();
        Ok(Output {
            stdout: String::from_utf8_lossy(&out).into_owned(),
            stderr: String::from_utf8_lossy(&err).into_owned(),
            status: status
                .filter(|status| !status.success())
                .map(|status| status.to_string()),
            timed_out: status.is_none(),
        })
    }

    /// The program with its own folder, way out, certificates and cookies.
    fn command(&self, folder: &Folder) -> Result<Command, YtDlpError> {
        let mut command = Command::new(&self.command);
        command
            .env_clear()
            .env("HOME", &folder.path)
            .env("TMPDIR", &folder.path)
            .env("LANG", "C.UTF-8")
            .env("PYTHONUTF8", "1")
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .current_dir(&folder.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        // Not among the arguments, which every program of this machine can read.
        for name in ["all_proxy", "http_proxy", "https_proxy"] {
            command.envs(self.proxy.iter().map(|url| (name, url)));
        }
        if let Some(ca_file) = &self.ca_file {
            let bundle = folder.path.join("roots.pem");
            roots_with(ca_file, &bundle).map_err(|error| broken("egress.ca_file", error))?;
            command.env("SSL_CERT_FILE", bundle);
        }
        if let Some(cookies) = &self.cookies_file {
            // yt-dlp rewrites the file when it ends.
            let copy = folder.path.join("cookies.txt");
            std::fs::copy(cookies, &copy)
                .map_err(|error| broken("engines.ytdlp.cookies_file", error))?;
            command.arg("--cookies").arg(copy);
        }
        command.args(&self.args);
        Ok(command)
    }
}

fn broken(what: &str, error: std::io::Error) -> YtDlpError {
    YtDlpError::Broken(format!("{what}: {error}"))
}

/// Reads to the end, at most `limit` bytes.
async fn read_up_to(
    pipe: Option<impl AsyncRead + Unpin>,
    limit: usize,
    kept: &mut Vec<u8>,
) -> Result<(), YtDlpError> {
    let Some(pipe) = pipe else { return Ok(()) };
    let lost = |error: std::io::Error| YtDlpError::Broken(format!("its output was lost: {error}"));
    pipe.take(limit as u64 + 1)
        .read_to_end(kept)
        .await
        .map_err(lost)?;
    if kept.len() > limit {
        return Err(YtDlpError::Broken(
            "it printed more than its limit".to_owned(),
        ));
    }
    Ok(())
}

/// Reads to the end and keeps the last [`MAX_STDERR_BYTES`]: the line with the reason comes last.
async fn read_last(
    pipe: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
) -> Result<(), YtDlpError> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    // A broken pipe of standard error is not an error.
    while pipe.read_buf(kept).await.is_ok_and(|read| read > 0) {
        if kept.len() > 2 * MAX_STDERR_BYTES {
            kept.drain(..kept.len() - MAX_STDERR_BYTES);
        }
    }
    kept.drain(..kept.len().saturating_sub(MAX_STDERR_BYTES));
    Ok(())
}

/// The child's process group. A drop kills all of it, so that no JavaScript runtime outlives yt-dlp.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        )
    }

    fn limit_memory(&self, bytes: u64) {
        if self.0.is_some() && bytes < u64::MAX {
            let limit = Rlimit {
                current: Some(bytes),
                maximum: Some(bytes),
            };
            // Best effort: the run is bounded in time and output in any case. Written memory counts, not reserved
            // addresses: JavaScript runtimes reserve many times what they use.
            let _ = prlimit(self.0, Resource::Data, limit);
        }
    }

    fn kill(&self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder of its own for one run, removed with everything in it.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn create(parent: &std::path::Path) -> std::io::Result<Self> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "run-{}-{}",
            std::process::id(),
            SERIAL.fetch_add(1, Ordering::Relaxed)
        );
        let path = parent.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The system's roots and the operator's own, in one file: yt-dlp takes only one.
fn roots_with(own: &std::path::Path, bundle: &std::path::Path) -> std::io::Result<()> {
    use base64::Engine as _;
    let mut text = std::fs::read_to_string(own)?;
    for root in rustls_native_certs::load_native_certs().certs {
        let body = base64::engine::general_purpose::STANDARD.encode(root.as_ref());
        text.push_str("\n-----BEGIN CERTIFICATE-----\n");
        for line in body.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    std::fs::write(bundle, text)
}
