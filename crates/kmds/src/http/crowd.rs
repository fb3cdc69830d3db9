//! Gives memory back to the system when many connections have ended since their largest number.
//!
//! A connection takes 10 to 25 KB. After its end the memory stays with the process, in pieces that do not fit another
//! kind of crowd; so two crowds after each other would hold the memory of both.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The number of ended connections after which giving memory back is worth it: about 10 MB.
const MANY: usize = 512;

/// Counts the connections that are open. One thread runs all of them; the counters are atomic only to be shared.
#[derive(Default)]
pub struct Crowd {
    open: AtomicUsize,
    /// The most that were open since the last time that many had ended.
    most: AtomicUsize,
    ended: Notify,
}

impl Crowd {
    /// Waits until many connections have ended.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Counts one connection as open until the guard is dropped.
    pub(super) fn enter(self: std::sync::Arc<Self>) -> InCrowd {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        InCrowd(self)
    }

    fn leave(&self) {
        let open = self.open.fetch_sub(1, Ordering::Relaxed) - 1;
        if self.most.load(Ordering::Relaxed) - open >= MANY {
            self.most.store(open, Ordering::Relaxed);
            self.ended.notify_one();
        }
    }
}

pub(super) struct InCrowd(std::sync::Arc<Crowd>);

impl Drop for InCrowd {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;

    fn enter(crowd: &Arc<Crowd>, count: usize) -> Vec<InCrowd> {
        (0..count).map(|_| Arc::clone(crowd).enter()).collect()
    }

    #[test]
    fn connections_that_come_and_go_are_no_crowd_and_many_that_leave_are() {
        let crowd = Arc::new(Crowd::default());
        for _ in 0..10 * MANY {
            drop(enter(&crowd, 2));
        }
        assert!(crowd.ended().now_or_never().is_none());
        let mut open = enter(&crowd, 2 * MANY);
        open.truncate(MANY + 1);
        assert!(crowd.ended().now_or_never().is_none());
        open.truncate(MANY);
        assert!(crowd.ended().now_or_never().is_some());
        assert!(crowd.ended().now_or_never().is_none(), "told once");
        drop(open);
        assert!(crowd.ended().now_or_never().is_some(), "the other half");
    }
}
