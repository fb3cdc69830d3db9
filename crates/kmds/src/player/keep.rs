//! The player scripts that are kept, and the children that run them.
//!
//! Owns the folder `player` of the state folder: for each of the newest scripts its text and its prepared form. It asks
//! no site: the flow of the site fetches the texts.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kmds_extract::origin::{Challenges, ScriptError, Solved};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::oneshot;

use super::{Answers, Prepared, Questions, WALL};

/// Suffix of the note that says why a script cannot be used.
const FAILED: &str = "failed";
/// The number of kept scripts: today's, and the one before for answers that still name it.
const KEPT: usize = 2;
/// Longer than the child's own limit.
const PATIENCE: Duration = WALL.saturating_add(Duration::from_secs(5));
const MAX_OUTPUT_BYTES: u64 = 8 << 20;
const MAX_COMPLAINT_BYTES: u64 = 4 << 10;
/// Longest signature whose permutation can be asked for: two of these characters name each place.
const MOST_PLACES: usize = PLACES.len() * PLACES.len();
const PLACES: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[derive(Debug, Default)]
pub struct Solver {
    /// `None` keeps no script, so none is solved.
    folder: Option<PathBuf>,
    /// One child at a time. Questions that wait for it are asked together in the next one.
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<WaitingCall>>,
    /// The script that was used last, and whether it worked.
    last: Mutex<Option<(String, bool)>>,
    timestamps: Mutex<HashMap<String, u32>>,
    /// By player and length.
    permutations: Mutex<HashMap<(String, usize), Vec<usize>>>,
}

#[derive(Debug)]
struct WaitingCall {
    player: String,
    questions: Questions,
    answer: oneshot::Sender<Result<Answers, ScriptError>>,
}

