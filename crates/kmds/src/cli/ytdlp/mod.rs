//! `kmds yt-dlp`: KMDS with yt-dlp's command line. A program that runs yt-dlp can run this instead.
//!
//! Owns the order of a call: links in, JSON, lines or files out, and yt-dlp's exit codes. Songs come from [`there`]
//! (the server that `KMDS_SERVER` names) or from [`here`] (this process asks the sites). Nothing of it runs in the
//! service.
//!
//! Exit codes: 0 done · 1 something failed · 2 wrong arguments or settings.

mod call;
mod failure;
mod fields;
mod filter;
mod here;
mod items;
mod link;
mod options;
mod print;
mod save;
mod select;
mod song;
mod table;
mod template;
mod there;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use kmds_extract::{Format as FileFormat, Kind, Recipes};
use serde_json::Value;
use tokio::fs::File;

use super::{Problem, out};
use crate::config::Config;
use call::{BadCall, Call};
use here::Here;
use print::Printer;
use song::{Answer, Format, List, Song, Trouble};
use there::There;

/// Names under which the binary is this command.
const NAMES: [&str; 2] = ["yt-dlp", "kmds-ytdlp"];
/// The format selector of a call that names none: KMDS has only audio.
const BEST: &str = "bestaudio/best";
const USAGE: &str = "Usage: yt-dlp [OPTIONS] URL [URL...]";
const HELP: &str = "\
KMDS speaks yt-dlp's command line. It gives audio only: songs of YouTube, SoundCloud and Bandcamp.

  KMDS_SERVER=http://HOST:PORT   asks this server (a token: KMDS_TOKEN); without it this process asks the sites

  -J, -j, -g, -e, --get-id, --print, -F        the metadata of a link
  --flat-playlist, -I, --no-playlist           lists
  -f ba[acodec=opus]/ba[ext=m4a]/best          which format
  -o '%(title)s.%(ext)s', -o -, -P, -x         the audio, into a file or to standard output
  ytsearch5:words, --default-search ytsearch   search

docs/ytdlp.md has all of it. Of yt-dlp's other options, those that would change nothing are accepted; the others are
refused by name.";

/// The arguments of a call that is meant for this command, by the name of the program or by its first argument.
pub fn called(mut arguments: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let program = arguments.next()?;
    let name = Path::new(&program).file_stem().and_then(OsStr::to_str);
    if name.is_some_and(|name| NAMES.contains(&name)) {
        return Some(arguments.collect());
    }
    (arguments.next()? == "yt-dlp").then(|| arguments.collect())
}

/// Runs a call. `settings` reads the settings, with some values from this call.
pub fn run(
    words: Vec<OsString>,
    settings: impl FnOnce(Vec<(String, String)>) -> Result<Config, Problem>,
) -> ExitCode {
    let words: Result<Vec<String>, BadCall> = words
        .into_iter()
        .map(|word| {
            let unread =
                |word: OsString| BadCall(format!("{} is not UTF-8", word.to_string_lossy()));
            word.into_string().map_err(unread)
        })
        .collect();
    let asked = match words.and_then(Call::read) {
        Ok(asked) => asked,
        Err(BadCall(why)) => return bad_call(&why),
    };
    if asked.version {
        out::line(version());
    } else if asked.help {
        out::line(format!("{USAGE}\n"));
        HELP.lines().for_each(out::line);
    } else if asked.links.is_empty() {
        return bad_call(
            "You must provide at least one URL.\nType yt-dlp --help to see a list of all options.",
        );
    } else {
        return match super::wait(get(&asked, settings)) {
            Ok(code) => code,
            Err(problem) => {
                out::say(format!("ERROR: {problem}"));
                ExitCode::from(2)
            }
        };
    }
    ExitCode::SUCCESS
}

fn bad_call(why: &str) -> ExitCode {
    out::say("");
    out::say(USAGE);
    out::say("");
    format!("yt-dlp: error: {why}").lines().for_each(out::say);
    ExitCode::from(2)
}

/// A date, as yt-dlp's version is: the date of the recipes that this binary was built with.
fn version() -> String {
    Recipes::built_in().date.replace('-', ".")
}

