//! Relations between records: cases, duplicates, and the records deleted because of them.
//!
//! Of each record only an [`RecordEntry`] of hashes is kept, in the order of the file. A case's records
//! mostly stand together; runs of them are sorted, so that they are found wherever they stand. No
//! value is kept and nothing is logged here.

use std::collections::{HashMap, HashSet};

use super::layout::{Duplicates, Section};

/// The data kept of the records of a share.
#[derive(Debug, Default)]
pub(super) struct RecordIndex {
    /// In order of line and segment.
    pub entries: Vec<RecordEntry>,
    /// In order of their entries.
    pub runs: Vec<EntryRun>,
    /// Case numbers, hashed, and months of the quarter, with problems that left no entry.
    pub flawed: HashSet<(u64, u8)>,
    /// Lines that were to be a record of a case, and are refused: see [`Lost`].
    pub lost: HashMap<Lost, u64>,
}

/// The intended record of a refused line: its case number, hashed; its month of the quarter, if it is one; its
/// record type of the section.
pub(super) type Lost = (u64, Option<u8>, u8);

/// The data kept of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordEntry {
    /// All values, hashed.
    pub exact: u64,
    /// The values that make it a partial duplicate, hashed; 0 for none.
    pub partial: u64,
    pub line: u64,
    /// Bits of the rules between records that it answers.
    pub marks: u16,
    /// Which record type of the section, and which segment of it.
    pub kind: u8,
    pub segment: u8,
    /// It has a problem of its own that counts.
    pub flawed: bool,
    /// It has something to be logged.
    pub noted: bool,
    pub deleted: bool,
    /// Bits of the linked rules whose check it must pass, and does not.
    pub links: u8,
}

/// Entries that stand together and belong together.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryRun {
    /// The owner of a record: its case number, its type or itself, hashed.
    pub owner: u64,
    /// The first line of the case in its month; known once judged.
    pub case_line: u64,
    pub from: u32,
    pub to: u32,
    /// The month of the quarter; 0 in sections without cases.
    pub month: u8,
}

impl RecordIndex {
    /// Adds the next record of the file.
    pub(super) fn push(&mut self, owner: u64, month: u8, entry: RecordEntry) {
        let at = self.entries.len() as u32;
        match self.runs.last_mut() {
            Some(run) if run.owner == owner && run.month == month => run.to = at + 1,
            _ => self.runs.push(EntryRun { owner, month, case_line: entry.line, from: at, to: at + 1 }),
        }
        self.entries.push(entry);
    }
}

impl EntryRun {
    pub(super) fn members(&self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
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
    /// The n-th relation of the section is broken; `none` when no record of the types it needs is there, of
    /// which a line that was `refused` may have been one.
    Relation { rule: usize, none: bool, refused: Option<u64> },
}

/// The result of judging.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// In order of line and segment.
    pub problems: Vec<CaseProblem>,
    /// Cases stored in each month of the quarter: without and with problems.
    pub cases: [(u64, u64); 3],
    /// Owners whose records are all deleted.
    pub doomed: HashSet<u64>,
}

/// Judges all records of a share; `doomed` owners are deleted in any case.
pub(super) fn judge(section: &Section, index: &mut RecordIndex, doomed: &HashSet<u64>) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let RecordIndex { entries, runs, flawed, lost } = index;
    runs.sort_unstable_by_key(|run| (run.owner, run.month, run.from));
    let mut members: Vec<usize> = Vec::new();
    for owned in runs.chunk_by_mut(|a, b| a.owner == b.owner) {
        let owner = owned[0].owner;
        for case in owned.chunk_by_mut(|a, b| a.month == b.month) {
            let first = case[0].case_line;
            case.iter_mut().for_each(|run| run.case_line = first);
            members.clear();
            members.extend(case.iter().flat_map(EntryRun::members));
            let month = case[0].month;
            let refused = |kind: &u8| {
                let of = |month| lost.get(&(owner, month, *kind)).copied();
                of(Some(month)).or_else(|| of(None))
            };
            if judge_case(section, entries, &mut members, &refused, &mut verdicts.problems)
                || doomed.contains(&owner)
            {
                members.iter().for_each(|&member| entries[member].deleted = true);
                if section.duplicates == Duplicates::DeleteType {
                    verdicts.doomed.insert(owner);
                }
            }
        }
        if matches!(section.duplicates, Duplicates::DeleteCase | Duplicates::Keep) {
            judge_links(section, entries, owned);
            count_cases(entries, owned, flawed, &mut verdicts.cases);
        }
    }
    runs.sort_unstable_by_key(|run| run.from);
    verdicts.problems.sort_by_key(|problem| (problem.line, problem.segment));
    verdicts
}

