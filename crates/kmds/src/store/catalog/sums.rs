//! The sums of the catalog, without counting rows.
//!
//! Owns reading the sums that the triggers of `schema` keep with each change of a row, in the same transaction, and
//! comparing them with the rows. Everything here but [`Catalog::correct_sums`] reads a few dozen numbers, however many
//! songs there are.

use kmds_extract::Site;
use rusqlite::{Connection, named_params};

use super::Catalog;
use super::rows::State;
use super::search::Stats;
use super::statement::{prepare, sql};
use crate::store::error::StoreError;

/// A sum that differed from the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSum {
    pub site: String,
    /// A state (songs in it), `bytes` or `tracks`.
    pub what: String,
    pub kept: i64,
    pub counted: i64,
}

impl Catalog {
    /// Songs by state, tracks, and bytes on the drive.
    pub(in crate::store) fn stats(&self) -> Result<Stats, StoreError> {
        let what = "count songs";
        let mut statement =
            prepare(&self.connection, "SELECT what, number FROM sums").map_err(sql(what))?;
        let sums = statement
            .query_map([], |row| Ok((row.get("what")?, row.get("number")?)))
            .map_err(sql(what))?;
        let mut stats = Stats::default();
        for sum in sums {
            let (of, number): (String, i64) = sum.map_err(sql(what))?;
            // A sum below zero is wrong, but no reason to refuse a song: `correct_sums` reports it.
            let number = u64::try_from(number).unwrap_or(0);
            match (of.as_str(), State::parse(&of)) {
                ("bytes", _) => stats.ready_bytes += number,
                ("tracks", _) => stats.tracks += number,
                (_, Some(state)) if number > 0 => {
                    *stats.by_state.entry(state.as_str()).or_default() += number;
                }
                _ => {}
            }
        }
        Ok(stats)
    }

    /// Bytes of all ready files, each file once.
    pub(in crate::store) fn ready_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.stats()?.ready_bytes)
    }

    /// About how many songs a site, a state or both have; copies are not among them.
    pub(super) fn songs_about(
        &self,
        state: Option<State>,
        site: Option<Site>,
    ) -> Result<u64, StoreError> {
        let values = named_params! {
            ":what": state.map_or("tracks", State::as_str),
            ":site": site.map(Site::as_str),
        };
        let statement = "SELECT MAX(0, COALESCE(SUM(number), 0)) FROM sums \
             WHERE what = :what AND (:site IS NULL OR site = :site)";
        prepare(&self.connection, statement)
            .and_then(|mut statement| statement.query_row(values, |row| row.get(0)))
            .map_err(sql("count songs"))
    }

    /// Counts everything again, which is slow, and corrects the sums that differ.
    pub(in crate::store) fn correct_sums(&mut self) -> Result<Vec<WrongSum>, StoreError> {
        let what = "count songs anew";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        let wrong = wrong_sums(&transaction).map_err(sql(what))?;
        for sum in &wrong {
            prepare(
                &transaction,
                "INSERT INTO sums VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET number = ?3",
            )
            .and_then(|mut statement| statement.execute((&sum.site, &sum.what, sum.counted)))
            .map_err(sql(what))?;
        }
        transaction.commit().map_err(sql(what))?;
        Ok(wrong)
    }
}

fn wrong_sums(connection: &Connection) -> Result<Vec<WrongSum>, rusqlite::Error> {
    let mut statement = prepare(
        connection,
        "SELECT site, what, COALESCE(s.number, 0) AS kept, COALESCE(c.number, 0) AS counted \
         FROM sums s FULL JOIN counted c USING (site, what) WHERE kept <> counted",
    )?;
    let wrong = statement.query_map([], |row| {
        Ok(WrongSum {
            site: row.get("site")?,
            what: row.get("what")?,
            kept: row.get("kept")?,
            counted: row.get("counted")?,
        })
    })?;
    wrong.collect()
}
