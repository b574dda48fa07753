//! The power losses that are tried at one moment: which changes of names and which pages were kept.

use std::collections::HashSet;
use std::sync::Arc;

use super::platter::{Bytes, Id, Life, Platter, Tree};
use crate::rng::Rng;

/// What a disk keeps or loses as one.
const PAGE: usize = 4096;
/// What is torn, where a page is.
const SECTOR: usize = 512;

/// Random mixtures at each moment, beside the plain ones.
const MIXED: usize = 8;

/// How much of the files was kept.
#[derive(Clone, Copy)]
enum Kept {
    All,
    Durable,
    /// Of this file only what is durable, of all others all.
    AllBut(Id),
    /// Of this file all, of all others only what is durable.
    Only(Id),
    /// Of all files what is durable, and one page of this one.
    OnlyPage(Id, usize),
    /// Of all files everything, but one page of this one.
    AllButPage(Id, usize),
}

/// What the disk may hold after a power loss at this moment; the first loses nothing.
pub(super) fn of(platter: &Platter, rng: &mut Rng) -> Vec<Tree> {
    let changes = platter.changes.len();
    let mut trees = Vec::new();
    for kept in plain(platter) {
        trees.push(platter.tree(|_| true, |id, lives| kept.bytes(id, lives)));
    }
    for kept in [Kept::All, Kept::Durable] {
        trees.push(platter.tree(|_| false, |id, lives| kept.bytes(id, lives)));
        for one in 0..changes {
            trees.push(platter.tree(|change| change == one, |id, lives| kept.bytes(id, lives)));
            trees.push(platter.tree(|change| change != one, |id, lives| kept.bytes(id, lives)));
            trees.push(platter.tree(|change| change < one, |id, lives| kept.bytes(id, lives)));
        }
    }
    for _ in 0..MIXED {
        let names: Vec<bool> = (0..changes).map(|_| rng.once_in(2)).collect();
        let unit = *rng.pick(&[PAGE, PAGE, SECTOR]);
        trees.push(platter.tree(|change| names[change], |_, lives| mixed(lives, unit, rng)));
    }
    let mut seen = HashSet::new();
    trees.retain(|tree| seen.insert(tree.clone()));
    trees
}

fn plain(platter: &Platter) -> Vec<Kept> {
    let mut plain = vec![Kept::All, Kept::Durable];
    for (id, lives) in platter.unsynced() {
        plain.extend([Kept::AllBut(id), Kept::Only(id)]);
        let (first, last) = (&lives[0].base, lives[lives.len() - 1].now());
        let pages = (0..last.len().div_ceil(PAGE))
            .filter(|page| piece(first, *page, PAGE) != piece(last, *page, PAGE));
        for page in pages {
            plain.extend([Kept::OnlyPage(id, page), Kept::AllButPage(id, page)]);
        }
    }
    plain
}

impl Kept {
    fn bytes(self, id: Id, lives: &[Life]) -> Bytes {
        let (durable, all) = (&lives[0].base, lives[lives.len() - 1].now());
        // What a page held before a cut does not come back behind it.
        let before = &lives[lives.len() - 1].base;
        Arc::clone(match self {
            Self::All => all,
            Self::Durable => durable,
            Self::AllBut(file) => {
                if file == id {
                    durable
                } else {
                    all
                }
            }
            Self::Only(file) => {
                if file == id {
                    all
                } else {
                    durable
                }
            }
            Self::OnlyPage(file, page) if file == id => {
                return woven(all.len(), PAGE, |number| if number == page { all } else { before });
            }
            Self::OnlyPage(..) => durable,
            Self::AllButPage(file, page) if file == id => {
                return woven(all.len(), PAGE, |number| if number == page { before } else { all });
            }
            Self::AllButPage(..) => all,
        })
    }
}

/// One life of the file with any of its lengths, and each piece as it was at any time in it.
fn mixed(lives: &[Life], unit: usize, rng: &mut Rng) -> Bytes {
    let life: &Life = rng.pick(lives);
    let versions: Vec<&Bytes> = std::iter::once(&life.base).chain(&life.views).collect();
    let len = versions[rng.below(versions.len() as u64) as usize].len();
    woven(len, unit, |_| versions[rng.below(versions.len() as u64) as usize])
}

fn woven<'a>(len: usize, unit: usize, mut from: impl FnMut(usize) -> &'a Bytes) -> Bytes {
    let mut bytes = vec![0; len];
    for (number, room) in bytes.chunks_mut(unit).enumerate() {
        let kept = piece(from(number), number, unit);
        let size = kept.len().min(room.len());
        room[..size].copy_from_slice(&kept[..size]);
    }
    Arc::new(bytes)
}

fn piece(bytes: &[u8], number: usize, unit: usize) -> &[u8] {
    let start = (number * unit).min(bytes.len());
    &bytes[start..(start + unit).min(bytes.len())]
}
