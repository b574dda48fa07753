//! What records have to do with each other: cases, duplicates, and who is deleted for it.
//!
//! Of each record only an [`Entry`] of hashes is kept. Entries are sorted so that a case's records
//! stand together, wherever they stand in the file. No value is kept and nothing is logged here.

use std::collections::HashSet;

use super::layout::{Duplicates, Section};

/// What is kept of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// What the record belongs to: its case number, its type or itself, hashed.
    pub owner: u64,
    /// All values, hashed.
    pub exact: u64,
    /// The values that make it a partial duplicate, hashed; 0 for none.
    pub partial: u64,
    pub line: u64,
    /// The first line of its case in its month; known once judged.
    pub case_line: u64,
    /// Bits of the rules between records that it answers.
    pub marks: u16,
    /// Which record type of the section, and which segment of it.
    pub kind: u8,
    pub segment: u8,
    /// Which month of the quarter.
    pub month: u8,
    /// It has a problem of its own that counts.
    pub flawed: bool,
    /// It has something to be logged.
    pub noted: bool,
    pub deleted: bool,
    /// It must pass the check of these linked rules, and does not.
    pub links: u8,
}

/// One problem between records, filed under one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct CaseProblem {
    pub line: u64,
    pub segment: u8,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// All values equal those of a record on an earlier line.
    Duplicate { of: u64 },
    /// The identifying values equal those of a record on an earlier line.
    Partial { of: u64 },
    /// The case has more records than a case may have.
    TooMany,
    /// The n-th relation of the section is broken; `none` when no record of the types it needs is there.
    Relation { rule: usize, none: bool },
}

/// What came of judging.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// In order of line and segment.
    pub problems: Vec<CaseProblem>,
    /// Cases stored in each month of the quarter: without and with problems.
    pub cases: [(u64, u64); 3],
    /// Owners of which everything is deleted.
    pub doomed: HashSet<u64>,
}

/// Judges all records of a share, and leaves the entries in order of line and segment.
///
/// `flawed` are case numbers with problems that left no entry; `doomed` owners are deleted in any case.
pub(super) fn judge(
    section: &Section,
    entries: &mut [Entry],
    flawed: &HashSet<u64>,
    doomed: &HashSet<u64>,
) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let by_case = matches!(section.duplicates, Duplicates::DeleteCase | Duplicates::Keep);
    let month = |entry: &Entry| if by_case { entry.month } else { 0 };
    entries.sort_unstable_by_key(|e| (e.owner, month(e), e.kind, e.exact, e.line, e.segment));
    for group in entries.chunk_by_mut(|a, b| a.owner == b.owner && month(a) == month(b)) {
        let owner = group[0].owner;
        if judge_group(section, group, &mut verdicts.problems) || doomed.contains(&owner) {
            group.iter_mut().for_each(|entry| entry.deleted = true);
            if section.duplicates == Duplicates::DeleteType {
                verdicts.doomed.insert(owner);
            }
        }
    }
    if by_case {
        for case in entries.chunk_by_mut(|a, b| a.owner == b.owner) {
            judge_links(section, case);
            let is_flawed =
                case.iter().any(|e| e.flawed || e.deleted || e.links != 0) || flawed.contains(&case[0].owner);
            for month in 0..3 {
                if case.iter().any(|entry| !entry.deleted && entry.month == month) {
                    let (sound, unsound) = &mut verdicts.cases[usize::from(month)];
                    *if is_flawed { unsound } else { sound } += 1;
                }
            }
        }
    }
    entries.sort_unstable_by_key(|entry| (entry.line, entry.segment));
    verdicts.problems.sort_by_key(|problem| (problem.line, problem.segment));
    verdicts
}

/// Judges the records of one case in one month; true when they are to be deleted.
fn judge_group(section: &Section, group: &mut [Entry], problems: &mut Vec<CaseProblem>) -> bool {
    let first = group.iter().map(|entry| entry.line).min().unwrap_or_default();
    group.iter_mut().for_each(|entry| entry.case_line = first);
    let before = problems.len();
    for (number, rule) in section.relations.iter().enumerate() {
        let bit = |mark: u8| move |entry: &&Entry| entry.marks & (1 << mark) != 0;
        if group.iter().any(|entry| bit(rule.needs)(&entry)) {
            continue;
        }
        let none = !group.iter().any(|entry| rule.types.contains(&entry.kind));
        let what = What::Relation { rule: number, none };
        problems.extend(group.iter().filter(bit(rule.every)).map(|entry| entry.problem(what)));
    }
    let broken = problems[before..].iter().any(|problem| match problem.what {
        What::Relation { rule, .. } => !section.relations[rule].deprecated,
        _ => false,
    });
    let crowded = section.most_records.is_some_and(|most| {
        group.len() > most && {
            let mut order: Vec<_> = group.iter().map(|entry| (entry.line, entry.segment)).collect();
            let (_, &mut (line, segment), _) = order.select_nth_unstable(most);
            problems.push(CaseProblem { line, segment, what: What::TooMany });
            true
        }
    });
    let doubled = find_duplicates(group, problems);
    if doubled && section.duplicates == Duplicates::Keep {
        // Kept, but the case counts as one with problems.
        group.iter_mut().for_each(|entry| entry.flawed = true);
    }
    broken || crowded || doubled && section.duplicates != Duplicates::Keep
}

/// Files a problem for each later copy, exact before partial; true when there is one.
/// The group comes sorted by type and all values.
fn find_duplicates(group: &mut [Entry], problems: &mut Vec<CaseProblem>) -> bool {
    let before = problems.len();
    let mut singles: Vec<Entry> = Vec::new();
    for run in group.chunk_by(|a, b| a.kind == b.kind && a.exact == b.exact) {
        let of = run[0].line;
        let copies = run.iter().filter(|entry| entry.line != of);
        let found = problems.len();
        problems.extend(copies.map(|entry| entry.problem(What::Duplicate { of })));
        // Records that are exact duplicates are not also partial ones.
        if problems.len() == found {
            singles.extend(run.iter().filter(|entry| entry.partial != 0));
        }
    }
    singles.sort_unstable_by_key(|entry| (entry.kind, entry.partial, entry.line, entry.segment));
    for run in singles.chunk_by(|a, b| a.kind == b.kind && a.partial == b.partial) {
        let of = run[0].line;
        let later = run.iter().filter(|entry| entry.line != of);
        problems.extend(later.map(|entry| entry.problem(What::Partial { of })));
    }
    problems.len() > before
}

/// Notes the linked rules that records of one case number break.
fn judge_links(section: &Section, case: &mut [Entry]) {
    for (number, link) in section.links.iter().enumerate() {
        let asked = case.iter().any(|entry| !entry.deleted && entry.marks & (1 << link.when) != 0);
        let fails =
            case.iter_mut().filter(|entry| asked && !entry.deleted && entry.marks & (1 << link.fails) != 0);
        fails.for_each(|entry| entry.links |= 1 << number);
    }
}

impl Entry {
    fn problem(&self, what: What) -> CaseProblem {
        CaseProblem { line: self.line, segment: self.segment, what }
    }
}
