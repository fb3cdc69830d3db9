//! Set-up of logging: lines on standard error, for people or as JSON.
//!
//! Owns what `KMDS_LOG` and `KMDS_LOG_FORMAT` mean, and ensures that an event is one line without control characters.

use std::io::Write;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::text::printable;

/// Starts logging. `KMDS_LOG` is a level (`error`, `warn`, `info`, `debug`, `trace`) or a list such as
/// `info,kmds::download=debug`; `KMDS_LOG_FORMAT=json` makes every line a JSON object. Returns the problem with them,
/// if there is one.
pub fn start(default: LevelFilter) -> Option<String> {
    let asked = std::env::var_os("KMDS_LOG").unwrap_or_default();
    let (filter, problem) = match asked.to_str().map(str::trim) {
        None => (
            only_ours(default),
            Some("KMDS_LOG is not UTF-8; write it again".to_owned()),
        ),
        Some("") => (only_ours(default), None),
        Some(text) => match (text.parse::<LevelFilter>(), text.parse::<Targets>()) {
            (Ok(level), _) => (only_ours(level), None),
            (Err(_), Ok(targets)) => (targets, no_level(text)),
            (Err(_), Err(error)) => (
                only_ours(default),
                Some(format!("KMDS_LOG is `{text}`: {error}")),
            ),
        },
    };
    let format = std::env::var_os("KMDS_LOG_FORMAT").unwrap_or_default();
    let json = format == "json";
    let problem = problem.or_else(|| match &*format.to_string_lossy() {
        "" | "json" | "text" => None,
        other => Some(format!("KMDS_LOG_FORMAT is `{other}`; use json or text")),
    });
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(|| Lines(std::io::stderr()))
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start (tests) changes nothing.
    let _ = if json {
        registry
            .with(layer.json().flatten_event(true).with_current_span(false))
            .try_init()
    } else {
        // No colours: they need a feature that brings a dependency, and asking for them without it panics.
        registry.with(layer.with_ansi(false)).try_init()
    };
    problem
}

/// Writes lines without control characters: text of a site or client cannot control a terminal or begin a new line.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    /// Takes a whole event: the subscriber hands each over at once.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = format!("{}\n", printable(text.trim_end_matches('\n')));
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A mistyped level. The library reads a single word as a module's name and would silence everything else.
fn no_level(text: &str) -> Option<String> {
    let mut words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty() && !word.contains('='));
    let odd =
        words.find(|word| !word.starts_with("kmds") && word.parse::<LevelFilter>().is_err())?;
    Some(format!(
        "KMDS_LOG is `{text}`: `{odd}` is no level; use error, warn, info, debug or trace, or MODULE=LEVEL"
    ))
}

/// Libraries log errors only: their other lines may name whole URLs.
fn only_ours(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(LevelFilter::ERROR.min(level))
        .with_target("kmds", level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_only_shows() {
        let mut lines = Lines(Vec::new());
        for event in ["plain\n", "title=A\u{9b}31m\u{202e}B\x1b[2J\nINFO forged\n"] {
            lines.write_all(event.as_bytes()).expect("written");
        }
        assert_eq!(
            String::from_utf8(lines.0).expect("text"),
            "plain\ntitle=A 31mB [2J INFO forged\n"
        );
    }
}
