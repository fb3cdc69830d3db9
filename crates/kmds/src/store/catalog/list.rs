//! One page of songs, the newest first.
//!
//! Owns three ways to find it. None of them reads more rows than about a page, in a catalog of any size:
//!
//! - by words of three letters and more: the table `search` has the places of every three letters in a row;
//! - by shorter words: each begins some of the groups of three letters that occur, and those groups are looked up;
//! - without words, or if the state or the site alone leaves few songs: each pair of state and site has its rows in
//!   order, and the pairs are merged.
//!
//! Every row that an index finds is checked again, so all ways find the same: all words, anywhere in title, artist and
//! album.

use kmds_extract::Site;
use rusqlite::{OptionalExtension as _, named_params};

use super::Catalog;
use super::rows::{COLUMNS, State, read_row, read_track};
use super::search::{Filter, Listed, Listing};
use super::statement::{IS_COPY, prepare, sql};
use crate::store::error::StoreError;

/// The operation, for errors.
const WHAT: &str = "list songs";
/// The most groups of three letters that are looked up: more do not narrow the result, since each row of a page is
/// checked anyway.
const MOST_GROUPS: usize = 24;
/// If a short word begins more groups than this, it is in so many songs that checking each song finds a page.
const MOST_BEGINNINGS: usize = 300;
/// If a state or a site has this few songs, checking them is faster than checking the songs with a frequent word.
const FEW_SONGS: u64 = 1_000;
const LETTERS: usize = 3;
const SITES: [Site; 4] = [Site::YouTube, Site::SoundCloud, Site::Bandcamp, Site::Other];

/// The condition for every song on the page, beside its state and site. `t` is its track, `r` its row.
const FITS: &str = "NOT EXISTS (SELECT 1 FROM json_each(:words) WHERE instr(t.words, value) = 0)";

impl Catalog {
    pub(in crate::store) fn list(
        &self,
        filter: &Filter,
        limit: usize,
        before: Option<i64>,
    ) -> Result<Listing, StoreError> {
        let limit = limit.clamp(1, 1_000);
        let before = before.unwrap_or(i64::MAX);
        let words = words_of(filter);
        let mut found = match self.groups(filter, &words)? {
            Groups::None => Vec::new(),
            Groups::Some(groups) => self.searched(filter, &words, &groups, limit + 1, before)?,
            Groups::NoHelp => self.walked(filter, &words, limit + 1, before)?,
        };
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().copied().filter(|_| more);
        let mut songs = Vec::with_capacity(found.len());
        for seq in found {
            songs.extend(self.listed(seq)?);
        }
        Ok(Listing { songs, next })
    }

