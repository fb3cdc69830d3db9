//! The output of the commands.
//!
//! All output of a command passes through here: lines for people, documents for programs. No character of a line
//! controls the terminal, whether it comes from a site, a server or a client. If a stream cannot be written, the
//! command goes on, and [`ended`] turns the error into its exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use serde::Serialize;

use crate::text::{printable, printable_json};

/// Why standard output takes no more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Colours travel from a command to this module as marks: code points that Unicode reserves for a program's own use.
const FIRST_MARK: u32 = 0xfdd0;
const END_MARK: char = '\u{fddf}';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Green = 32,
    Yellow = 33,
    Red = 31,
    Dim = 2,
    Bold = 1,
}

impl Colour {
    const ALL: [Self; 5] = [Self::Green, Self::Yellow, Self::Red, Self::Dim, Self::Bold];

    /// `text` between two marks; a terminal shows it in this colour.
    pub fn on(self, text: &str) -> String {
        let place = Self::ALL
            .iter()
            .position(|colour| *colour == self)
            .unwrap_or(0);
        let mark = char::from_u32(FIRST_MARK + place as u32).unwrap_or(END_MARK);
        format!("{mark}{text}{END_MARK}")
    }
}

/// Whether a character is the mark of a colour.
pub const fn is_mark(letter: char) -> bool {
    matches!(letter as u32, FIRST_MARK..=0xfddf)
}

/// One line as it is written: its marks become escape codes on a terminal, and nothing elsewhere.
pub fn shown(line: &str, coloured: bool) -> String {
    let mut shown = String::with_capacity(line.len());
    for letter in printable(line).chars() {
        let colour = (letter as u32)
            .checked_sub(FIRST_MARK)
            .and_then(|place| Colour::ALL.get(place as usize));
        match colour {
            _ if !is_mark(letter) => shown.push(letter),
            _ if !coloured => {}
            Some(colour) => shown.push_str(&format!("\x1b[{}m", *colour as u8)),
            None => shown.push_str("\x1b[0m"),
        }
    }
    shown
}

/// <https://no-color.org>: set and not empty means none.
pub fn may_colour(stream: &impl IsTerminal) -> bool {
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !none && !dumb
}

/// A line on standard output.
pub fn line(text: impl AsRef<str>) {
    let mut line = shown(text.as_ref(), may_colour(&io::stdout()));
    line.push('\n');
    raw(line.as_bytes());
}

/// A line on standard error. If that is closed, the line is lost.
pub fn say(text: impl AsRef<str>) {
    let mut line = shown(text.as_ref(), may_colour(&io::stderr()));
    line.push('\n');
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Why a command cannot go on. It may have several lines: those of a settings file.
pub fn problem(why: &dyn std::fmt::Display) {
    let why = why.to_string();
    let mut lines = why.lines();
    say(format!("kmds: {}", lines.next().unwrap_or_default()));
    lines.for_each(say);
}

/// A JSON document on standard output: one line, or indented.
pub fn json(document: &impl Serialize, indented: bool) -> Result<(), serde_json::Error> {
    let text = if indented {
        serde_json::to_string_pretty(document)
    } else {
        serde_json::to_string(document)
    };
    raw(format!("{}\n", printable_json(&text?)).as_bytes());
    Ok(())
}

/// Bytes that this program made itself, written as they are.
pub fn raw(bytes: &[u8]) {
    if LOST.get().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        let _ = LOST.set(error);
    }
}

/// Whether standard output is still read: `| head -1` closes it after one line.
pub fn is_read() -> bool {
    LOST.get().is_none()
}

/// The exit code of a command: its own, but 1 if standard output could not be written. A reader that closed the pipe is
/// no failure.
pub fn ended(code: ExitCode) -> ExitCode {
    match LOST.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            problem(&format!("standard output cannot be written: {error}"));
            if code == ExitCode::SUCCESS {
                ExitCode::from(1)
            } else {
                code
            }
        }
        _ => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_our_colours_and_no_others() {
        let line = format!(
            "{} \x1b[31mRed\u{9b}2J\r\nfoot",
            Colour::Green.on("✓ \x1b]0;x\x07")
        );
        assert_eq!(
            shown(&line, true),
            "\x1b[32m✓  ]0;x \x1b[0m  [31mRed 2J foot"
        );
        assert_eq!(shown(&line, false), "✓  ]0;x   [31mRed 2J foot");
    }
}
