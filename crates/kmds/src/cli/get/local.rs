//! `kmds get` without a server: this process resolves, downloads and tags.
//!
//! Owns an application whose cache and state lie in `DIR/.kmds/`, and follows its events until every song is in the
//! target folder or has failed. Stops all downloads before it returns.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kmds_extract::Kind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::paths::{self, Destination};
use super::{End, GetArgs, Outcome, Report, WORK, Wanted, asked_to_stop};
use crate::app::{
    App, CopyForm, EventName, Failure, FetchAsk, Key, ListFacts, NotServed, Prefetch, Song, State,
    Want,
};
use crate::cli::Problem;
use crate::config::Config;

/// Events say when a song changes. This interval finds a change whose event was lost because too many came at once.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Running downloads flush what they have and stop; a dead drive must not delay the end for longer than this.
const PARK_WITHIN: Duration = Duration::from_secs(5);

/// Gets everything; true if it was interrupted.
pub async fn get(args: &GetArgs, mut config: Config, report: &Report<'_>) -> Result<bool, Problem> {
    let work = args.output.join(WORK);
    config.cache.dir = work.join("cache");
    config.cache.client_path = None;
    // Songs stay here only until they are moved to the target folder, so none is evicted.
    (
        config.cache.max_bytes,
        config.cache.max_age,
        config.cache.min_free_bytes,
    ) = (u64::MAX >> 1, None, 0);
    config.state_dir = work.join("state");
    config.webhook = None;
    let stop = CancellationToken::new();
    let app = crate::assemble(&config, stop.clone()).map_err(|error| {
        if error.is_busy() {
            return format!(
                "another `kmds get` works in {}; wait for it, or choose another -o",
                args.output.display()
            );
        }
        error.to_string()
    })?;
    app.start_asked_only().await?;
    let interrupted = tokio::select! {
        done = everything(args, &app, report) => { done?; false }
        () = asked_to_stop() => true,
    };
    stop.cancel();
    let _ = tokio::time::timeout(PARK_WITHIN, app.stopped()).await;
    Ok(interrupted)
}

async fn everything(args: &GetArgs, app: &App, report: &Report<'_>) -> Result<(), Failure> {
    let (sender, planned) = mpsc::unbounded_channel();
    let mut following = Following {
        args,
        app,
        report,
        songs: HashMap::new(),
    };
    let (done, ()) = tokio::join!(
        following.follow(planned),
        resolve(args, app, report, sender)
    );
    done
}

/// A song with its position among all, and the form that is downloaded.
type Planned = (usize, Wanted, Key);

/// Reads the links in order. A song that is not in the folder yet is queued and handed to [`Following`].
async fn resolve(
    args: &GetArgs,
    app: &App,
    report: &Report<'_>,
    sender: mpsc::UnboundedSender<Planned>,
) {
    let mut position = 0;
    for link in &args.links {
        let outcome = |title, failure: &Failure| Outcome {
            link: link.clone(),
            title,
            end: failed(failure),
        };
        let ask = FetchAsk {
            link: link.clone(),
            whole_list: args.playlist,
            accept: None,
            prefetch: Some(Prefetch::None),
        };
        let fetched = match app.fetch(ask).await {
            Ok(fetched) => fetched,
            Err(failure) => {
                report.add(position, outcome(None, &failure));
                position += 1;
                continue;
            }
        };
        for missing in fetched.unavailable {
            report.add(position, outcome(missing.title, &missing.failure));
            position += 1;
        }
        for song in Arc::unwrap_or_clone(fetched.songs) {
            let wanted = wanted(&song, fetched.list.as_ref());
            let found = paths::destination(&args.output, &wanted, song.format.ext(), |_| false);
            if let Destination::Present(path) = found {
                report.add(position, wanted.outcome(End::Present { path }));
            } else {
                report.progress.planned(&wanted);
                queue(app, &song).await;
                // `Following` ends only after this function: it still receives.
                let _ = sender.send((position, wanted, song.key));
            }
            position += 1;
        }
    }
}

/// In the order of the links; a song that failed in an earlier call is tried again.
async fn queue(app: &App, song: &Song) {
    if song.state == State::Failed {
        let _ = app.retry(&song.track.id).await;
    }
    // The expected answer is that the song is not whole yet; `Following` finds out whether it fails.
    let _ = app.audio(&song.key, Want::Whole).await;
}

fn wanted(song: &Song, list: Option<&ListFacts>) -> Wanted {
    let track = song.track.clone();
    Wanted {
        id: track.id.to_string(),
        link: track.link,
        title: track.title,
        artist: track.artist,
        album: track.album,
        album_artist: track.album_artist,
        number: track.number,
        total: track.total,
        list: list.and_then(|list| list.title.clone()),
        duration: track.duration,
        file_name: song.file_name.clone(),
        ext: song.format.ext().to_owned(),
        size_bytes: song.total.or(song.approximate_size),
    }
}

fn failed(failure: &Failure) -> End {
    let (kind, reason) = (failure.kind.as_str().to_owned(), failure.sentence.clone());
    End::Failed {
        kind,
        reason,
        retryable: failure.retryable(),
    }
}

/// One download, and all songs of the call that it is for: a song may stand in two lists.
#[derive(Debug)]
struct Download {
    key: Key,
    /// The copy with tags, once the original is there.
    copy: Option<Key>,
    wanted: Vec<(usize, Wanted)>,
}

struct Following<'a> {
    args: &'a GetArgs,
    app: &'a App,
    report: &'a Report<'a>,
    /// By `SITE-ID`.
    songs: HashMap<String, Download>,
}

