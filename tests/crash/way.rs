//! What must happen before a worker comes to a point.

/// A log cap that a parse of 400 events passes several times over.
pub(crate) const SMALL_CAP: (&str, &str) = ("PARSELOG_LOG_CAP", "48KiB");
pub(crate) const SMALL_CAP_BYTES: u64 = 48 * 1024;

/// A way to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// An ordinary run.
    Run,
    /// A log that passes its cap.
    Capped,
    /// A worker that died in mid-parse before.
    Crashed,
    /// A worker that died in mid-parse after its log passed its cap.
    CrashedCapped,
    /// An object store that is down.
    StoreDown,
    /// The same, for a log that passes its cap.
    StoreDownCapped,
    /// The same, for the log of a worker that died in mid-parse.
    StoreDownCrashed,
    /// All three.
    StoreDownCrashedCapped,
    /// An upload in parts.
    Parts,
    /// A worker that died in mid-parse on another spool, and whose lease is over.
    LeaseOver,
    /// SIGTERM in mid-parse.
    HandedBack,
    /// A cancel in mid-parse.
    Cancelled,
    /// An error report that is wanted beside the log.
    Reported,
}

impl Way {
    /// The ways on which a worker comes to a point; the first is enough to come there.
    pub(crate) fn to(point: &str) -> &'static [Self] {
        match point {
            "segment-created" | "segment-cleared" | "errors-moved" | "cut-written" | "cut-copied" => {
                &[Self::Capped]
            }
            "recover-copied" => &[Self::CrashedCapped],
            "recovered" | "crash-on-row" => &[Self::Crashed],
            "fallback-on-row" | "fallback-marked" | "replayed" => &[
                Self::StoreDown,
                Self::StoreDownCapped,
                Self::StoreDownCrashed,
                Self::StoreDownCrashedCapped,
            ],
            "upload-begun" | "parts-uploaded" => &[Self::Parts],
            "renamed" => &[Self::Run, Self::Capped, Self::Crashed, Self::CrashedCapped],
            "tail-written" | "sealed-before-rename" => &[Self::Run, Self::Capped],
            "sealed" => &[Self::Run, Self::Capped, Self::HandedBack, Self::Cancelled],
            "parsed" | "after-finish" => &[Self::Run, Self::HandedBack, Self::Cancelled],
            "before-finish" | "ended" => &[Self::Run, Self::HandedBack],
            "before-remove" | "archive-removed" | "mark-removed" | "after-row" => {
                &[Self::Run, Self::Capped, Self::Crashed, Self::Parts]
            }
            "reap-found" | "reap-ended" => &[Self::LeaseOver],
            "stop-begun" | "stop-told" => &[Self::HandedBack],
            "stop-heard" => &[Self::Cancelled],
            "error-report-made" | "error-report-stored" => &[Self::Reported],
            _ if point.starts_with("recover-") => &[Self::Crashed, Self::CrashedCapped],
            _ => &[Self::Run],
        }
    }

    /// Whether random kills come to such a point by themselves: nobody has to stop the worker, or to set it
    /// up for that.
    pub(crate) fn is_common(self) -> bool {
        !matches!(self, Self::LeaseOver | Self::HandedBack | Self::Cancelled | Self::Reported)
    }

    pub(crate) fn is_capped(self) -> bool {
        use Way::{Capped, CrashedCapped, StoreDownCapped, StoreDownCrashedCapped};
        matches!(self, Capped | CrashedCapped | StoreDownCapped | StoreDownCrashedCapped)
    }

    pub(crate) fn is_after_a_crash(self) -> bool {
        use Way::{Crashed, CrashedCapped, LeaseOver, StoreDownCrashed, StoreDownCrashedCapped};
        matches!(self, Crashed | CrashedCapped | LeaseOver | StoreDownCrashed | StoreDownCrashedCapped)
    }

    pub(crate) fn is_without_store(self) -> bool {
        use Way::{StoreDown, StoreDownCapped, StoreDownCrashed, StoreDownCrashedCapped};
        matches!(self, StoreDown | StoreDownCapped | StoreDownCrashed | StoreDownCrashedCapped)
    }

    /// Events per thread, and microseconds between them: long enough for what must happen in mid-parse.
    pub(crate) fn submission(self) -> (u64, u64) {
        match self {
            Self::HandedBack => (100, 10_000),
            Self::Cancelled => (200, 20_000),
            _ => (200, 50),
        }
    }

    /// The settings of the worker that comes to the point.
    pub(crate) fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // The reaper trusts its connection after one lease.
            Self::LeaseOver => &[("PARSELOG_LEASE", "1s")],
            Self::HandedBack => &[("PARSELOG_SHUTDOWN_GRACE", "0s")],
            // A third of the lease is how soon it hears of the cancel.
            Self::Cancelled => &[("PARSELOG_LEASE", "3s")],
            Self::Reported => &[("PARSELOG_REPORTS", "csv")],
            _ => &[],
        }
    }
}
