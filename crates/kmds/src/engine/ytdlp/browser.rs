//! Which browser yt-dlp imitates if a site challenges plain clients.
//!
//! Owns the choice from the list of `--list-impersonate-targets`. The list is read when it is first needed, and again
//! an hour later, since an operator may have installed the imitation library meanwhile. yt-dlp imitates a browser only
//! after a challenge.

use std::time::{Duration, Instant};

use kmds_extract::Site;
use parking_lot::Mutex;

use super::{YtDlp, process};

/// The best first. Since September 2026 the challenge aims at Chrome, and at Edge, which looks like it.
const BROWSERS: [&str; 3] = ["firefox", "tor", "safari"];
/// How long a choice is valid.
const HOLDS: Duration = Duration::from_secs(3_600);

/// The last choice, and when it was made.
#[derive(Default)]
pub struct Choice(Mutex<Option<(Instant, Option<&'static str>)>>);

impl YtDlp {
    /// The browser to imitate; `None` if yt-dlp can imitate none that would help.
    pub(super) async fn browser(&self) -> Option<&'static str> {
        let known = *self.inner.browser.0.lock();
        if let Some((chosen, browser)) = known
            && chosen.elapsed() < HOLDS
        {
            return browser;
        }
        let args = ["--ignore-config", "--list-impersonate-targets"];
        let listed = process::Run {
            args: args.map(str::to_owned).to_vec(),
            ..self.run(Site::Other)
        }
        .output()
        .await
        .ok()?;
        let browser = best(&listed.stdout);
        *self.inner.browser.0.lock() = Some((Instant::now(), browser));
        browser
    }
}

/// A row is `Firefox-155  Windows-10  curl_cffi`, or ends in `(unavailable)`.
fn best(listed: &str) -> Option<&'static str> {
    let available = |browser: &&str| {
        listed
            .lines()
            .filter(|row| !row.contains("(unavailable)"))
            .filter_map(|row| row.split([' ', '-']).next())
            .any(|client| client.eq_ignore_ascii_case(browser))
    };
    BROWSERS.into_iter().find(available)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firefox_is_imitated_before_others_and_chrome_never() {
        let head = "[info] Available impersonate targets\nClient    OS   Source\n----------\n";
        for (rows, wanted) in [
            (
                "Chrome-152  Macos-15  curl_cffi\nSafari-26  Macos-26  curl_cffi\nFirefox-155  Macos-26  curl_cffi\n",
                Some("firefox"),
            ),
            (
                "Safari-26  Macos-26  curl_cffi\nTor-145  Macos  curl_cffi\n",
                Some("tor"),
            ),
            (
                "Chrome-152  Macos-15  curl_cffi\nEdge-101  Windows-10  curl_cffi\n",
                None,
            ),
            ("Firefox   -    curl_cffi>=0.10 (unavailable)\n", None),
            ("", None),
        ] {
            assert_eq!(best(&format!("{head}{rows}")), wanted, "{rows}");
        }
    }
}
