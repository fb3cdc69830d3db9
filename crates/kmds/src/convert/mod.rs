//! ffmpeg as a child process: audio goes in by one pipe and comes out by another.
//!
//! Owns the arguments of each format, and the process: at most `ffmpeg.max` at once, niced, its error output read by a
//! task of its own that ends with the process. Dropping [`Output`] kills the process group. ffmpeg never gets a URL or
//! a path.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use kmds_extract::Format;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group, setpriority_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::FfmpegConfig;

/// Niceness of an encoder.
const NICENESS: i32 = 10;
/// One piece of output: a pipe's worth.
const OUTPUT_PIECE_BYTES: usize = 64 << 10;
/// Longest time that `ffmpeg -version` may take.
const VERSION_WAIT: Duration = Duration::from_secs(10);
/// Arguments of every conversion, without the ones of its format.
const QUIET: &str = "-nostdin -hide_banner -loglevel error -threads 1";
const INPUT: &str = "-i pipe:0 -vn -sn";
const FIRST_AUDIO_TRACK: &str = "-map 0:a:0 -map_metadata -1 -fflags +bitexact -flags:a +bitexact";
/// Bytes of its error output that are kept.
const COMPLAINT_BYTES: usize = 4 << 10;

/// Whether the header of this format states a length that is known only at the end: such a file is finished before a
/// client gets it.
#[must_use]
pub const fn writes_header_last(format: Format) -> bool {
    matches!(format, Format::Flac | Format::Wav)
}

const fn arguments(format: Format) -> &'static [&'static str] {
    match format {
        // Quality 5 and 160 kbit/s make files of the same size; quality adapts to silence.
        Format::Ogg => &["-c:a", "libvorbis", "-q:a", "5", "-f", "ogg"],
        Format::M4a => &[
            "-c:a",
            "aac",
            "-b:a",
            "160k",
            "-movflags",
            "+empty_moov+default_base_moof",
            // In microseconds. Audio has no key frames to cut at: without this option the whole song becomes one
            // fragment, whose size ffmpeg cannot write after its head has left the pipe.
            "-frag_duration",
            "5000000",
            "-f",
            "mp4",
        ],
        // A constant bitrate, so that players can compute the length from the size: the header with the length is
        // written last, and ffmpeg cannot go back in a pipe.
        Format::Mp3 => &[
            "-c:a",
            "libmp3lame",
            "-b:a",
            "192k",
            "-write_xing",
            "0",
            "-id3v2_version",
            "0",
            "-f",
            "mp3",
        ],
        Format::Opus => &["-c:a", "libopus", "-b:a", "128k", "-f", "ogg"],
        // No caller asks for it: Opus in Ogg is the same audio.
        Format::WebM => &["-c:a", "libopus", "-b:a", "128k", "-f", "webm"],
        Format::Flac => &["-c:a", "flac", "-f", "flac"],
        Format::Wav => &["-c:a", "pcm_s16le", "-f", "wav"],
    }
}

/// Why there is no converted audio.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConvertError {
    #[error(
        "this song must be converted, and ffmpeg (`{command}`) cannot be started: {reason}; install it (Debian: apt install ffmpeg) or let clients accept opus"
    )]
    Missing { command: String, reason: String },
    #[error("ffmpeg could not convert it: {0}")]
    Failed(String),
}

/// Starts conversions. Cheap to clone.
#[derive(Clone)]
pub struct Ffmpeg {
    command: Arc<str>,
    slots: Arc<Semaphore>,
}

impl Ffmpeg {
    #[must_use]
    pub fn new(config: &FfmpegConfig) -> Self {
        Self {
            command: config.command.as_str().into(),
            slots: Arc::new(Semaphore::new(config.max.max(1))),
        }
    }

