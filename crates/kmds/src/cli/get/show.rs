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
const BESIDE_NAME: usize = 46;

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
    /// Of songs that arrive now, by id. Bytes are summed over songs for the total.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    songs: HashMap<String, ProgressBar>,
    names: HashMap<String, String>,
    received: HashMap<String, u64>,
    expected: HashMap<String, u64>,
    asked: usize,
    ended: usize,
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
        state.asked += 1;
        state.names.insert(song.id.clone(), song.file_name.clone());
        state.expected.insert(song.id.clone(), song.size_bytes.unwrap_or(0));
        bars.sum(&state);
    }

    pub fn progress(&self, id: &str, received: u64, total: Option<u64>) {
        let Some(bars) = &self.bars else { return };
        let mut state = bars.state();
        let Some(name) = state.names.get(id).cloned() else { return };
        if let Some(total) = total.filter(|total| *total > 0) {
            state.expected.insert(id.to_owned(), total);
        }
        state.received.insert(id.to_owned(), received);
        let expected = state.expected.get(id).copied().unwrap_or(0);
        let bar = state.songs.entry(id.to_owned()).or_insert_with(|| bars.song(&name));
        bar.set_length(expected.max(received));
        bar.set_position(received);
        bars.sum(&state);
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

    /// The bytes of a song are here; its bar goes.
    pub fn ended(&self, id: &str) {
        let Some(bars) = &self.bars else { return };
        let mut state = bars.state();
        state.ended += 1;
        if let Some(bar) = state.songs.remove(id) {
            bar.finish_and_clear();
            bars.all.remove(&bar);
        }
        if let Some(received) = state.received.get(id).copied() {
            state.expected.insert(id.to_owned(), received);
        }
        bars.sum(&state);
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

    fn song(&self, name: &str) -> ProgressBar {
        let bar = self.all.insert_before(&self.total, ProgressBar::new(0));
        bar.set_style(style("  {msg} {bar:20} {percent:>3} %  {bytes_per_sec}"));
        bar.set_message(term::padded(name, term::width().saturating_sub(BESIDE_NAME).max(16)));
        bar
    }

    fn sum(&self, state: &State) {
        let received: u64 = state.received.values().sum();
        self.total.set_length(state.expected.values().sum::<u64>().max(received));
        self.total.set_position(received);
        self.total.set_message(format!("{} of {}", state.ended, term::songs(state.asked)));
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━━─")
}
