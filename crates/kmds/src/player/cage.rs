//! The sandbox of the process that runs a site's script.
//!
//! Owns the limits of memory, processor and files, the check of the time, and the list of allowed system calls. On a
//! kernel without one of these features, that limit is missing and nothing fails. A closed right is never opened again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// For all written memory: the script, the data about it, and the engine.
const MEMORY_BYTES: u64 = 224 << 20;
/// For addresses, used or not.
const ADDRESS_BYTES: u64 = 1 << 30;
/// Later than the script's own limit and the watching thread: for a loop that neither can end.
const PROCESSOR_SECONDS: u64 = 10;
/// How often the watching thread checks the time.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
#[error("the limits of the process that runs the script cannot be set: {0}")]
pub struct CageError(#[from] std::io::Error);

/// Processor time of this process so far.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Whether no outcome was printed yet. The script's own limit and the watching thread may act at the same time.
pub fn speaks_first() -> bool {
    static SPOKEN: AtomicBool = AtomicBool::new(false);
    !SPOKEN.swap(true, Ordering::Relaxed)
}

/// Limits this process for the rest of its life: it can open no file, socket or process any more. So read all files
/// before. At `processor` or `wall` the process prints `late` and ends with exit code 1.
/// # Errors
/// [`CageError`] when a limit is refused; a kernel without seccomp refuses nothing.
pub fn enter(processor: Duration, wall: Duration, late: &'static str) -> Result<(), CageError> {
    for (resource, limit) in [
        (Resource::Data, MEMORY_BYTES),
        (Resource::As, ADDRESS_BYTES),
        (Resource::Cpu, PROCESSOR_SECONDS),
        (Resource::Core, 0),
    ] {
        limit_to(resource, limit)?;
    }
    let begun = Instant::now();
    let (runs, is_running) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || {
            let _ = runs.send(());
            while processor_time() < processor && begun.elapsed() < wall {
                std::thread::sleep(LOOK);
            }
            if speaks_first() {
                eprintln!("kmds: {late}");
                std::process::exit(1);
            }
        })?;
    // A thread begins with system calls that are refused from here on.
    let _ = is_running.recv();
    limit_to(Resource::Nofile, 3)?;
    filter::only_what_a_script_needs();
    Ok(())
}

/// Lowers a limit; a lower limit stays.
fn limit_to(resource: Resource, most: u64) -> Result<(), CageError> {
    let now = rustix::process::getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    let current = now.current.map_or(most, |current| current.min(most));
    setrlimit(
        resource,
        Rlimit {
            current: Some(current),
            maximum: Some(most),
        },
    )
    .map_err(|error| CageError(std::io::Error::from(error)))
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod filter {
    use std::collections::BTreeMap;

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

    /// Memory, the clock, locks, the open pipes, and the exit. No call that names a file or another process.
    const ALLOWED: [libc::c_long; 32] = [
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_gettid,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_getpid,
        libc::SYS_tgkill,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// A kernel without seccomp, or a container that forbids it, leaves the other limits.
    pub fn only_what_a_script_needs() {
        if let Some(program) = program() {
            let _ = apply_filter_all_threads(&program);
        }
    }

    fn program() -> Option<BpfProgram> {
        let allowed: BTreeMap<i64, Vec<_>> =
            ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        // An error and not a kill: a C library that asks for a time zone continues without it.
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let arch = std::env::consts::ARCH.try_into().ok()?;
        SeccompFilter::new(allowed, refused, SeccompAction::Allow, arch)
            .ok()?
            .try_into()
            .ok()
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod filter {
    /// For this processor there is no list of system calls: only the limits apply.
    pub fn only_what_a_script_needs() {}
}
