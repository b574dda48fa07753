//! Reads values, single or several in one setting; each error names what is allowed.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use url::{Host, Url};

/// The longest time of a setting: a longer one is a slip, and can't be added to a date.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The smallest cap of a log: room for its head, some errors and its tail.
const LEAST_LOG: u64 = 16 << 10;

/// The smallest bound of a request's body: room for a record.
const LEAST_BODY: u64 = 64 << 10;

/// The largest bound of a request's body: all bodies at once share four times as much memory.
const MOST_BODY: u64 = 16 << 20;

/// The least memory in which a program starts.
const LEAST_MEMORY: u64 = 1 << 20;

/// Reads a length of time such as `15s`, `10m` or `400d`.
///
/// # Errors
/// The text is not a length of time.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|_| "expected a length of time such as 15s, 10m or 400d".to_owned())
}

/// Reads a length of time above zero and up to ten years.
///
/// # Errors
/// The text is none.
pub fn period(text: &str) -> Result<Duration, String> {
    let period = duration(text)?;
    let fits = !period.is_zero() && period <= LONGEST;
    fits.then_some(period).ok_or_else(|| "expected more than zero, and ten years at most".to_owned())
}

/// How old something may become before it is taken care of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeLimit {
    /// As old as it likes: nobody takes care of it.
    Off,
    AtMost(Duration),
}

/// Reads how old an event of a running log may become before it has left the machine; `off` for as old as its run.
pub(super) fn remote_tail(text: &str) -> Result<AgeLimit, String> {
    age_limit(text, Duration::from_millis(100)..=Duration::from_secs(3600), "100ms to 1h, or off")
}

/// Reads how old the Parquet files of problems may become; `off` if nobody writes them here.
pub(super) fn problem_files(text: &str) -> Result<AgeLimit, String> {
    age_limit(text, Duration::from_secs(1)..=Duration::from_secs(24 * 3600), "1s to 24h, or off")
}

fn age_limit(text: &str, fitting: RangeInclusive<Duration>, expected: &str) -> Result<AgeLimit, String> {
    if text.trim().eq_ignore_ascii_case("off") {
        return Ok(AgeLimit::Off);
    }
    let age = duration(text).ok().filter(|age| fitting.contains(age));
    age.map(AgeLimit::AtMost).ok_or_else(|| format!("expected {expected}"))
}

/// Reads how long a link may work: S3 allows a week at most.
pub(super) fn link_life(text: &str) -> Result<Duration, String> {
    let life = period(text)?;
    let fits = life <= Duration::from_secs(7 * 24 * 3600);
    fits.then_some(life).ok_or_else(|| "expected a week (7d) at most".to_owned())
}

/// Reads the number of runs at once.
pub(super) fn slots(text: &str) -> Result<usize, String> {
    number(text, 1..=1000).map(|slots| slots as usize)
}

/// Reads the number of connections: one for heartbeats, and one for the rest.
pub(super) fn connections(text: &str) -> Result<u32, String> {
    number(text, 2..=1000)
}

/// Reads the number of attempts at a request.
pub(super) fn attempts(text: &str) -> Result<u32, String> {
    number(text, 1..=100)
}

/// Reads the number of runs of one process.
pub(super) fn runs(text: &str) -> Result<u32, String> {
    number(text, 1..=1_000_000)
}

/// Reads a size such as `8MiB`.
pub(super) fn size(text: &str) -> Result<ByteSize, String> {
    text.trim().parse().map_err(|_| "expected a size such as 8MiB or 4GiB".to_owned())
}

/// Reads the largest size of a log.
pub(super) fn log_cap(text: &str) -> Result<ByteSize, String> {
    at_least(LEAST_LOG, size(text)?)
}

/// Reads the largest size of a request's body.
pub(super) fn body(text: &str) -> Result<ByteSize, String> {
    let size = at_least(LEAST_BODY, size(text)?)?;
    let fits = size.as_u64() <= MOST_BODY;
    fits.then_some(size).ok_or_else(|| format!("expected a size of at most {} MiB", MOST_BODY >> 20))
}

/// Reads how much memory a program may use.
pub(super) fn memory(text: &str) -> Result<ByteSize, String> {
    at_least(LEAST_MEMORY, size(text)?)
}

/// On or off.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

/// Reads the URL of a database. It may hold a password, so the error does not repeat it.
pub(super) fn database_url(text: &str) -> Result<SecretString, String> {
    let known = Url::parse(text.trim()).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    known.then(|| text.trim().to_owned().into()).ok_or_else(|| {
        "the database URL is wrong: expected postgres://user:password@host:port/database".to_owned()
    })
}

/// Reads the name of a bucket.
pub(super) fn bucket(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/".contains(&byte);
    let arn = text.starts_with("arn:");
    let fits = text.len() >= 3 && text.bytes().all(plain) && (arn || !text.contains([':', '/']));
    fits.then(|| text.to_owned()).ok_or_else(|| {
        "expected the name of a bucket alone, such as submissions, without s3:// and key".to_owned()
    })
}

/// Reads a name: text without blanks and control characters.
///
/// # Errors
/// The text is empty, too long, or has such characters.
pub fn name(text: &str) -> Result<String, String> {
    let fits =
        (1..=200).contains(&text.len()) && !text.contains(|c: char| c.is_control() || c.is_whitespace());
    fits.then(|| text.to_owned()).ok_or_else(|| "expected a name of 1 to 200 bytes without blanks".to_owned())
}

/// Whether the host of a URL is this machine, by its address or as `localhost`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn number(text: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let number = text.trim().parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
}

fn at_least(least: u64, size: ByteSize) -> Result<ByteSize, String> {
    let fits = size.as_u64() >= least;
    fits.then_some(size).ok_or_else(|| format!("expected a size of at least {} KiB", least >> 10))
}

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
