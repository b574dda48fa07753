//! The identity of a spool folder: whoever meets it in the database knows whether it means this folder.
//!
//! A folder that was emptied is another one, and so is the folder of a machine that took the name of another.

use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

use super::Spool;
use crate::carry;

/// The file that holds it, which no log's name looks like.
pub(super) const FILE: &str = ".id";

impl Spool {
    /// Its identity, made at the first call.
    ///
    /// # Errors
    /// The file can't be read or made.
    pub fn id(&self) -> io::Result<Uuid> {
        carry::may_block();
        let file = self.dir().join(FILE);
        if let Some(id) = read(&file)? {
            return Ok(id);
        }
        let id = Uuid::now_v7();
        let new = self.dir().join(format!("{FILE}.{id}"));
        fs::write(&new, id.to_string())?;
        // Of two processes that make one at once, the first counts for both.
        let linked = fs::hard_link(&new, &file);
        fs::remove_file(&new)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => read(&file)?.ok_or_else(|| io::Error::other("the identity of the spool can't be read")),
        }
    }
}

fn read(file: &Path) -> io::Result<Option<Uuid>> {
    match fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_identity_until_it_is_emptied() {
        let home = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(home.path(), 1 << 20).expect("a spool");
        let id = spool.id().expect("an identity");
        assert_eq!(Spool::at(home.path(), 1 << 20).id().expect("the same"), id);
        assert!(spool.list().expect("a list").is_empty());
        fs::remove_file(home.path().join(FILE)).expect("a file");
        assert_ne!(spool.id().expect("another one"), id);
    }
}
