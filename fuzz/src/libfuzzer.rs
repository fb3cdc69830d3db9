//! libFuzzer, called as a library from within a test.
#![expect(unsafe_code, reason = "libFuzzer is C++")]

use std::ffi::{CString, c_char, c_int};
use std::sync::OnceLock;

use super::Target;

// Linked for the C++ in it, whose driver is called below.
extern crate libfuzzer_sys as _;

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        one: extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

static TARGET: OnceLock<Target> = OnceLock::new();

/// Ends the process, as libFuzzer does: 0 when nothing was found. The first of the `arguments` is the program that
/// libFuzzer starts when it needs another one of itself.
pub(crate) fn run(arguments: &str, one: Target) -> ! {
    let _ = TARGET.set(one);
    let owned: Vec<CString> = arguments
        .split_whitespace()
        .filter_map(|word| CString::new(word).ok())
        .collect();
    let mut words: Vec<*mut c_char> = owned.iter().map(|word| word.as_ptr().cast_mut()).collect();
    let mut count = c_int::try_from(words.len()).unwrap_or(0);
    words.push(std::ptr::null_mut());
    let mut argv = words.as_mut_ptr();
    // SAFETY: `argv` holds `count` C strings and a null behind them, all alive until the process ends.
    let code = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut argv, feed) };
    std::process::exit(code)
}

extern "C" fn feed(at: *const u8, bytes: usize) -> c_int {
    let Some(one) = TARGET.get() else { return 0 };
    // SAFETY: libFuzzer hands over `bytes` readable bytes for the length of this call.
    let input = if bytes == 0 {
        &[]
    } else {
        unsafe { std::slice::from_raw_parts(at, bytes) }
    };
    // A panic must not unwind into C++. libFuzzer keeps the input of an aborted run.
    if std::panic::catch_unwind(|| one.feed(input)).is_err() {
        std::process::abort();
    }
    0
}
