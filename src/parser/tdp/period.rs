//! The quarter a submission is for, fiscal and calendar.
//!
//! Fiscal Q1 is the calendar's Q4 of the year before; fiscal Qn is the calendar's Q(n-1).

use super::value::Month;

/// A calendar quarter, with its fiscal quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub fiscal_year: i32,
    pub fiscal_quarter: u8,
    pub year: i32,
    pub quarter: u8,
}

impl Period {
    /// The period of a fiscal quarter (1 to 4).
    pub(super) fn from_fiscal(fiscal_year: i32, fiscal_quarter: u8) -> Self {
        let (year, quarter) = match fiscal_quarter {
            1 => (fiscal_year - 1, 4),
            later => (fiscal_year, later.saturating_sub(1)),
        };
        Self { fiscal_year, fiscal_quarter, year, quarter }
    }

    /// The period of a calendar quarter (1 to 4).
    pub(super) fn from_calendar(year: i32, quarter: u8) -> Self {
        let (fiscal_year, fiscal_quarter) = if quarter == 4 { (year + 1, 1) } else { (year, quarter + 1) };
        Self { fiscal_year, fiscal_quarter, year, quarter }
    }

    /// The n-th month (0 to 2).
    pub(super) fn month(self, nth: u8) -> Month {
        Month(u32::try_from(self.year).unwrap_or(0) * 100 + u32::from(self.quarter) * 3 - 2 + u32::from(nth))
    }

    /// Which month of the quarter this is (0 to 2), if it is one.
    pub(super) fn index_of(self, month: Month) -> Option<u8> {
        let nth = month.0.checked_sub(self.month(0).0)?;
        (nth < 3).then_some(nth as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fiscal_and_calendar_quarters_turn_into_each_other() {
        let first = Period::from_fiscal(2021, 1);
        assert_eq!(
            (first.year, first.quarter, first.month(0), first.month(2)),
            (2020, 4, Month(202_010), Month(202_012))
        );
        for quarter in 1..=4 {
            let period = Period::from_fiscal(2024, quarter);
            assert_eq!(Period::from_calendar(period.year, period.quarter), period);
        }
        assert_eq!(first.index_of(Month(202_011)), Some(1));
        assert_eq!(first.index_of(Month(202_101)), None);
    }
}
