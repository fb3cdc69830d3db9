//! What `kmds showcase` prints: lines or a bar while songs arrive, the table or the JSON document at the end.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::{Outcome, Saved};
use crate::cli::Problem;
use crate::cli::out::{self, Colour};
use crate::cli::progress::{self, ProgressLines};
use crate::cli::term::{self, Table};

/// Progress: a bar on a terminal, lines elsewhere, nothing with `--json`.
pub(super) struct Progress {
    quiet: bool,
    lines: Option<Mutex<ProgressLines>>,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let lines = if quiet {
            None
        } else {
            ProgressLines::on_terminal().map(Mutex::new)
        };
        Self { quiet, lines }
    }

    fn lines(&self) -> Option<MutexGuard<'_, ProgressLines>> {
        Some(self.lines.as_ref()?.lock())
    }

    pub(super) fn bar(&self, ended: usize, songs: usize, started: Instant) {
        if let Some(mut lines) = self.lines() {
            let (bar, time) = (
                progress::bar(ended as u64, songs as u64, 32),
                term::time(started.elapsed()),
            );
            lines.draw(&[format!("  {bar} {ended}/{songs} songs  {time}")]);
        }
    }

    pub(super) fn no_bar(&self) {
        if let Some(mut lines) = self.lines() {
            lines.clear();
        }
    }

    pub(super) fn link(&self, link: &str, songs: usize, after: Duration) {
        if !self.quiet {
            let what = format!("{} after {}", term::songs(songs), term::time(after));
            out::say(format!(
                "{}  {what}",
                Colour::Bold.on(&term::fit(link, 200))
            ));
        }
    }

    pub(super) fn song(&self, saved: &Saved) {
        if self.quiet {
            return;
        }
        let facts = format!("{}  {}", term::bytes(saved.bytes), term::time(saved.at));
        out::say(format!(
            "  {} {}  {facts}",
            Colour::Green.on("✓"),
            term::fit(&saved.name, 120)
        ));
    }

    pub(super) fn problem(&self, what: &str, why: &str) {
        if !self.quiet {
            // The reason may begin with the name itself.
            let why = why.strip_prefix(&format!("{what}: ")).unwrap_or(why);
            out::say(format!(
                "  {} {}: {}",
                Colour::Red.on("✗"),
                term::fit(what, 120),
                term::fit(why, 400)
            ));
        }
    }
}

pub(super) fn report(outcomes: &[Outcome], json: bool) -> Result<(), Problem> {
    if json {
        return Ok(out::json(&serde_json::json!({ "links": outcomes }), true)?);
    }
    let head = [
        "link",
        "songs",
        "metadata",
        "first file",
        "all files",
        "bytes",
        "container",
        "checked",
    ];
    let mut table = Table::new(&head, &[1, 2, 3, 4, 5]);
    for outcome in outcomes {
        table.row(outcome.cells());
    }
    out::line("");
    for (place, line) in table.lines_for_stdout().iter().enumerate() {
        let failed = place
            .checked_sub(1)
            .and_then(|at| outcomes.get(at))
            .is_some_and(|outcome| !outcome.checked);
        match (place, failed) {
            (0, _) => out::line(Colour::Bold.on(line)),
            (_, true) => out::line(Colour::Red.on(line)),
            _ => out::line(line),
        }
    }
    Ok(())
}

impl Outcome {
    fn cells(&self) -> Vec<String> {
        let time = |ms: Option<u64>| {
            ms.map_or("–".to_owned(), |ms| term::time(Duration::from_millis(ms)))
        };
        let short = self
            .link
            .trim_start_matches("https://")
            .trim_start_matches("www.")
            .to_owned();
        let songs = match self.songs - self.failed.min(self.songs) {
            whole if whole == self.songs => whole.to_string(),
            whole => format!("{whole}/{}", self.songs),
        };
        let containers = if self.containers.is_empty() {
            "–".to_owned()
        } else {
            self.containers.join(", ")
        };
        let checked = if self.checked { "whole" } else { "FAILED" };
        vec![
            short,
            songs,
            time(self.metadata_ms),
            time(self.first_file_ms),
            time(self.all_files_ms),
            self.bytes.to_string(),
            containers,
            checked.to_owned(),
        ]
    }
}
