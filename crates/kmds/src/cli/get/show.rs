//! What a person sees of `kmds get` while it works.
//!
//! Owns bars on a terminal, lines elsewhere, nothing where JSON or quiet was asked for. Hides the terminal.
//! Never decides what happens to a song.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{End, Outcome, Wanted, shown};
use crate::cli::term::{self, Colour, Paint};

/// Bars drawn a second, at most.
const DRAWN_PER_SECOND: u8 = 8;
/// Of a terminal's columns: what the bar and the numbers beside a name take.
const BESIDE_NAME: usize = 50;

#[derive(Debug)]
pub struct Show {
    bars: Option<Bars>,
    lines: bool,
    failures: bool,
    paint: Paint,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of songs that arrive now, by id.
    bars: HashMap<String, ProgressBar>,
    names: HashMap<String, String>,
    sums: Sums,
}

/// How far all songs of a call are, together.
#[derive(Debug, Default)]
struct Sums {
    /// By id: bytes received, bytes expected (0 where nobody says).
    songs: HashMap<String, (u64, u64)>,
    asked: usize,
    ended: usize,
}

impl Sums {
    fn planned(&mut self, id: &str, size_bytes: Option<u64>) {
        self.asked += 1;
        self.songs.entry(id.to_owned()).or_insert((0, size_bytes.unwrap_or(0)));
    }

    /// Returns what is expected now; `None` while nobody says.
    fn progress(&mut self, id: &str, received: u64, total: Option<u64>) -> Option<u64> {
        let song = self.songs.entry(id.to_owned()).or_default();
        *song = (received, total.filter(|total| *total > 0).unwrap_or(song.1));
        (song.1 > 0).then_some(song.1.max(received))
    }

    /// A saved song is received whole, even if it came too fast for anybody to look; a failed one is waited for no more.
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
        self.songs.values().map(of).fold((0, 0), |sum, song| (sum.0 + song.0, sum.1 + song.1))
    }
}

impl Show {
    pub fn new(quiet: bool, json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let silent = quiet || json;
        Self { bars: (terminal && !silent).then(Bars::new), lines: !silent, failures: !json, paint: Paint::stderr() }
    }

    /// A song that will be downloaded.
    pub fn planned(&self, song: &Wanted) {
        let Some(bars) = &self.bars else { return };
        let mut state = bars.state();
        state.names.insert(song.id.clone(), song.file_name.clone());
        state.sums.planned(&song.id, song.size_bytes);
        bars.sum(&state.sums);
    }

    pub fn progress(&self, id: &str, received: u64, total: Option<u64>) {
        let Some(bars) = &self.bars else { return };
        let mut state = bars.state();
        let Some(name) = state.names.get(id).cloned() else { return };
        let expected = state.sums.progress(id, received, total);
        let bar = state.bars.entry(id.to_owned()).or_insert_with(|| bars.song(&name));
        if let Some(expected) = expected {
            bar.set_length(expected);
        }
        bar.set_position(received);
        bars.sum(&state.sums);
    }

    pub fn outcome(&self, outcome: &Outcome) {
        let name = outcome.title.as_deref().unwrap_or(&outcome.link);
        match &outcome.end {
            End::Saved { path, bytes, note } => {
                let note = note.as_ref().map_or(String::new(), |note| format!("  ({note})"));
                self.line(Colour::Green, "✓", &format!("{}  {}{note}", shown(path), term::bytes(*bytes)));
            }
            End::There { path } => self.line(Colour::Dim, "=", &format!("{}  is there already", shown(path))),
            End::Failed { reason, .. } if self.failures => {
                let text = format!(
                    "{} {}: {}",
                    self.paint.text(Colour::Red, "✗"),
                    term::fit(name, 120),
                    term::fit(reason, 400)
                );
                self.print(|| eprintln!("{text}"));
            }
            End::Failed { .. } => {}
        }
    }

    /// A song is in its place, or failed; its bar goes.
    pub fn ended(&self, id: &str, saved: bool) {
        let Some(bars) = &self.bars else { return };
        let mut state = bars.state();
        if let Some(bar) = state.bars.remove(id) {
            bar.finish_and_clear();
            bars.all.remove(&bar);
        }
        state.sums.ended(id, saved);
        bars.sum(&state.sums);
    }

    /// Takes the bars away.
    pub fn end(&self) {
        if let Some(bars) = &self.bars {
            bars.total.finish_and_clear();
            let _ = bars.all.clear();
        }
    }

    fn line(&self, colour: Colour, mark: &str, text: &str) {
        if !self.lines {
            return;
        }
        match &self.bars {
            Some(_) => self.print(|| eprintln!("{} {text}", self.paint.text(colour, mark))),
            None => println!("{mark} {text}"),
        }
    }

    fn print(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.all.suspend(print),
            None => print(),
        }
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND));
        let total = all.add(ProgressBar::new(0));
        total.set_style(style("{msg}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left"));
        total.set_message("reading links");
        Self { all, total, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without a length until one is known: a bar of length 0 is a full one.
    fn song(&self, name: &str) -> ProgressBar {
        let bar = self.all.insert_before(&self.total, ProgressBar::no_length());
        bar.set_style(style("  {msg} {bar:20} {bytes:>10}  {bytes_per_sec}"));
        bar.set_message(term::padded(name, term::width().saturating_sub(BESIDE_NAME).max(16)));
        bar
    }

    fn sum(&self, sums: &Sums) {
        let (received, expected) = sums.bytes();
        self.total.set_length(expected);
        self.total.set_position(received);
        self.total.set_message(format!("{} of {}", sums.ended, term::songs(sums.asked)));
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━━─")
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
        assert_eq!(sums.progress("untold", 0, None), None, "no length: not a full bar");
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
