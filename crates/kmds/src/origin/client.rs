//! The client of the sites: the ways out, paces, memory and counters that all requests share.
//!
//! `pages` and `media` add the requests themselves.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use kmds_extract::{Recipes, Site};

use super::counters::Counters;
use super::egress::{Egress, EgressConfig, EgressError};
use super::memory::Memory;
use super::pace::Pace;
use super::preconnect::Clients;
use super::recipes::SharedRecipes;
use super::relay::Relay;
use super::url::PublicLink;
use crate::player::Solver;

#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// For every site without a way out of its own.
    pub egress: EgressConfig,
    pub site_egress: HashMap<Site, EgressConfig>,
    /// File in the state folder for the remembered values; `None` forgets them at the end.
    pub memory_file: Option<PathBuf>,
    /// Sites that are never contacted from here, since other nodes fetch from them.
    pub shut: Vec<Site>,
    /// Folder in the state folder for YouTube's player scripts; `None` solves nothing.
    pub player_dir: Option<PathBuf>,
}

/// The way to the sites. Cheap to clone; clones share connections, paces, memory and counters.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) facts: Arc<Facts>,
    /// Its requests for pages wait behind all others.
    pub(super) background: bool,
    /// After this time pages are of no use.
    pub(super) until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Shared {
    egress: HashMap<Site, Arc<Egress>>,
    any_egress: Arc<Egress>,
    pub(super) paces: HashMap<Site, Pace>,
    counters: Counters,
    shut: Vec<Site>,
}

/// The facts about the sites: from the recipes, and learnt from answers.
#[derive(Debug)]
pub(super) struct Facts {
    recipes: SharedRecipes,
    pub(super) memory: Arc<Memory>,
    pub(super) solver: Solver,
}

impl Client {
    /// Checks the settings; connects to nothing.
    /// # Errors
    /// A setting that cannot be used, named.
    pub fn new(config: &ClientConfig, recipes: SharedRecipes) -> Result<Self, EgressError> {
        let time = recipes.current().time.clone();
        let any_egress = Arc::new(Egress::new(&config.egress, &time)?);
        let mut egress = HashMap::new();
        for (&site, own) in &config.site_egress {
            // Equal ways out share one client: roots and connections are kept once.
            if *own != config.egress {
                let own = Egress::new(own, &time).map_err(|error| error.of(site))?;
                egress.insert(site, Arc::new(own));
            }
        }
        let paces = Site::NATIVE
            .into_iter()
            .map(|site| (site, Pace::default()))
            .collect();
        let shared = Arc::new(Shared {
            egress,
            any_egress,
            paces,
            counters: Counters::default(),
            shut: config.shut.clone(),
        });
        let facts = Arc::new(Facts {
            recipes,
            memory: Memory::open(config.memory_file.clone()),
            solver: Solver::new(config.player_dir.clone()),
        });
        Ok(Self {
            shared,
            facts,
            background: false,
            until: None,
        })
    }

    /// The same client for background work: its requests for pages wait behind all others, without a limit.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self {
            background: true,
            ..self.clone()
        }
    }

    /// The same client for pages that are of no use later than `until`.
    #[must_use]
    pub fn until(&self, until: Option<Instant>) -> Self {
        Self {
            until,
            ..self.clone()
        }
    }

    /// The same client with other recipes: it begins without learnt facts, and what it learns is lost with it. Player
    /// scripts are kept in `player_dir`.
    #[must_use]
    pub fn rehearsing(&self, recipes: Recipes, player_dir: PathBuf) -> Self {
        Self {
            facts: Arc::new(Facts {
                recipes: SharedRecipes::new(recipes),
                memory: Memory::open(None),
                solver: Solver::new(Some(player_dir)),
            }),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    #[must_use]
    pub fn recipes(&self) -> Arc<Recipes> {
        self.facts.recipes.current()
    }

    /// YouTube's player script that was used last since the start, and whether it could be read.
    #[must_use]
    pub fn player_script(&self) -> Option<(String, bool)> {
        self.facts.solver.last()
    }

    /// Why `site` is not asked now: the last check of its outside address closed its way out.
    #[must_use]
    pub fn closed(&self, site: Site) -> Option<String> {
        self.shut(site).or_else(|| self.egress(site).closed())
    }

    /// Whether `site` may be asked; waits for the first check of its outside address, if one is configured.
    /// # Errors
    /// Why not, in a sentence.
    pub async fn admit(&self, site: Site) -> Result<(), String> {
        match self.shut(site) {
            Some(why) => Err(why),
            None => self.egress(site).admit().await,
        }
    }

    fn shut(&self, site: Site) -> Option<String> {
        let is_shut = self.shared.shut.contains(&site);
        is_shut.then(|| format!("{site} is switched off here; other nodes fetch from it"))
    }

    /// Checks the outside address of each way out that these sites use, at once and from time to time. It does not end.
    /// Without `egress.check_url` nothing is contacted.
    pub async fn watch_address(&self, sites: &[Site]) {
        let mut ways: Vec<&Arc<Egress>> = Vec::new();
        for site in sites {
            let way = self.egress(*site);
            if !ways.iter().any(|known| Arc::ptr_eq(known, way)) {
                ways.push(way);
            }
        }
        futures_util::future::join_all(ways.into_iter().map(|way| Arc::clone(way).watch_address()))
            .await;
    }

    /// Checks that a link of an unknown site leads to public addresses only. Behind a proxy the proxy resolves names.
    /// # Errors
    /// A sentence for the client that sent the link.
    pub async fn leads_outside(&self, link: &PublicLink) -> Result<(), String> {
        self.egress(Site::Other).check_host(link.host()).await
    }

    /// A proxy for one run of yt-dlp: it reaches what the site's requests may reach, by the same way out.
    /// # Errors
    /// It cannot be opened.
    pub async fn relay(&self, site: Site) -> Result<Relay, String> {
        Relay::open(
            site,
            Arc::clone(self.egress(site)),
            self.facts.recipes.clone(),
        )
        .await
    }

    fn egress(&self, site: Site) -> &Arc<Egress> {
        self.shared
            .egress
            .get(&site)
            .unwrap_or(&self.shared.any_egress)
    }

    /// The HTTP clients of the site's way out, or why the site may not be asked.
    pub(super) async fn way_out(&self, site: Site) -> Result<&Clients, String> {
        self.admit(site).await?;
        self.egress(site)
            .clients()
            .await
            .map_err(|error| error.to_string())
    }
}