    /// Its version, for `kmds doctor`.
    /// # Errors
    /// [`ConvertError::Missing`] if it is not installed.
    pub async fn version(&self) -> Result<String, ConvertError> {
        let out = self
            .command()
            .arg("-version")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let out = timeout(VERSION_WAIT, out)
            .await
            .map_err(|_| self.missing(&std::io::ErrorKind::TimedOut.into()))?
            .map_err(|error| self.missing(&error))?;
        let text = String::from_utf8_lossy(&out.stdout);
        Ok(text
            .split_whitespace()
            .nth(2)
            .unwrap_or("unknown")
            .to_owned())
    }

    /// Waits for a free slot and starts a conversion, which fails if it makes no progress for `stall` while it has
    /// work. Dropping the returned value ends the process.
    /// # Errors
    /// [`ConvertError::Missing`].
    pub async fn start(&self, format: Format, stall: Duration) -> Result<Conversion, ConvertError> {
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| ConvertError::Failed("the service stops".to_owned()))?;
        let mut command = self.command();
        command
            .args(QUIET.split(' ').chain(INPUT.split(' ')))
            .args(FIRST_AUDIO_TRACK.split(' '))
            .args(arguments(format))
            .arg("pipe:1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        let mut child = command.spawn().map_err(|error| self.missing(&error))?;
        let pid = pid_of(&child);
        // Best effort: a conversion without lower priority is still correct.
        let _ = setpriority_process(pid, NICENESS);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(ConvertError::Failed(
                "its pipes could not be opened".to_owned(),
            ));
        };
        let complaints = tokio::spawn(first_of(stderr));
        let watch = Arc::new(StallWatch::new(stall));
        let output = Output {
            child,
            stdout,
            complaints,
            watch: Arc::clone(&watch),
            _slot: slot,
        };
        Ok(Conversion {
            feed: Feed { stdin, watch },
            output,
        })
    }

    /// ffmpeg gets only the variables that it needs to find programs and libraries: others may hold secrets.
    fn command(&self) -> Command {
        const KEPT: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR"];
        let mut command = Command::new(&*self.command);
        command.env_clear().env("LANG", "C.UTF-8");
        command.envs(
            KEPT.into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        command
    }

    fn missing(&self, error: &std::io::Error) -> ConvertError {
        let reason = if error.kind() == std::io::ErrorKind::NotFound {
            "not found".to_owned()
        } else {
            error.to_string()
        };
        ConvertError::Missing {
            command: self.command.to_string(),
            reason,
        }
    }
}

/// A running conversion. Its two ends must be used at the same time.
pub struct Conversion {
    pub feed: Feed,
    pub output: Output,
}

pub struct Feed {
    stdin: ChildStdin,
    watch: Arc<StallWatch>,
}

impl Feed {
    /// Passes more input; false if ffmpeg takes no more. [`Output::next`] then says why.
    pub async fn push(&mut self, bytes: &[u8]) -> bool {
        self.watch.has_work(true);
        let taken = self.stdin.write_all(bytes).await.is_ok();
        self.watch.has_work(false);
        taken
    }

    /// The input is whole.
    pub async fn finish(mut self) {
        self.watch.has_work(true);
        // `Output::next` reports a broken pipe.
        let _ = self.stdin.shutdown().await;
    }
}

/// Whether ffmpeg has work, and since when: it does not count as stalled while it waits for input.
#[derive(Debug)]
struct StallWatch {
    stall: Duration,
    work: Mutex<(bool, Instant)>,
}

impl StallWatch {
    fn new(stall: Duration) -> Self {
        Self {
            stall,
            work: Mutex::new((false, Instant::now())),
        }
    }

    fn has_work(&self, has: bool) {
        *self.work.lock() = (has, Instant::now());
    }

    /// The moment at which ffmpeg counts as stalled; `quiet` is when it last made progress.
    fn patience(&self, quiet: Instant) -> Instant {
        let (_, since) = *self.work.lock();
        since.max(quiet) + self.stall
    }