    fn listed(&self, seq: i64) -> Result<Option<Listed>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS}, t.metadata AS metadata \
             FROM renditions r CROSS JOIN tracks t USING (site, id) WHERE r.seq = ?1"
        );
        let found: Option<(_, String)> = prepare(&self.connection, &statement)
            .and_then(|mut statement| {
                statement
                    .query_row([seq], |row| Ok((read_row(row)?, row.get("metadata")?)))
                    .optional()
            })
            .map_err(sql(WHAT))?;
        Ok(found.and_then(|(row, text)| {
            Some(Listed {
                track: read_track(&text)?,
                row,
            })
        }))
    }

    /// By the index over words.
    fn searched(
        &self,
        filter: &Filter,
        words: &[String],
        groups: &str,
        limit: usize,
        before: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let statement = format!(
            "SELECT s.rowid FROM search s CROSS JOIN renditions r ON r.seq = s.rowid \
             CROSS JOIN tracks t USING (site, id) \
             WHERE s.search MATCH :groups AND s.rowid < :before \
             AND (:site IS NULL OR r.site = :site) \
             AND IIF(:state IS NULL, r.state <> 'deleted', r.state = :state) \
             AND NOT (:originals_only AND {IS_COPY}) AND {FITS} ORDER BY s.rowid DESC LIMIT :limit"
        );
        let bound = named_params! {
            ":groups": groups,
            ":before": before,
            ":site": filter.site.map(Site::as_str),
            ":state": filter.state.map(State::as_str),
            ":originals_only": filter.originals_only,
            ":words": as_json(words),
            ":limit": limit,
        };
        prepare(&self.connection, &statement)
            .and_then(|mut statement| statement.query_map(bound, |row| row.get(0))?.collect())
            .map_err(sql(WHAT))
    }

    /// By state and site.
    fn walked(
        &self,
        filter: &Filter,
        words: &[String],
        limit: usize,
        before: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let statement = format!(
            "SELECT r.seq FROM renditions r INDEXED BY renditions_by_state \
             WHERE r.state = :state AND r.site = :site AND r.seq < :before \
             AND NOT (:originals_only AND {IS_COPY}) \
             AND (:words IS NULL OR EXISTS (SELECT 1 FROM tracks t WHERE t.site = r.site AND t.id = r.id AND {FITS})) \
             ORDER BY r.seq DESC LIMIT :limit"
        );
        let mut statement = prepare(&self.connection, &statement).map_err(sql(WHAT))?;
        let words = (!words.is_empty()).then(|| as_json(words));
        let mut found: Vec<i64> = Vec::new();
        for state in State::ALL {
            let is_asked = filter
                .state
                .map_or(state != State::Deleted, |asked| asked == state);
            for site in SITES {
                if !is_asked || filter.site.is_some_and(|asked| asked != site) {
                    continue;
                }
                let bound = named_params! {
                    ":state": state.as_str(),
                    ":site": site.as_str(),
                    ":before": before,
                    ":originals_only": filter.originals_only,
                    ":words": words,
                    ":limit": limit,
                };
                let rows = statement
                    .query_map(bound, |row| row.get(0))
                    .map_err(sql(WHAT))?;
                for seq in rows {
                    found.push(seq.map_err(sql(WHAT))?);
                }
            }
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.truncate(limit);
        Ok(found)
    }

    /// The query for the index over words.
    fn groups(&self, filter: &Filter, words: &[String]) -> Result<Groups, StoreError> {
        let narrows = filter.state.is_some() || filter.site.is_some();
        if words.is_empty()
            || (narrows && self.songs_about(filter.state, filter.site)? <= FEW_SONGS)
        {
            return Ok(Groups::NoHelp);
        }
        let groups = groups_of(words);
        if !groups.is_empty() {
            return Ok(Groups::Some(all_of(&groups, " AND ")));
        }
        let mut rarest: Option<Vec<String>> = None;
        for word in words {
            let beginnings = self.beginnings(word)?;
            if rarest
                .as_ref()
                .is_none_or(|rarest| beginnings.len() < rarest.len())
            {
                rarest = Some(beginnings);
            }
        }
        Ok(match rarest {
            Some(groups) if groups.is_empty() => Groups::None,
            Some(groups) if groups.len() <= MOST_BEGINNINGS => {
                Groups::Some(all_of(&groups, " OR "))
            }
            _ => Groups::NoHelp,
        })
    }

    /// The groups of three letters that occur and begin with this word; a few more than [`MOST_BEGINNINGS`] at most.
    /// Two line ends follow each text in the index, so that a word at its end begins a group too.
    fn beginnings(&self, word: &str) -> Result<Vec<String>, StoreError> {
        prepare(
            &self.connection,
            "SELECT term FROM search_terms WHERE term >= ?1 AND term < ?2 LIMIT ?3",
        )
        .and_then(|mut statement| {
            let bound = (word, format!("{word}\u{10ffff}"), MOST_BEGINNINGS + 1);
            statement.query_map(bound, |row| row.get(0))?.collect()
        })
        .map_err(sql(WHAT))
    }
}

/// The use of the index over words for a search.
enum Groups {
    /// No song can have all the words.
    None,
    /// The query.
    Some(String),
    /// The index would not narrow the result.
    NoHelp,
}

/// Words in the form of `tracks.words`.
fn words_of(filter: &Filter) -> Vec<String> {
    let text = filter.text.as_deref().unwrap_or_default().to_lowercase();
    text.split_whitespace().map(str::to_owned).collect()
}

fn as_json(words: &[String]) -> String {
    serde_json::json!(words).to_string()
}

/// Every three letters in a row, of all words, each once.
fn groups_of(words: &[String]) -> Vec<String> {
    let mut groups = Vec::new();
    for word in words {
        let letters: Vec<char> = word.chars().collect();
        for group in letters.windows(LETTERS) {
            let group: String = group.iter().collect();
            // SQLite's expressions end at a zero byte.
            if groups.len() < MOST_GROUPS && !group.contains('\0') && !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    groups
}

/// An expression of FTS5, in which each group is quoted as text.
fn all_of(groups: &[String], between: &str) -> String {
    let quoted: Vec<String> = groups
        .iter()
        .map(|group| format!("\"{}\"", group.replace('"', "\"\"")))
        .collect();
    quoted.join(between)
}
