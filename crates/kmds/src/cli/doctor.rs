//! `kmds doctor`: checks everything that the service needs, and says how to get what is missing.
//!
//! Owns the judgement (ok, warn or fail) and the advice. It repairs nothing, and asks a site only with `--live`.

#[cfg(feature = "cluster")]
mod nats;
#[cfg(feature = "cluster")]
mod nodes;
mod ytdlp;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use kmds_extract::Site;
use serde::Serialize;

use super::out::Colour;
use super::resolve::Passing;
use super::showcase::KNOWN_LINKS;
use super::term;
use super::{Problem, out};
use crate::StartError;
use crate::app::{self, App};
use crate::config::{Config, ignored};

/// Recipes older than this are probably out of date.
const RECIPES_FRESH: i64 = 180 * 24 * 3600;
/// If the clock is this far after the recipes, in seconds, it is more likely wrong than right.
const CLOCK_TOO_FAR: i64 = 5 * 365 * 24 * 3600;
/// Time zones make a day of difference, in seconds.
const DAY: i64 = 24 * 3600;
/// Columns of the subject of a finding.
const ABOUT_WIDTH: usize = 10;

#[derive(Debug, Args)]
#[command(
    after_help = "Works beside a running server. Nothing is sent to a site unless --live asks for it.\n\n\
    Exit codes: 0 nothing is broken (there may be warnings) · 1 something has to be done"
)]
pub struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Read one known link of each site
    #[arg(long)]
    live: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Finding {
    about: &'static str,
    #[serde(rename = "verdict")]
    severity: Severity,
    says: String,
    /// What to do; for an operator, a command where there is one.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Debug, Serialize)]
struct Checkup {
    healthy: bool,
    findings: Vec<Finding>,
}

impl Finding {
    fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self {
            about,
            severity: Severity::Ok,
            says: says.into(),
            advice: None,
        }
    }

    fn warn(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            about,
            severity: Severity::Warn,
            says: says.into(),
            advice: Some(advice.into()),
        }
    }

    fn fail(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            about,
            severity: Severity::Fail,
            says: says.into(),
            advice: Some(advice.into()),
        }
    }
}

pub async fn run(args: DoctorArgs, settings: Result<Config, Problem>) -> Result<ExitCode, Problem> {
    let mut findings = Vec::new();
    match settings {
        Err(problem) => {
            findings.push(Finding::fail(
                "settings",
                problem.to_string(),
                "kmds config example prints all settings",
            ));
        }
        Ok(config) => look(&config, args.live, &mut findings).await,
    }
    let healthy = !findings
        .iter()
        .any(|finding| finding.severity == Severity::Fail);
    if args.json {
        out::json(&Checkup { healthy, findings }, true)?;
    } else {
        findings.iter().for_each(print);
    }
    Ok(ExitCode::from(u8::from(!healthy)))
}

async fn look(config: &Config, live: bool, findings: &mut Vec<Finding>) {
    let (cache, state) = (config.cache.dir.display(), config.state_dir.display());
    findings.push(Finding::ok(
        "settings",
        format!("can be used; songs in {cache}, catalog in {state}"),
    ));
    findings.extend(
        ignored().map(|sentence| {
            Finding::warn("settings", sentence, "rename the variable, or unset it")
        }),
    );
    match crate::inspect(config) {
        Ok(app) => {
            findings.push(drive(&app, config).await);
            findings.extend(library(&app, config).await);
            findings.push(recipes(&app.recipes_date()));
            findings.extend(refused_recipes(config));
            findings.push(clock(&app.recipes_date()));
        }
        Err(error @ StartError::Recipes(_)) => {
            let advice = "correct the file: kmds recipes check FILE says what is wrong";
            findings.push(Finding::fail("recipes", error.to_string(), advice));
            findings.extend(refused_recipes(config));
        }
        Err(error) => {
            let advice = "give this user the right to write the named folder, or set another";
            findings.push(Finding::fail("folders", error.to_string(), advice));
        }
    }
    findings.extend(state_folder(config));
    findings.extend(player_script(config));
    let tools = app::tools(config).await;
    findings.extend(ytdlp::findings(tools.ytdlp, config));
    findings.push(ffmpeg(tools.ffmpeg, config));
    findings.push(egress(config));
    #[cfg(feature = "cluster")]
    if let Some(cluster) = &config.cluster {
        let servers = nats::findings(cluster).await;
        let answers = servers.iter().any(|found| found.severity == Severity::Ok);
        findings.extend(servers);
        if answers {
            findings.extend(nodes::findings(crate::nodes_seen(config).await));
        }
    }
    if live {
        findings.extend(sites(config).await);
    }
}

