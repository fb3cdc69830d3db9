//! The making of songs: from a key in the queue to a file on the drive.
//!
//! Knows no `App`, no client and no wire shape. `app` puts songs into the [`Table`], asks it how far they are, and
//! reads what is finished through [`Demand`]; this module does everything between, in one task for each job
//! ([`Workers`]).
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`queue`], [`lane`], [`limits`] | which song is next, of all and in one lane; how long a limit of a site is waited for (all pure) |
//! | [`table`], [`requesters`], [`events`] | the jobs that wait or run, who asked for them, and the events of them |
//! | [`job`] | one job, and what its watchers see |
//! | [`demand`] | a client needs a song: it is ready, or goes to the front of the queue |
//! | [`worker`] | starts jobs, and notes how each one ended |
//! | [`run`], [`attempts`] | one job: the loop over engines, streams and restarts; what follows each failure (pure) |
//! | [`elsewhere`], [`arrival`] | a song with several hosts: which node fetches it; its bytes from there |
//! | [`offers`], [`held_streams`] | which streams the site offers now; signed URLs that wait to be used |
//! | [`fill`], [`rewrite`] | writing a stream's bytes into a file; re-wrapping, extracting or converting them on the way |
//! | [`renditions`], [`covers`] | copies of a finished song, made on request; pictures |
//! | [`formats`], [`names`] | which format a client will get; file names for people |
//!
//! Imports go up this table or stay in a row, never down: `run` names `fill`, `fill` never names `run`
//! (`tests/layers.rs` holds the pairs that matter).

mod arrival;
mod attempts;
pub(crate) mod covers;
mod demand;
mod elsewhere;
mod events;
mod fill;
pub(crate) mod formats;
mod held_streams;
mod job;
mod lane;
mod limits;
pub(crate) mod names;
mod offers;
mod queue;
mod renditions;
mod requesters;
mod rewrite;
mod run;
mod table;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use kmds_extract::{Failure, Kind, Site};

use crate::cluster::{Closed, Peers, longer};
use crate::config::OpusForm;
use crate::convert::Ffmpeg;
use crate::engine::Engines;
use crate::metrics::Metrics;
use crate::origin::{Client, SharedRecipes};
use crate::store::{Store, StoreError};
use covers::Covers;

pub use demand::{Absent, Demand, Standing};
pub use events::{Event, EventName, Events, News, Origin};
pub use held_streams::HeldStreams;
pub use job::{Job, Status};
pub use lane::{LaneId, Requester};
pub use names::sanitize;
pub use queue::Queue;
pub use table::Table;
pub use worker::Workers;

/// The parts of the service that jobs use. One value for all jobs; it holds no lock.
pub struct Context {
    pub store: Store,
    pub client: Client,
    pub engines: Engines,
    pub ffmpeg: Ffmpeg,
    pub recipes: SharedRecipes,
    pub metrics: Arc<Metrics>,
    pub covers: Arc<Covers>,
    pub streams: Arc<HeldStreams>,
    pub demand: Demand,
    /// The target format of Opus for a client that does not play it.
    pub opus: OpusForm,
    /// Which sites are switched on.
    pub sites: BTreeMap<Site, bool>,
    pub peers: Peers,
}

impl Context {
    fn table(&self) -> &Table {
        self.demand.table()
    }

    /// How long this address sends no request to the site, and why.
    fn closed(&self, site: Site) -> Option<Closed> {
        let said = self.engines.limited(site);
        longer(said.as_ref().and_then(Closed::by), self.peers.closed(site))
    }

    fn fetches(&self, site: Site) -> bool {
        self.sites.get(&site).copied().unwrap_or(false)
    }

    /// How long none of the nodes that fetch from the site may ask it, this one included; `None` where one may, or
    /// where there is none.
    fn all_closed(&self, site: Site) -> Option<Closed> {
        let own = self.fetches(site).then(|| self.closed(site));
        self.peers.first_closed(site, own)
    }
}

/// The store's failure as a client sees it. It is logged here, with its cause.
pub fn store_failure(error: StoreError) -> Failure {
    tracing::error!(%error, "the store failed");
    Failure::new(error.kind(), error.to_string())
}

/// A failure that only a mistake in KMDS can cause.
pub fn internal(what: &str) -> Failure {
    Failure::new(
        Kind::Internal,
        format!("{what}; this is a bug in KMDS, please report it"),
    )
}