/// Judges the records of one case in one month; true when they are to be deleted.
fn judge_case(
    section: &Section,
    entries: &mut [RecordEntry],
    members: &mut [usize],
    refused: &dyn Fn(&u8) -> Option<u64>,
    problems: &mut Vec<CaseProblem>,
) -> bool {
    let case = || members.iter().map(|&member| &entries[member]);
    let before = problems.len();
    for (number, rule) in section.relations.iter().enumerate() {
        let bit = |mark: u8| move |entry: &&RecordEntry| entry.marks & (1 << mark) != 0;
        if case().any(|entry| bit(rule.needs)(&entry)) {
            continue;
        }
        let none = !case().any(|entry| rule.types.contains(&entry.kind));
        let refused = rule.types.iter().find_map(refused);
        let what = What::Relation { rule: number, none, refused };
        problems.extend(case().filter(bit(rule.every)).map(|entry| entry.problem(what)));
    }
    let broken = problems[before..].iter().any(|problem| match problem.what {
        What::Relation { rule, .. } => !section.relations[rule].deprecated,
        _ => false,
    });
    let extra = section.most_records.and_then(|most| members.get(most));
    problems.extend(extra.map(|&member| entries[member].problem(What::TooMany)));
    let crowded = extra.is_some();
    let doubled = members.len() > 1 && find_duplicates(entries, members, problems);
    if doubled && section.duplicates == Duplicates::Keep {
        // Kept, but the case counts as one with problems.
        members.iter().for_each(|&member| entries[member].flawed = true);
    }
    broken || crowded || doubled && section.duplicates != Duplicates::Keep
}

/// Files a problem for each later copy, exact before partial; true when there is one.
fn find_duplicates(entries: &[RecordEntry], members: &mut [usize], problems: &mut Vec<CaseProblem>) -> bool {
    let before = problems.len();
    let of = |member: &usize| &entries[*member];
    let mut singles: Vec<usize> = Vec::new();
    members.sort_unstable_by_key(|member| (of(member).kind, of(member).exact, *member));
    for run in members.chunk_by(|a, b| of(a).kind == of(b).kind && of(a).exact == of(b).exact) {
        let first = of(&run[0]).line;
        let copies = run.iter().map(of).filter(|entry| entry.line != first);
        let found = problems.len();
        problems.extend(copies.map(|entry| entry.problem(What::Duplicate { of: first })));
        // Records that are exact duplicates are not also partial ones.
        if problems.len() == found {
            singles.extend(run.iter().filter(|member| of(member).partial != 0));
        }
    }
    singles.sort_unstable_by_key(|member| (of(member).kind, of(member).partial, *member));
    for run in singles.chunk_by(|a, b| of(a).kind == of(b).kind && of(a).partial == of(b).partial) {
        let first = of(&run[0]).line;
        let later = run.iter().map(of).filter(|entry| entry.line != first);
        problems.extend(later.map(|entry| entry.problem(What::Partial { of: first })));
    }
    problems.len() > before
}

/// Counts a case number for each month of which records are left; a problem counts against its own month.
fn count_cases(
    entries: &[RecordEntry],
    owned: &[EntryRun],
    flawed: &HashSet<(u64, u8)>,
    cases: &mut [(u64, u64); 3],
) {
    for case in owned.chunk_by(|a, b| a.month == b.month) {
        let records = || case.iter().flat_map(|run| &entries[run.members()]);
        if records().any(|entry| !entry.deleted) {
            let is_flawed = flawed.contains(&(case[0].owner, case[0].month))
                || records().any(|entry| entry.flawed || entry.deleted || entry.links != 0);
            let (sound, unsound) = &mut cases[usize::from(case[0].month)];
            *if is_flawed { unsound } else { sound } += 1;
        }
    }
}

/// Notes the linked rules that records of one case number break.
fn judge_links(section: &Section, entries: &mut [RecordEntry], owned: &[EntryRun]) {
    for (number, link) in section.links.iter().enumerate() {
        let left = |entry: &RecordEntry, mark: u8| !entry.deleted && entry.marks & (1 << mark) != 0;
        let mut all = owned.iter().flat_map(EntryRun::members);
        if all.any(|member| left(&entries[member], link.when)) {
            for member in owned.iter().flat_map(EntryRun::members) {
                let fails = left(&entries[member], link.fails);
                entries[member].links |= u8::from(fails) << number;
            }
        }
    }
}

impl RecordEntry {
    fn problem(&self, what: What) -> CaseProblem {
        CaseProblem { line: self.line, segment: self.segment, what }
    }
}
