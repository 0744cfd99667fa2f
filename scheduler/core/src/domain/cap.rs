//! Caps, with the sentinels of each column resolved once.
//!
//! | column | negative | 0 | positive c |
//! | --- | --- | --- | --- |
//! | subscription burst | nothing allowed | nothing allowed | booked + n ≤ c |
//! | job max cores, GPUs | nothing allowed | nothing allowed | booked + n ≤ c |
//! | folder max cores, GPUs | no cap | nothing allowed | booked + n ≤ c |
//! | limit max | nothing allowed | nothing allowed | running + n ≤ c |

/// How much of something may be in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cap {
    /// No cap.
    Unlimited,
    /// At most this much, in the unit of what is counted; 0 allows nothing.
    AtMost(i64),
}

impl Cap {
    /// `subscription.int_burst`, in centicores.
    pub fn of_subscription(burst: i64) -> Self {
        Self::AtMost(burst.max(0))
    }

    /// `job_resource.int_max_cores` in centicores, or `int_max_gpus`. Cuebot's trigger compares plainly, so that −1 and 0
    /// both allow nothing.
    pub fn of_job(max: i64) -> Self {
        Self::AtMost(max.max(0))
    }

    /// `folder_resource.int_max_cores` in centicores, or `int_max_gpus`.
    pub fn of_folder(max: i64) -> Self {
        if max < 0 { Self::Unlimited } else { Self::AtMost(max) }
    }

    /// `limit_record.int_max_value` in running frames; null allows nothing.
    pub fn of_limit(max: Option<i64>) -> Self {
        Self::AtMost(max.unwrap_or(0).max(0))
    }
}

/// A cap and how much of it is in use, as a pass saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The cap.
    pub cap: Cap,
    /// What is in use, in the unit of the cap.
    pub used: i64,
}

impl Budget {
    /// What is left: `None` without a cap, negative when a cap was lowered below its use.
    pub fn headroom(&self) -> Option<i64> {
        match self.cap {
            Cap::Unlimited => None,
            Cap::AtMost(max) => Some(max.saturating_sub(self.used)),
        }
    }

    /// Whether `n` more are allowed. With `n` = 0 it says whether the use is within the cap now.
    pub fn allows(&self, n: i64) -> bool {
        self.headroom().is_none_or(|left| n <= left)
    }
}
