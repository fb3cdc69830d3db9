//! Real files, made by ffmpeg while the tests run. Where there is no ffmpeg they say so and are skipped.

mod around;
mod fuzz;
mod hls;
mod hostile;
mod rewrite;
mod whole;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kmds_extract::Container;

use super::{Broken, Checked, check_bytes};

/// The length of the generated files.
const LENGTH: Duration = Duration::from_secs(6);

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "kmds-media-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.at(name), bytes).unwrap();
        self.at(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs ffmpeg or ffprobe; its standard output, or nothing (said aloud) when it is not installed.
fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: {program} is not installed, this test checks nothing");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    assert!(
        !args.contains(&"error") || said.is_empty(),
        "{program} {args:?} complains: {said}"
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Six seconds of a wavering tone, encoded by `args` into a file called `name`.
fn made(name: &str, args: &str) -> Option<Vec<u8>> {
    let folder = Folder::new();
    let path = folder.at(name);
    let tone = format!(
        "aevalsrc=0.4*sin(2000*t*(1+t/7))+0.05*random(0):s=48000:d={}",
        LENGTH.as_secs()
    );
    let mut all = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &tone];
    all.extend(args.split_whitespace());
    all.push(text(&path));
    run("ffmpeg", &all)?;
    Some(fs::read(path).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn whole(bytes: &[u8], container: Container) -> Result<Checked, Broken> {
    check_bytes(&bytes, container, Some(LENGTH))
}

const PROGRESSIVE: &str = "-c:a aac -b:a 96k";
const FRAGMENTED: &str = "-c:a aac -b:a 96k -movflags +dash+global_sidx -frag_duration 1000000";
const PLAIN_FRAGMENTS: &str =
    "-c:a aac -b:a 96k -movflags +frag_keyframe+empty_moov -frag_duration 1000000";
const WEBM: &str = "-c:a libopus -b:a 64k -cluster_time_limit 1000";
const LIVE_WEBM: &str = "-c:a libopus -b:a 64k -cluster_time_limit 1000 -f webm -live 1";

fn mp4_box(kind: &[u8; 4], body_bytes: usize) -> Vec<u8> {
    [
        &(body_bytes as u32 + 8).to_be_bytes()[..],
        kind,
        &vec![0; body_bytes],
    ]
    .concat()
}

fn void(body_bytes: usize) -> Vec<u8> {
    let size = (body_bytes as u64 | 1 << 56).to_be_bytes();
    [&[0xEC][..], &size, &vec![0; body_bytes]].concat()
}

/// Where top-level boxes of an MP4 begin, with their kinds, and at last its length.
fn top_boxes(bytes: &[u8]) -> Vec<(usize, String)> {
    let (mut at, mut tops) = (0, Vec::new());
    while let Some(header) = bytes.get(at..at + 8) {
        tops.push((at, String::from_utf8_lossy(&header[4..]).into_owned()));
        at += u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
    }
    tops
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .position(|window| window == what)
        .unwrap()
}

/// Where `Tracks` of a WebM begins; its id stands in the seek table before.
fn tracks_at(bytes: &[u8]) -> usize {
    bytes
        .windows(4)
        .rposition(|id| id == [0x16, 0x54, 0xAE, 0x6B])
        .unwrap()
}