    fn is_hanging(&self, quiet: Instant) -> bool {
        let (has_work, _) = *self.work.lock();
        has_work && self.patience(quiet) <= Instant::now()
    }

    fn failure(&self) -> ConvertError {
        ConvertError::Failed(format!("it did nothing for {:?}", self.stall))
    }
}

pub struct Output {
    child: Child,
    stdout: ChildStdout,
    /// Ends with the process, which is killed when this is dropped.
    complaints: JoinHandle<String>,
    watch: Arc<StallWatch>,
    _slot: OwnedSemaphorePermit,
}

impl Output {
    /// The next piece; `None` at the end of a successful conversion.
    /// # Errors
    /// [`ConvertError::Failed`] with what ffmpeg said, or that it hangs.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, ConvertError> {
        let failed = |error: std::io::Error| ConvertError::Failed(error.to_string());
        let mut piece = bytes::BytesMut::with_capacity(OUTPUT_PIECE_BYTES);
        let mut quiet = Instant::now();
        let read = loop {
            match timeout_at(self.watch.patience(quiet), self.stdout.read_buf(&mut piece)).await {
                Ok(read) => break read.map_err(failed)?,
                Err(_) if self.watch.is_hanging(quiet) => return Err(self.watch.failure()),
                // It had no work, or took input meanwhile.
                Err(_) => quiet = Instant::now(),
            }
        };
        if read > 0 {
            return Ok(Some(piece.freeze()));
        }
        let stall = self.watch.stall;
        let status = timeout(stall, self.child.wait())
            .await
            .map_err(|_| self.watch.failure())?
            .map_err(failed)?;
        if status.success() {
            return Ok(None);
        }
        // A child of ffmpeg may hold the pipe open.
        let said = timeout(stall, &mut self.complaints)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default();
        let line = said
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("it said nothing");
        Err(ConvertError::Failed(format!("{line} ({status})")))
    }
}

impl Drop for Output {
    /// Kills the whole group: the command may be a script that runs ffmpeg.
    fn drop(&mut self) {
        if let Some(group) = pid_of(&self.child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// `None` once the process was reaped: its number may belong to another process.
fn pid_of(child: &Child) -> Option<Pid> {
    child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
}

/// Reads the error output to its end, so that the pipe never fills up, and keeps the first bytes.
async fn first_of(mut stderr: ChildStderr) -> String {
    let (mut said, mut piece) = (Vec::new(), vec![0; COMPLAINT_BYTES]);
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        let room = COMPLAINT_BYTES.saturating_sub(said.len());
        said.extend_from_slice(piece.get(..read.min(room)).unwrap_or_default());
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Writes the duration into the head of a fragmented MP4, which an encoder at a pipe does not know. Everything before
/// the first fragment is held back, patched, and passed on.
#[derive(Debug)]
pub struct Mp4Head {
    held: Option<Vec<u8>>,
    duration: Duration,
}

impl Mp4Head {
    /// A head is a few KB; a larger one is passed on unchanged.
    const MOST_BYTES: usize = 256 << 10;

    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self {
            held: Some(Vec::new()),
            duration,
        }
    }

    /// Passes bytes on; empty while the head is not complete.
    pub fn push(&mut self, bytes: bytes::Bytes) -> bytes::Bytes {
        let Some(held) = &mut self.held else {
            return bytes;
        };
        held.extend_from_slice(&bytes);
        match crate::media::mp4::first_fragment(held) {
            Some(at) => {
                let rest = held.split_off(at);
                let mut out = crate::media::mp4::patch_durations(held, self.duration)
                    .unwrap_or_else(|_| held.clone());
                out.extend_from_slice(&rest);
                self.held = None;
                out.into()
            }
            None if held.len() > Self::MOST_BYTES => self.finish(),
            None => bytes::Bytes::new(),
        }
    }

    /// The bytes that are still held back at the end.
    pub fn finish(&mut self) -> bytes::Bytes {
        self.held.take().unwrap_or_default().into()
    }
}
