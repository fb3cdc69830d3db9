//! Songs put into the operator's music library, the folder `library.dir`.
//!
//! Owns the runs: each takes the songs of one link, one after the other in a task of its own, waits for the tagged copy
//! and hands it to the store. A run is kept in memory only, some time after its end too, so that clients can ask what
//! came of it. After a restart the same request does what is left: songs that are in the folder stay as they are. Calls
//! to the drive come one after the other, and wait for their turn without a thread: a drive that hangs takes one
//! thread. The lock of the runs is taken before that of one run; neither is held across an await.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kmds_extract::{Failure, Format, Kind, Site};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::api::{
    Audio, CopyForm, FetchAsk, Fetched, Key, LibraryFailure, LibraryRun, NotServed, RunState, Song,
    Want,
};
use super::folders::{Filed, filed};
use super::{App, Inner};
use crate::jobs::{formats, internal, store_failure};
use crate::random;
use crate::store::{MusicError, MusicFolder, Put, Store};

/// Runs at once; a run costs some hundred bytes a song.
const MOST_RUNNING: usize = 8;
/// Runs that are remembered.
const MOST_KEPT: usize = 64;
/// Failures of one run that are told one by one.
const MOST_TOLD: usize = 100;
/// A song is waited for in steps of so long.
const STEP: Duration = Duration::from_secs(300);
/// A look at the drive waits for so long, while songs are written and where the drive hangs.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// The folder and its runs; nothing of it is there without `library.dir`.
pub(super) struct Music {
    folder: Arc<MusicFolder>,
    /// One call at a time.
    drive: Arc<Semaphore>,
    /// One place for each run that may be under way.
    places: Arc<Semaphore>,
    runs: Mutex<VecDeque<Run>>,
}

/// One run, and what was asked for.
#[derive(Clone)]
struct Run {
    /// The link as it was sent, and whether its whole list was meant.
    asked: (String, bool),
    of: (Site, String),
    now: Arc<Mutex<LibraryRun>>,
}

/// A song on its way.
struct Waiting {
    key: Key,
    title: String,
    link: String,
    duration: Option<Duration>,
    /// Its folders, and its name without extension.
    path: Vec<String>,
}

impl Music {
    pub(super) fn new(store: &Store, dir: PathBuf) -> Self {
        Self {
            folder: Arc::new(store.music_folder(dir)),
            drive: Arc::new(Semaphore::new(1)),
            places: Arc::new(Semaphore::new(MOST_RUNNING)),
            runs: Mutex::default(),
        }
    }

    /// Runs what waits for the drive on a thread, when no other call does.
    async fn on_drive<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&MusicFolder) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let broke_off = || internal("writing to library.dir broke off");
        let turn = Arc::clone(&self.drive).acquire_owned().await;
        let turn = turn.map_err(|_| broke_off())?;
        let folder = Arc::clone(&self.folder);
        let done = tokio::task::spawn_blocking(move || {
            // The thread owns it: the request may be gone before the drive answers.
            let _turn = turn;
            deed(&folder)
        });
        done.await.map_err(|_| broke_off())
    }

    async fn look(&self) -> Result<(), Failure> {
        let looked = self.on_drive(MusicFolder::look);
        let Ok(looked) = tokio::time::timeout(LOOK_WITHIN, looked).await else {
            let sentence = "the drive of library.dir is busy or does not answer; try again in a moment, and look at the drive if it stays so";
            return Err(Failure::new(Kind::QueueFull, sentence).after(Duration::from_secs(10)));
        };
        looked?.map_err(|error| music_failure(&error))
    }

    /// A place among the runs.
    fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let sentence = format!(
                "{MOST_RUNNING} lists are on their way into the library already; try again when one is there"
            );
            Failure::new(Kind::QueueFull, sentence).after(Duration::from_secs(30))
        })
    }

    /// The run under way that a request for this link has begun.
    fn running(&self, asked: &(String, bool)) -> Option<LibraryRun> {
        let runs = self.runs.lock();
        let mut of_link = runs.iter().filter(|run| run.asked == *asked);
        let run = of_link.find(|run| run.is_running())?;
        let now = run.now.lock().clone();
        Some(now)
    }

    /// The run that takes the same songs already, or a new one; the second says which.
    fn begin(&self, asked: (String, bool), fetched: &Fetched) -> (Run, bool) {
        let of = (fetched.site, fetched.id.clone());
        let mut runs = self.runs.lock();
        let mut running = runs.iter().filter(|run| run.is_running());
        if let Some(run) = running.find(|run| run.of == of) {
            return (run.clone(), false);
        }
        if runs.len() >= MOST_KEPT
            && let Some(ended) = runs.iter().position(|run| !run.is_running())
        {
            runs.remove(ended);
        }
        let run = Run {
            asked,
            of,
            now: Arc::new(Mutex::new(LibraryRun::new(random::id(), fetched))),
        };
        runs.push_back(run.clone());
        (run, true)
    }

    fn find(&self, id: &str) -> Option<LibraryRun> {
        let runs = self.runs.lock();
        runs.iter()
            .map(|run| run.now.lock())
            .find(|now| now.id == id)
            .map(|now| now.clone())
    }
}

