//! `parselog.toml`: settings in files, by the names of their options. Flags and variables go before them.
//!
//! It is found in the working folder, in the user's folder for settings, and in `/etc`; the first that has a key
//! counts. What the keys mean is the command line's.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

const NAME: &str = "parselog.toml";

/// Others may not write what makes us run commands.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The settings of all files.
#[derive(Debug, Default)]
pub struct FileSettings(BTreeMap<(Option<String>, String), FileSetting>);

/// A setting with its values, and the file that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSetting {
    pub values: Vec<String>,
    pub path: PathBuf,
}

impl FileSettings {
    /// The settings of the files in the usual places.
    ///
    /// # Errors
    /// A file that can't be read, is no TOML, has a value of another form, or that others could have written.
    pub fn read() -> Result<Self> {
        let mut settings = Self::default();
        for path in places() {
            settings.add(&path).with_context(|| format!("can't use {}", path.display()))?;
        }
        Ok(settings)
    }

    /// The setting of this name; with a table, the one in the table of a command.
    pub fn get(&self, table: Option<&str>, name: &str) -> Option<&FileSetting> {
        self.0.get(&(table.map(ToOwned::to_owned), name.to_owned()))
    }

    /// Table and name of each, with the file that says so.
    pub fn names(&self) -> impl Iterator<Item = (Option<&str>, &str, &FileSetting)> {
        self.0.iter().map(|((table, name), setting)| (table.as_deref(), name.as_str(), setting))
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let metadata = match fs::metadata(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(());
            }
            metadata => metadata?,
        };
        let ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
        if !ours || metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            bail!("others can write it: it must be yours, and have mode 644 or less");
        }
        let table: Table = fs::read_to_string(path)?.parse()?;
        for (name, value) in table {
            match value {
                Value::Table(inner) => {
                    for (key, value) in inner {
                        self.insert(path, Some(&name), &key, value)?;
                    }
                }
                value => self.insert(path, None, &name, value)?,
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: &Path, table: Option<&str>, name: &str, value: Value) -> Result<()> {
        let values = match value {
            Value::Array(values) => {
                values.into_iter().map(|value| plain(name, value)).collect::<Result<_>>()?
            }
            value => vec![plain(name, value)?],
        };
        let key = (table.map(ToOwned::to_owned), name.replace('_', "-"));
        self.0.entry(key).or_insert(FileSetting { values, path: path.to_owned() });
        Ok(())
    }
}

/// A value as an option would have it.
fn plain(name: &str, value: Value) -> Result<String> {
    Ok(match value {
        Value::String(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        _ => bail!("{name} is neither text, number, true, false nor a list of these"),
    })
}

fn places() -> Vec<PathBuf> {
    let home = || env::home_dir().map(|home| home.join(".config"));
    let user = env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from).or_else(home);
    let mut places = vec![PathBuf::from(NAME)];
    places.extend(user.map(|folder| folder.join("parselog").join(NAME)));
    places.push(Path::new("/etc").join(NAME));
    // The working folder by its whole path, for those who ask where a value comes from.
    places.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_counts_and_lists_numbers_and_tables_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let (near, far) = (folder.path().join("near.toml"), folder.path().join("far.toml"));
        fs::write(&near, "parser-for = ['a/*=x', 'b/*=y']\n[prune]\nolder-than = '400d'\n").expect("a file");
        fs::write(&far, "parser_for = 'c/*=z'\ns3-attempts = 7\n[worker]\nslots = 3\n").expect("a file");
        let mut settings = FileSettings::default();
        for path in [&near, &far, &folder.path().join("none.toml")] {
            settings.add(path).expect("a file of settings");
        }
        let values = |table, name| settings.get(table, name).map(|setting| setting.values.join(","));
        assert_eq!(values(None, "parser-for").as_deref(), Some("a/*=x,b/*=y"));
        assert_eq!(values(None, "s3-attempts").as_deref(), Some("7"));
        assert_eq!(values(Some("prune"), "older-than").as_deref(), Some("400d"));
        assert_eq!(settings.get(Some("worker"), "slots").map(|slots| &slots.path), Some(&far));
        assert_eq!(settings.names().count(), 4);
    }

    #[test]
    fn a_file_that_others_can_write_or_that_has_other_values_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.toml");
        for (text, mode, part) in [
            ("slots = 3", 0o666, "others can write it"),
            ("slots = { a = [1979-05-27] }", 0o644, "a is neither text"),
            ("slots = ", 0o644, "TOML"),
        ] {
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            let error = format!("{:#}", FileSettings::default().add(&path).expect_err(text));
            assert!(error.contains(part), "{error}");
        }
    }
}
