//! What a person reads on a terminal: sizes, times, tables.
//!
//! Owns how numbers and rows are written by every command. Hides the width of a terminal. Never decides what is said.

use std::io::IsTerminal;
use std::time::Duration;

use super::out;
use crate::text::printable;

/// Columns of a terminal that does not tell.
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
    // Rounded, as the page does.
    let seconds = length.saturating_add(Duration::from_millis(500)).as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// `4 d 3 h`, `3 h 12 min`, `12 min`: for what runs long.
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

/// Columns a text takes: letters of East Asian scripts and pictures take two, marks that combine none.
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

const fn columns_of(letter: char) -> usize {
    match letter as u32 {
        _ if out::is_mark(letter) => 0,
        0..0x20 | 0x7f..0xa0 | 0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => {
            2
        }
        0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// At most `most` columns, with `…` where something was cut; nothing in it moves the cursor or colours the screen.
pub fn fit(text: &str, most: usize) -> String {
    let clean = printable(text);
    if columns(&clean) <= most {
        return clean.into_owned();
    }
    let mut fitted = String::new();
    let mut used = 1;
    for letter in clean.chars() {
        used += columns_of(letter);
        if used > most {
            break;
        }
        fitted.push(letter);
    }
    fitted.push('…');
    fitted
}

/// As [`fit`], but cut in the middle: links and paths differ at their ends.
pub fn fit_middle(text: &str, most: usize) -> String {
    let clean = printable(text);
    if columns(&clean) <= most {
        return clean.into_owned();
    }
    let half = most / 2;
    let head = fit(&clean, most - half);
    let mut tail = Vec::new();
    let mut used = 0;
    for letter in clean.chars().rev() {
        used += columns_of(letter);
        if used > half {
            break;
        }
        tail.push(letter);
    }
    head.chars().chain(tail.into_iter().rev()).collect()
}

/// `text` in exactly `wide` columns.
pub fn padded(text: &str, wide: usize) -> String {
    let text = fit_middle(text, wide);
    let missing = wide.saturating_sub(columns(&text));
    format!("{text}{}", " ".repeat(missing))
}

/// A table whose first column gives way when the terminal is narrow.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

/// No first column is narrower than this, whatever the terminal.
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

    /// Its lines for the terminal behind standard output; as wide as they like where there is none.
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
