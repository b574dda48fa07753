//! Problems of the same kind, counted.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::ReportedProblem;
use super::pattern::MessagePattern;

/// Groups beyond so many are counted together, by category: messages that never repeat must not
/// fill the memory.
const MOST_GROUPS: usize = 5000;
/// Only so much (bytes) of a message says which group it belongs to.
const LONGEST_PATTERN: usize = 1000;
/// Record numbers that a group names.
const EXAMPLES: usize = 5;

/// Problems of the same kind.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemGroup {
    /// How many.
    pub count: u64,
    /// Number of the category.
    pub category: u8,
    /// The category in words.
    pub kind: String,
    /// Record type; empty where there is none.
    pub record_type: String,
    /// Item number; empty where there is none.
    pub item: String,
    /// Field name; empty where there is none.
    pub field: String,
    /// Whether the rule is deprecated.
    pub deprecated: bool,
    /// The message, with `…` where it differs from record to record.
    #[serde(rename = "message", serialize_with = "as_text")]
    pub(super) pattern: MessagePattern,
    /// The lowest record number.
    pub first_record: Option<u64>,
    /// The line of the log that has the first one, from 1.
    pub first_line: u64,
    /// The first record numbers in the log, each once.
    pub examples: Vec<u64>,
}

/// The key of a kind of problem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    category: u8,
    deprecated: bool,
    record_type: String,
    item: String,
    field: String,
    words: String,
}

/// The groups while problems come in.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<Key, ProblemGroup>);

impl Groups {
    /// Counts a problem that is in this line of the log.
    pub(super) fn add(&mut self, problem: &ReportedProblem, line: u64) {
        let message = &problem.message[..problem.message.floor_char_boundary(LONGEST_PATTERN)];
        let mut key = Key {
            category: problem.category,
            deprecated: problem.deprecated,
            record_type: problem.record_type.clone(),
            item: problem.item.clone(),
            field: problem.field.clone(),
            words: MessagePattern::words(message),
        };
        let is_full = self.0.len() >= MOST_GROUPS && !self.0.contains_key(&key);
        if is_full {
            for text in [&mut key.record_type, &mut key.item, &mut key.field, &mut key.words] {
                text.clear();
            }
        }
        let group = self.0.entry(key).or_insert_with_key(|key| ProblemGroup {
            count: 0,
            category: key.category,
            kind: problem.kind.clone(),
            record_type: key.record_type.clone(),
            item: key.item.clone(),
            field: key.field.clone(),
            deprecated: key.deprecated,
            pattern: MessagePattern::of(if is_full { "further problems of other kinds" } else { message }),
            first_record: None,
            first_line: line,
            examples: Vec::new(),
        });
        group.count += 1;
        if !is_full {
            group.pattern.widen(message);
        }
        if let Some(record) = problem.record {
            group.first_record = Some(group.first_record.map_or(record, |first| first.min(record)));
            if group.examples.len() < EXAMPLES && !group.examples.contains(&record) {
                group.examples.push(record);
            }
        }
    }

    /// The groups, the most frequent first.
    pub(super) fn finish(self) -> Vec<ProblemGroup> {
        let mut groups: Vec<ProblemGroup> = self.0.into_values().collect();
        groups.sort_by_cached_key(|group| {
            let first = group.first_record.unwrap_or_default();
            (u64::MAX - group.count, group.category, first, group.field.clone(), group.pattern.to_string())
        });
        groups
    }
}

impl ProblemGroup {
    /// The message, with `…` where it differs from record to record.
    pub fn message(&self) -> String {
        self.pattern.to_string()
    }

    /// The record numbers in one text.
    pub fn examples(&self) -> String {
        self.examples.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

fn as_text<S: Serializer>(pattern: &MessagePattern, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(record: u64, message: String) -> ReportedProblem {
        ReportedProblem {
            record: Some(record),
            month: String::new(),
            case: None,
            record_type: "T1".to_owned(),
            item: "4".to_owned(),
            field: "MONTH".to_owned(),
            category: 2,
            kind: "field value".to_owned(),
            message,
            deprecated: false,
        }
    }

    #[test]
    fn messages_that_never_repeat_are_counted_together_beyond_a_bound() {
        let mut groups = Groups::default();
        let words = |mut n: u64| {
            let mut word = String::new();
            while n > 0 {
                word.push(char::from(b'a' + (n % 26) as u8));
                n /= 26;
            }
            word
        };
        let all = 2 * MOST_GROUPS as u64;
        (1..=all).for_each(|n| groups.add(&problem(n, words(n)), n));
        let groups = groups.finish();
        assert_eq!(groups.len(), MOST_GROUPS + 1);
        assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), all);
        assert_eq!(groups[0].pattern.to_string(), "further problems of other kinds");
    }

    #[test]
    fn a_group_names_its_first_record_and_a_few_more() {
        let mut groups = Groups::default();
        let records = [9, 9, 3, 5, 6, 7, 8].into_iter();
        records.zip(21..).for_each(|(n, line)| groups.add(&problem(n, format!("is {n}")), line));
        let groups = groups.finish();
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].count, groups[0].first_record, groups[0].first_line), (7, Some(3), 21));
        assert_eq!(
            (groups[0].examples().as_str(), groups[0].pattern.to_string().as_str()),
            ("9 3 5 6 7", "is …")
        );
    }
}