async fn drive(app: &App, config: &Config) -> Finding {
    let drive = match app.drive().await {
        Ok(drive) => drive,
        Err(failure) => {
            return Finding::fail("drive", failure.to_string(), "check the drive of cache.dir");
        }
    };
    let said = drive.sentences.join(" ");
    if !drive.usable {
        let advice = format!(
            "mount the drive of {} or make it writable, or set cache.dir",
            config.cache.dir.display()
        );
        return Finding::fail("drive", said, advice);
    }
    if !said.is_empty() {
        return Finding::warn(
            "drive",
            said,
            "make room, or set cache.min_free_bytes, cache.max_bytes or cache.dir",
        );
    }
    let room = match (drive.free_bytes, drive.total_bytes) {
        (Some(free), Some(total)) => {
            format!("{} of {} free", term::bytes(free), term::bytes(total))
        }
        _ => "room unknown".to_owned(),
    };
    Finding::ok(
        "drive",
        format!("can be written, replaces files by renaming, flushes; {room}"),
    )
}

/// Only if there is a library.
async fn library(app: &App, config: &Config) -> Option<Finding> {
    let dir = config.library_dir.as_ref()?.display();
    Some(match app.look_at_library().await? {
        Ok(()) => Finding::ok("library", format!("songs can be put into {dir}")),
        Err(failure) => {
            let advice = format!(
                "make {dir} a folder that this user can write (under systemd: ReadWritePaths={dir}), or set library.dir"
            );
            Finding::fail("library", failure.to_string(), advice)
        }
    })
}

/// Only if a song has needed the script before.
fn player_script(config: &Config) -> Option<Finding> {
    let (player, state) = crate::player::newest(&config.state_dir.join("player"))?;
    Some(match state {
        Ok(timestamp) => Finding::ok(
            "player",
            format!("YouTube's script {player} of timestamp {timestamp} is prepared"),
        ),
        Err(why) => Finding::warn(
            "player",
            format!(
                "YouTube's script {player} is of no use: {}",
                why.lines().next().unwrap_or_default()
            ),
            "update KMDS; until then KMDS fetches songs as the other clients, or by yt-dlp with a JavaScript runtime",
        ),
    })
}

/// SQLite does not work reliably on network drives.
fn state_folder(config: &Config) -> Option<Finding> {
    /// Magic numbers of `statfs(2)`: NFS, SMB, CIFS, SMB2.
    const NETWORK: [u64; 4] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42];
    // A folder that does not exist is a finding of its own.
    let found = rustix::fs::statfs(&config.state_dir).ok()?;
    Some(match found {
        found if NETWORK.contains(&(found.f_type as u64 & 0xffff_ffff)) => Finding::fail(
            "catalog",
            format!(
                "{} lies on a network drive, where the catalog can be damaged",
                config.state_dir.display()
            ),
            "set state.dir to a local folder",
        ),
        _ => Finding::ok(
            "catalog",
            format!("{} is a local folder", config.state_dir.display()),
        ),
    })
}

/// Seconds from the recipes' date to now; `None` for a date that is none.
fn age(date: &str) -> Option<i64> {
    let day: Date = date.parse().ok()?;
    let then = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::now().as_second() - then.as_second())
}

fn recipes(date: &str) -> Finding {
    match age(date) {
        Some(age) if age > RECIPES_FRESH => Finding::warn(
            "recipes",
            format!("the facts about the sites are from {date}; sites change faster"),
            "update KMDS, or put a newer recipes.toml at the path of recipes.file",
        ),
        _ => Finding::ok(
            "recipes",
            format!("the facts about the sites are from {date}"),
        ),
    }
}

/// The running service may have refused a file that looks valid now.
fn refused_recipes(config: &Config) -> Option<Finding> {
    let why = crate::recipes::last_refusal(&config.state_dir)?;
    Some(Finding::warn(
        "recipes",
        format!("the service refused new ones: {why}"),
        "correct them, then reload: systemctl reload kmds, or POST /api/v1/recipes/reload",
    ))
}

