//! What `kmds get` prints while it works: bars on a terminal, lines elsewhere, nothing with `--json`, failures only
//! with `--quiet`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::{End, Outcome, Wanted, shown};
use crate::cli::out::{self, Colour};
use crate::cli::progress::{self, ProgressLines};
use crate::cli::term;

/// Columns that the bar and the numbers beside a name take.
const BESIDE_NAME: usize = 50;

#[derive(Debug)]
pub struct Progress {
    bars: Option<Mutex<Bars>>,
    lines: bool,
    failures: bool,
}

#[derive(Debug)]
struct Bars {
    lines: ProgressLines,
    /// Songs that are downloaded now, in the order of their beginning.
    arriving: Vec<Arriving>,
    names: HashMap<String, String>,
    sums: Sums,
    rate: Rate,
}

#[derive(Debug)]
struct Arriving {
    id: String,
    name: String,
    received: u64,
    expected: Option<u64>,
    rate: Rate,
}

/// Bytes since a moment, as a rate.
#[derive(Debug)]
struct Rate {
    since: Instant,
    from: u64,
}

impl Rate {
    fn new(from: u64) -> Self {
        Self {
            since: Instant::now(),
            from,
        }
    }

    /// Bytes a second.
    fn of(&self, received: u64) -> u64 {
        (received.saturating_sub(self.from) as f64 / self.since.elapsed().as_secs_f64().max(0.1))
            as u64
    }
}

/// The progress of all songs of a call together.
#[derive(Debug, Default)]
struct Sums {
    /// By id: bytes received, bytes expected (0 if unknown).
    songs: HashMap<String, (u64, u64)>,
    asked: usize,
    ended: usize,
}

impl Sums {
    fn planned(&mut self, id: &str, size_bytes: Option<u64>) {
        self.asked += 1;
        self.songs
            .entry(id.to_owned())
            .or_insert((0, size_bytes.unwrap_or(0)));
    }

    /// Returns the expected size; `None` while it is unknown.
    fn progress(&mut self, id: &str, received: u64, total: Option<u64>) -> Option<u64> {
        let song = self.songs.entry(id.to_owned()).or_default();
        *song = (received, total.filter(|total| *total > 0).unwrap_or(song.1));
        (song.1 > 0).then_some(song.1.max(received))
    }

    /// A saved song counts as received whole, even if no progress was reported in between; a failed one no longer
    /// counts.
    fn ended(&mut self, id: &str, saved: bool) {
        self.ended += 1;
        match self.songs.get_mut(id) {
            Some((received, expected)) if saved => *received = *expected.max(received),
            _ => drop(self.songs.remove(id)),
        }
    }

    /// Bytes received, and bytes there will be.
    fn bytes(&self) -> (u64, u64) {
        let of = |song: &(u64, u64)| (song.0, song.0.max(song.1));
        self.songs
            .values()
            .map(of)
            .fold((0, 0), |sum, song| (sum.0 + song.0, sum.1 + song.1))
    }
}

impl Progress {
    pub fn new(quiet: bool, json: bool) -> Self {
        let silent = quiet || json;
        let lines = if silent {
            None
        } else {
            ProgressLines::on_terminal()
        };
        let bars = lines.map(|lines| Mutex::new(Bars::new(lines)));
        Self {
            bars,
            lines: !silent,
            failures: !json,
        }
    }