impl Run {
    fn is_running(&self) -> bool {
        self.now.lock().state == RunState::Running
    }
}

impl LibraryRun {
    fn new(id: String, fetched: &Fetched) -> Self {
        let list = fetched.list.as_ref().and_then(|list| list.title.clone());
        let first = fetched.songs.first().map(|song| song.track.title.clone());
        let unavailable = fetched.unavailable.iter().map(|missing| LibraryFailure {
            title: missing.title.clone(),
            failure: missing.failure.clone(),
        });
        Self {
            id,
            title: list.or(first),
            state: RunState::Running,
            songs: fetched.songs.len() + fetched.unavailable.len(),
            placed: 0,
            present: 0,
            failed: fetched.unavailable.len(),
            path: None,
            failures: unavailable.take(MOST_TOLD).collect(),
            failure: None,
        }
    }

    /// Notes where a song stands; the path is that of one song, or the folder that they share.
    fn note(&mut self, put: Put) {
        let path = match put {
            Put::New(path) => {
                self.placed += 1;
                path
            }
            Put::There(path) => {
                self.present += 1;
                path
            }
        };
        let folder = |path: &str| {
            path.rsplit_once('/')
                .map_or("", |(above, _)| above)
                .to_owned()
        };
        self.path = match self.path.take() {
            None if self.placed + self.present == 1 => Some(path),
            Some(known) if known == folder(&path) || folder(&known) == folder(&path) => {
                Some(folder(&path))
            }
            _ => Some(String::new()),
        };
    }

    fn miss(&mut self, title: String, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < MOST_TOLD {
            let title = Some(title);
            self.failures.push(LibraryFailure { title, failure });
        }
    }

    fn end(&mut self, end: Result<(), Failure>) {
        self.failure = end.err();
        self.state = if self.failure.is_some() {
            RunState::Failed
        } else {
            RunState::Done
        };
        let (placed, present, failed) = (self.placed, self.present, self.failed);
        tracing::info!(title = ?self.title, placed, present, failed, failure = ?self.failure, "songs are in library.dir");
    }
}

impl App {
    /// Whether songs can be put into a library: `library.dir` is set.
    #[must_use]
    pub fn has_library(&self) -> bool {
        self.inner.music.is_some()
    }

    /// Begins to put the songs of a link into the library; goes on in the background.
    /// # Errors
    /// There is no library, its folder cannot be written, too many runs are under way, or the link brings no songs.
    pub async fn into_library(&self, ask: FetchAsk) -> Result<LibraryRun, Failure> {
        let music = self.inner.music()?;
        let asked = (ask.link.clone(), ask.whole_list);
        // Before the site is asked: a request that finds no place costs nothing.
        let place = match music.place() {
            Ok(place) => place,
            Err(full) => return music.running(&asked).ok_or(full),
        };
        music.look().await?;
        let fetched = self.fetch(ask).await?;
        let (run, is_new) = music.begin(asked, &fetched);
        if is_new {
            let (app, of) = (self.clone(), Arc::clone(&run.now));
            let songs = waiting(fetched);
            self.until_stopped(async move {
                let end = app.fill_library(songs, &of).await;
                // A client that sees the end finds the place free.
                drop(place);
                of.lock().end(end);
            });
        }
        let now = run.now.lock().clone();
        Ok(now)
    }

