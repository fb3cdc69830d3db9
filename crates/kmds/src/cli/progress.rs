//! Progress lines at the bottom of a terminal, drawn over again and again.
//!
//! Owns where the lines stand, how often they change, and the escape codes that move the cursor. Commands decide what
//! the lines say.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use super::term;

/// The least time between two drawings.
const EVERY: Duration = Duration::from_millis(125);

#[derive(Debug, Default)]
pub struct ProgressLines {
    rows: usize,
    drawn: Option<Instant>,
}

impl ProgressLines {
    /// On standard error; `None` if that is no terminal, or one without cursor movement (`TERM=dumb`).
    pub fn on_terminal() -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        (std::io::stderr().is_terminal() && !dumb).then(Self::default)
    }

    /// Whether enough time has passed to draw again.
    pub fn due(&self) -> bool {
        self.drawn.is_none_or(|at| at.elapsed() >= EVERY)
    }

    pub fn draw(&mut self, lines: &[String]) {
        show(&self.over(lines, term::width(), term::height()));
        self.drawn = Some(Instant::now());
    }

    /// Removes the lines, so that the next line is printed in their place.
    pub fn clear(&mut self) {
        show(&self.over(&[], 0, 0));
    }

    /// The text that replaces the lines before. A line that wraps, or more lines than rows, would break the count of
    /// the next call, so lines are cut, and only the last ones that fit are drawn.
    fn over(&mut self, lines: &[String], width: usize, height: usize) -> String {
        let mut text = String::new();
        if self.rows > 0 {
            let _ = write!(text, "\x1b[{}A\r\x1b[J", self.rows);
        }
        let lines = lines
            .get(lines.len().saturating_sub(height.saturating_sub(1))..)
            .unwrap_or_default();
        for line in lines {
            text += &term::fit(line, width.saturating_sub(1));
            text.push('\n');
        }
        self.rows = lines.len();
        text
    }
}

/// In one write, so that the terminal never shows half of it.
fn show(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// `━━━━────`; empty while the size is unknown.
pub fn bar(done: u64, whole: u64, wide: usize) -> String {
    let full = (done.min(whole) * wide as u64)
        .checked_div(whole)
        .map_or(0, |columns| columns as usize);
    "━".repeat(full) + &"─".repeat(wide - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_over_the_ones_before_and_never_wrap() {
        let lines = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let mut lines_below = ProgressLines::default();
        assert_eq!(
            lines_below.over(&lines(&["one", "two"]), 80, 24),
            "one\ntwo\n"
        );
        assert_eq!(
            lines_below.over(&lines(&["a long one"]), 6, 24),
            "\x1b[2A\r\x1b[Ja lo…\n"
        );
        assert_eq!(
            lines_below.over(&lines(&["1", "2", "3"]), 80, 3),
            "\x1b[1A\r\x1b[J2\n3\n",
            "the sum is the last"
        );
        assert_eq!(lines_below.over(&[], 0, 0), "\x1b[2A\r\x1b[J");
        assert_eq!(
            lines_below.over(&[], 0, 0),
            "",
            "nothing is there to take away"
        );
    }

    #[test]
    fn a_bar_is_as_full_as_the_song() {
        assert_eq!(bar(0, 100, 4), "────");
        assert_eq!(bar(50, 100, 4), "━━──");
        assert_eq!(bar(120, 100, 4), "━━━━", "more than was told");
        assert_eq!(bar(50, 0, 4), "────", "no length: not a full bar");
    }
}
