//! The rooms as `ARCHITECTURE.md` lists them, which is the one place that does; everything else is held
//! against it: the folders, the map in `lib.rs`, and the table of what each room owns.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::source::{root, sources};

/// The levels, highest first, each with its rooms. A line of the first block is a level; what stands behind
/// two blanks says what the level is for.
pub(super) fn levels() -> Vec<Vec<String>> {
    let page = architecture();
    let (_, block) = page.split_once("```text\n").expect("a block with the rooms");
    let (block, _) = block.split_once("\n```").expect("the end of the block");
    let levels = block.lines().map(|line| {
        let rooms = line.trim_start().split("  ").next().unwrap_or_default();
        rooms.split(' ').map(str::to_owned).collect()
    });
    levels.collect()
}

/// Every room.
fn rooms() -> BTreeSet<String> {
    levels().into_iter().flatten().collect()
}

fn architecture() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    fs::read_to_string(page).expect("ARCHITECTURE.md")
}

#[test]
fn the_rooms_of_the_plan_are_the_folders_and_files_of_src() {
    let built: BTreeSet<String> = sources().map(|source| source.room).collect();
    assert_eq!(rooms(), built);
}

#[test]
fn the_map_in_lib_has_the_same_rooms_on_the_same_levels() {
    let map = fs::read_to_string(root().join("lib.rs")).expect("src/lib.rs");
    let header: String =
        map.lines().filter_map(|line| line.strip_prefix("//!")).map(|line| format!("{line}\n")).collect();
    let (_, block) = header.split_once("```text\n").expect("a block with the rooms");
    let (block, _) = block.split_once("```").expect("the end of the block");
    let levels: Vec<Vec<String>> =
        block.split('>').map(|level| level.split_whitespace().map(str::to_owned).collect()).collect();
    assert_eq!(levels, super::levels());
}

#[test]
fn the_table_says_what_each_room_owns() {
    let page = architecture();
    let described: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(room, _)| room.to_owned()))
        .collect();
    let mut rooms = rooms();
    assert!(rooms.remove("main"), "main is the one room without a row");
    assert_eq!(described.len(), rooms.len(), "a room has one row");
    assert_eq!(described.into_iter().collect::<BTreeSet<_>>(), rooms);
}
