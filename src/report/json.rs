//! The report as one JSON object: `summary`, `groups` and `problems`, a problem on each line.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use super::Report;
use crate::record::push_json_escaped;

pub(super) fn write(report: &mut Report, out: &mut impl Write) -> Result<()> {
    out.write_all(b"{\"summary\":")?;
    write_json(out, &report.summary)?;
    out.write_all(b",\n\"groups\":")?;
    write_json(out, &report.groups)?;
    out.write_all(b",\n\"problems\":[")?;
    for (nth, problem) in report.problems()?.enumerate() {
        out.write_all(if nth == 0 { b"\n" } else { b",\n" })?;
        write_json(out, &problem?)?;
    }
    out.write_all(b"\n]}\n")?;
    Ok(())
}

/// Writes a value, with what would fool a terminal escaped.
fn write_json(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    let mut text = Vec::new();
    push_json_escaped(&mut text, &serde_json::to_string(value)?);
    Ok(out.write_all(&text)?)
}
