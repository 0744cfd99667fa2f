//! What the stand-in did, counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What a stand-in has done since its start.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct CuebotCounts {
            $($(#[$doc])* pub $name: u64,)+
        }

        /// The same while it goes on.
        #[derive(Default)]
        pub(super) struct Counts {
            $(pub $name: Count,)+
        }

        impl Counts {
            pub fn read(&self) -> CuebotCounts {
                CuebotCounts { $($name: self.$name.0.load(Ordering::Relaxed),)+ }
            }
        }

        impl fmt::Display for CuebotCounts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((stringify!($name), self.$name),)+];
                let told = all.iter().filter(|(_, count)| *count > 0);
                let told: Vec<String> = told.map(|(name, count)| format!("{} {count}", name.replace('_', " "))).collect();
                f.write_str(&told.join(", "))
            }
        }
    };
}

counts! {
    /// Reports of agents that started.
    boot_reports,
    /// Reports of hosts.
    host_reports,
    /// Reports of frames that ended, all of them.
    completion_reports,
    /// Of these: those that ended a run.
    completions,
    /// Of these: those that named another run than the one going on, or none.
    stale_completions,
    /// Runs that ended in WAITING again.
    retries,
    /// Runs that ended in DEAD.
    dead,
    /// Procs released.
    releases,
    /// Messages on `acct_release`.
    notifications,
    /// Dependencies that ended.
    dependencies_satisfied,
    /// Jobs that became FINISHED.
    jobs_finished,
    /// Hosts created because a stranger reported.
    hosts_created,
    /// Frames that an agent runs and no proc holds.
    strangers_running,
    /// Kills sent to agents.
    kills,
    /// Procs given up as lost by a sweep.
    lost_procs,
    /// RUNNING frames without proc cleared by a sweep.
    orphaned_frames,
    /// Own bookings.
    bookings,
    /// Own bookings that were refused: by a guard, a cap or a lock.
    bookings_refused,
    /// Transactions of ours that PostgreSQL chose as the victim of a deadlock (SQLSTATE 40P01).
    deadlocks,
    /// Pieces of work given up after an error, which is in the log.
    failures,
}

#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }
}
