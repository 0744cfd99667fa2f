//! How long a resource that failed is left alone: twice as long each time, spread so that those that failed together don't come
//! back together.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;

use crate::cluster::queue::ResourceRef;

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row of each resource.
#[derive(Default)]
pub struct Backoff(Mutex<HashMap<ResourceRef, u32>>);

impl Backoff {
    /// It failed once more: how long to wait.
    pub fn failed(&self, resource: &ResourceRef) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failures.entry(resource.clone()).or_default();
        *failures = failures.saturating_add(1);
        pause(*failures).mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// It worked.
    pub fn worked(&self, resource: &ResourceRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(resource);
    }
}

/// The longest pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    SHORTEST.saturating_mul(1 << failures.min(12)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let farm = ResourceRef::new("farm").within("opencue");
        let backoff = Backoff::default();
        for failures in 1..40 {
            let pause = pause(failures);
            let waited = backoff.failed(&farm);
            assert!(waited >= pause / 2 && waited <= pause, "{failures}: {waited:?}");
        }
        assert!(backoff.failed(&farm) >= LONGEST / 2);
        backoff.worked(&farm);
        assert!(backoff.failed(&farm) <= SHORTEST * 2);
    }
}
