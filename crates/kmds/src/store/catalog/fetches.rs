//! The songs of one fetch: which of them are not here, and which fetch a song is queued for.

use rusqlite::named_params;

use super::statement::{KeyColumns, NEXT_ORDER, OF_KEY, prepare, sql, update};
use super::{Catalog, StoreError};
use crate::store::key::Key;

impl Catalog {
    /// The evicted ones of these, in their order.
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
