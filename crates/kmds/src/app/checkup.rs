//! What `kmds doctor` looks at, and the keeping of the catalog by hand.
//!
//! Owns the questions an operator asks of a cache and of the tools beside us. Hides rows and processes. Never judges:
//! what a finding means is said where it is printed.

use super::words::{Key, Song};
use super::{App, Failure, store_failure};
use crate::config::Config;
use crate::convert::Ffmpeg;
use crate::engine::YtDlp;
pub use crate::engine::{About, Remark, remarks};
use crate::origin::{Client, ClientConfig, SharedRecipes};

/// What the cache's drive can do. `sentences` tell what is wrong, the worst first.
#[derive(Debug, Clone)]
pub struct Drive {
    pub usable: bool,
    pub free_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
    pub sentences: Vec<String>,
}

/// What the programs beside us say of themselves, or why they do not run.
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
        // A folder of its own: where the service's cannot be used, that is no fault of yt-dlp.
        let own = std::env::temp_dir().join(format!("kmds-doctor-{}", std::process::id()));
        let config = Config {
            state_dir: own.clone(),
            ..config.clone()
        };
        let about = async {
            // It tells of itself without going out.
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
    /// Tries what publishing needs of the cache's drive.
    /// # Errors
    /// It could not be tried.
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

    /// Hashes every finished file; those that are not as they were published are evicted. Each with whether it is good.
    /// # Errors
    /// The drive or the catalog failed.
    pub async fn verify(&self) -> Result<Vec<(Key, bool)>, Failure> {
        let mut verdicts: Vec<_> = self
            .inner
            .store
            .verify()
            .await
            .map_err(store_failure)?
            .into_iter()
            .collect();
        verdicts.sort_by_key(|(key, _)| key.to_string());
        Ok(verdicts)
    }

    /// Evicts what is older than `cache.max_age`; how many files.
    /// # Errors
    /// The drive or the catalog failed.
    pub async fn prune(&self) -> Result<usize, Failure> {
        self.inner.store.prune().await.map_err(store_failure)
    }

    /// Reads every sidecar on the drive into the catalog; how many songs were found.
    /// # Errors
    /// The catalog failed.
    pub async fn rebuild(&self) -> Result<usize, Failure> {
        self.inner.store.rebuild().await.map_err(store_failure)
    }
}

impl Song {
    /// `SITE-ID`, as people name a song.
    #[must_use]
    pub fn name(&self) -> String {
        self.track.id.to_string()
    }
}
