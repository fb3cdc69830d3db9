//! Gives memory back to the system that the process holds and does not need.
//!
//! Two kinds. glibc returns freed memory only from the end of its heap: after a crowd or a long list, one small block that
//! lives on keeps all pages before it resident. And code that only a start runs stays mapped until memory is short. No kept
//! crate wraps the calls that help, so this crate is their only home; all other crates forbid `unsafe`.

/// Returns free pages of all heaps to the system, also from their middle. Takes a few milliseconds for each 100 MB, in
/// which other threads wait for memory. Does nothing where the C library is not glibc: musl keeps little.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes no pointer, touches free blocks only, and takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Unmaps the pages of code and constants. Those that are needed again are mapped again from the system's cache of files,
/// or read from the drive: some hundred page faults, less than a millisecond in all. Does nothing where `/proc` cannot be read.
pub fn release_code() {
    #[cfg(target_os = "linux")]
    for (start, length) in
        unwritten(&std::fs::read_to_string("/proc/self/smaps").unwrap_or_default())
    {
        let address = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range is one whole mapping of a file that is not writable and holds no page that was ever written,
        // so that each page reads the same when it is mapped again (`madvise(2)`).
        unsafe {
            libc::madvise(address, length, libc::MADV_DONTNEED);
        }
    }
}

/// Start and length of the mappings of files that are private, not writable, and as the file is: without one page that was
/// copied to be written, as the linker does with addresses. From the text of `/proc/self/smaps` (proc_pid_smaps(5)).
#[cfg(target_os = "linux")]
fn unwritten(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [range, rights, _, _, _, path, ..] if range.contains('-') => {
                let of_file = path.starts_with('/') && matches!(*rights, "r-xp" | "r--p");
                mapping = range_of(range).filter(|_| of_file);
            }
            [range, ..] if range.contains('-') => mapping = None,
            ["Anonymous:", "0", "kB"] => found.extend(mapping.take()),
            _ => {}
        }
    }
    found
}

#[cfg(target_os = "linux")]
fn range_of(text: &str) -> Option<(usize, usize)> {
    let (start, end) = text.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
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
        let before = bytes_of("VmRSS:");
        super::trim();
        let after = bytes_of("VmRSS:");
        assert!(
            before - after > 40 << 20,
            "{before} bytes before, {after} after"
        );
        assert_eq!(kept.len(), 200);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn code_that_is_not_needed_leaves_the_process_and_comes_back() {
        let page = |text: &str| text.matches("line").count();
        assert_eq!(page("a line"), 1);
        let before = bytes_of("RssFile:");
        super::release_code();
        let after = bytes_of("RssFile:");
        assert!(after < before, "{before} bytes before, {after} after");
        assert_eq!(page("a line, a line"), 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_mapping_with_a_written_page_is_left_alone() {
        let smaps = "\
1000-3000 r-xp 00000000 fe:00 7 /usr/bin/kmds\nAnonymous:             0 kB\nVmFlags: rd ex\n\
3000-4000 r--p 00002000 fe:00 7 /usr/bin/kmds\nAnonymous:             4 kB\nVmFlags: rd\n\
4000-5000 rw-p 00003000 fe:00 7 /usr/bin/kmds\nAnonymous:             0 kB\n\
5000-6000 r--p 00000000 00:00 0\nAnonymous:             0 kB\n\
6000-7000 r-xp 00000000 00:00 0 [vdso]\nAnonymous:             0 kB\n\
7000-9000 r--s 00000000 fe:00 8 /state/kmds.db-shm\nAnonymous:             0 kB\n\
9000-a000 r--p 00000000 fe:00 9 /usr/lib/libc.so.6\nAnonymous:             0 kB\n";
        assert_eq!(
            super::unwritten(smaps),
            [(0x1000, 0x2000), (0x9000, 0x1000)]
        );
        assert!(super::unwritten("nonsense - r-xp\n-- r-xp 0 0 0 /x\nAnonymous: 0 kB").is_empty());
    }

    #[cfg(target_os = "linux")]
    fn bytes_of(row: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let line = status
            .lines()
            .find(|line| line.starts_with(row))
            .expect("a line");
        line.split_whitespace()
            .nth(1)
            .expect("a number")
            .parse::<u64>()
            .expect("a number")
            << 10
    }
}