impl Solver {
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            ..Self::default()
        }
    }

    /// The signature timestamp of a kept script.
    pub fn timestamp(&self, player: &str) -> Option<u32> {
        if let Some(known) = locked(&self.timestamps).get(player) {
            return Some(*known);
        }
        let text = std::fs::read_to_string(self.prepared(player).ok()?).ok()?;
        let timestamp = Prepared::kept(&text)?.signature_timestamp()?;
        locked(&self.timestamps).insert(player.to_owned(), timestamp);
        Some(timestamp)
    }

    pub fn last(&self) -> Option<(String, bool)> {
        locked(&self.last).clone()
    }

    /// Keeps and prepares a script.
    /// # Errors
    /// It cannot be kept, or cannot be read.
    pub async fn keep(&self, player: &str, text: Vec<u8>) -> Result<u32, ScriptError> {
        let kept = self.keep_now(player, text).await;
        if let Ok(note) = self.file(player, FAILED) {
            let _ = match &kept {
                Ok(_) => std::fs::remove_file(note),
                Err(error) => write(&note, error.0.as_bytes()),
            };
        }
        *locked(&self.last) = Some((player.to_owned(), kept.is_ok()));
        match &kept {
            Ok(timestamp) => {
                tracing::info!(player, timestamp, "YouTube's player script is prepared")
            }
            Err(error) => tracing::warn!(player, %error, "YouTube's player script is of no use"),
        }
        kept
    }

    async fn keep_now(&self, player: &str, text: Vec<u8>) -> Result<u32, ScriptError> {
        let _turn = self.turn.lock().await;
        let (whole, prepared) = (self.whole(player)?, self.prepared(player)?);
        write(&whole, &text).map_err(|error| cannot(&whole, &error))?;
        drop(text);
        let out = child(&["--prepare"], &whole, Vec::new()).await?;
        let text = String::from_utf8(out).map_err(|_| said("the child printed no text"))?;
        let timestamp = Prepared::kept(&text).and_then(|prepared| prepared.signature_timestamp());
        let timestamp = timestamp.ok_or_else(|| said("the script names no signature timestamp"))?;
        write(&prepared, text.as_bytes()).map_err(|error| cannot(&prepared, &error))?;
        self.sweep(player);
        locked(&self.timestamps).insert(player.to_owned(), timestamp);
        Ok(timestamp)
    }

    /// # Errors
    /// The script, or a challenge, is of no use.
    pub async fn solve(&self, player: &str, challenges: Challenges) -> Result<Solved, ScriptError> {
        let solved = self.solve_now(player, challenges).await;
        *locked(&self.last) = Some((player.to_owned(), solved.is_ok()));
        if let Err(error) = &solved {
            tracing::warn!(player, %error, "YouTube's player script did not solve a song's challenges");
        }
        solved
    }

    async fn solve_now(&self, player: &str, challenges: Challenges) -> Result<Solved, ScriptError> {
        let mut sig = Vec::new();
        for length in challenges.sig.iter().map(String::len) {
            if !locked(&self.permutations).contains_key(&(player.to_owned(), length)) {
                sig.extend(marks(length).ok_or_else(|| said("a signature is far too long"))?);
            }
        }
        let questions = Questions {
            n: challenges.n.clone(),
            sig,
        };
        let answers = if questions == Questions::default() {
            Answers::default()
        } else {
            self.together(player, questions).await?
        };
        let mut solved = Solved::default();
        for n in &challenges.n {
            solved.n.push(
                answers
                    .n
                    .get(n)
                    .cloned()
                    .ok_or_else(|| said("a challenge was left out"))?,
            );
        }
        for s in &challenges.sig {
            let permutation = self.permutation(player, s.len(), &answers)?;
            // It is ASCII: `Prepared::answer` accepts nothing else, and neither does this.
            let of = |place: &usize| {
                s.as_bytes()
                    .get(*place)
                    .filter(|byte| byte.is_ascii())
                    .map(|byte| char::from(*byte))
            };
            solved.sig.push(
                permutation
                    .iter()
                    .map(of)
                    .collect::<Option<_>>()
                    .ok_or_else(|| said("an odd signature"))?,
            );
        }
        Ok(solved)
    }

    /// The permutation for signatures of this length, remembered or just computed.
    fn permutation(
        &self,
        player: &str,
        length: usize,
        answers: &Answers,
    ) -> Result<Vec<usize>, ScriptError> {
        let key = (player.to_owned(), length);
        if let Some(known) = locked(&self.permutations).get(&key) {
            return Ok(known.clone());
        }
        let told = marks(length)
            .and_then(|[high, low]| told(answers.sig.get(&high)?, answers.sig.get(&low)?, length));
        let told = told.ok_or_else(|| said("the solved signature is not a permutation"))?;
        locked(&self.permutations).insert(key, told.clone());
        Ok(told)
    }

    /// Asks in one child together with all other questions for the same script.
    async fn together(&self, player: &str, questions: Questions) -> Result<Answers, ScriptError> {
        // The task that asked for all may have been dropped: then ask again.
        for _ in 0..2 {
            let (answer, told) = oneshot::channel();
            locked(&self.waiting).push(WaitingCall {
                player: player.to_owned(),
                questions: questions.clone(),
                answer,
            });
            let turn = self.turn.lock().await;
            let mut batch: Vec<WaitingCall> = Vec::new();
            locked(&self.waiting).retain_mut(|waiting| {
                let mine = waiting.player == player;
                if mine {
                    let taken = WaitingCall {
                        player: std::mem::take(&mut waiting.player),
                        questions: std::mem::take(&mut waiting.questions),
                        answer: std::mem::replace(&mut waiting.answer, oneshot::channel().0),
                    };
                    batch.push(taken);
                }
                !mine
            });
            self.answer(player, batch).await;
            drop(turn);
            if let Ok(answers) = told.await {
                return answers;
            }
        }
        Err(said("the child was ended"))
    }

    async fn answer(&self, player: &str, batch: Vec<WaitingCall>) {
        if batch.is_empty() {
            return;
        }
        let mut all = Questions::default();
        for waiting in &batch {
            all.n.extend_from_slice(&waiting.questions.n);
            all.sig.extend_from_slice(&waiting.questions.sig);
        }
        let answers = self.ask(player, &all).await;
        let alone = batch.len() > 1 && answers.is_err();
        for waiting in batch {
            // One song's invalid challenge must not fail the other songs.
            let own = if alone {
                self.ask(player, &waiting.questions).await
            } else {
                answers.clone()
            };
            let _ = waiting.answer.send(own);
        }
    }

    /// One child with the prepared script; with the whole script if that fails.
    async fn ask(&self, player: &str, questions: &Questions) -> Result<Answers, ScriptError> {
        let input =
            serde_json::to_vec(questions).map_err(|error| ScriptError(error.to_string()))?;
        let out = match child(&[], &self.prepared(player)?, input.clone()).await {
            Ok(out) => out,
            Err(_) => child(&[], &self.whole(player)?, input).await?,
        };
        serde_json::from_slice(&out)
            .map_err(|error| ScriptError(format!("the child's answer: {error}")))
    }

    fn whole(&self, player: &str) -> Result<PathBuf, ScriptError> {
        self.file(player, "whole.js")
    }

    fn prepared(&self, player: &str) -> Result<PathBuf, ScriptError> {
        self.file(player, "js")
    }

    fn file(&self, player: &str, ending: &str) -> Result<PathBuf, ScriptError> {
        let folder = self
            .folder
            .as_ref()
            .ok_or_else(|| said("no folder for player scripts"))?;
        // It becomes a name on the drive.
        let plain = player.len() == 8 && player.bytes().all(|byte| byte.is_ascii_hexdigit());
        if plain {
            Ok(folder.join(format!("{player}.{ending}")))
        } else {
            Err(said("an odd player id"))
        }
    }

    /// Removes all scripts but `player` and the newest of the others.
    fn sweep(&self, player: &str) {
        let Some(entries) = self
            .folder
            .as_ref()
            .and_then(|folder| std::fs::read_dir(folder).ok())
        else {
            return;
        };
        let mut by_player: HashMap<String, Vec<(std::time::SystemTime, PathBuf)>> = HashMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let of = name.split('.').next().unwrap_or_default().to_owned();
            let modified = entry
                .metadata()
                .and_then(|about| about.modified())
                .unwrap_or(std::time::UNIX_EPOCH);
            by_player
                .entry(of)
                .or_default()
                .push((modified, entry.path()));
        }
        by_player.remove(player);
        let newest = |files: &[(std::time::SystemTime, PathBuf)]| {
            files.iter().map(|(modified, _)| *modified).max()
        };
        let mut others: Vec<_> = by_player.into_values().collect();
        others.sort_by_key(|files| std::cmp::Reverse(newest(files)));
        for (_, path) in others.into_iter().skip(KEPT - 1).flatten() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The newest script of a folder, and its signature timestamp, or why it cannot be used; for `kmds doctor`.
