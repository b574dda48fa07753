//! The report as one JSON object: `summary`, `groups` and `problems`, a problem on each line.

use std::io::Write;

use anyhow::Result;

use super::Report;

pub(super) fn write(report: &mut Report, out: &mut impl Write) -> Result<()> {
    out.write_all(b"{\"summary\":")?;
    serde_json::to_writer(&mut *out, &report.summary)?;
    out.write_all(b",\n\"groups\":")?;
    serde_json::to_writer(&mut *out, &report.groups)?;
    out.write_all(b",\n\"problems\":[")?;
    for (nth, problem) in report.problems()?.enumerate() {
        out.write_all(if nth == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &problem?)?;
    }
    out.write_all(b"\n]}\n")?;
    Ok(())
}
