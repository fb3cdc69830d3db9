//! `kmds cancel`: ends the songs of a list that still wait or run on a running server.

use std::process::ExitCode;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::server::{Server, ServerError};
use super::{Problem, out};

#[derive(Debug, Args)]
#[command(
    after_help = "Songs that are ready stay, and so do songs that another fetch asks for.\n\n\
    Exit codes: 0 · 1 this list was not fetched there · 2 no server answers"
)]
pub struct CancelArgs {
    /// A link to the list, or its id at its site
    link: String,
    /// Print the server's own JSON
    #[arg(long)]
    json: bool,
    /// The running server [default: the one in KMDS_SERVER, else the one these settings start]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reply {
    ended: Vec<Ended>,
    kept: usize,
}

#[derive(Debug, Deserialize)]
struct Ended {
    state: String,
}

pub async fn run(
    args: CancelArgs,
    own: impl FnOnce() -> Result<(String, String), Problem>,
) -> Result<ExitCode, Problem> {
    let server = Server::named_or_own(args.server.as_deref(), own)?;
    let id = utf8_percent_encode(&args.link, NON_ALPHANUMERIC);
    let asked = server.delete(&format!("/api/v1/collections/{id}"));
    let reply: Value = match server.json(asked).await {
        Ok(reply) => reply,
        Err(ServerError::Refused {
            status: 404,
            sentence,
            ..
        }) => {
            out::say(format!("kmds: {sentence}"));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        out::json(&reply, true)?;
        return Ok(ExitCode::SUCCESS);
    }
    out::line(sentence(&serde_json::from_value(reply)?));
    Ok(ExitCode::SUCCESS)
}

fn sentence(reply: &Reply) -> String {
    let waited = reply.ended.iter().filter(|song| song.state == "queued");
    let waited = waited.count();
    let ran = reply.ended.len() - waited;
    let kept = match reply.kept {
        0 => String::new(),
        kept => format!("; {kept} continue, since another fetch asks for them"),
    };
    format!("ended: {waited} that waited, {ran} that ran{kept}")
}
