//! The recipes in force: where they come from, and how new ones replace them while the service runs.
//!
//! Owns the reload, which SIGHUP, `POST /api/v1/recipes/reload` and the clock ask for: one runs at a time. [`layers`]
//! reads the files, [`signed`] fetches recipes from the network, [`rehearsal`] tries new recipes with known songs, and
//! [`note`] keeps the note for `kmds doctor`. A reload runs in its own task and goes on when its client leaves. Recipes
//! in use never change: a reader keeps the recipes with which it began.

mod layers;
mod note;
mod rehearsal;
mod signed;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use kmds_extract::{Kind, Link, Recipes, Site};
use parking_lot::Mutex;

pub use layers::{ReadError, read_file};
pub use note::last_refusal;

use crate::config::{Config, RecipesConfig};
use crate::origin::{Client, SharedRecipes};
use crate::text::printable;
use layers::{Candidate, read};
use rehearsal::Rehearsal;
use signed::{OfferError, Signed, Source};

/// Which recipes are in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Their `date`.
    pub date: String,
    /// The files they were read from, for people.
    pub from: String,
}

/// The result of a successful reload.
#[derive(Debug, Clone)]
pub struct Reloaded {
    pub in_force: InForce,
    /// False if the files are in force already.
    pub taken: bool,
    /// A further remark for the operator.
    pub remark: Option<String>,
    /// Sites of which a song was fetched with them.
    pub rehearsed: Vec<Site>,
}

/// Why a reload was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    pub kind: Kind,
    pub sentence: String,
    pub at: SystemTime,
}

/// The recipes in force, and why the last reload was refused.
#[derive(Debug, Clone)]
pub struct Status {
    pub in_force: InForce,
    pub refused: Option<Refusal>,
}

type ReloadResult = Result<Reloaded, Refusal>;

/// Replaces the recipes in force. Shared; costs a few hundred bytes until a reload is asked for.
#[derive(Debug)]
pub struct Loader {
    config: RecipesConfig,
    state_dir: PathBuf,
    rehearsal: Option<Rehearsal>,
    source: Option<Source>,
    shared: SharedRecipes,
    /// Reloads asked for so far.
    asked: AtomicU64,
    turn: tokio::sync::Mutex<Turn>,
    status: Mutex<Status>,
}

/// The result of a rehearsal of accepted recipes.
#[derive(Debug, Default)]
struct Tried {
    remark: Option<String>,
    rehearsed: Vec<Site>,
}

/// The cause of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// All files are read again.
    Operator,
    /// Nothing happens unless the network has newer recipes.
    Clock,
}

/// Held by the reload that runs.
#[derive(Debug, Default)]
struct Turn {
    /// How many requests `outcome` answers: they came before it began.
    answered: u64,
    outcome: Option<ReloadResult>,
    /// The last refusal came from a reload by the clock, whose next success clears it.
    refused_by_clock: bool,
}

impl Loader {
    /// Reads the recipes of these settings, as a start does.
    /// # Errors
    /// See [`ReadError`].
    pub fn start(config: &Config) -> Result<Self, ReadError> {
        let source = config.recipes.signed.as_ref();
        let source = source
            .map(|signed| Source::new(signed, &config.state_dir))
            .transpose()?;
        let kept = source.as_ref().and_then(Source::kept);
        let Candidate { recipes, from } = read(&config.recipes, kept.as_ref())?;
        let in_force = InForce {
            date: recipes.date.clone(),
            from,
        };
        Ok(Self {
            config: config.recipes.clone(),
            state_dir: config.state_dir.clone(),
            rehearsal: Rehearsal::new(&config.recipes.canary, &config.accept, &config.state_dir),
            source,
            shared: SharedRecipes::new(recipes),
            asked: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            status: Mutex::new(Status {
                in_force,
                refused: None,
            }),
        })
    }

    /// The recipes in force, shared with the code that uses them.
    #[must_use]
    pub fn shared(&self) -> SharedRecipes {
        self.shared.clone()
    }

    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// The service starts: the files are used without a rehearsal, also if an earlier run refused them.
    pub fn started(&self) {
        if let Some(why) = last_refusal(&self.state_dir) {
            tracing::warn!(
                why,
                "the recipes that an earlier reload refused are in force if their file was left as it was"
            );
            note::keep(&self.state_dir, None);
        }
    }

