//! Which fetch a song is queued for, and which lists were fetched.
//!
//! Owns the table `lists`: a list that was fetched again has a row for each fetch, since its songs may belong to
//! either.

use jiff::Timestamp;
use kmds_extract::Site;
use rusqlite::{named_params, params};

use super::statement::{KeyColumns, NEXT_ORDER, NO_FAILURE, OF_KEY, prepare, sql, update};
use super::{Catalog, StoreError};
use crate::store::key::Key;

/// The number of list fetches that are kept: the songs of an older one must be ended one by one.
const MOST_LISTS: usize = 2_000;

/// One fetch of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedList {
    pub site: Site,
    /// The site's id of the list.
    pub id: String,
    /// The requested link, in its canonical form.
    pub asked: String,
    /// The list's own link in its canonical form, if it differs.
    pub link: String,
    /// The requester in the rows of its songs.
    pub requester: String,
}

impl Catalog {
    /// Records a fetch of a list; the oldest ones are forgotten.
    pub(in crate::store) fn note_list(
        &self,
        list: &FetchedList,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let what = "note a list";
        let new = "INSERT OR REPLACE INTO lists (site, id, requester, asked, link, fetched_at) \
             VALUES (:site, :id, :requester, :asked, :link, :now)";
        let values = named_params! {
            ":site": list.site.as_str(),
            ":id": list.id,
            ":requester": list.requester,
            ":asked": list.asked,
            ":link": list.link,
            ":now": now.as_millisecond(),
        };
        prepare(&self.connection, new)
            .and_then(|mut statement| statement.execute(values))
            .map_err(sql(what))?;
        let old = "DELETE FROM lists WHERE fetched_at <= \
             (SELECT fetched_at FROM lists ORDER BY fetched_at DESC LIMIT 1 OFFSET ?1)";
        prepare(&self.connection, old)
            .and_then(|mut statement| statement.execute([MOST_LISTS]))
            .map(drop)
            .map_err(sql(what))
    }

    /// The fetches of the list with this id, or with this canonical link; the newest first.
    pub(in crate::store) fn fetches_of(
        &self,
        id: &str,
        link: Option<&str>,
    ) -> Result<Vec<FetchedList>, StoreError> {
        let what = "look a list up";
        let which = "SELECT fetched_at, site, id, requester, asked, link FROM lists \
             WHERE id = ?1 OR asked = ?2 OR link = ?2";
        let mut statement = prepare(&self.connection, which).map_err(sql(what))?;
        let rows = statement
            .query_map(params![id, link], read_list)
            .map_err(sql(what))?;
        let mut fetches = rows.collect::<Result<Vec<_>, _>>().map_err(sql(what))?;
        fetches.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(fetches.into_iter().filter_map(|(_, list)| list).collect())
    }

    /// Sets `deleted` if the song waits or runs; else returns `false`.
    pub(in crate::store) fn delete_pending(&self, key: &Key) -> Result<bool, StoreError> {
        let set = format!("state = 'deleted', queue_order = {NEXT_ORDER}, {NO_FAILURE}");
        let only_if = "state IN ('queued', 'downloading', 'converting')";
        update(&self.connection, key, &set, only_if, &[]).map_err(sql("note a song's state"))
    }

    /// The evicted ones of these keys, in their order.
    pub(in crate::store) fn evicted_of(&self, keys: Vec<Key>) -> Result<Vec<Key>, StoreError> {
        let statement =
            format!("SELECT 1 FROM renditions r WHERE {OF_KEY} AND +r.state = 'evicted'");
        let what = "read a list's songs";
        let mut statement = prepare(&self.connection, &statement).map_err(sql(what))?;
        let mut evicted = Vec::new();
        for key in keys {
            let columns = KeyColumns::of(&key);
            if statement
                .exists(columns.and(&[]).as_slice())
                .map_err(sql(what))?
            {
                evicted.push(key);
            }
        }
        Ok(evicted)
    }

    /// Puts an evicted song at the end of the queue, for this fetch; `false` if it is not evicted.
    pub(in crate::store) fn requeue_for(
        &self,
        key: &Key,
        requester: &str,
    ) -> Result<bool, StoreError> {
        let set = format!("state = 'queued', queue_order = {NEXT_ORDER}, requester = :requester");
        let values = named_params! {":requester": requester};
        update(&self.connection, key, &set, "state = 'evicted'", values)
            .map_err(sql("queue a song again"))
    }
}

/// The time and the list of a fetch; `None` for a site that only another release knows.
fn read_list(row: &rusqlite::Row<'_>) -> Result<(i64, Option<FetchedList>), rusqlite::Error> {
    let site: String = row.get(1)?;
    let list = match Site::parse(&site) {
        None => None,
        Some(site) => Some(FetchedList {
            site,
            id: row.get(2)?,
            requester: row.get(3)?,
            asked: row.get(4)?,
            link: row.get(5)?,
        }),
    };
    Ok((row.get(0)?, list))
}
