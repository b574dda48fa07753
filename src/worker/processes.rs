//! The parse processes of a worker: one for each slot at most, started ahead, used again, replaced.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::process::{ParseProcess, ProcessPlan};

/// The parse processes of a worker.
pub(super) struct ParseProcesses {
    pub(super) plan: ProcessPlan,
    /// As many as the worker has slots.
    most: usize,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<ParseProcess>,
    busy: usize,
}

impl ParseProcesses {
    /// At most so many processes of this kind. The first is started at once.
    pub(super) fn new(plan: ProcessPlan, most: usize) -> Self {
        let processes = Self { plan, most, pool: Mutex::default() };
        processes.start_ahead(&mut processes.lock());
        processes
    }

    /// A living process without a job. Whoever takes one gives it back, or reports that it is gone.
    ///
    /// # Errors
    /// None is left, and this process has too many open files for another one.
    pub(super) fn take(&self) -> io::Result<ParseProcess> {
        let mut pool = self.lock();
        while let Some(mut process) = pool.idle.pop() {
            if let Some(death) = process.died() {
                tracing::warn!("a parse process died with nothing to do: {}", death.reason(self.plan.memory));
                continue;
            }
            pool.busy += 1;
            self.start_ahead(&mut pool);
            return Ok(process);
        }
        let process = ParseProcess::start(&self.plan)?;
        pool.busy += 1;
        self.start_ahead(&mut pool);
        Ok(process)
    }

    /// Takes a process back; one that has parsed its share of runs is replaced.
    pub(super) fn give_back(&self, process: ParseProcess) {
        let mut pool = self.lock();
        pool.busy -= 1;
        if process.runs < self.plan.runs_each {
            pool.idle.push(process);
        }
        self.start_ahead(&mut pool);
    }

    /// Notes that a taken process is gone.
    pub(super) fn is_gone(&self) {
        let mut pool = self.lock();
        pool.busy -= 1;
        self.start_ahead(&mut pool);
    }

    /// Starts the process that the next run will take, while there is time.
    fn start_ahead(&self, pool: &mut Pool) {
        if pool.idle.is_empty() && pool.busy < self.most {
            match ParseProcess::start(&self.plan) {
                Ok(process) => pool.idle.push(process),
                Err(error) => tracing::warn!("no parse process could be started ahead: {error}"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
