//! The user a cluster belongs to: Postgres refuses to run as root, so root lends it another one.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The user and group that run the server and own its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    gid: u32,
    /// We are root, and the server is to run as somebody else.
    lent: bool,
}

impl Owner {
    /// This process's own user; for root `postgres`, else `nobody`.
    pub(super) fn detect() -> anyhow::Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self { uid, gid: rustix::process::getegid().as_raw(), lent: false });
        }
        let passwd = fs::read_to_string("/etc/passwd").context("failed to read /etc/passwd")?;
        match lookup(&passwd, "postgres").or_else(|| lookup(&passwd, "nobody")) {
            Some((uid, gid)) => Ok(Self { uid, gid, lent: true }),
            None => bail!(
                "PostgreSQL does not run as root, and there is neither a user `postgres` nor \
                 `nobody`: add one, run parselog as an ordinary user, or set DATABASE_URL"
            ),
        }
    }

    /// A command that runs as this user, with only the variables that it needs.
    ///
    /// The server outlives this process, so it must not carry this process's secrets; and stray
    /// `PG…` variables would change where its tools look.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.lent {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Hands a file or folder that we made to this user.
    pub(super) fn give(&self, path: &Path) -> anyhow::Result<()> {
        if self.lent {
            chown(path, Some(self.uid), Some(self.gid))
                .with_context(|| format!("failed to hand {} to user {}", path.display(), self.uid))?;
        }
        Ok(())
    }

    /// Whether this user can enter a folder, as the kernel sees it.
    pub(super) fn can_enter(&self, dir: &Path) -> bool {
        let mut enter = self.command(Path::new("/bin/sh"));
        enter.args(["-c", "cd -- \"$0\""]).arg(dir).stderr(Stdio::null());
        !self.lent || enter.status().is_ok_and(|status| status.success())
    }

    /// Checks what `initdb` needs beyond permissions: a name for the user id.
    pub(super) fn check_name(&self) -> anyhow::Result<()> {
        let named = self
            .command(Path::new("/usr/bin/id"))
            .arg("-un")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if named.is_ok_and(|status| !status.success()) {
            bail!(
                "user id {} has no entry in /etc/passwd, and PostgreSQL needs one: add it, run as \
                 another user, or set DATABASE_URL",
                self.uid
            );
        }
        Ok(())
    }
}

fn lookup(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let found = parts.next()? == name;
        let (uid, gid) = (parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?);
        (found && uid != 0).then_some((uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_passwd_by_its_whole_name() {
        let passwd =
            "root:x:0:0:r:/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:PG,,,:/var:/bin/sh\n";
        assert_eq!(lookup(passwd, "postgres"), Some((101, 104)));
        assert_eq!(lookup(passwd, "nobody"), None);
        assert_eq!(lookup(passwd, "root"), None, "the server must never run as root");
    }
}
