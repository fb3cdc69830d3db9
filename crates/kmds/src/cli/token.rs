//! `kmds token new`: a token for the file of `server.tokens_file`.
//!
//! The lines for the file go to standard output, the secret to standard error, so that `>> tokens.toml` leaves only its
//! hash in the file.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Problem, out};
use crate::http::NewToken;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token. `kmds token new bot >> tokens.toml` shows the secret once, and the file gets its hash
    New {
        /// Its name in the log and the metrics: letters, digits, - and _
        name: String,
        /// What it may do: some of listen, fetch, manage
        #[arg(long, value_delimiter = ',', default_value = "listen,fetch")]
        scopes: Vec<String>,
    },
}

pub fn run(command: TokenCommand) -> Result<ExitCode, Problem> {
    let TokenCommand::New { name, scopes } = command;
    let made = NewToken::make(&name, &scopes)?;
    out::say(format!(
        "the secret of `{name}`, shown this once: {}",
        made.secret
    ));
    made.table.lines().for_each(out::line);
    Ok(ExitCode::SUCCESS)
}
