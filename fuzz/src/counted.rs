//! How much memory a piece of code holds at most.
//!
//! Owns the allocator of every test that links this crate: the system's, with a sum beside it for each thread.
#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; every call is passed on as it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

thread_local! {
    /// Bytes allocated and not yet freed; below zero where another thread's memory was freed.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn add(bytes: isize) {
    // Not there any more while the thread ends.
    let _ = HELD.try_with(|held| {
        held.set(held.get().wrapping_add(bytes));
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: all four hand their arguments to `System` unchanged, and return what it returned.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, new_size) }
    }
}

/// The most that `work` held at any moment, in bytes, not counting what was there before.
pub fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let done = work();
    (done, usize::try_from(MOST.get() - before).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::most_held;

    #[test]
    fn the_most_is_counted_and_not_the_sum() {
        let (_, bytes) = most_held(|| (0..10).map(|_| vec![1_u8; 1000].len()).sum::<usize>());
        assert!((1000..5000).contains(&bytes), "{bytes}");
        let (kept, bytes) = most_held(|| vec![vec![1_u8; 1000]; 10]);
        assert!(bytes >= 10_000, "{bytes} for {} rows", kept.len());
    }
}
