//! `kmds serve`: settings, log, runtime and signals of the service. [`crate::run`] does the rest.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use super::Problem;
use crate::config::{Config, ignored};

/// Threads that may wait for the drive; each costs its stack only while it works.
const BLOCKING_THREADS: usize = 8;
const BLOCKING_STACK_BYTES: usize = 512 << 10;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder of finished songs
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Local folder of the catalog
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl ServeArgs {
    pub fn settings(&self) -> Result<Vec<(String, String)>, Problem> {
        let mut given: Vec<(String, String)> = Vec::new();
        given.extend(
            self.listen
                .iter()
                .map(|listen| ("server.listen".to_owned(), listen.clone())),
        );
        for (flag, key, path) in [
            ("--cache-dir", "cache.dir", &self.cache_dir),
            ("--state-dir", "state.dir", &self.state_dir),
        ] {
            let Some(path) = path else { continue };
            let text = path
                .to_str()
                .ok_or_else(|| format!("{flag} {}: this name is not UTF-8", path.display()))?;
            given.push((key.to_owned(), text.to_owned()));
        }
        Ok(given)
    }
}

/// One thread runs all tasks; a few more wait for the drive. They share one heap.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    kmds_trim::share_one_heap();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(BLOCKING_STACK_BYTES)
        .build()
}

pub fn serve(config: Config) -> Result<ExitCode, Problem> {
    if let Some(problem) = crate::log::start(LevelFilter::INFO) {
        return Err(problem.into());
    }
    for sentence in ignored() {
        tracing::warn!("{sentence}");
    }
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let stop = CancellationToken::new();
        // Signals are handled before the ready line is printed: a supervisor may send one at once.
        let signals = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        tokio::spawn(stop_on_signal(signals, stop.clone()));
        crate::run(config, stop).await.map_err(Problem::from)
    });
    // A thread that hangs on a dead network drive must not keep the process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    done.map(|()| ExitCode::SUCCESS)
}

/// The first SIGTERM or Ctrl-C stops the service in order, the second ends the process at once.
async fn stop_on_signal((mut term, mut interrupt): (Signal, Signal), stop: CancellationToken) {
    for first in [true, false] {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        if !first {
            std::process::exit(130);
        }
        tracing::info!("stopping; a second signal stops at once");
        stop.cancel();
    }
}
