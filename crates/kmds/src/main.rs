//! argv → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kmds::cli::main()
}
