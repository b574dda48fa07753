//! The folders of a cluster, safe against files that somebody else puts there first.
//!
//! ```text
//! <home>/postgres/start, in-use     the locks; `in-use` also says when, and how long it stays
//! <home>/postgres/keeper            the keeper's lock, process id and version
//! <home>/postgres/keeper.log        why the last keeper failed, if it did
//! <home>/postgres/server.log        the log of the server
//! <base>/data                       the cluster; <base> is <home>/postgres where that works
//! <base>/parselog.conf              our settings, written at every start
//! <base>/s                          the socket's folder, or one in /tmp when the path is too long
//! ```

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use super::owner::Owner;

/// A unix socket's path holds 107 bytes on Linux and 103 on macOS, `/.s.PGSQL.5432` included.
const LONGEST_SOCKET_DIR: usize = 88;
/// Where root keeps a cluster whose own user can't reach the home folder. Not a temporary folder:
/// those are cleaned by age, and a database has files that are rarely touched.
const ROOTS_FALLBACK: &str = "/var/lib/parselog";

/// The folders of one cluster; all exist once prepared, except `data`.
#[derive(Debug)]
pub(super) struct ClusterFolders {
    own: PathBuf,
    base: PathBuf,
    socket: PathBuf,
}

impl ClusterFolders {
    /// Whether there ever was a cluster in `home`.
    pub(super) fn exists(home: &Path) -> bool {
        home.join("postgres/in-use").exists()
    }

    /// Makes the folders of the cluster of `home`.
    pub(super) fn prepare(home: &Path, owner: &Owner) -> anyhow::Result<Self> {
        let failed = || format!("failed to make the database's folder in {}", home.display());
        fs::create_dir_all(home).with_context(failed)?;
        let home = fs::canonicalize(home).with_context(failed)?;
        let own = home.join("postgres");
        fs::create_dir_all(&own).with_context(failed)?;
        // The server's user can pass through, but not list the folder.
        fs::set_permissions(&own, Permissions::from_mode(0o711)).with_context(failed)?;

        let name = short_hash(&home, owner.uid);
        let fallback = Path::new(ROOTS_FALLBACK).join(&name);
        let reachable = owner.can_enter(&own);
        let base = if own.join("data").exists() || (reachable && !fallback.join("data").exists()) {
            if !reachable {
                bail!(
                    "user {} can no longer enter {}: a folder above it was closed",
                    owner.uid,
                    own.display()
                );
            }
            own.clone()
        } else {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&fallback)
                .with_context(|| format!("failed to make {}", fallback.display()))?;
            fs::canonicalize(fallback)?
        };

        let mut socket = base.join("s");
        if !fits_a_socket(&socket) {
            socket = PathBuf::from(format!("/tmp/parselog-{name}"));
        }
        private_dir(&socket, owner)?;
        Ok(Self { own, base, socket })
    }

    pub(super) fn start_lock(&self) -> PathBuf {
        self.own.join("start")
    }

    pub(super) fn in_use_lock(&self) -> PathBuf {
        self.own.join("in-use")
    }

    pub(super) fn keeper_lock(&self) -> PathBuf {
        self.own.join("keeper")
    }

    pub(super) fn keeper_log(&self) -> PathBuf {
        self.own.join("keeper.log")
    }

    pub(super) fn server_log(&self) -> PathBuf {
        self.own.join("server.log")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    pub(super) fn settings(&self) -> PathBuf {
        self.base.join("parselog.conf")
    }

    /// The home folder that the cluster belongs to.
    pub(super) fn home(&self) -> &Path {
        self.own.parent().unwrap_or(&self.own)
    }

    /// The socket of the server. Its port only names the file.
    pub(super) fn socket(&self) -> PathBuf {
        self.socket.join(".s.PGSQL.5432")
    }

    /// The port is in the URL because `PGPORT` could say otherwise.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&port=5432&user=postgres", self.socket.display())
    }

    /// The socket's folder: short, and of characters that need no quoting in a URL or a setting.
    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket
    }

    /// Makes a fresh folder beside `data`, owned by the server's user, for a cluster in the making.
    pub(super) fn new_data(&self, owner: &Owner) -> anyhow::Result<PathBuf> {
        for entry in fs::read_dir(&self.base)?.flatten() {
            if entry.file_name().as_bytes().starts_with(b"data.new") {
                let _ = fs::remove_dir_all(entry.path()); // What a killed start left.
            }
        }
        // The name differs each time: the `initdb` of a killed start may still be writing.
        let fresh = self.base.join(format!("data.new-{}", std::process::id()));
        private_dir(&fresh, owner)?;
        Ok(fresh)
    }
}

/// Makes a folder for the server's user alone; one that is there already must be just that.
fn private_dir(dir: &Path, owner: &Owner) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("failed to make {}", dir.display()));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).with_context(|| format!("failed to inspect {}", dir.display()))?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.mode() & 0o077 != 0 || !(ours || found.uid() == owner.uid) {
        bail!("{} exists and is not a private folder of this user: remove it", dir.display());
    }
    if found.uid() == owner.uid { Ok(()) } else { owner.give(dir) }
}

fn fits_a_socket(dir: &Path) -> bool {
    let bytes = dir.as_os_str().as_bytes();
    bytes.len() <= LONGEST_SOCKET_DIR
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(byte))
}

fn short_hash(home: &Path, uid: u32) -> String {
    let digest =
        Sha256::new().chain_update(home.as_os_str().as_bytes()).chain_update(uid.to_be_bytes()).finalize();
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_is_short_and_plain() {
        assert!(fits_a_socket(Path::new("/srv/data-1/.parselog/postgres/s")));
        assert!(!fits_a_socket(Path::new("/srv/o'clock/s")));
        assert!(!fits_a_socket(Path::new("/srv/two words/s")));
        assert!(!fits_a_socket(Path::new(&format!("/{}/s", "x".repeat(90)))));
    }

    #[test]
    fn a_folder_that_others_can_write_is_not_taken() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let planted = folder.path().join("planted");
        fs::create_dir(&planted).expect("a folder");
        fs::set_permissions(&planted, Permissions::from_mode(0o777)).expect("its mode");
        let owner = Owner::detect().expect("a user");
        assert!(private_dir(&planted, &owner).is_err());

        let link = folder.path().join("link");
        fs::set_permissions(&planted, Permissions::from_mode(0o700)).expect("its mode");
        std::os::unix::fs::symlink(&planted, &link).expect("a link");
        assert!(private_dir(&link, &owner).is_err());
        assert!(private_dir(&planted, &owner).is_ok());
    }
}