#[must_use]
pub fn newest(folder: &Path) -> Option<(String, Result<u32, String>)> {
    let about =
        |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let files = std::fs::read_dir(folder).ok()?.flatten().filter_map(about);
    let told = files.filter(|(_, path)| !path.to_string_lossy().ends_with(".whole.js"));
    let (_, path) = told.max_by_key(|(modified, _)| *modified)?;
    let text = std::fs::read_to_string(&path).ok()?;
    let player = path.file_stem()?.to_string_lossy().into_owned();
    let timestamp = Prepared::kept(&text).and_then(|prepared| prepared.signature_timestamp());
    Some((player, timestamp.ok_or(text)))
}

/// Two texts of one length whose characters at a place tell that place.
fn marks(length: usize) -> Option<[String; 2]> {
    let text = |of: fn(usize) -> usize| {
        (0..length)
            .map(|place| char::from(PLACES[of(place)]))
            .collect::<String>()
    };
    (1..=MOST_PLACES)
        .contains(&length)
        .then(|| [text(|place| place / 64), text(|place| place % 64)])
}

/// The places from two answers to [`marks`].
fn told(high: &str, low: &str, length: usize) -> Option<Vec<usize>> {
    let number = |byte: u8| PLACES.iter().position(|known| *known == byte);
    let places: Option<Vec<usize>> = high
        .bytes()
        .zip(low.bytes())
        .map(|(high, low)| Some(number(high)? * 64 + number(low)?))
        .collect();
    let mut sorted = places.clone()?;
    sorted.sort_unstable();
    sorted.dedup();
    let whole = high.len() == low.len()
        && sorted.len() == high.len()
        && sorted.last().is_some_and(|last| *last < length);
    places.filter(|_| whole)
}

fn said(words: &str) -> ScriptError {
    ScriptError(words.to_owned())
}

fn cannot(path: &Path, error: &io::Error) -> ScriptError {
    ScriptError(format!("{}: {error}", path.display()))
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock()
}

/// Whole or not at all.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

/// Runs this program as `kmds solve-player`; returns its output.
async fn child(arguments: &[&str], script: &Path, input: Vec<u8>) -> Result<Vec<u8>, ScriptError> {
    // The running binary, even if the file was replaced since.
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() {
        own.to_owned()
    } else {
        std::env::current_exe().map_err(|error| cannot(own, &error))?
    };
    let mut child = Command::new(program)
        .arg("solve-player")
        .args(arguments)
        .arg(script)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| ScriptError(format!("the child does not start: {error}")))?;
    let (mut stdin, stdout, stderr) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(stdin) = &mut stdin {
            // It may end before it has read everything; then its exit code has the reason.
            let _ = stdin.write_all(&input).await;
        }
        drop(stdin.take());
    };
    let work = async {
        let ((), out, complaint, status) = tokio::join!(
            feed,
            read(stdout, MAX_OUTPUT_BYTES),
            read(stderr, MAX_COMPLAINT_BYTES),
            child.wait()
        );
        (out, complaint, status)
    };
    let done = tokio::time::timeout(PATIENCE, work).await;
    let (out, complaint, status) = done.map_err(|_| said("the child did not end in its time"))?;
    if status.is_ok_and(|status| status.success()) {
        return Ok(out);
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let words = complaint
        .lines()
        .find_map(|line| line.strip_prefix("kmds: "))
        .unwrap_or("the child was ended");
    Err(said(words))
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(pipe) = pipe {
        // A cut output is neither JSON nor a prepared script.
        let _ = pipe.take(most).read_to_end(&mut text).await;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_tell_a_permutation() {
        let [high, low] = marks(102).expect("marks");
        let places = [101, 64, 63, 0, 7];
        let of = |text: &str| {
            places
                .iter()
                .map(|place| char::from(text.as_bytes()[*place]))
                .collect::<String>()
        };
        assert_eq!(told(&of(&high), &of(&low), 102), Some(places.to_vec()));
        assert_eq!(
            told(&of(&high), &of(&low), 101),
            None,
            "a place beyond the end"
        );
        assert_eq!(told("AA", "AA", 102), None, "one place twice");
        assert_eq!(told("AB", "A", 102), None);
        assert_eq!(marks(0), None);
        assert_eq!(marks(5_000), None);
    }
}
