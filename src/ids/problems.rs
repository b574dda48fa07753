//! The keys of the Parquet files that have the problems of all runs.

use std::fmt;

use chrono::{Datelike as _, NaiveDate};

/// The folder of a bucket in which they lie.
const PROBLEMS: &str = "problems";

/// The longest name of a program.
const LONGEST_PROGRAM: usize = 64;

/// The key of the file with the problems of one month's runs on one program's files of one fiscal quarter; the only
/// place that builds one:
///
/// ```text
/// problems/program=<program>/year=<fiscal year>/quarter=<1 to 4>/<yyyy>-<mm>.parquet
/// ```
///
/// Whoever reads the folder as a table gets program, year and quarter from the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemsKey(String);

impl ProblemsKey {
    /// Builds the key for the month of a day; `None` if the program or the quarter would be anything else than a folder
    /// with this name.
    pub fn new(program: &str, fiscal_year: i32, fiscal_quarter: i16, day: NaiveDate) -> Option<Self> {
        let is_plain = (1..=LONGEST_PROGRAM).contains(&program.len())
            && program.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let is_date = (1..=9999).contains(&fiscal_year) && (1..=9999).contains(&day.year());
        if !is_plain || !is_date || !(1..=4).contains(&fiscal_quarter) {
            return None;
        }
        let month = day.format("%Y-%m");
        Some(Self(format!(
            "{PROBLEMS}/program={program}/year={fiscal_year}/quarter={fiscal_quarter}/{month}.parquet"
        )))
    }

    /// Whether a key may be one of these.
    pub fn is_one(key: &str) -> bool {
        key.strip_prefix(PROBLEMS).is_some_and(|rest| rest.starts_with("/program="))
            && key.ends_with(".parquet")
    }

    /// The key as S3 takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProblemsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_partitions_in_its_path_and_nothing_that_leads_elsewhere() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 29).expect("a day");
        let key = ProblemsKey::new("tribal-tanf", 2021, 1, day).expect("a key");
        assert_eq!(key.as_str(), "problems/program=tribal-tanf/year=2021/quarter=1/2026-11.parquet");
        assert!(ProblemsKey::is_one(key.as_str()) && super::super::is_ours(key.as_str()));
        assert!(!ProblemsKey::is_one("problems.parquet") && !ProblemsKey::is_one("problems/program=x/y.csv"));
        let long = "a".repeat(LONGEST_PROGRAM + 1);
        for program in ["", "..", "a/b", "a=b", "A", "a b", "ä", "a\0", long.as_str()] {
            assert_eq!(ProblemsKey::new(program, 2021, 1, day), None, "{program:?}");
        }
        for (year, quarter) in [(2021, 0), (2021, 5), (0, 1), (-1, 1), (10_000, 1)] {
            assert_eq!(ProblemsKey::new("tanf", year, quarter, day), None, "{year} {quarter}");
        }
    }
}
