//! Sizes, times and tables as people read them.
//!
//! Owns how every command writes numbers (bytes in KiB, MiB, GiB: powers of 1,024) and rows, and the width of the
//! terminal.

use std::io::IsTerminal;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::out;
use crate::text::printable;

/// Columns of a terminal that does not say how many it has.
const USUAL_WIDTH: usize = 80;

/// Columns of the terminal behind standard output or standard error.
pub fn width() -> usize {
    let told = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()))
        .ok()
        .map(|size| usize::from(size.ws_col));
    told.filter(|columns| *columns > 20).unwrap_or(USUAL_WIDTH)
}

/// Rows of the terminal behind standard output.
pub fn height() -> usize {
    let told = rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_row));
    told.filter(|rows| *rows > 5).unwrap_or(24)
}

/// `3.4 MiB`; bytes below 1 KiB are exact.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1 << 10 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or("TiB");
    if value < 10.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// `84 ms`, `3.2 s`, `2 min 05 s`.
pub fn time(length: Duration) -> String {
    let seconds = length.as_secs_f64();
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {:02} s", (s / 60.0) as u64, (s % 60.0) as u64),
    }
}

/// `3:07`, as players write the length of a song.
pub fn clock(length: Duration) -> String {
    // Rounded as on the web page.
    let seconds = length.saturating_add(Duration::from_millis(500)).as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// `4 d 3 h`, `3 h 12 min`, `12 min`: for long times.
pub fn long(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `1 song`, `3 songs`.
pub fn songs(count: usize) -> String {
    if count == 1 {
        "1 song".to_owned()
    } else {
        format!("{count} songs")
    }
}

/// Columns that a text takes on a terminal. The marks of colours take none.
pub fn columns(text: &str) -> usize {
    text.split(out::is_mark)
        .map(UnicodeWidthStr::width)
        .sum::<usize>()
}

/// The longest beginning of a text that takes at most `most` columns.
fn beginning(text: &str, most: usize) -> &str {
    let fits = |part: &&str| columns(part) <= most;
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let parts = ends.filter_map(|end| text.get(..end));
    // U+200D joins two pictures to one; alone at the end it means nothing.
    parts
        .take_while(fits)
        .last()
        .unwrap_or_default()
        .trim_end_matches('\u{200d}')
}

/// The longest end of a text that takes at most `most` columns.
fn ending(text: &str, most: usize) -> &str {
    let fits = |part: &&str| columns(part) <= most;
    let starts = text.char_indices().rev().map(|(at, _)| at);
    let parts = starts.filter_map(|start| text.get(start..));
    parts
        .take_while(fits)
        .last()
        .unwrap_or_default()
        .trim_start_matches('\u{200d}')
}

/// At most `most` columns of a text, with `…` at a cut, and without controls and escape codes.
pub fn fit(text: &str, most: usize) -> String {
    let clean = printable(text);
    if columns(&clean) <= most {
        return clean.into_owned();
    }
    format!("{}…", beginning(&clean, most.saturating_sub(1)))
}

/// As [`fit`], but cut in the middle: links and paths differ at their ends.
pub fn fit_middle(text: &str, most: usize) -> String {
    let clean = printable(text);
    if columns(&clean) <= most {
        return clean.into_owned();
    }
    let half = most / 2;
    format!("{}{}", fit(&clean, most - half), ending(&clean, half))
}

/// `text` in exactly `wide` columns.
pub fn padded(text: &str, wide: usize) -> String {
    let text = fit_middle(text, wide);
    let missing = wide.saturating_sub(columns(&text));
    format!("{text}{}", " ".repeat(missing))
}

/// A table whose first column is cut when the terminal is narrow.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

/// The least width of a first column.
const NARROWEST: usize = 16;

impl Table {
    /// `right`: the columns that hold numbers.
    pub fn new(head: &[&str], right: &'static [usize]) -> Self {
        Self {
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
            right,
        }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Its lines, as wide as the terminal behind standard output; uncut if that is none.
    pub fn lines_for_stdout(&self) -> Vec<String> {
        self.lines(if std::io::stdout().is_terminal() {
            width()
        } else {
            usize::MAX
        })
    }

    fn lines(&self, width: usize) -> Vec<String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| columns(cell)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..count).map(widest).collect();
        let total = widths.iter().sum::<usize>() + 2 * count.saturating_sub(1);
        if let Some(first) = widths.first_mut() {
            *first = first
                .saturating_sub(total.saturating_sub(width))
                .max(NARROWEST.min(*first));
        }
        self.rows
            .iter()
            .map(|row| self.line(row, &widths))
            .collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, wide))| {
                if self.right.contains(&column) {
                    format!("{}{cell}", " ".repeat(wide.saturating_sub(columns(cell))))
                } else {
                    padded(cell, *wide)
                }
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_like_sentences() {
        for (count, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (7_122_360, "6.8 MiB"),
            (10 << 30, "10 GiB"),
        ] {
            assert_eq!(bytes(count), want);
        }
        assert_eq!(bytes(1_048_000), "1.0 MiB");
        for (ms, want) in [(84, "84 ms"), (3_210, "3.2 s"), (125_000, "2 min 05 s")] {
            assert_eq!(time(Duration::from_millis(ms)), want);
        }
        assert_eq!(clock(Duration::from_secs(187)), "3:07");
        assert_eq!(
            (
                clock(Duration::from_millis(99_600)).as_str(),
                clock(Duration::from_millis(99_400)).as_str()
            ),
            ("1:40", "1:39")
        );
        assert_eq!(clock(Duration::from_secs(3_725)), "1:02:05");
        assert_eq!(long(90_061), "1 d 1 h");
    }

    #[test]
    fn a_text_is_cut_at_columns_and_never_moves_the_cursor() {
        assert_eq!(fit("Ordinary Days", 8), "Ordinar…");
        assert_eq!(fit("日本語の歌", 5), "日本…");
        assert_eq!(fit("a\x1b[2Jb\u{9b}1m", 80), "a [2Jb 1m");
        assert_eq!(padded("日本", 6), "日本  ");
        assert_eq!(
            fit("👩\u{200d}👧 and more", 5),
            "👩\u{200d}👧 a…",
            "one picture"
        );
        assert_eq!(
            fit("👩\u{200d}👧👧", 3),
            "👩\u{200d}👧…",
            "and never half of one"
        );
        assert_eq!(columns(&out::Colour::Red.on("日本")), 4);
    }

    #[test]
    fn a_table_gives_way_in_its_first_column_only() {
        let mut table = Table::new(&["link", "bytes"], &[1]);
        table.row(vec![
            "https://example.org/a/very/long/address/of/a/song".to_owned(),
            "12".to_owned(),
        ]);
        let lines = table.lines(30);
        assert_eq!(
            lines,
            [
                "link                     bytes",
                "https://exa…s/of/a/song     12"
            ]
        );
        assert_eq!(table.lines(200).get(1).map(String::len), Some(49 + 2 + 5));
    }
}
