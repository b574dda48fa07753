//! Several values in one setting, since a variable can be set only once.

use std::fmt::Display;
use std::str::FromStr;

/// Values separated by `SEPARATOR`; blank parts don't count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T, const SEPARATOR: char>(Vec<T>);

/// Values separated by commas.
pub type Commas<T> = List<T, ','>;

/// One value per line.
pub type LineList<T> = List<T, '\n'>;

impl<T, const SEPARATOR: char> List<T, SEPARATOR> {
    /// The values of all lists, in order.
    pub fn join(lists: &[Self]) -> Vec<T>
    where
        T: Clone,
    {
        lists.iter().flat_map(|list| &list.0).cloned().collect()
    }
}

impl<T, const SEPARATOR: char> From<Vec<T>> for List<T, SEPARATOR> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T, const SEPARATOR: char> FromStr for List<T, SEPARATOR>
where
    T: FromStr,
    T::Err: Display,
{
    type Err = String;

    /// # Errors
    /// Names the first invalid part.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(SEPARATOR).map(|part| part.trim_end_matches('\r'));
        let values: Vec<T> = parts
            .filter(|part| !part.trim().is_empty())
            .map(|part| part.parse().map_err(|error: T::Err| error.to_string()))
            .collect::<Result<_, _>>()?;
        if values.is_empty() { Err("expected a value".to_owned()) } else { Ok(Self(values)) }
    }
}
