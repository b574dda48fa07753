//! Lists of levels: which events a log keeps, by target. `record` defines what an event is.

use std::str::FromStr;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::record::Level;

/// A list such as `info` or `info,sqlx=warn`: one level for everything, and levels for the targets
/// that begin with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels(Targets);

impl Levels {
    /// Reads a list from our own code.
    pub(super) fn ours(text: &str) -> Self {
        text.parse().expect("a list of levels of our own")
    }

    /// Whether the list keeps such events.
    pub fn keep(&self, metadata: &Metadata<'_>) -> bool {
        self.0.would_enable(metadata.target(), metadata.level())
    }

    /// The finest level kept of a target; `None` if nothing is kept.
    pub fn of(&self, target: &str) -> Option<tracing::Level> {
        Level::ALL.into_iter().map(tracing::Level::from).find(|level| self.0.would_enable(target, level))
    }

    /// The finest level of the list.
    pub fn finest(&self) -> LevelFilter {
        let targets = self.0.iter().map(|(_, level)| level);
        targets.chain(self.0.default_level()).max().unwrap_or(LevelFilter::OFF)
    }

    /// This list; `usual` decides for targets that it does not name.
    #[must_use]
    pub fn over(&self, usual: &Self) -> Self {
        if self.0.default_level().is_some() {
            return self.clone();
        }
        let mut levels = usual.0.clone();
        levels.extend(self.0.iter());
        Self(levels)
    }
}

impl FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut levels = Targets::new();
        let mut parts = text.split(',').map(str::trim).filter(|part| !part.is_empty()).peekable();
        parts.peek().ok_or("expected a list of levels such as info or info,sqlx=warn")?;
        for part in parts {
            levels = match part.split_once('=') {
                Some((target, level)) => levels.with_target(name(target.trim())?, filter(level.trim())?),
                None => levels.with_default(filter(part).map_err(|error| {
                    if is_name(part) && !part.bytes().all(|byte| byte.is_ascii_digit()) {
                        format!("{error}; a target is written with its level, as in {part}=debug")
                    } else {
                        error
                    }
                })?),
            };
        }
        Ok(Self(levels))
    }
}

fn filter(word: &str) -> Result<LevelFilter, String> {
    if word.eq_ignore_ascii_case("off") {
        return Ok(LevelFilter::OFF);
    }
    word.parse::<Level>()
        .map(|level| LevelFilter::from_level(level.into()))
        .map_err(|error| error + ", or off")
}

fn name(target: &str) -> Result<&str, String> {
    is_name(target).then_some(target).ok_or_else(|| {
        format!("'{target}' is not a target: expected the name of a module or logger, such as sqlx or my_parser::rows")
    })
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:.-/".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> Levels {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn pythons_words_and_blanks_are_understood() {
        for (text, same) in [
            ("WARNING", "warn"),
            ("critical", "error"),
            ("fatal", "error"),
            ("notset", "trace"),
            (" info , sqlx = Warning ,", "info,sqlx=warn"),
        ] {
            assert_eq!(levels(text), levels(same), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_is_never_taken_for_a_target() {
        for text in ["wanr", "infos", "30", "my_parser", "info,debgu", "my_parser=verbos", "sqlx=", "=info"] {
            assert!(text.parse::<Levels>().is_err(), "{text}");
        }
        let error = "my_parser".parse::<Levels>().unwrap_err();
        assert_eq!(
            error,
            "unknown level 'my_parser': expected error, warn, info, debug or trace, or off; \
             a target is written with its level, as in my_parser=debug"
        );
        for text in ["", " ", ",", "a b=info", "[span]=info"] {
            assert!(text.parse::<Levels>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_of_targets_alone_changes_nothing_else() {
        assert_eq!(levels("sqlx=debug").over(&levels("warn,sqlx=error")), levels("warn,sqlx=debug"));
        assert_eq!(levels("info").over(&levels("warn,sqlx=error")), levels("info"));
    }
}
