//! Commands that are killed, each at every point of its own: it is safe to give it again.

mod cancel;
mod doctor;
mod reparse;
mod report;
mod retention;
mod submit;

use std::os::unix::process::ExitStatusExt;

use crate::world::World;

/// What a command said.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl World {
    /// Gives a command and waits for its end.
    fn give(&self, arguments: &[&str]) -> Said {
        let output = self.command(None, arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Gives a command that must work; returns what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.give(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Gives a command that dies at this point, and looks at once whether a row names what is not there.
    async fn dies_at(&mut self, point: &str, arguments: &[&str]) {
        let output = self.command(Some(point), arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.signal(), Some(9), "{arguments:?} never came to {point}: {said}");
        self.look_at_all_rows(&format!("{arguments:?} killed at {point}")).await;
    }

    /// What the doctor finds, however new, by kind and in order; `--fix` among the arguments mends it first.
    fn findings(&self, arguments: &[&str]) -> Vec<String> {
        let said = self.give(&[&["doctor", "--json", "--grace", "0s"], arguments].concat());
        let kind = |line: &str| {
            let finding: serde_json::Value = serde_json::from_str(line).unwrap();
            finding["kind"].as_str().unwrap().to_owned()
        };
        let found: Vec<String> = said.out.lines().map(kind).collect();
        assert_eq!(said.code, Some(i32::from(!found.is_empty())), "{}{}", said.out, said.err);
        found
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.db.pool).await.unwrap()
    }
}
