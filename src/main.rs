//! The `tiebeam` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tiebeam::cli::main()
}
