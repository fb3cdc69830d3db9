//! Gives memory that the C library keeps free back to the system.
//!
//! glibc returns freed memory only from the end of its heap. After a crowd or a long list, one small block that lives on
//! keeps all pages before it resident. No kept crate wraps the call that returns them, so this crate is its only home; all
//! other crates forbid `unsafe`.

/// Returns free pages of all heaps to the system, also from their middle. Takes a few milliseconds for each 100 MB, in
/// which other threads wait for memory. Does nothing where the C library is not glibc: musl keeps little.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes no pointer, touches free blocks only, and takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    /// Blocks that hold a large gap between them, as small things that live on do after a crowd.
    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn memory_freed_between_blocks_that_live_leaves_the_process() {
        let blocks: Vec<Vec<u8>> = (0..20_000).map(|_| vec![1; 4000]).collect();
        let kept: Vec<Vec<u8>> = blocks
            .into_iter()
            .enumerate()
            .filter(|(at, _)| at % 100 == 99)
            .map(|(_, b)| b)
            .collect();
        let before = resident_bytes();
        super::trim();
        let after = resident_bytes();
        assert!(
            before - after > 40 << 20,
            "{before} bytes before, {after} after"
        );
        assert_eq!(kept.len(), 200);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn resident_bytes() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a line");
        line.split_whitespace()
            .nth(1)
            .expect("a number")
            .parse::<u64>()
            .expect("a number")
            << 10
    }
}
