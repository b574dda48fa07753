//! Invents values that pass checks; deterministic. Knows no record and no file.

use super::check::Test;
use super::layout::{Field, FieldKind};
use super::value::{Span, Value, whole_number};

/// A small generator of numbers (splitmix64): the same seed, the same numbers, on every machine.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit - 1`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True in this share of all cases.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        ((self.next() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    /// A value for the field that passes its own checks and the further ones, if one is found soon.
    pub(super) fn value(&mut self, field: &Field, further: &[&Test]) -> Vec<u8> {
        let width = field.at.end - field.at.start;
        let own = field.checks.iter().map(|check| &check.test);
        let tests: Vec<&Test> = further.iter().copied().chain(own).collect();
        let mut value = Vec::new();
        for _ in 0..64 {
            value = match field.kind {
                FieldKind::Ciphered => self.ssn(),
                _ => self.guess(tests.first().copied(), &tests, width),
            };
            let number = matches!(field.kind, FieldKind::Number).then(|| whole_number(&value)).flatten();
            let read = number.map_or(Value::Text(Span { start: 0, end: value.len() as u32 }), Value::Number);
            if tests.iter().all(|test| test.passes(read, &value, None)) {
                break;
            }
        }
        value
    }

    /// A value that the test may well pass.
    fn guess(&mut self, test: Option<&Test>, tests: &[&Test], width: usize) -> Vec<u8> {
        match test {
            Some(Test::Ssn) => self.ssn(),
            _ if tests.iter().any(|test| matches!(test, Test::Digits(8))) => self.birth_date(),
            // Wide amounts are kept small, so that a sum of them fits the width, too.
            Some(Test::Between(least, most)) => {
                let widest = 10_i64.saturating_pow(width.min(18) as u32) - 1;
                let span = (*most).min(widest).saturating_sub(*least).clamp(0, 4999) as u64;
                padded(least + self.below(span + 1) as i64, width)
            }
            Some(Test::NumberOf(allowed)) => {
                let nth = self.below(u64::from(allowed.count_ones())) as usize;
                let numbers = (0..64).filter(|n| allowed >> n & 1 == 1);
                padded(numbers.into_iter().nth(nth).unwrap_or(0), width)
            }
            Some(Test::NumberIn(allowed)) => {
                padded(allowed[self.below(allowed.len() as u64) as usize], width)
            }
            Some(Test::TextIn(allowed)) => allowed[self.below(allowed.len() as u64) as usize].to_vec(),
            Some(Test::AnyOf(tests)) => {
                let chosen = &tests[self.below(tests.len() as u64) as usize];
                self.guess(Some(chosen), &[], width)
            }
            _ => (0..width).map(|_| b'0' + self.below(10) as u8).collect(),
        }
    }

    fn ssn(&mut self) -> Vec<u8> {
        format!("9{:02}{:02}{:04}", self.below(100), 1 + self.below(69), 1 + self.below(9999)).into_bytes()
    }

    fn birth_date(&mut self) -> Vec<u8> {
        format!("{}{:02}{:02}", 1950 + self.below(68), 1 + self.below(12), 1 + self.below(28)).into_bytes()
    }
}

fn padded(number: i64, width: usize) -> Vec<u8> {
    format!("{number:0width$}").into_bytes()
}
