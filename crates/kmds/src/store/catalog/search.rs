//! Finding songs: by a name from a reply, and by a filter.
//!
//! Owns the lookup of names, and the filter, the list and the sums as values. It changes no row.

use std::collections::BTreeMap;

use kmds_extract::{Site, Track};
use rusqlite::OptionalExtension as _;

use super::Catalog;
use super::rows::{Row, State, read_key};
use super::statement::{prepare, sql};
use crate::store::error::StoreError;
use crate::store::key::Key;

/// The result of looking up a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    One(Key),
    /// A human name of several songs: their canonical names.
    Many(Vec<String>),
    None,
}

/// Which rows to list. Empty: all but the deleted ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub state: Option<State>,
    pub site: Option<Site>,
    /// Words, or parts of them, that are all in title, artist and album, in any order and case.
    pub text: Option<String>,
    /// Leave out copies made on request.
    pub originals_only: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub row: Row,
    pub track: Track,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    pub songs: Vec<Listed>,
    /// The start of the next page; `None` at the end.
    pub next: Option<i64>,
}

/// The sums of the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Songs by [`State::as_str`]; states without any are missing. A copy made on request is no song of its own.
    pub by_state: BTreeMap<&'static str, u64>,
    pub tracks: u64,
    /// Bytes of finished files.
    pub ready_bytes: u64,
    /// `cache.max_bytes`.
    pub max_bytes: u64,
    /// `cache.min_free_bytes`.
    pub min_free_bytes: u64,
    /// Free on the cache's drive; `None` where it does not say.
    pub free_bytes: Option<u64>,
}

impl Stats {
    /// The largest possible size of a new song if everything else is evicted for it; `None` if the drive does not tell
    /// its space.
    #[must_use]
    pub fn room_bytes(&self) -> Option<u64> {
        let above_floor = self
            .free_bytes?
            .saturating_add(self.ready_bytes)
            .saturating_sub(self.min_free_bytes);
        Some(above_floor.min(self.max_bytes))
    }
}

impl Catalog {
    pub(in crate::store) fn find_name(&self, name: &str) -> Result<Found, StoreError> {
        let what = "look a name up";
        let canonical = prepare(
            &self.connection,
            "SELECT site, id, rendition FROM names WHERE name = ?1",
        )
        .and_then(|mut statement| statement.query_row([name], read_key).optional())
        .map_err(sql(what))?;
        if let Some(key) = canonical {
            return Ok(Found::One(key));
        }
        let mut statement = prepare(
            &self.connection,
            "SELECT site, id, rendition, canonical, \
             COALESCE(state, 'deleted') = 'deleted' AS is_deleted \
             FROM human_names h LEFT JOIN renditions r USING (site, id, rendition) \
             WHERE h.name = ?1",
        )
        .map_err(sql(what))?;
        let rows = statement
            .query_map([name], |row| {
                Ok((
                    read_key(row)?,
                    row.get("canonical")?,
                    row.get("is_deleted")?,
                ))
            })
            .map_err(sql(what))?;
        let found: Vec<(Key, String, bool)> = rows.collect::<Result<_, _>>().map_err(sql(what))?;
        Ok(unique(found))
    }
}

/// Deleted songs do not make a name ambiguous; if a name has only a deleted song, it is found, so that the answer can
/// say so.
fn unique(found: Vec<(Key, String, bool)>) -> Found {
    let living: Vec<_> = found.iter().filter(|(_, _, deleted)| !deleted).collect();
    let judged: Vec<_> = if living.is_empty() {
        found.iter().collect()
    } else {
        living
    };
    let mut keys: Vec<&Key> = judged.iter().map(|(key, _, _)| key).collect();
    keys.sort();
    keys.dedup();
    match keys.as_slice() {
        [] => Found::None,
        [key] => Found::One((*key).clone()),
        _ => {
            let mut names: Vec<String> = judged
                .iter()
                .map(|(_, canonical, _)| canonical.clone())
                .collect();
            names.sort();
            names.dedup();
            Found::Many(names)
        }
    }
}
