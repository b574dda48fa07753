//! Opening what is below the object folder, so that no symbolic link leads out of it.
//!
//! The kernel refuses links while it resolves the path (`openat2`), so nobody can put one there between a
//! check and the opening. A kernel or a container's filter that refuses the call gets the check.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// Opens the file for reading. An error that a link caused says so.
pub(super) fn open(root: &Path, file: &Path) -> io::Result<File> {
    resolve(root, file, OFlags::RDONLY)?.map_or_else(
        || {
            check(file)?;
            File::open(file)
        },
        Ok,
    )
}

/// Checks that no link leads to a folder, which need not be readable.
pub(super) fn check_folder(root: &Path, folder: &Path) -> io::Result<()> {
    match resolve(root, folder, OFlags::PATH | OFlags::DIRECTORY)? {
        Some(_) => Ok(()),
        None => check(folder),
    }
}

/// `None` where the kernel does not know the call or may not do it, or the path is not below `root`.
fn resolve(root: &Path, path: &Path, flags: OFlags) -> io::Result<Option<File>> {
    let below = match path.strip_prefix(root) {
        Ok(below) if below.as_os_str().is_empty() => Path::new("."),
        Ok(below) => below,
        Err(_) => return Ok(None),
    };
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let no_links = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(root, below, flags | OFlags::CLOEXEC, Mode::empty(), no_links) {
        Ok(opened) => Ok(Some(opened.into())),
        Err(Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(Errno::LOOP | Errno::XDEV) => Err(link()),
        Err(error) => Err(error.into()),
    }
}

fn check(path: &Path) -> io::Result<()> {
    if path.canonicalize()? == path { Ok(()) } else { Err(link()) }
}

fn link() -> io::Error {
    io::Error::other("a symbolic link leads out of the object folder")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_refused_by_the_kernel_and_by_the_check() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("a path");
        let (plain, linked) = (root.join("plain"), root.join("linked"));
        fs::create_dir(&plain).expect("a folder");
        fs::write(plain.join("file"), "text").expect("a file");
        symlink(&plain, &linked).expect("a link");

        assert!(open(&root, &plain.join("file")).is_ok());
        assert!(check_folder(&root, &root).is_ok());
        assert!(check(&plain.join("file")).is_ok());
        for refused in
            [open(&root, &linked.join("file")).map(drop), check_folder(&root, &linked), check(&linked)]
        {
            assert_eq!(refused.unwrap_err().to_string(), link().to_string());
        }
        let missing = open(&root, &plain.join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
