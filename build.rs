//! Rebuilds the crate when a migration is added: `sqlx::migrate!` by itself sees only changed ones.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