/// This binary was built after the date of its recipes: a clock before that date is wrong, and a clock years after it
/// is probably wrong.
fn clock(date: &str) -> Finding {
    let now = Timestamp::now();
    match age(date) {
        Some(age) if !(-DAY..=CLOCK_TOO_FAR).contains(&age) => Finding::fail(
            "clock",
            format!("the clock says {now:.0}, which is wrong: certificates will be refused"),
            "set the clock: timedatectl set-ntp true",
        ),
        _ => Finding::ok("clock", format!("{now:.0}")),
    }
}

fn ffmpeg(version: Result<String, String>, config: &Config) -> Finding {
    match version {
        Ok(version) => Finding::ok(
            "ffmpeg",
            format!("{version} (`{}`), for conversions", config.ffmpeg.command),
        ),
        Err(_) => Finding::warn(
            "ffmpeg",
            format!(
                "`{}` cannot be started; without it, songs that exist as Opus only, and other forms on request, fail with \
                 conversion_unavailable; everything else works",
                config.ffmpeg.command
            ),
            "apt install ffmpeg (Fedora: dnf install ffmpeg-free, Alpine: apk add ffmpeg), or set ffmpeg.command",
        ),
    }
}

fn egress(config: &Config) -> Finding {
    let checked = config
        .sites
        .values()
        .any(|site| site.egress.check_url.is_some());
    let forbids = config
        .sites
        .values()
        .any(|site| !site.egress.forbid.is_empty());
    let proxied = config
        .sites
        .values()
        .any(|site| site.egress.proxy.is_some());
    let way = if proxied {
        "requests to the sites leave through egress.proxy"
    } else {
        "requests to the sites leave directly from this machine"
    };
    match (forbids, checked) {
        (false, false) => Finding::ok(
            "egress",
            format!("{way}; no address is forbidden (egress.forbid)"),
        ),
        (false, true) => Finding::warn(
            "egress",
            format!("{way}; egress.check_url is set, but no address is forbidden (egress.forbid)"),
            "set egress.forbid to the addresses that the sites must never see",
        ),
        // `egress.forbid` without `egress.check_url` is an error of the settings.
        (true, _) => Finding::ok(
            "egress",
            format!("{way}; the service checks egress.forbid by egress.check_url"),
        ),
    }
}

async fn sites(config: &Config) -> Vec<Finding> {
    let passing = match Passing::new(config.clone()) {
        Ok(passing) => passing,
        Err(problem) => {
            return vec![Finding::fail(
                "sites",
                problem.to_string(),
                "make the temporary folder writable (TMPDIR)",
            )];
        }
    };
    let mut findings = Vec::new();
    for (site, link) in Site::NATIVE.into_iter().zip(KNOWN_LINKS) {
        let about = site.as_str();
        if config.sites.get(&site).is_some_and(|site| !site.enabled) {
            findings.push(Finding::ok(
                about,
                format!("switched off ({about}.enabled)"),
            ));
            continue;
        }
        let started = Instant::now();
        findings.push(match passing.resolve(link, false).await {
            Ok(fetched) => Finding::ok(about, told(&fetched, started.elapsed())),
            Err(failure) => {
                let advice = if failure.retryable() {
                    "try again later; if it stays, look at egress.* and for a newer KMDS"
                } else {
                    "open the link in a browser; if it plays there, look for a newer KMDS"
                };
                Finding::fail(about, format!("{link}: {failure}"), advice)
            }
        });
    }
    findings
}

fn told(fetched: &app::Fetched, after: Duration) -> String {
    let title = fetched
        .songs
        .first()
        .map_or("", |song| song.track.title.as_str());
    format!("“{}” read in {}", term::fit(title, 60), term::time(after))
}

fn print(finding: &Finding) {
    let mark = match finding.severity {
        Severity::Ok => Colour::Green.on("ok  "),
        Severity::Warn => Colour::Yellow.on("warn"),
        Severity::Fail => Colour::Red.on("FAIL"),
    };
    out::line(format!(
        "{mark}  {}  {}",
        term::padded(finding.about, ABOUT_WIDTH),
        finding.says
    ));
    if let Some(advice) = &finding.advice {
        out::line(format!("      {}  → {advice}", " ".repeat(ABOUT_WIDTH)));
    }
}
