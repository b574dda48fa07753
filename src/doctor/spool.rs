//! Checks this machine's spool: does every file belong to a log?

use anyhow::Result;

use super::{Doctor, Finding, FindingKind, Repair};
use crate::carry;
use crate::ids::RunId;
use crate::store;

impl Doctor {
    pub(super) async fn examine_spool(&self) -> Result<Vec<Finding>> {
        let (spool, grace) = (self.system.spool.clone(), self.grace);
        let (abandoned, strays) = carry::spawn_blocking(move || -> Result<_> {
            let entries = spool.list()?;
            let abandoned: Vec<_> = entries
                .into_iter()
                .map(|entry| {
                    let service = spool.head_of(&entry).and_then(|head| head.subject.service().cloned());
                    (spool.is_abandoned(&entry), entry, service)
                })
                .collect();
            Ok((abandoned, spool.strays(grace)?))
        })
        .await??;
        let runs: Vec<RunId> = abandoned.iter().map(|(_, entry, _)| entry.log.as_run()).collect();
        let known = store::health::log_facts(&self.system.pool, &runs).await?;

        let mut findings = Vec::new();
        for (abandoned, entry, service) in abandoned {
            let state = if entry.sealed { "a complete" } else { "an unfinished" };
            if let Some(service) = service {
                // The archive makes its row, if it has none.
                if abandoned {
                    let what = format!(
                        "{state} segment of stream {service} on which no process works: the sweep archives it"
                    );
                    let finding = Finding::new(FindingKind::SpoolAbandoned, None, what);
                    findings.push(finding.repaired_by(Repair::Sweep));
                }
                continue;
            }
            let run = Some(entry.log.as_run());
            if !known.iter().any(|facts| facts.id == entry.log.as_run()) {
                let what = format!("{state} log whose run is not in the database: {}", entry.path.display());
                findings.push(Finding::new(FindingKind::SpoolWithoutRow, run, what));
            } else if abandoned {
                let what = format!("{state} log on which no process works: the sweep archives it");
                findings
                    .push(Finding::new(FindingKind::SpoolAbandoned, run, what).repaired_by(Repair::Sweep));
            }
        }
        for path in strays {
            let what = format!("it belongs to no log: {}", path.display());
            findings.push(
                Finding::new(FindingKind::SpoolStray, None, what).repaired_by(Repair::RemoveStray { path }),
            );
        }
        Ok(findings)
    }
}
