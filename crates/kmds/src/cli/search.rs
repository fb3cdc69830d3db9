//! `kmds search`: what a site finds for words.
//!
//! Owns how results are printed; as JSON they have the shape of `GET /api/v1/search`. The command asks a running server
//! if one is named, else the site itself. It downloads nothing.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use kmds_extract::Kind;
use kmds_extract::search::{Hit, MOST_RESULTS, SearchSite};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;

use super::out::Colour;
use super::resolve::{Passing, refused};
use super::server::{Server, ServerError};
use super::term::{self, Table};
use super::{Problem, out};
use crate::app::{Failure, Searched};
use crate::config::Config;

#[derive(Debug, Args)]
#[command(
    after_help = "A result's link can be given to `kmds get` and `kmds resolve`.\n\n\
    Exit codes: 0 something was found · 1 nothing was found, or the site failed · 2 wrong arguments or settings\n\n\
    Examples:\n  \
    kmds search artist title\n  \
    kmds search --site bandcamp --limit 3 --json words | jq -r '.results[].link'"
)]
pub struct SearchArgs {
    /// Words to search for, at most 200 characters
    #[arg(required = true)]
    words: Vec<String>,
    /// Where to search [default: the setting search.site]
    #[arg(long, value_parser = PossibleValuesParser::new(SearchSite::ALL.map(SearchSite::as_str)))]
    site: Option<String>,
    /// Results, at most
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=MOST_RESULTS as i64))]
    limit: u8,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// Ask this running server instead of the site [default: the one in KMDS_SERVER, if it is set]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// In the shape of the v1 API.
#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    query: String,
    site: String,
    results: Vec<SearchResult>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SearchResult {
    /// `song` or `collection`.
    kind: String,
    site: String,
    id: String,
    title: String,
    artist: Option<String>,
    album: Option<String>,
    /// Seconds.
    duration: Option<f64>,
    cover_url: Option<String>,
    link: String,
}

pub async fn run(args: SearchArgs, config: Config) -> Result<ExitCode, Problem> {
    let words = args.words.join(" ");
    let site = args.site.as_deref();
    let limit = usize::from(args.limit);
    let found = match Server::named(args.server.as_deref())? {
        Some(server) => match ask(&server, &words, site, limit).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(refused(error)?),
        },
        None => {
            let site = site.and_then(SearchSite::parse);
            let found = Passing::new(config)?.search(&words, site).await;
            found.map(|found| Reply::new(found, limit))
        }
    };
    match found {
        Ok(reply) => {
            print(&reply, args.json)?;
            Ok(ExitCode::from(u8::from(reply.results.is_empty())))
        }
        Err(failure) => fail(&words, &failure, args.json),
    }
}

async fn ask(
    server: &Server,
    words: &str,
    site: Option<&str>,
    limit: usize,
) -> Result<Reply, ServerError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("q", words);
    query.append_pair("limit", &limit.to_string());
    if let Some(site) = site {
        query.append_pair("site", site);
    }
    let path = format!("/api/v1/search?{}", query.finish());
    server.json(server.get(&path)).await
}

/// Where a running server searches by itself.
/// # Errors
/// As [`Server::json`].
pub async fn site_of(server: &Server, words: &str) -> Result<SearchSite, Problem> {
    let reply = ask(server, words, None, 1).await?;
    let unknown = || format!("the server searches {}; update this KMDS", reply.site);
    Ok(SearchSite::parse(&reply.site).ok_or_else(unknown)?)
}

fn print(reply: &Reply, json: bool) -> Result<(), Problem> {
    if json {
        return Ok(out::json(reply, true)?);
    }
    if reply.results.is_empty() {
        let (site, query) = (&reply.site, &reply.query);
        out::say(format!(
            "kmds: {site} finds nothing for `{query}`; try fewer or other words"
        ));
        return Ok(());
    }
    let mut table = Table::new(&["title", "artist", "length", "link"], &[2]);
    for found in &reply.results {
        let length = found
            .duration
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(term::clock);
        let length = match found.kind.as_str() {
            "song" => length.unwrap_or_default(),
            _ => "album".to_owned(),
        };
        table.row(vec![
            term::fit(&found.title, 60),
            term::fit(found.artist.as_deref().unwrap_or_default(), 30),
            length,
            found.link.clone(),
        ]);
    }
    for (row, line) in table.lines_for_stdout().iter().enumerate() {
        match row {
            0 => out::line(Colour::Bold.on(line)),
            _ => out::line(line),
        }
    }
    Ok(())
}

fn fail(words: &str, failure: &Failure, json: bool) -> Result<ExitCode, Problem> {
    out::say(format!("kmds: {failure}"));
    if json {
        let value = json!({ "query": words, "error": failure.sentence, "kind": failure.kind, "retryable": failure.retryable() });
        out::json(&value, true)?;
    }
    Ok(ExitCode::from(if failure.kind == Kind::BadRequest {
        2
    } else {
        1
    }))
}

impl Reply {
    fn new(found: Searched, limit: usize) -> Self {
        Self {
            query: found.words,
            site: found.at.as_str().to_owned(),
            results: found
                .hits
                .iter()
                .take(limit)
                .map(SearchResult::new)
                .collect(),
        }
    }
}

impl SearchResult {
    fn new(hit: &Hit) -> Self {
        Self {
            kind: hit.kind.as_str().to_owned(),
            site: hit.id.site().as_str().to_owned(),
            id: hit.id.id().to_owned(),
            title: hit.title.clone(),
            artist: hit.artist.clone(),
            album: hit.album.clone(),
            duration: hit.duration.map(|length| length.as_secs_f64()),
            cover_url: hit.cover_url.clone(),
            link: hit.link.clone(),
        }
    }
}
