//! The root of a folder store, and the only way to what is below it: no symbolic link leads out.
//!
//! The kernel refuses links while it resolves a path (`openat2`), and each change is made in the folder that was
//! opened like that, so nobody can put a link there between a check and the change. A kernel or a container's
//! filter that refuses the call gets the check. All of it blocks.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, linkat, openat, openat2, renameat, unlinkat};
use rustix::io::Errno;

/// The root. All paths that its functions take are below it. An error that a link caused says so.
#[derive(Debug, Clone)]
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Opens a file for reading.
    pub(super) fn open(&self, file: &Path) -> io::Result<File> {
        Ok(self.resolve(file, OFlags::RDONLY)?.into())
    }

    /// Makes a new file for writing; an error if the name is taken.
    pub(super) fn create(&self, file: &Path, mode: u32) -> io::Result<File> {
        let (folder, name) = self.parent(file)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(openat(folder, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// What is there: of a link the link itself.
    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let (folder, name) = self.parent(path)?;
        metadata(&folder, name)
    }

    /// Whether something is there, be it a link.
    pub(super) fn has(&self, path: &Path) -> io::Result<bool> {
        match self.metadata(path) {
            Err(error) if is_absent(&error) => Ok(false),
            found => found.map(|_| true),
        }
    }

    /// What is in a folder, except names that are not UTF-8.
    pub(super) fn list(&self, folder: &Path) -> io::Result<Vec<(String, Metadata)>> {
        let folder = self.resolve(folder, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            match metadata(&folder, OsStr::new(name)) {
                Err(error) if is_absent(&error) => {}
                metadata => found.push((name.to_owned(), metadata?)),
            }
        }
        Ok(found)
    }

    /// Removes a file, or a link.
    pub(super) fn remove(&self, file: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(file)?;
        Ok(unlinkat(folder, name, AtFlags::empty())?)
    }

    /// Renames a file, and replaces what has the new name.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from, old), (to, new)) = (self.parent(from)?, self.parent(to)?);
        Ok(renameat(from, old, to, new)?)
    }

    /// Gives a file a second name; an error if that is taken.
    pub(super) fn link(&self, file: &Path, second: &Path) -> io::Result<()> {
        let ((from, old), (to, new)) = (self.parent(file)?, self.parent(second)?);
        Ok(linkat(from, old, to, new, AtFlags::empty())?)
    }

    /// Checks that no link leads to a folder, which need not be readable. What is above the root is not ours.
    pub(super) fn check_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.starts_with(&self.0) {
            self.resolve(folder, OFlags::PATH | OFlags::DIRECTORY)?;
        }
        Ok(())
    }

    /// The open folder of a path, and the last name.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(outside()) };
        Ok((self.resolve(folder, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let below = match path.strip_prefix(&self.0) {
            Ok(below) if below.as_os_str().is_empty() => Path::new("."),
            Ok(below) => below,
            Err(_) => return Err(outside()),
        };
        let to_pass = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.0, to_pass, Mode::empty())?;
        let no_links = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = flags | OFlags::CLOEXEC;
        match openat2(root, below, flags, Mode::empty(), no_links) {
            Err(Errno::NOSYS | Errno::PERM) => {
                check(path)?;
                Ok(rustix::fs::open(path, flags, Mode::empty())?)
            }
            Err(Errno::LOOP | Errno::XDEV) => Err(link()),
            opened => Ok(opened?),
        }
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if is_absent(&error) { Ok(()) } else { Err(error) })
}

fn metadata(folder: &OwnedFd, name: &OsStr) -> io::Result<Metadata> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    File::from(openat(folder, name, flags, Mode::empty())?).metadata()
}

fn check(path: &Path) -> io::Result<()> {
    if path.canonicalize()? == path { Ok(()) } else { Err(link()) }
}

fn link() -> io::Error {
    io::Error::other("a symbolic link leads out of the object folder")
}

fn outside() -> io::Error {
    io::Error::other("the path is not below the object folder")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_refused_by_the_kernel_and_by_the_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let (root, plain, linked) = (Root(folder.clone()), folder.join("plain"), folder.join("linked"));
        fs::create_dir(&plain).expect("a folder");
        fs::write(plain.join("file"), "text").expect("a file");
        symlink(&plain, &linked).expect("a link");

        assert!(root.open(&plain.join("file")).is_ok());
        assert!(root.check_folder(&folder).is_ok());
        assert!(check(&plain.join("file")).is_ok());
        for refused in [
            root.open(&linked.join("file")).map(drop),
            root.create(&linked.join("new"), 0o640).map(drop),
            root.metadata(&linked.join("file")).map(drop),
            root.list(&linked).map(drop),
            root.remove(&linked.join("file")),
            root.rename(&linked.join("file"), &plain.join("new")),
            root.link(&plain.join("file"), &linked.join("new")),
            root.check_folder(&linked),
            check(&linked),
        ] {
            assert_eq!(refused.unwrap_err().to_string(), link().to_string());
        }
        assert!(root.metadata(&linked).is_ok_and(|metadata| metadata.is_symlink()));
        assert_eq!(fs::read_dir(&plain).expect("a folder").count(), 1);
        let missing = root.open(&plain.join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(root.open(Path::new("/etc/passwd")).unwrap_err().to_string(), outside().to_string());
    }
}
