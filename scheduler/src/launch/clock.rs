//! The clock of the launch protocol: it goes on while the machine sleeps and nobody sets it.

use std::time::Duration;

use cue_scheduler_core::launch::BootInstant;
use rustix::time::{ClockId, clock_gettime};

/// Now, by `CLOCK_BOOTTIME`.
pub fn now() -> BootInstant {
    let since = clock_gettime(ClockId::Boottime);
    // Neither part is negative: the clock starts at 0 when the machine does.
    BootInstant(Duration::new(
        u64::try_from(since.tv_sec).unwrap_or_default(),
        u32::try_from(since.tv_nsec).unwrap_or_default(),
    ))
}

/// Waits until an instant; not at all when it has passed.
pub(super) async fn sleep_until(at: BootInstant) {
    // The runtime's timer stands still while the machine sleeps, so a wait may be longer than asked for. No wait of the
    // protocol minds that.
    tokio::time::sleep(at.since(now())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_and_a_wait_ends_after_its_instant() {
        let end = now().plus(Duration::from_millis(20));
        sleep_until(end).await;
        assert!(now() >= end);
        sleep_until(end).await;
    }
}
