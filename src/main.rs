//! The `parselog` command.

fn main() {}
