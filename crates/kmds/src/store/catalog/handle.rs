//! The way from a task to the catalog.
//!
//! Owns the catalog's lock and the threads on which SQL runs. SQL waits for the drive, and the only thread of the
//! runtime must not wait.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::Catalog;
use crate::store::error::StoreError;

/// A catalog behind its lock. The lock is held by threads that may wait, and only while they work: a task that held it
/// across an `await` would wait for ever once all threads wait for the lock.
pub(in crate::store) struct CatalogHandle(Arc<Mutex<Catalog>>);

impl CatalogHandle {
    pub(in crate::store) fn new(catalog: Catalog) -> Self {
        Self(Arc::new(Mutex::new(catalog)))
    }

    /// Only for threads that may wait. A panic in the middle of a change has rolled its transaction back.
    pub(in crate::store) fn lock(&self) -> MutexGuard<'_, Catalog> {
        self.0.lock()
    }

    /// Runs `work` on a thread that may wait. It finishes even if the future is dropped.
    pub(in crate::store) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Catalog) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let catalog = Arc::clone(&self.0);
        blocking(move || work(&mut catalog.lock())).await
    }
}

/// Runs `work` on a thread that may wait for the drive.
pub(in crate::store) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(cut) => Err(StoreError::Io {
            what: "finish: the service is stopping".to_owned(),
            source: Arc::new(cut.into()),
        }),
    }
}
