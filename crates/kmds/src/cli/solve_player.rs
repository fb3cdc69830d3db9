//! `kmds solve-player`: the results of YouTube's player script for `n` and a signature. The service runs this command
//! as its child.
//!
//! Owns the data that goes through the two pipes. It runs no line of a script before the process has given up files,
//! sockets and other system calls.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::player::{self, MAX_SCRIPT_BYTES, PlayerError, Prepared, Questions};

/// Questions of 10,000 songs.
const MAX_QUESTIONS_BYTES: u64 = 4 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Reads {\"n\": [\"…\"], \"sig\": [\"…\"]} from standard input and writes {\"n\": {\"…\": \"…\"}, \
    \"sig\": {\"…\": \"…\"}, \"signature_timestamp\": 12345}.\n\
    Exit codes: 0 · 1 the script cannot be used, and why"
)]
pub struct SolvePlayerArgs {
    /// The player script (base.js), or the output of --prepare for it
    script: PathBuf,
    /// Print a script of some kilobytes that can be used in place of the whole one; reads no questions
    #[arg(long)]
    prepare: bool,
}

/// Reads no settings and starts no runtime, so that the process stays small.
pub fn run(args: &SolvePlayerArgs) -> ExitCode {
    let outcome = answer(args);
    if !player::speaks_first() {
        // The watching thread says why, and ends the process.
        loop {
            std::thread::park();
        }
    }
    match outcome {
        Ok(text) => {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if written.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            // If the parent has closed standard error, the exit code still says so.
            let _ = writeln!(std::io::stderr(), "kmds: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn answer(args: &SolvePlayerArgs) -> Result<String, String> {
    let script = read_script(args)?;
    let questions = if args.prepare {
        None
    } else {
        Some(read_questions()?)
    };
    let bounds = player::bounds();
    player::enter(
        bounds.until,
        player::WALL,
        "the script did not end in its time",
    )
    .map_err(|error| error.to_string())?;
    let words = |error: PlayerError| error.to_string();
    let script =
        String::from_utf8(script).map_err(|_| words(PlayerError::Unreadable("it is not UTF-8")))?;
    let prepared = Prepared::of(&script, questions.as_ref(), bounds).map_err(words)?;
    let Some(questions) = questions else {
        return prepared.text().map_err(|error| error.to_string());
    };
    let answers = prepared.answer(&questions, bounds).map_err(words)?;
    serde_json::to_string(&answers)
        .map(|text| text + "\n")
        .map_err(|error| error.to_string())
}

fn read_script(args: &SolvePlayerArgs) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| {
        format!(
            "{}: {error}; name a player script (base.js)",
            args.script.display()
        )
    };
    let file = std::fs::File::open(&args.script).map_err(cannot)?;
    let mut script = Vec::new();
    file.take(MAX_SCRIPT_BYTES as u64 + 1)
        .read_to_end(&mut script)
        .map_err(cannot)?;
    if script.len() > MAX_SCRIPT_BYTES {
        return Err(PlayerError::TooLong.to_string());
    }
    Ok(script)
}

fn read_questions() -> Result<Questions, String> {
    let mut text = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_QUESTIONS_BYTES)
        .read_to_end(&mut text);
    read.map_err(|error| format!("standard input: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| {
        format!("standard input: {error}; write {{\"n\": [\"…\"], \"sig\": [\"…\"]}}")
    })
}
