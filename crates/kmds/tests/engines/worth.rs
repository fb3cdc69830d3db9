//! The service's remarks about yt-dlp.

use kmds_lab::Lab;
use serde_json::Value;

use super::harness::Setup;
use super::tools::{WithYtDlp as _, Wrapper, json};

/// Says what `yt-dlp -v` begins with.
const SAYS: &str = r#"case "$*" in *--version*) echo 2026.10.26; exit 0;; esac
printf '[debug] %s\n' 'Python 3.12.1 (CPython)' 'Optional libraries: yt_dlp_ejs-0.8.0' "JS runtimes: $RUNTIMES" >&2
exit 2"#;

#[tokio::test]
async fn readyz_says_of_yt_dlp_what_the_doctor_says_and_looks_once() {
    let lab = Lab::start().await;
    for (runtimes, wanted) in [
        ("deno-2.5.6", "deno 2.5.6"),
        ("none", "adds nothing for YouTube"),
    ] {
        let wrapper = Wrapper::doing(&format!("RUNTIMES='{runtimes}'\n{SAYS}"));
        let kmds = Setup::of(&lab).ytdlp(&wrapper.command()).start();
        let details = async || {
            let (status, ready) = json(&kmds, "/readyz").await;
            assert_eq!((status, &ready["ready"]), (200, &Value::Bool(true)));
            let details = ready["details"].as_array().expect("a list").clone();
            let texts = details.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        kmds.until("yt-dlp was looked at", async || !details().await.is_empty())
            .await;
        let said = details().await;
        assert!(
            said[0].starts_with("yt-dlp: 2026.10.26 on Python 3.12.1"),
            "{said:?}"
        );
        assert!(
            said[1].starts_with("javascript: ") && said[1].contains(wanted),
            "{said:?}"
        );
        assert_eq!(wrapper.runs().len(), 2, "once, in two runs");
        let doctor = std::process::Command::new(env!("CARGO_BIN_EXE_kmds"))
            .args(["doctor", "--json"])
            .env("KMDS_ENGINES__YTDLP__ENABLED", "true")
            .env("KMDS_ENGINES__YTDLP__COMMAND", wrapper.command())
            .env("KMDS_CACHE__DIR", kmds.folder.path("doctors-cache"))
            .env("KMDS_STATE__DIR", kmds.folder.path("doctors-state"))
            .output()
            .expect("kmds starts");
        let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
        for finding in doctor["findings"].as_array().expect("findings") {
            if ["yt-dlp", "javascript"].contains(&finding["about"].as_str().unwrap_or_default()) {
                let says = finding["says"].as_str().expect("words");
                assert!(
                    said.iter().any(|said| said.contains(says)),
                    "{says}: {said:?}"
                );
            }
        }
    }
}
