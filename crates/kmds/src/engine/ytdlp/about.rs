//! What yt-dlp says about itself: its version, its Python, and the tool with which it runs YouTube's scripts.
//!
//! Owns reading the first lines of `yt-dlp -v`, which takes two runs. It does not judge them: [`super::worth`] does.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kmds_extract::Site;
use parking_lot::Mutex;

use super::error::YtDlpError;
use super::{YtDlp, arguments, process};

/// The time limit of one check; a small machine needs seconds to start yt-dlp.
const WITHIN: Duration = Duration::from_secs(20);

/// The tools that yt-dlp has. A value is `None` if yt-dlp does not tell it, as with old releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub version: String,
    pub python: Option<String>,
    /// Version of `yt-dlp-ejs`, the solver of YouTube's scripts.
    pub solver: Option<String>,
    /// The runtimes that a run for YouTube would find, the preferred one first. yt-dlp ignores those that do not fit.
    pub runtimes: Option<Vec<Runtime>>,
}

/// A program that runs JavaScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    pub name: String,
    pub version: String,
    /// Recent enough for yt-dlp.
    pub fits: bool,
    pub path: Option<PathBuf>,
}

/// How long a check is valid: an operator may have updated yt-dlp since.
const HOLDS: Duration = Duration::from_secs(3_600);

/// The last check of yt-dlp. Invariant: `looking` is set while a task of [`YtDlp::known`] runs, and only then.
#[derive(Default)]
pub struct LastLook(Mutex<Looked>);

#[derive(Default)]
struct Looked {
    last: Option<(Instant, Result<About, String>)>,
    looking: bool,
}

impl YtDlp {
    /// What yt-dlp last said about itself, or why it does not run; `None` before the first check has ended. If there
    /// was no check within an hour, this starts one in the background, one at a time. It ends with its processes, which
    /// have limits.
    pub fn known(&self) -> Option<Result<About, String>> {
        let mut looked = self.inner.looked.0.lock();
        let fresh = looked
            .last
            .as_ref()
            .is_some_and(|(when, _)| when.elapsed() < HOLDS);
        if !fresh && !std::mem::replace(&mut looked.looking, true) {
            let tool = self.clone();
            tokio::spawn(async move {
                let about = tool.about().await.map_err(|error| error.to_string());
                *tool.inner.looked.0.lock() = Looked {
                    last: Some((Instant::now(), about)),
                    looking: false,
                };
            });
        }
        looked.last.as_ref().map(|(_, about)| about.clone())
    }

    /// What yt-dlp says about itself, for `kmds doctor`.
    /// # Errors
    /// [`YtDlpError::Missing`] if it is not installed.
    pub async fn about(&self) -> Result<About, YtDlpError> {
        let version = self.version(self.look()).await?;
        let extra = &self.inner.config.extra_args;
        let named = [self.runtimes(), extra.clone()].concat();
        let mut said = self.says(&named).await?;
        if arguments::is_unknown(&said) {
            said = self.says(extra).await?;
        }
        let mut about = About {
            version,
            ..read(&said)
        };
        for runtime in about.runtimes.iter_mut().flatten() {
            runtime.path = place_of(&runtime.name, extra);
        }
        Ok(about)
    }

    fn look(&self) -> Duration {
        WITHIN.min(self.inner.config.timeout)
    }

    /// Without a link yt-dlp prints about itself, and then that there was no link.
    async fn says(&self, more: &[String]) -> Result<String, YtDlpError> {
        let own = ["--ignore-config", "--no-cache-dir", "-v"].map(str::to_owned);
        let args = own.into_iter().chain(more.iter().cloned()).collect();
        Ok(process::Run {
            args,
            timeout: self.look(),
            ..self.run(Site::Other)
        }
        .output()
        .await?
        .stderr)
    }
}

fn read(said: &str) -> About {
    let line = |begins: &str| {
        said.lines()
            .find_map(|line| line.strip_prefix("[debug] ")?.strip_prefix(begins))
    };
    let solver = line("Optional libraries: ").and_then(|all| {
        all.split(", ")
            .find_map(|one| one.strip_prefix("yt_dlp_ejs-"))
    });
    About {
        version: String::new(),
        python: line("Python ")
            .and_then(|rest| rest.split(' ').next())
            .map(str::to_owned),
        solver: solver.map(|version| version.trim().to_owned()),
        runtimes: line("JS runtimes: ").map(|all| all.split(", ").filter_map(runtime).collect()),
    }
}

/// `deno-2.5.6`, `quickjs-ng-0.12.0`, `node-20.20.2 (unsupported)`; `none` is none.
fn runtime(text: &str) -> Option<Runtime> {
    let (whole, remark) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let (name, version) = whole.rsplit_once('-')?;
    let fits = !remark.contains("unsupported");
    Some(Runtime {
        name: name.to_owned(),
        version: version.to_owned(),
        fits,
        path: None,
    })
}

/// The place that `--js-runtimes NAME:PATH` names, else the place in `PATH`.
fn place_of(name: &str, extra: &[String]) -> Option<PathBuf> {
    let named = extra
        .iter()
        .filter_map(|word| word.trim_start_matches("--js-runtimes=").split_once(':'));
    if let Some((_, path)) = named.into_iter().find(|(runtime, _)| *runtime == name) {
        return Some(PathBuf::from(path));
    }
    let program = if name.starts_with("quickjs") {
        "qjs"
    } else {
        name
    };
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yt_dlp_says_of_itself_is_read() {
        let said = "[debug] Command-line config: ['-v']\n\
                    [debug] yt-dlp version stable@2026.10.26 from yt-dlp/yt-dlp [c91f8de0b] (pip)\n\
                    [debug] Python 3.11.7 (CPython x86_64 64bit) - Linux-6.1 (OpenSSL 3.0.19)\n\
                    [debug] Optional libraries: brotli-1.2.1, yt_dlp_ejs-0.8.0\n\
                    [debug] JS runtimes: deno-2.5.6, node-20.20.2 (unsupported), quickjs-ng-0.12.0\n";
        let about = read(said);
        assert_eq!(
            (about.python.as_deref(), about.solver.as_deref()),
            (Some("3.11.7"), Some("0.8.0"))
        );
        let runtimes = about.runtimes.unwrap_or_default();
        let told: Vec<_> = runtimes
            .iter()
            .map(|one| (one.name.as_str(), one.version.as_str(), one.fits))
            .collect();
        assert_eq!(
            told,
            [
                ("deno", "2.5.6", true),
                ("node", "20.20.2", false),
                ("quickjs-ng", "0.12.0", true)
            ]
        );
        assert_eq!(
            read("[debug] JS runtimes: none\n").runtimes,
            Some(Vec::new())
        );
        assert_eq!(
            read("[debug] Python version 3.7\nUsage: yt-dlp").runtimes,
            None,
            "an old release"
        );
    }
}
