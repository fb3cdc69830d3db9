//! The process that runs a script, looked at while it runs one.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Folder, PATIENCE};
use crate::write;

/// A script that does not end by itself.
const ENDLESS: &str = "(function(g){var D=function(u,p,s){for(;;);u.set('alr','yes')}})({})";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap_or_default()
    }

    /// Soft limits by their names.
    fn limits(&self) -> BTreeMap<String, String> {
        let fields = |line: &str| {
            Some((
                line.get(..26)?.trim().to_owned(),
                line.get(26..46)?.trim().to_owned(),
            ))
        };
        self.read("limits")
            .lines()
            .skip(1)
            .filter_map(fields)
            .collect()
    }
}

#[test]
fn a_script_runs_in_a_cage() {
    let folder = Folder::new();
    let script = write(&folder, "base.js", ENDLESS);
    let child = Command::new(env!("CARGO_BIN_EXE_kmds"))
        .args(["solve-player"])
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = Running(child.expect("kmds starts"));
    running
        .0
        .stdin
        .take()
        .expect("a pipe")
        .write_all(br#"{"n": ["WAt5y_RP0MT_9Yf94"]}"#)
        .expect("questions");
    let begun = Instant::now();
    // The last of the limits; the list of system calls follows at once.
    while running
        .limits()
        .get("Max open files")
        .is_none_or(|files| files != "3")
    {
        assert!(begun.elapsed() < PATIENCE, "{:?}", running.limits());
        std::thread::sleep(Duration::from_millis(2));
    }
    let limits = running.limits();
    assert_eq!(limits["Max core file size"], "0");
    assert_eq!(limits["Max cpu time"], "10");
    for (name, at_most) in [("Max data size", 256 << 20), ("Max address space", 1 << 30)] {
        assert!(
            limits[name]
                .parse::<u64>()
                .is_ok_and(|bytes| bytes <= at_most),
            "{name}: {}",
            limits[name]
        );
    }
    let filtered = |status: &str| {
        status
            .lines()
            .any(|line| line.split_whitespace().eq(["Seccomp:", "2"]))
    };
    if !std::path::Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        eprintln!(
            "SKIPPED: this kernel has no seccomp, so the list of system calls was not looked at"
        );
        return;
    }
    while !filtered(&running.read("status")) {
        assert!(begun.elapsed() < PATIENCE, "{}", running.read("status"));
        std::thread::sleep(Duration::from_millis(2));
    }
}
