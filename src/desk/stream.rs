//! Finds streams by name.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::{DeskError, Result};
use crate::carry;
use crate::ids::ServiceName;
use crate::store;
use crate::system::System;

/// Most names to suggest.
const SUGGESTED: usize = 5;

/// Finds the stream that `text` names: as its sender calls itself, or as the stream is listed.
///
/// # Errors
/// There is none; the text says which have a similar name.
pub async fn find_stream(system: &System, text: &str) -> Result<ServiceName> {
    let known = names(system).await?;
    let listed = ServiceName::try_from(text.to_owned()).ok();
    if let Some(name) =
        [Some(ServiceName::of(text)), listed].into_iter().flatten().find(|name| known.contains(name))
    {
        return Ok(name);
    }
    let similar = similar(text, &known);
    let hint =
        if similar.is_empty() { String::new() } else { format!(": did you mean {}?", similar.join(", ")) };
    Err(DeskError::NotFound(format!("no stream '{text}'{hint}; `parselog streams` lists what there is")))
}

/// The names of all streams in the database and in this machine's spool, which may know more.
///
/// # Errors
/// The database or the spool fails.
pub async fn names(system: &System) -> Result<BTreeSet<ServiceName>> {
    let listed = store::stream::names(&system.pool).await?;
    let spool = system.spool.clone();
    let spooled = carry::spawn_blocking(move || -> anyhow::Result<Vec<ServiceName>> {
        let heads = spool.list()?.into_iter().filter_map(|entry| spool.head_of(&entry));
        Ok(heads.filter_map(|head| head.subject.service().cloned()).collect())
    });
    let mut names: BTreeSet<_> =
        listed.into_iter().filter_map(|name| ServiceName::try_from(name).ok()).collect();
    names.extend(spooled.await.context("looking for streams panicked")??);
    Ok(names)
}

/// The most similar names: with the same letters in them, or with few letters changed.
fn similar<'a>(text: &str, known: &'a BTreeSet<ServiceName>) -> Vec<&'a str> {
    let wanted = text.to_lowercase();
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(ServiceName::as_str)
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let is_part = lower.contains(&wanted) || wanted.contains(&lower);
            let changes = changes(&wanted, &lower);
            (is_part || changes <= 1 + wanted.len() / 4).then_some((changes, name))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(SUGGESTED).map(|(_, name)| name).collect()
}

/// How many letters must be changed, added or left out to make one text of the other.
fn changes(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (nth, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], nth + 1);
        for (at, known) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *known);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_name() {
        let known: BTreeSet<_> = ["celery", "gunicorn.error", "gunicorn", "info"].map(ServiceName::of).into();
        assert_eq!(similar("celry", &known), ["celery"]);
        assert_eq!(similar("GUNICORN", &known), ["gunicorn", "gunicorn.error"]);
        assert_eq!(similar("inof", &known), ["info"]);
        assert!(similar("django", &known).is_empty());
        assert_eq!(changes("", "abc"), 3);
    }
}
