//! The state of yt-dlp, in words for an operator.
//!
//! Owns which release, Python and JavaScript runtime are new enough, what does not work without them, and which command
//! helps. `kmds doctor` and `/readyz` say the same. It does not start yt-dlp.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;

use super::about::{About, Runtime};
use crate::config::YtDlpConfig;

/// The first release that works with YouTube since its change of October 2026.
const LEAST_RELEASE: [u16; 3] = [2026, 10, 26];
/// Most releases work this many days before YouTube changes.
const RELEASE_FRESH: i64 = 60;
/// The lowest Python version for that release.
const LEAST_PYTHON: [u16; 2] = [3, 11];
/// Memory that deno needs; with half of it, it fails.
const MEMORY_OF_DENO: u64 = 1 << 30;
const UPDATE: &str = "pipx install --force 'yt-dlp[default]' (a package of the distribution is mostly too old), or set engines.ytdlp.command";
const COSTS: &str =
    "when a site changes, its songs fail until KMDS is updated, and nothing else takes over";
const NOTHING: &str = "so yt-dlp adds nothing for YouTube that our own engine has not tried";

/// One remark about yt-dlp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// `yt-dlp` or `javascript`.
    pub about: &'static str,
    pub says: String,
    /// What to do, if there is a problem.
    pub advice: Option<String>,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.says)?;
        self.advice
            .iter()
            .try_for_each(|advice| write!(f, "; {advice}"))
    }
}

impl Remark {
    fn good(about: &'static str, says: String) -> Self {
        Self {
            about,
            says,
            advice: None,
        }
    }

    fn bad(about: &'static str, says: String, advice: impl Into<String>) -> Self {
        Self {
            about,
            says,
            advice: Some(advice.into()),
        }
    }

    pub fn switched_off() -> Self {
        let says = format!("switched off (engines.ytdlp.enabled): {COSTS}");
        Self::good("yt-dlp", says)
    }
}

/// The remarks about what yt-dlp said. `youtube`: the service may ask YouTube.
pub fn remarks(about: &Result<About, String>, config: &YtDlpConfig, youtube: bool) -> Vec<Remark> {
    match about {
        Ok(about) => {
            let mut remarks = vec![release(about, config)];
            remarks.extend(youtube.then(|| javascript(about, config)));
            remarks
        }
        Err(why) => vec![Remark::bad(
            "yt-dlp",
            format!("{why}; without it, {COSTS}"),
            "pipx install 'yt-dlp[default]' (Debian: apt install pipx), or set engines.ytdlp.command, or engines.ytdlp.enabled=false",
        )],
    }
}

fn release(about: &About, config: &YtDlpConfig) -> Remark {
    let python = about
        .python
        .as_ref()
        .map_or(String::new(), |python| format!(" on Python {python}"));
    let says = format!(
        "{}{python} (`{}`), the second engine",
        about.version, config.command
    );
    let least = LEAST_RELEASE.map(|part| format!("{part:02}")).join(".");
    let old_python = about
        .python
        .as_ref()
        .is_some_and(|python| numbers(python) < LEAST_PYTHON.to_vec());
    let newer_python = if old_python {
        "; that needs Python 3.11 or later"
    } else {
        ""
    };
    if numbers(&about.version) < LEAST_RELEASE.to_vec() {
        return Remark::bad(
            "yt-dlp",
            format!("{says}; older than {least}, which YouTube asks for"),
            format!("{UPDATE}{newer_python}"),
        );
    }
    match days(&about.version) {
        Some(days) if days > RELEASE_FRESH => Remark::bad(
            "yt-dlp",
            format!("{says}; {days} days old, and most of that age fail on YouTube"),
            format!("{UPDATE}{newer_python}"),
        ),
        Some(days) => Remark::good("yt-dlp", format!("{says}, {days} days old")),
        None => Remark::good("yt-dlp", says),
    }
}

/// Whether yt-dlp can run YouTube's script.
fn javascript(about: &About, config: &YtDlpConfig) -> Remark {
    const ABOUT: &str = "javascript";
    let Some(runtimes) = &about.runtimes else {
        let says = format!("this yt-dlp tells of no JavaScript runtime, {NOTHING}");
        return Remark::bad(ABOUT, says, UPDATE);
    };
    let Some(runtime) = runtimes.iter().find(|runtime| runtime.fits) else {
        let old: Vec<String> = runtimes
            .iter()
            .map(|runtime| format!("{} is too old", named(runtime)))
            .collect();
        let old = if old.is_empty() {
            "yt-dlp would use no JavaScript runtime".to_owned()
        } else {
            old.join(", ")
        };
        return Remark::bad(ABOUT, format!("{old}, {NOTHING}"), get_runtime(config));
    };
    match &about.solver {
        None => Remark::bad(
            ABOUT,
            format!(
                "{}, but yt-dlp cannot import yt-dlp-ejs, its solver, {NOTHING}",
                named(runtime)
            ),
            "pipx install --force 'yt-dlp[default]', which brings yt-dlp-ejs (pip: pip install -U 'yt-dlp[default]')",
        ),
        Some(solver) => Remark::good(
            ABOUT,
            format!(
                "{} and yt-dlp-ejs {solver}, for what YouTube withholds from our own engine",
                named(runtime)
            ),
        ),
    }
}

fn named(runtime: &Runtime) -> String {
    let place = runtime
        .path
        .as_ref()
        .map_or(String::new(), |path| format!(" ({})", path.display()));
    format!("{} {}{place}", runtime.name, runtime.version)
}

/// The command that installs a runtime.
fn get_runtime(config: &YtDlpConfig) -> String {
    let memory = if config.max_memory < MEMORY_OF_DENO {
        "; deno needs engines.ytdlp.max_memory = \"1 GiB\""
    } else {
        ""
    };
    format!(
        "install deno 2.3 or later where PATH finds it (pipx install deno), or node 22 or later{memory}"
    )
}

/// `2026.10.26` as numbers; a nightly release has a fourth.
fn numbers(version: &str) -> Vec<u16> {
    version
        .split(['.', '-', '+'])
        .map_while(|part| part.parse().ok())
        .collect()
}

/// Days since a release.
fn days(version: &str) -> Option<i64> {
    let parts: Vec<i16> = version
        .split('.')
        .take(3)
        .filter_map(|part| part.parse().ok())
        .collect();
    let &[year, month, day] = parts.as_slice() else {
        return None;
    };
    let day = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let then = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some((Timestamp::now().as_second() - then.as_second()) / (24 * 3600))
}
