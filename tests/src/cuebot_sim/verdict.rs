//! What becomes of a frame whose run ended: Cuebot's table as a pure function, its rows in its order, the first match wins.
//!
//! Cuebot's table also has rows for frames that are not RUNNING any more. Its stop statement then changes nothing, so here they
//! never come to this point.

/// What the database knows of the frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameFacts {
    /// `frame.int_retries`: starts after a failure that counts.
    pub retries: i64,
    /// `job.int_max_retries`
    pub max_retries: i64,
    /// `job.b_autoeat`
    pub auto_eat: bool,
    /// `frame.int_exit_status` before this end: Cuebot leaves its own mark there before it kills for memory.
    pub exit_status_before: i64,
    /// `layer.int_timeout`, minutes; 0 is none.
    pub timeout_minutes: i32,
    /// `layer.int_timeout_llu`, minutes without a word in the log; 0 is none.
    pub silence_minutes: i32,
}

/// What the agent reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    pub exit_status: i32,
    pub exit_signal: i32,
    pub run_seconds: i32,
    /// The host was taken by its user.
    pub nimby_locked: bool,
    /// Seconds since the log grew; unknown if the agent does not know.
    pub silent_seconds: Option<i64>,
}

/// What becomes of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Succeeded,
    Waiting,
    Eaten,
    Dead,
}

impl Verdict {
    /// `frame.str_state`
    pub fn column(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Waiting => "WAITING",
            Self::Eaten => "EATEN",
            Self::Dead => "DEAD",
        }
    }

    /// Whether those who wait for the frame may go on.
    pub fn ended_well(self) -> bool {
        matches!(self, Self::Succeeded | Self::Eaten)
    }
}

const SKIP_RETRY: i32 = 286;
const FAILED_LAUNCH: i32 = 256;
const SIGNAL_CHECKPOINT: i32 = 119;
const SIGNAL_TERM: i32 = 15;
const RUN_SECONDS_MAX: i32 = 12 * 3600;

pub(super) fn verdict(frame: &FrameFacts, ending: &Ending) -> Verdict {
    let retries_left = frame.retries < frame.max_retries;
    let silent = ending.silent_seconds.is_some_and(|seconds| seconds > i64::from(frame.silence_minutes) * 60);
    let too_long = |minutes: i32| minutes > 0 && ending.run_seconds > minutes.saturating_mul(60);
    if ending.exit_status == 0 {
        Verdict::Succeeded
    } else if ending.exit_status == SKIP_RETRY
        || (ending.exit_signal == SIGNAL_CHECKPOINT && frame.max_retries > 0)
        || ((ending.exit_status == FAILED_LAUNCH || ending.exit_signal == FAILED_LAUNCH) && retries_left)
        || (ending.nimby_locked && ending.exit_signal == SIGNAL_TERM)
    {
        Verdict::Waiting
    } else if frame.auto_eat {
        Verdict::Eaten
    } else if (frame.silence_minutes > 0 && silent)
        || too_long(frame.timeout_minutes)
        || ending.run_seconds > RUN_SECONDS_MAX
        || (!retries_left && !died_of_memory(frame, ending))
    {
        Verdict::Dead
    } else {
        Verdict::Waiting
    }
}

/// Whether the run ended for want of memory, by the conventions of containers, agents and Cuebot's own mark.
pub(super) fn died_of_memory(frame: &FrameFacts, ending: &Ending) -> bool {
    matches!(ending.exit_status, 33 | 137) || ending.exit_signal == 33 || frame.exit_status_before == 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_of_the_table_that_fits_decides() {
        let fresh = FrameFacts { max_retries: 3, exit_status_before: -1, ..FrameFacts::default() };
        let spent = FrameFacts { retries: 3, ..fresh.clone() };
        let eats = FrameFacts { auto_eat: true, ..spent.clone() };
        let timed = FrameFacts { timeout_minutes: 10, silence_minutes: 5, ..fresh.clone() };
        let marked = FrameFacts { exit_status_before: 33, ..spent.clone() };
        let ended = |exit_status, exit_signal| Ending { exit_status, exit_signal, ..Ending::default() };
        let nimby = Ending { nimby_locked: true, ..ended(1, 15) };
        let long = |run_seconds| Ending { run_seconds, ..ended(1, 0) };
        let silent = |seconds| Ending { silent_seconds: Some(seconds), ..ended(1, 0) };
        for (frame, ending, expected) in [
            (&fresh, ended(0, 0), Verdict::Succeeded),
            (&eats, ended(0, 0), Verdict::Succeeded),
            (&spent, ended(286, 0), Verdict::Waiting),
            (&spent, ended(1, 119), Verdict::Waiting),
            (&fresh, ended(256, 0), Verdict::Waiting),
            (&spent, ended(256, 0), Verdict::Dead),
            (&fresh, ended(1, 256), Verdict::Waiting),
            (&spent, nimby, Verdict::Waiting),
            (&spent, ended(1, 15), Verdict::Dead),
            (&eats, ended(7, 0), Verdict::Eaten),
            (&fresh, ended(7, 0), Verdict::Waiting),
            (&spent, ended(7, 0), Verdict::Dead),
            (&spent, ended(33, 0), Verdict::Waiting),
            (&spent, ended(137, 0), Verdict::Waiting),
            (&spent, ended(1, 33), Verdict::Waiting),
            (&marked, ended(1, 9), Verdict::Waiting),
            (&timed, long(601), Verdict::Dead),
            (&timed, long(600), Verdict::Waiting),
            (&fresh, long(12 * 3600 + 1), Verdict::Dead),
            (&timed, silent(301), Verdict::Dead),
            (&timed, silent(300), Verdict::Waiting),
            (&fresh, silent(9999), Verdict::Waiting),
        ] {
            assert_eq!(verdict(frame, &ending), expected, "{frame:?} {ending:?}");
        }
    }
}
