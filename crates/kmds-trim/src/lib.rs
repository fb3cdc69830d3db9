//! Keeps no memory that the process does not need.
//!
//! There are three kinds. glibc returns freed memory only from the end of its heap: after a crowd or a long list, one
//! small block that stays keeps all pages before it resident. glibc gives threads heaps of their own, and each of them
//! keeps such pages. And code that only a start runs stays mapped until memory is short. No maintained crate wraps
//! these calls, so they are in this crate only; all other crates forbid `unsafe`.

/// Lets all threads share one heap, before the first of them starts. With a heap for each of the eight threads that
/// wait for the drive, eight downloads and 200 listeners hold 1.5 MB more. Does nothing where the C library is not
/// glibc.
pub fn share_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes no pointer, and the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns free pages of all heaps to the system, also from their middle. Takes a few milliseconds for each 100 MB, in
/// which other threads wait for memory. Does nothing where the C library is not glibc: musl keeps little.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes no pointer, touches free blocks only, and takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Unmaps the pages of code and constants. Those that are needed again are mapped again from the system's cache of
/// files: some hundred page faults, less than a millisecond in all; pages that this cache no longer has are read from
/// the drive.
pub fn release_code() {
    #[cfg(target_os = "linux")]
    // SAFETY: the callback has the type that is asked for, and it does not unwind.
    unsafe {
        libc::dl_iterate_phdr(Some(release_segments), std::ptr::null_mut());
    }
}

/// Releases the segments of one loaded program or library that are not writable (elf(5)). The loader holds its lock
/// meanwhile, so that the object cannot be unloaded. What the loader writes itself and protects afterwards, the
/// addresses of RELRO, lies in writable segments.
#[cfg(target_os = "linux")]
unsafe extern "C" fn release_segments(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader gives a valid object with `dlpi_phnum` headers and a name that ends in 0, for the time of this
    // call.
    let (object, headers, name) = unsafe {
        let object = &*object;
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
        (object, headers, std::ffi::CStr::from_ptr(object.dlpi_name))
    };
    // The program has an empty name, a library its path. The kernel's own object is no file.
    if !name.is_empty() && !name.to_bytes().starts_with(b"/") {
        return 0;
    }
    // SAFETY: takes no pointer.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    for segment in headers {
        if segment.p_type != libc::PT_LOAD || segment.p_flags & libc::PF_W != 0 {
            continue;
        }
        let first = (object.dlpi_addr as usize).wrapping_add(segment.p_vaddr as usize);
        // Whole pages only.
        let start = first.next_multiple_of(page);
        let end = first.wrapping_add(segment.p_filesz as usize) / page * page;
        if start < end {
            // SAFETY: the pages belong to a segment that nothing writes: neither the program, nor the loader, since the
            // linkers refuse relocations in code (`-z text`). So each page reads as in the file when it is mapped
            // again.
            unsafe {
                libc::madvise(
                    std::ptr::with_exposed_provenance_mut(start),
                    end - start,
                    libc::MADV_DONTNEED,
                );
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
    /// Blocks with a large gap between them, as small blocks that stay after a crowd.
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
