//! The operator's commands for the cache and the tools beside the service (`kmds doctor`, `kmds cache`), and the task
//! that keeps the cache within its limits.
//!
//! This module makes no judgement: the code that prints a finding says what it means.

use std::time::Duration;

use kmds_extract::Failure;

use super::api::Song;
use super::{App, Inner};
use crate::config::Config;
use crate::convert::Ffmpeg;
use crate::engine::YtDlp;
pub use crate::engine::{About, Remark, remarks};
use crate::jobs::store_failure;
use crate::origin::{Client, ClientConfig, SharedRecipes};
use crate::random;
pub use crate::store::Verified;

/// How often files that are too old are searched.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// What the cache's drive can do. `sentences` are the problems, the worst first.
#[derive(Debug, Clone)]
pub struct Drive {
    pub usable: bool,
    pub free_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
    pub sentences: Vec<String>,
}

/// What yt-dlp and ffmpeg say about themselves, or why they do not run.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `None`: switched off.
    pub ytdlp: Option<Result<About, String>>,
    pub ffmpeg: Result<String, String>,
}

/// Asks both programs about themselves.
pub async fn tools(config: &Config) -> Tools {
    let ytdlp = async {
        if !config.ytdlp.enabled {
            return None;
        }
        // Its own folder: if the service's folder cannot be used, that is not a fault of yt-dlp.
        let own = match random::temporary_folder("doctor") {
            Ok(own) => own,
            Err(error) => return Some(Err(format!("a temporary folder cannot be made: {error}"))),
        };
        let config = Config {
            state_dir: own.clone(),
            ..config.clone()
        };
        let about = async {
            // For this yt-dlp uses no network.
            let client = Client::new(&ClientConfig::default(), SharedRecipes::default());
            let client = client.map_err(|error| error.to_string())?;
            let tool = YtDlp::new(&config, client, SharedRecipes::default());
            tool.about().await.map_err(|error| error.to_string())
        };
        let about = about.await;
        let _ = std::fs::remove_dir_all(own);
        Some(about)
    };
    let ffmpeg = async {
        Ffmpeg::new(&config.ffmpeg)
            .version()
            .await
            .map_err(|error| error.to_string())
    };
    let (ytdlp, ffmpeg) = tokio::join!(ytdlp, ffmpeg);
    Tools { ytdlp, ffmpeg }
}

impl App {
    /// Tests what publishing needs of the cache's drive.
    /// # Errors
    /// The drive could not be tested.
    pub async fn drive(&self) -> Result<Drive, Failure> {
        let report = self
            .inner
            .store
            .probe_drive()
            .await
            .map_err(store_failure)?;
        Ok(Drive {
            usable: report.writable && report.renames_over,
            free_bytes: report.free_bytes,
            total_bytes: report.total_bytes,
            sentences: report.sentences,
        })
    }

    /// Hashes every finished file; changed files are evicted. Counts the catalog's sums again.
    /// # Errors
    /// The drive or the catalog failed.
    pub async fn verify(&self) -> Result<Verified, Failure> {
        self.inner.store.verify().await.map_err(store_failure)
    }

    /// Evicts files that are older than `cache.max_age`; returns how many.
    /// # Errors
    /// The drive or the catalog failed.
    pub async fn prune(&self) -> Result<usize, Failure> {
        self.inner.store.prune().await.map_err(store_failure)
    }

    /// Reads every sidecar on the drive into the catalog; returns how many songs were found.
    /// # Errors
    /// The catalog failed.
    pub async fn rebuild(&self) -> Result<usize, Failure> {
        self.inner.store.rebuild().await.map_err(store_failure)
    }
}

impl Inner {
    /// Makes catalog and drive agree once, then evicts files that are too old from time to time, and what is beyond a
    /// budget that was lowered. It never ends; drop it to stop.
    pub(super) async fn housekeeping(&self) {
        match self.store.probe_drive().await {
            Ok(report) => report
                .sentences
                .iter()
                .for_each(|sentence| tracing::warn!("{sentence}")),
            Err(error) => tracing::warn!(%error, "the cache drive could not be tested"),
        }
        match self.store.tidy().await {
            Ok(tidied) => tracing::debug!(?tidied, "catalog and drive agree"),
            Err(error) => tracing::warn!(%error, "catalog and drive could not be compared"),
        }
        loop {
            self.covers.sweep().await;
            let evicted = tokio::select! {
                () = tokio::time::sleep(PRUNE_EVERY) => self.store.prune().await.map(drop),
                shrunk = self.store.shrink() => shrunk,
                () = self.store.note_needed() => Ok(()),
            };
            if let Err(error) = evicted {
                tracing::warn!(%error, "files that are too old or too many could not be evicted");
            }
        }
    }
}

impl Song {
    /// `SITE-ID`, as people name a song.
    #[must_use]
    pub fn name(&self) -> String {
        self.track.id.to_string()
    }
}