    fn bars(&self) -> Option<MutexGuard<'_, Bars>> {
        Some(self.bars.as_ref()?.lock())
    }

    /// A song that will be downloaded.
    pub fn planned(&self, song: &Wanted) {
        let Some(mut bars) = self.bars() else { return };
        bars.names.insert(song.id.clone(), song.file_name.clone());
        bars.sums.planned(&song.id, song.size_bytes);
        bars.draw_if_due();
    }

    pub fn progress(&self, id: &str, received: u64, total: Option<u64>) {
        if let Some(mut bars) = self.bars() {
            bars.progress(id, received, total);
            bars.draw_if_due();
        }
    }

    pub fn outcome(&self, outcome: &Outcome) {
        let name = outcome.title.as_deref().unwrap_or(&outcome.link);
        match &outcome.end {
            End::Saved { path, bytes, note } => {
                let note = note
                    .as_ref()
                    .map_or(String::new(), |note| format!("  ({note})"));
                self.line(
                    Colour::Green,
                    "✓",
                    &format!("{}  {}{note}", shown(path), term::bytes(*bytes)),
                );
            }
            End::Present { path } => self.line(
                Colour::Dim,
                "=",
                &format!("{}  is there already", shown(path)),
            ),
            End::Failed { reason, .. } if self.failures => {
                let text = format!(
                    "{} {}: {}",
                    Colour::Red.on("✗"),
                    term::fit(name, 120),
                    term::fit(reason, 400)
                );
                self.print(|| out::say(text));
            }
            End::Failed { .. } => {}
        }
    }

    /// A song is in its place, or has failed: its bar is removed.
    pub fn ended(&self, id: &str, saved: bool) {
        let Some(mut bars) = self.bars() else { return };
        bars.arriving.retain(|song| song.id != id);
        bars.sums.ended(id, saved);
        bars.draw_if_due();
    }

    /// Removes the bars.
    pub fn end(&self) {
        if let Some(mut bars) = self.bars() {
            bars.lines.clear();
        }
    }

    fn line(&self, colour: Colour, mark: &str, text: &str) {
        if !self.lines {
            return;
        }
        match &self.bars {
            Some(_) => self.print(|| out::say(format!("{} {text}", colour.on(mark)))),
            None => out::line(format!("{mark} {text}")),
        }
    }

    fn print(&self, print: impl FnOnce()) {
        match self.bars() {
            Some(mut bars) => {
                bars.lines.clear();
                print();
                bars.draw();
            }
            None => print(),
        }
    }
}

impl Bars {
    fn new(lines: ProgressLines) -> Self {
        let mut bars = Self {
            lines,
            arriving: Vec::new(),
            names: HashMap::new(),
            sums: Sums::default(),
            rate: Rate::new(0),
        };
        bars.draw();
        bars
    }

    fn progress(&mut self, id: &str, received: u64, total: Option<u64>) {
        let Some(name) = self.names.get(id) else {
            return;
        };
        let expected = self.sums.progress(id, received, total);
        match self.arriving.iter_mut().find(|song| song.id == id) {
            Some(song) => (song.received, song.expected) = (received, expected),
            None => {
                let (id, name, rate) = (id.to_owned(), name.clone(), Rate::new(received));
                self.arriving.push(Arriving {
                    id,
                    name,
                    received,
                    expected,
                    rate,
                });
            }
        }
    }

    fn draw_if_due(&mut self) {
        if self.lines.due() {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let wide = term::width().saturating_sub(BESIDE_NAME).max(16);
        let songs = self.arriving.iter().map(|song| song.line(wide));
        let lines: Vec<String> = songs.chain([self.sum()]).collect();
        self.lines.draw(&lines);
    }

    fn sum(&self) -> String {
        if self.sums.asked == 0 {
            return "reading links".to_owned();
        }
        let (received, expected) = self.sums.bytes();
        let (ended, asked) = (self.sums.ended, term::songs(self.sums.asked));
        let (done, whole) = (term::bytes(received), term::bytes(expected));
        let rate = self.rate.of(received);
        let line = format!(
            "{ended} of {asked}  {done} of {whole}  {}/s",
            term::bytes(rate)
        );
        match (expected - received).checked_div(rate) {
            Some(seconds) => format!("{line}  {} left", term::clock(Duration::from_secs(seconds))),
            None => line,
        }
    }
}

impl Arriving {
    fn line(&self, wide: usize) -> String {
        let name = term::padded(&self.name, wide);
        let bar = progress::bar(self.received, self.expected.unwrap_or(0), 20);
        let (done, rate) = (
            term::bytes(self.received),
            term::bytes(self.rate.of(self.received)),
        );
        format!("  {name} {bar} {done:>10}  {rate}/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_songs_begins_at_nothing_and_keeps_those_that_are_done() {
        let mut sums = Sums::default();
        sums.planned("told", Some(1000));
        sums.planned("untold", None);
        sums.planned("fast", Some(500));
        sums.planned("broken", Some(4000));
        assert_eq!(sums.bytes(), (0, 5500));
        assert_eq!(
            sums.progress("untold", 0, None),
            None,
            "no length: not a full bar"
        );
        assert_eq!(sums.progress("told", 100, None), Some(1000));
        assert_eq!(sums.progress("untold", 50, Some(200)), Some(200));
        sums.ended("fast", true);
        sums.ended("broken", false);
        assert_eq!((sums.bytes(), sums.ended, sums.asked), ((650, 1700), 2, 4));
        sums.progress("told", 900, None);
        sums.ended("told", true);
        sums.ended("untold", true);
        assert_eq!(sums.bytes(), (1700, 1700));
    }
}
