//! The results of a YouTube player script for `n` and for an enciphered signature.
//!
//! The script is a site's: some 2.7 MB of JavaScript that changes every few days. Its text is read as pieces
//! ([`script`]), places that look like the two transformations are found ([`finder`]), and each is tried in an embedded
//! engine with the few pieces that it really touches ([`prepare`]). The result is a program of kilobytes, which can be
//! kept and used again.
//!
//! Owns everything between the text of a script and an answer. It opens no file or socket, and does not trust a script:
//! the caller's [`Bounds`] limit memory and time, and an answer that cannot be right is refused. The engine is written
//! in C, so a caller runs a real script in a separate process.

mod check;
mod engine;
mod finder;
mod prepare;
mod prune;
mod script;
mod solve;
mod token;

use serde::{Deserialize, Serialize};

use check::Wrong;
use engine::{Fault, Program};
use prepare::{What, find};
use script::Script;

pub use engine::Bounds;
pub use solve::{Answers, Questions};

/// A longer text is no player script: today's are 2.5 to 3 MB.
pub const MAX_SCRIPT_BYTES: usize = 6 << 20;
/// The most questions: no list has more songs.
pub const MAX_QUESTIONS: usize = 10_000;
/// The first line of a prepared script, before its description.
const PREPARED: &str = "//kmds-player 1 ";