    /// Reads the files again and takes them, after a rehearsal if one is configured. While a reload runs, further
    /// callers wait for the next one, which answers all of them.
    /// # Errors
    /// Nothing was taken, and why.
    pub async fn reload(self: &Arc<Self>, client: &Client) -> Result<Reloaded, Refusal> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let (this, client) = (Arc::clone(self), client.clone());
        Self::finished(tokio::spawn(async move {
            this.reload_in_turn(number, &client).await
        }))
        .await
    }

    /// Takes the recipes from the network, if they are newer; else nothing happens.
    /// # Errors
    /// Nothing was taken, and why.
    pub async fn fetch(self: &Arc<Self>, client: &Client) -> Result<Reloaded, Refusal> {
        let (this, client) = (Arc::clone(self), client.clone());
        Self::finished(tokio::spawn(
            async move { this.fetch_in_turn(&client).await },
        ))
        .await
    }

    /// How often to fetch.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        self.config.signed.as_ref()?.every
    }

    async fn finished(run: tokio::task::JoinHandle<ReloadResult>) -> ReloadResult {
        run.await.unwrap_or_else(|_| {
            Err(Refusal {
                kind: Kind::Internal,
                sentence: "the reload was interrupted; this is a bug in KMDS, please report it"
                    .to_owned(),
                at: SystemTime::now(),
            })
        })
    }

    async fn reload_in_turn(&self, number: u64, client: &Client) -> ReloadResult {
        let mut turn = self.turn.lock().await;
        if turn.answered >= number
            && let Some(outcome) = &turn.outcome
        {
            return outcome.clone();
        }
        turn.answered = self.asked.load(Ordering::SeqCst);
        let outcome = self.reload_now(By::Operator, client).await;
        self.tell(&outcome);
        turn.outcome = Some(outcome.clone());
        turn.refused_by_clock = false;
        outcome
    }

    async fn fetch_in_turn(&self, client: &Client) -> ReloadResult {
        let mut turn = self.turn.lock().await;
        let outcome = self.reload_now(By::Clock, client).await;
        let is_news = outcome.as_ref().map_or(true, |reloaded| reloaded.taken);
        if is_news || turn.refused_by_clock {
            self.tell(&outcome);
        }
        turn.refused_by_clock = outcome.is_err();
        outcome
    }

    async fn reload_now(&self, by: By, client: &Client) -> ReloadResult {
        let kept = self.source.as_ref().and_then(Source::kept);
        let offer = match &self.source {
            Some(source) => source.offer(client, kept.as_ref()).await,
            None => Ok(None),
        };
        let (offered, trouble) = match offer {
            Ok(offered) => (offered, None),
            Err(error) => (None, Some(error)),
        };
        if by == By::Clock && offered.is_none() {
            return match trouble {
                None | Some(OfferError::NotNewer { .. }) => Ok(self.unchanged()),
                Some(error) => Err(self.refuse(error.kind(), &error)),
            };
        }
        let reloaded = self
            .take(offered.as_ref().or(kept.as_ref()), client)
            .await?;
        if let (Some(source), Some(signed)) = (&self.source, &offered) {
            source.keep(signed);
        }
        match trouble {
            None => Ok(reloaded),
            Some(error) if reloaded.taken => Err(Refusal {
                kind: error.kind(),
                sentence: one_line(&format!(
                    "{error}; the recipes of {}, from {}, are in force now",
                    reloaded.in_force.date, reloaded.in_force.from
                )),
                at: SystemTime::now(),
            }),
            Some(error) => Err(self.refuse(error.kind(), &error)),
        }
    }

    fn unchanged(&self) -> Reloaded {
        Reloaded {
            in_force: self.status().in_force,
            taken: false,
            remark: None,
            rehearsed: Vec::new(),
        }
    }

    /// Puts the files in force as they are now.
    async fn take(&self, signed: Option<&Signed>, client: &Client) -> ReloadResult {
        let Candidate { recipes, from } =
            read(&self.config, signed).map_err(|error| self.refuse(Kind::BadRequest, &error))?;
        let old = self.shared.current();
        let taken = recipes != *old;
        let in_force = InForce {
            date: recipes.date.clone(),
            from,
        };
        let mut tried = Tried::default();
        if taken {
            tried = self.rehearse(&recipes, &old, client).await?;
            self.shared.replace(recipes);
        }
        self.status.lock().in_force = in_force.clone();
        Ok(Reloaded {
            in_force,
            taken,
            remark: tried.remark,
            rehearsed: tried.rehearsed,
        })
    }

    async fn rehearse(
        &self,
        new: &Recipes,
        old: &Recipes,
        client: &Client,
    ) -> Result<Tried, Refusal> {
        let Some(rehearsal) = &self.rehearsal else {
            return Ok(Tried::default());
        };
        let failed = rehearsal
            .compare(new, old, client)
            .await
            .map_err(|failed| self.refuse(failed.kind, &failed.sentence))?;
        let came = |link: &&Link| !failed.iter().any(|(other, _)| other == link);
        let sentences = failed.iter().map(|(link, failed)| {
            let (link, why) = (link.canonical(), &failed.sentence);
            format!("{link} cannot be fetched with the new recipes, nor with the old ones: {why}")
        });
        let remark = sentences.collect::<Vec<_>>().join("; ");
        Ok(Tried {
            remark: (!remark.is_empty()).then(|| one_line(&remark)),
            rehearsed: rehearsal
                .links()
                .iter()
                .filter(came)
                .map(Link::site)
                .collect(),
        })
    }

    fn refuse(&self, kind: Kind, why: &impl std::fmt::Display) -> Refusal {
        let date = &self.shared.current().date;
        Refusal {
            kind,
            sentence: format!(
                "{}; the recipes of {date} stay in force",
                one_line(&why.to_string())
            ),
            at: SystemTime::now(),
        }
    }

    /// Keeps the outcome for stats and readiness, and logs it.
    fn tell(&self, outcome: &ReloadResult) {
        let refused = outcome.as_ref().err();
        self.status.lock().refused = refused.cloned();
        note::keep(
            &self.state_dir,
            refused.map(|refusal| refusal.sentence.as_str()),
        );
        match outcome {
            Ok(reloaded) => tracing::info!(
                date = reloaded.in_force.date,
                from = reloaded.in_force.from,
                taken = reloaded.taken,
                remark = reloaded.remark,
                "recipes read again"
            ),
            Err(error) => tracing::error!(%error, "the recipes stay unchanged"),
        }
    }
}

/// A reason without the lines in which the TOML library shows a piece of the file.
fn one_line(why: &str) -> String {
    let is_piece = |line: &&str| line.contains(" | ") || line.trim_end().ends_with(" |");
    let lines: Vec<&str> = why
        .lines()
        .filter(|line| !is_piece(line) && !line.trim().is_empty())
        .map(str::trim)
        .collect();
    printable(&lines.join(": ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_without_the_piece_of_the_file() {
        let why = Recipes::over_built_in("date = [")
            .expect_err("no TOML")
            .to_string();
        assert_eq!(
            one_line(&why),
            "recipes: TOML parse error at line 1, column 9: unclosed array, expected `]`"
        );
    }
}