async fn get(
    asked: &Call,
    settings: impl FnOnce(Vec<(String, String)>) -> Result<Config, Problem>,
) -> Result<ExitCode, Problem> {
    let selector = select::Selector::read(asked.format.as_deref().unwrap_or(BEST))?;
    if !asked.no_warnings {
        for name in &asked.without_effect {
            out::say(format!(
                "WARNING: {name} has no effect: KMDS signs in nowhere and picks streams by itself"
            ));
        }
    }
    let source = Source::new(asked, settings).await?;
    let printer = Printer {
        asked,
        source: &source,
        selector: &selector,
    };
    let done = tokio::select! {
        failed = Box::pin(links(asked, &printer)) => ExitCode::from(u8::from(failed)),
        // A player that skips a song ends this process; its folder is removed in any case.
        () = super::get::asked_to_stop() => {
            out::say("ERROR: Interrupted by user");
            ExitCode::from(1)
        }
    };
    source.end().await;
    Ok(out::ended(done))
}

/// All links, in order. Returns whether something failed; the error is printed already.
async fn links(asked: &Call, printer: &Printer<'_>) -> bool {
    let mut failed = false;
    for word in &asked.links {
        if !out::is_read() || failed && asked.stop_at_failure {
            break;
        }
        let done = match link::read(word, asked.default_search.as_deref()) {
            Ok(meant) => {
                if meant.is_cut && !asked.no_warnings {
                    out::say("WARNING: a search gives 25 results at most");
                }
                Box::pin(printer.link(word, &meant.link)).await
            }
            Err(trouble) => Err(trouble.sentence),
        };
        let done = done.unwrap_or_else(|why| {
            out::say(format!("ERROR: {why}"));
            false
        });
        failed |= !done;
    }
    failed
}

/// Where songs come from.
enum Source {
    Here(Box<Here>),
    There(There),
}

impl Source {
    async fn new(
        asked: &Call,
        settings: impl FnOnce(Vec<(String, String)>) -> Result<Config, Problem>,
    ) -> Result<Self, Problem> {
        let server = std::env::var("KMDS_SERVER")
            .ok()
            .filter(|address| !address.is_empty());
        match (server, &asked.proxy) {
            (Some(_), Some(_)) => Err("--proxy: the server that KMDS_SERVER names chooses its own way out (egress.proxy); leave the option out".into()),
            (Some(address), None) => Ok(Self::There(There::new(&address)?)),
            (None, proxy) => {
                let proxy = proxy.iter().map(|url| ("egress.proxy".to_owned(), url.clone()));
                let config = settings(proxy.collect())?;
                Ok(Self::Here(Box::new(Here::new(config).await?)))
            }
        }
    }

    async fn resolve(&self, link: &str, whole_list: bool, flat: bool) -> Result<Answer, Trouble> {
        match self {
            Self::Here(here) => here.resolve(link, whole_list).await,
            Self::There(there) => there.resolve(link, whole_list, flat).await,
        }
    }

    /// Makes sure that a song has its formats.
    async fn complete(&self, song: &mut Song) -> Result<(), Trouble> {
        if let Self::Here(here) = self {
            song.formats = here.formats(song).await?;
        }
        if song.formats.is_empty() {
            return Err(Trouble::new(
                Kind::Unavailable,
                "the site offers no audio of it now; try again later",
            ));
        }
        Ok(())
    }

    async fn send(&self, song: &Song, format: &Format, sink: &mut File) -> Result<u64, Trouble> {
        match self {
            Self::Here(here) => here.send(song, format, sink).await,
            Self::There(there) => there.send(format, sink).await,
        }
    }

    async fn send_copy(
        &self,
        song: &Song,
        format: Option<FileFormat>,
        tagged: bool,
        sink: &mut File,
    ) -> Result<u64, Trouble> {
        match self {
            Self::Here(here) => here.send_copy(song, format, tagged, sink).await,
            Self::There(there) => there.send_copy(song, format, tagged, sink).await,
        }
    }

    async fn end(self) {
        if let Self::Here(here) = self {
            here.end().await;
        }
    }
}

/// The list of a search has the search's words as its title.
fn list(asked: &str, list: List) -> List {
    match asked.split_once(':') {
        Some((_, words)) if list.is_search => List {
            id: words.to_owned(),
            title: Some(words.to_owned()),
            link: asked.to_owned(),
            ..list
        },
        _ => list,
    }
}

/// A line of progress, which a quiet call does not have.
fn say(asked: &Call, line: impl AsRef<str>) {
    if !asked.is_quiet() {
        out::line(line);
    }
}

/// JSON on one line.
fn json(value: &Value) -> Result<(), String> {
    out::json(value, false).map_err(|error| error.to_string())
}