/// Why there is no answer. A sentence each, fit for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlayerError {
    #[error("the script cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("the script has more than {} bytes", MAX_SCRIPT_BYTES)]
    TooLong,
    #[error("the script has no function for {0} in a known shape")]
    NotFound(&'static str),
    #[error("the script's answer for {what} {problem}")]
    Wrong {
        what: &'static str,
        problem: &'static str,
    },
    #[error("the script did not answer for {0} in its time")]
    Time(&'static str),
    #[error("the script needed more memory than its limit for {0}")]
    Memory(&'static str),
    #[error("the script failed at {what}: {message}")]
    Threw { what: &'static str, message: String },
    /// The caller's mistake.
    #[error("{0:?} is no challenge: 1 to 1024 letters, digits, or any of - _ = . %")]
    NoQuestion(String),
    #[error("more than {} challenges at once", MAX_QUESTIONS)]
    TooMany,
}

impl PlayerError {
    fn wrong(what: &'static str, wrong: Wrong) -> Self {
        match wrong {
            Wrong::Answer(problem) => Self::Wrong { what, problem },
            Wrong::Fault(Fault::Time) => Self::Time(what),
            Wrong::Fault(Fault::Memory) => Self::Memory(what),
            Wrong::Fault(Fault::Threw(message)) => Self::Threw { what, message },
            Wrong::Fault(Fault::Odd) => Self::Wrong {
                what,
                problem: "is no text",
            },
        }
    }
}

/// A script cut down to what the two transformations need.
#[derive(Debug, Clone)]
pub struct Prepared {
    about: About,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    signature_timestamp: Option<u32>,
    n: bool,
    sig: bool,
    program: Program,
}

impl Prepared {
    /// Reads a prepared script, or prepares a whole one for `questions`; for both functions if `None`.
    /// # Errors
    /// See [`PlayerError`].
    pub fn of(
        text: &str,
        questions: Option<&Questions>,
        bounds: Bounds,
    ) -> Result<Self, PlayerError> {
        if text.len() > MAX_SCRIPT_BYTES {
            return Err(PlayerError::TooLong);
        }
        if let Some(prepared) = text.strip_prefix(PREPARED) {
            return Self::read(prepared).ok_or(PlayerError::Unreadable(
                "it was prepared by another version, or cut off",
            ));
        }
        let script = Script::read(text).map_err(|broken| PlayerError::Unreadable(broken.0))?;
        let wanted = |what: What| match (questions, what) {
            (None, _) => true,
            (Some(questions), What::N) => !questions.n.is_empty(),
            (Some(questions), What::Sig) => !questions.sig.is_empty(),
        };
        let mut found = Vec::new();
        for what in [What::N, What::Sig]
            .into_iter()
            .filter(|what| wanted(*what))
        {
            found.push(find(&script, what, bounds)?);
        }
        let program = prepare::program(&script, &found);
        let signature_timestamp = finder::signature_timestamp(&script);
        Ok(Self {
            about: About {
                signature_timestamp,
                n: wanted(What::N),
                sig: wanted(What::Sig),
                program,
            },
        })
    }

    /// Reads a prepared script, and runs nothing.
    #[must_use]
    pub fn kept(text: &str) -> Option<Self> {
        Self::read(text.strip_prefix(PREPARED)?)
    }

    #[must_use]
    pub const fn signature_timestamp(&self) -> Option<u32> {
        self.about.signature_timestamp
    }

    fn read(prepared: &str) -> Option<Self> {
        let (about, text) = prepared.split_once('\n')?;
        let mut about: About = serde_json::from_str(about).ok()?;
        text.clone_into(&mut about.program.text);
        Some(Self { about })
    }

    /// The same as a text of kilobytes, which [`Prepared::of`] accepts instead of the whole script.
    /// # Errors
    /// If the facts cannot be written as JSON; those from [`Prepared::of`] always can.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        Ok(format!(
            "{PREPARED}{}\n{}",
            serde_json::to_string(&self.about)?,
            self.about.program.text
        ))
    }

    /// Answers all `questions`, or none.
    /// # Errors
    /// See [`PlayerError`].
    pub fn answer(&self, questions: &Questions, bounds: Bounds) -> Result<Answers, PlayerError> {
        if questions.n.len() + questions.sig.len() > MAX_QUESTIONS {
            return Err(PlayerError::TooMany);
        }
        let mut all = questions.n.iter().chain(&questions.sig);
        if let Some(odd) = all.find(|question| !check::is_question(question)) {
            return Err(PlayerError::NoQuestion(odd.chars().take(80).collect()));
        }
        let mut answers = Answers {
            signature_timestamp: self.about.signature_timestamp,
            ..Answers::default()
        };
        if !questions.n.is_empty() {
            let only = Questions {
                n: questions.n.clone(),
                sig: Vec::new(),
            };
            answers.n = self.ask(What::N, self.about.n, &only, bounds)?.n;
        }
        if !questions.sig.is_empty() {
            let only = Questions {
                n: Vec::new(),
                sig: questions.sig.clone(),
            };
            answers.sig = self.ask(What::Sig, self.about.sig, &only, bounds)?.sig;
        }
        Ok(answers)
    }

    fn ask(
        &self,
        what: What,
        has: bool,
        questions: &Questions,
        bounds: Bounds,
    ) -> Result<Answers, PlayerError> {
        if !has {
            return Err(PlayerError::NotFound(what.name()));
        }
        let (done, missed) = engine::run(bounds, &self.about.program, |functions| {
            solve::answer(functions, questions)
        });
        if !missed.is_empty() {
            return Err(PlayerError::Wrong {
                what: what.name(),
                problem: "needs more of the script than was kept",
            });
        }
        done.map_err(Wrong::from)
            .and_then(|answers| answers)
            .map_err(|wrong| PlayerError::wrong(what.name(), wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;
    use crate::token::Kind;

    /// Tokens follow each other, nothing but white space and comments between them; brackets match; every piece lies
    /// within them; and what is written of all pieces that define something holds each.
    #[test]
    fn fuzz_player() {
        kmds_fuzz::target("player", |input| {
            let Ok(text) = std::str::from_utf8(input) else {
                return;
            };
            let Ok(script) = Script::read(text) else {
                return;
            };
            let (mut end, mut depth) = (0, 0_usize);
            for token in &script.tokens {
                assert!(token.start >= end && token.end >= token.start);
                end = token.end;
                match token.kind {
                    Kind::Open => depth += 1,
                    Kind::Close => depth -= 1,
                    _ => {}
                }
            }
            assert_eq!(depth, 0);
            let mut keys = std::collections::BTreeSet::new();
            for piece in &script.pieces {
                assert!(piece.from < piece.to && piece.to <= script.tokens.len());
                assert!(!script.text(piece.from, piece.to).is_empty());
                keys.extend(piece.defines.iter().cloned());
            }
            let ways = finder::ways(&script);
            assert!(ways.n.len() + ways.sig.len() < 64);
            let _ = finder::signature_timestamp(&script);
            let written = prune::program(&script, &keys, "").text;
            for piece in script
                .pieces
                .iter()
                .filter(|piece| !piece.defines.is_empty())
            {
                assert!(written.contains(script.text(piece.from, piece.to)));
            }
        });
    }
}
