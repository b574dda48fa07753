//! The `parselog` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    parselog::App::new().main()
}
