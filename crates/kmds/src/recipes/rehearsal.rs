//! A rehearsal: recipes that are not in force yet must fetch the beginning of a known song of each site.
//!
//! Owns the songs, how much of each is fetched, the time limit, and the comparison with the recipes in force. The
//! requests use the service's own way out, under the rules that the new recipes set. A rehearsal learns nothing: it
//! begins without visitor ids and scripts, like a new service, and leaves no row and no file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kmds_extract::choose::{Accept, choose};
use kmds_extract::{ExtractError, Kind, Lack, Link, Origin, Recipes, Resolved, Stream, Track};

use crate::download::{self, DownloadError};
use crate::origin::Client;

/// Bytes of audio that must arrive.
const AUDIO_BYTES: usize = 64 << 10;
/// Time for a song's metadata, and the same time for its audio.
const WITHIN: Duration = Duration::from_secs(30);
/// Longest wait for the advertisements that the site believes to run before the audio.
const ADVERTISEMENTS: Duration = Duration::from_secs(180);

/// The songs of the rehearsal, one for each site.
#[derive(Debug)]
pub struct Rehearsal {
    links: Vec<Link>,
    accept: Accept,
    /// The folder for YouTube's player script, if one is needed; it is removed afterwards.
    folder: PathBuf,
}

/// Why a song could not be fetched.
#[derive(Debug)]
pub struct Failed {
    pub kind: Kind,
    pub sentence: String,
}

impl Rehearsal {
    /// `None` without links: then no host is contacted.
    pub fn new(links: &[Link], accept: &Accept, state_dir: &Path) -> Option<Self> {
        (!links.is_empty()).then(|| Self {
            links: links.to_vec(),
            accept: accept.clone(),
            folder: state_dir.join("rehearsal"),
        })
    }

    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Whether `new` may replace `old`: each song can be fetched with `new`, or with neither. Then the sentences name
    /// the songs that cannot.
    /// # Errors
    /// A song can be fetched with `old` and not with `new`.
    pub async fn compare(
        &self,
        new: &Recipes,
        old: &Recipes,
        client: &Client,
    ) -> Result<Vec<(&Link, Failed)>, Failed> {
        let failed = self.run(new, &self.links, client).await;
        let links: Vec<Link> = failed.iter().map(|(link, _)| (*link).clone()).collect();
        let failed_before = self.run(old, &links, client).await;
        let mut both = Vec::new();
        for (link, now) in failed {
            if !failed_before.iter().any(|(before, _)| *before == link) {
                return Err(Failed {
                    kind: now.kind,
                    sentence: format!(
                        "with the new recipes, dated {}, {} cannot be fetched: {}; with those in force it can",
                        new.date,
                        link.canonical(),
                        now.sentence
                    ),
                });
            }
            both.push((link, now));
        }
        Ok(both)
    }

    /// The songs that cannot be fetched with these recipes.
    async fn run<'a>(
        &'a self,
        recipes: &Recipes,
        links: &[Link],
        client: &Client,
    ) -> Vec<(&'a Link, Failed)> {
        if links.is_empty() {
            return Vec::new();
        }
        let folder = Scratch::new(&self.folder);
        let client = &client.rehearsing(recipes.clone(), folder.0.to_owned());
        let songs = self.links.iter().filter(|link| links.contains(link));
        let songs = songs.map(|link| async move {
            let outcome = song(link, recipes, client, &self.accept).await;
            outcome.err().map(|failed| (link, failed))
        });
        futures_util::future::join_all(songs)
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

/// A folder that is empty at the beginning and removed at the end.
struct Scratch<'a>(&'a Path);

impl<'a> Scratch<'a> {
    fn new(folder: &'a Path) -> Self {
        // Files that a killed process has left.
        let _ = std::fs::remove_dir_all(folder);
        Self(folder)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0);
    }
}

async fn song(
    link: &Link,
    recipes: &Recipes,
    client: &Client,
    accept: &Accept,
) -> Result<(), Failed> {
    let track = bounded(resolve(link, recipes, client)).await?;
    let ready = track
        .streams
        .iter()
        .filter_map(|stream| stream.available_unix)
        .max();
    let wait = Duration::from_secs(ready.map_or(0, |at| at.saturating_sub(client.now_unix())));
    tokio::time::sleep(wait.min(ADVERTISEMENTS)).await;
    bounded(audio(&track, recipes, client, accept)).await
}

async fn bounded<T>(step: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let late = |_| Failed {
        kind: Kind::Timeout,
        sentence: format!("it takes longer than {} s", WITHIN.as_secs()),
    };
    tokio::time::timeout(WITHIN, step).await.map_err(late)?
}

async fn resolve(link: &Link, recipes: &Recipes, client: &Client) -> Result<Track, Failed> {
    let track = match kmds_extract::resolve(link, client, recipes).await? {
        Resolved::Track(track) => *track,
        Resolved::Collection(_) => {
            return Err(Failed {
                kind: Kind::UnsupportedLink,
                sentence: "it leads to a list; name a song in recipes.canary".to_owned(),
            });
        }
    };
    if !track.streams.is_empty() {
        return Ok(track);
    }
    let fresh = kmds_extract::refresh(&track.source, Lack::Streams, client, recipes).await?;
    Ok(fresh.track)
}

/// Fetches audio from the first stream that works, in the order in which a job tries them.
async fn audio(
    track: &Track,
    recipes: &Recipes,
    client: &Client,
    accept: &Accept,
) -> Result<(), Failed> {
    let mut last = Failed::from(kmds_extract::all_gone(track));
    for choice in choose(&track.streams, accept) {
        match beginning(&choice.stream, recipes, client).await {
            Ok(()) => return Ok(()),
            Err(failed) => last = failed,
        }
    }
    Err(last)
}

async fn beginning(stream: &Stream, recipes: &Recipes, client: &Client) -> Result<(), Failed> {
    let stream = kmds_extract::locate(stream, client, recipes).await?;
    let mut download = download::open(&stream, None, client, recipes).await?;
    let mut received = 0;
    while received < AUDIO_BYTES
        && let Some(chunk) = download.next().await?
    {
        received += chunk.len();
    }
    if received < AUDIO_BYTES {
        return Err(Failed {
            kind: Kind::Truncated,
            sentence: format!("the canary's audio ends after {received} bytes"),
        });
    }
    Ok(())
}

impl From<ExtractError> for Failed {
    fn from(error: ExtractError) -> Self {
        Self {
            kind: error.kind(),
            sentence: error.to_string(),
        }
    }
}

impl From<DownloadError> for Failed {
    fn from(error: DownloadError) -> Self {
        Self {
            kind: error.kind(),
            sentence: error.to_string(),
        }
    }
}