    /// How far a run is; `None` if it is not known any more.
    /// # Errors
    /// There is no library.
    pub fn library_run(&self, id: &str) -> Result<Option<LibraryRun>, Failure> {
        Ok(self.inner.music()?.find(id))
    }

    /// Looks whether songs can be put into the library; `None` without one.
    pub async fn look_at_library(&self) -> Option<Result<(), Failure>> {
        Some(self.inner.music.as_ref()?.look().await)
    }

    /// Puts the songs there one by one.
    /// # Errors
    /// The folder takes no more.
    async fn fill_library(
        &self,
        songs: Vec<Waiting>,
        run: &Mutex<LibraryRun>,
    ) -> Result<(), Failure> {
        for song in songs {
            match self.put_in_library(&song).await {
                Ok(Ok(put)) => run.lock().note(put),
                Ok(Err(error)) if error.is_of_the_drive() => return Err(music_failure(&error)),
                Ok(Err(error)) => run.lock().miss(song.title, music_failure(&error)),
                Err(failure) => run.lock().miss(song.title, failure),
            }
        }
        Ok(())
    }

    async fn put_in_library(&self, song: &Waiting) -> Result<Result<Put, MusicError>, Failure> {
        let audio = self.tagged(song).await?;
        let ext = audio.file_name.rsplit_once('.');
        let format = ext.and_then(|(_, ext)| Format::parse(ext));
        let (Some(format), Some(size)) = (format, audio.total) else {
            return Err(internal("a finished song has no length or no format"));
        };
        let file = audio.reader.file().map_err(store_failure)?;
        let (path, link, duration) = (song.path.clone(), song.link.clone(), song.duration);
        let put = self.inner.music()?.on_drive(move |folder| {
            // While it is open the song is not evicted.
            let audio = audio;
            let is_song = |there: &std::fs::File| formats::is_song(there, &link, format, duration);
            let put = folder.put((&file, size), &path, format.ext(), is_song);
            drop(audio);
            put
        });
        put.await
    }

    /// The copy with tags; of a container that holds none, or of a song whose tags cannot be written, the original.
    async fn tagged(&self, song: &Waiting) -> Result<Audio, Failure> {
        let copy = self
            .form(song.key.track(), &CopyForm::TAGGED.into())
            .await?;
        let copy = copy.ok_or_else(removed)?;
        match self.whole(&copy).await {
            Err(failure) if failure.kind != Kind::Cancelled => {
                self.whole(&song.key).await.map_err(|_| failure)
            }
            audio => audio,
        }
    }

    /// Waits until a form is ready or has failed.
    async fn whole(&self, key: &Key) -> Result<Audio, Failure> {
        loop {
            match self.audio(key, Want::WholeWithin(STEP)).await {
                Ok(audio) => return Ok(audio),
                Err(NotServed::Failed(failure)) => return Err(failure),
                Err(NotServed::Unknown) => return Err(removed()),
                Err(NotServed::Unfinished { .. }) if self.inner.closing.is_cancelled() => {
                    let sentence = "the service stops; ask again when it runs";
                    return Err(Failure::new(Kind::Cancelled, sentence));
                }
                Err(NotServed::Unfinished { .. }) => {}
            }
        }
    }
}

impl Inner {
    fn music(&self) -> Result<&Music, Failure> {
        self.music.as_ref().ok_or_else(|| {
            let sentence = "this service has no music library; set library.dir to the folder that your player watches";
            Failure::new(Kind::NotFound, sentence)
        })
    }
}

fn removed() -> Failure {
    Failure::new(Kind::Cancelled, "the song was removed meanwhile; ask again")
}

fn music_failure(error: &MusicError) -> Failure {
    tracing::warn!(%error, "library.dir");
    let kind = match error {
        MusicError::Full => Kind::DiskFull,
        _ => Kind::Internal,
    };
    Failure::new(kind, error.to_string())
}

/// What a run needs of the songs; the reply to the fetch is not held for so long.
fn waiting(fetched: Fetched) -> Vec<Waiting> {
    let list = fetched.list.as_ref().and_then(|list| list.title.as_deref());
    let place = |song: &Song| {
        let track = &song.track;
        Waiting {
            key: song.key.clone(),
            title: track.title.clone(),
            link: track.link.clone(),
            duration: track.duration,
            path: filed(&Filed::of(song, list)),
        }
    };
    fetched.songs.iter().map(place).collect()
}