impl Following<'_> {
    /// Returns when all links are read and all their songs are in the folder or have failed.
    async fn follow(
        &mut self,
        mut planned: mpsc::UnboundedReceiver<Planned>,
    ) -> Result<(), Failure> {
        let mut events = self.app.events(None);
        let mut look = tokio::time::interval(LOOK_AGAIN);
        let mut more = true;
        while more || !self.songs.is_empty() {
            tokio::select! {
                song = planned.recv(), if more => match song {
                    None => more = false,
                    Some((position, wanted, key)) => {
                        let id = wanted.id.clone();
                        let download = Download { key, copy: None, wanted: Vec::new() };
                        self.songs.entry(id.clone()).or_insert(download).wanted.push((position, wanted));
                        self.step(&id).await?;
                    }
                },
                event = events.next() => {
                    let Some(event) = event else { return Ok(()) };
                    let id = event.key.track().to_string();
                    if !self.songs.contains_key(&id) {
                        continue;
                    }
                    match event.name {
                        EventName::Progress if event.state == State::Downloading =>
                            self.report.progress.progress(&id, event.received, event.total),
                        EventName::Progress => {}
                        EventName::Track => self.step(&id).await?,
                    }
                }
                _ = look.tick() => {
                    let ids: Vec<String> = self.songs.keys().cloned().collect();
                    for id in ids {
                        self.step(&id).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks at the state of one song, and takes the next step: download, copy with tags, move.
    async fn step(&mut self, id: &str) -> Result<(), Failure> {
        loop {
            let Some(download) = self.songs.get(id) else {
                return Ok(());
            };
            let key = download
                .copy
                .clone()
                .unwrap_or_else(|| download.key.clone());
            match self.app.audio(&key, Want::Peek).await.map(drop) {
                Err(NotServed::Unfinished { .. }) => return Ok(()),
                Ok(()) if download.copy.is_some() || self.args.no_tags => {
                    return self.place(id, &key, None).await;
                }
                Ok(()) => {
                    let copy = self.app.form(key.track(), &CopyForm::TAGGED.into()).await?;
                    let Some(download) = self.songs.get_mut(id) else {
                        return Ok(());
                    };
                    download.copy = copy;
                }
                Err(NotServed::Failed(failure)) if download.copy.is_some() => {
                    // A container without tags is still a song.
                    let (key, note) = (download.key.clone(), format!("without tags: {failure}"));
                    return self.place(id, &key, Some(note)).await;
                }
                Err(NotServed::Failed(failure)) => {
                    self.end(id, |_| failed(&failure));
                    return Ok(());
                }
                Err(NotServed::Unknown) => {
                    let failure =
                        Failure::new(Kind::Cancelled, "the song was removed meanwhile; ask again");
                    self.end(id, |_| failed(&failure));
                    return Ok(());
                }
            }
        }
    }

    /// Moves a song from the work folder to each place in the target folder that it is for.
    async fn place(&mut self, id: &str, key: &Key, note: Option<String>) -> Result<(), Failure> {
        let Some(file) = self.app.local_file(key).await? else {
            return Ok(());
        };
        let Some(download) = self.songs.get(id) else {
            return Ok(());
        };
        let mut ends = Vec::new();
        for (at, (_, wanted)) in download.wanted.iter().enumerate() {
            let last = at + 1 == download.wanted.len();
            ends.push(
                put(
                    file.clone(),
                    self.args.output.clone(),
                    wanted.clone(),
                    note.clone(),
                    last,
                )
                .await,
            );
        }
        let track = key.track().clone();
        let mut ends = ends.into_iter();
        self.end(id, |_| {
            ends.next().unwrap_or_else(|| disk("its folder is gone"))
        });
        self.app.delete(&track).await.map(drop)
    }

    fn end(&mut self, id: &str, mut end: impl FnMut(&Wanted) -> End) {
        let Some(download) = self.songs.remove(id) else {
            return;
        };
        for (position, wanted) in download.wanted {
            let end = end(&wanted);
            self.report
                .progress
                .ended(id, !matches!(end, End::Failed { .. }));
            self.report.add(position, wanted.outcome(end));
        }
    }
}

/// Runs on a thread that may wait for the drive. Each place gets a file of its own: only the last one gets this file,
/// the others get copies.
async fn put(
    file: PathBuf,
    root: PathBuf,
    wanted: Wanted,
    note: Option<String>,
    last: bool,
) -> End {
    let placing = tokio::task::spawn_blocking(move || {
        let ext = file
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = std::fs::metadata(&file)?.len();
        let own = if last {
            file.clone()
        } else {
            file.with_extension("copy")
        };
        if !last {
            std::fs::copy(&file, &own)?;
        }
        let put = paths::put(&own, &root, &wanted, &ext);
        if !last {
            let _ = std::fs::remove_file(&own);
        }
        Ok::<_, std::io::Error>((put?, bytes))
    });
    match placing.await {
        Ok(Ok((Destination::Free(path), bytes))) => End::Saved { path, bytes, note },
        Ok(Ok((Destination::Present(path), _))) => End::Present { path },
        Ok(Err(error)) => disk(&error.to_string()),
        Err(error) => disk(&error.to_string()),
    }
}

fn disk(why: &str) -> End {
    let reason = format!("the song was downloaded, but could not be moved to its place: {why}");
    End::Failed {
        kind: Kind::Internal.as_str().to_owned(),
        reason,
        retryable: true,
    }
}
