//! How a frame ends, read from its command or drawn from a seed.
//!
//! No command is ever executed. Its words are looked at: `sleep 0.3` runs that long, `exit 7` exits so, `signal=11` dies of that
//! signal, `rss=2000000` uses that much memory (KB). What the command leaves open is drawn from the farm's seed, the frame and the
//! number of the try, so that a run can be repeated whatever the order in which frames arrive.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use cue_scheduler_proto::rqd::RunFrame;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::config::FarmConfig;

/// How a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How long it runs.
    pub duration: Duration,
    /// Exit status, as a shell would give it.
    pub exit_status: i32,
    /// Signal, 0 for none.
    pub exit_signal: i32,
    /// Memory in use while it runs, KB.
    pub rss_kb: u64,
}

/// What a command says about its own end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    duration: Option<Duration>,
    exit_status: Option<i32>,
    exit_signal: Option<i32>,
    rss_kb: Option<u64>,
}

impl Outcome {
    /// How this launch ends; `tries` is how often the frame was launched before.
    pub(super) fn of(config: &FarmConfig, frame: &RunFrame, tries: u32) -> Self {
        if let Some(outcome) = config.script.as_ref().and_then(|script| script(frame, tries)) {
            return outcome;
        }
        let said = read(&frame.command);
        let mut draw = StdRng::seed_from_u64(key(config.seed, frame, tries));
        let duration = draw.random_range(config.durations.min..=config.durations.max);
        let fails = draw.random_bool(config.failures.clamp(0.0, 1.0));
        Self {
            duration: said.duration.unwrap_or(duration),
            exit_status: said.exit_status.unwrap_or(i32::from(fails)),
            exit_signal: said.exit_signal.unwrap_or(0),
            rss_kb: said.rss_kb.unwrap_or(config.rss_kb),
        }
    }
}

/// Names stay the same from run to run, ids need not.
fn key(seed: u64, frame: &RunFrame, tries: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, &frame.job_name, &frame.frame_name, tries).hash(&mut hasher);
    hasher.finish()
}

fn read(command: &str) -> Said {
    let mut said = Said::default();
    let mut words = command
        .split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '"' | '\''))
        .filter(|word| !word.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        match word {
            // More than one sleep adds up, as in a shell.
            "sleep" => {
                if let Some(time) = words.peek().and_then(|word| seconds(word)) {
                    said.duration = Some(said.duration.unwrap_or_default().saturating_add(time));
                }
            }
            "exit" => said.exit_status = words.peek().and_then(|word| word.parse().ok()).or(said.exit_status),
            _ => {
                if let Some(text) = word.strip_prefix("signal=") {
                    said.exit_signal = text.parse().ok().or(said.exit_signal);
                } else if let Some(text) = word.strip_prefix("rss=") {
                    said.rss_kb = text.parse().ok().or(said.rss_kb);
                }
            }
        }
    }
    said
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.strip_suffix('s').unwrap_or(text).parse().ok()?;
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_command_says_how_it_ends() {
        let said = |duration_ms: Option<u64>, exit_status, exit_signal, rss_kb| Said {
            duration: duration_ms.map(Duration::from_millis),
            exit_status,
            exit_signal,
            rss_kb,
        };
        let cases = [
            ("sleep 0.3", said(Some(300), None, None, None)),
            ("/bin/sh -c 'sleep 1; sleep 2s && exit 7'", said(Some(3000), Some(7), None, None)),
            ("echo rss=5000 signal=11", said(None, None, Some(11), Some(5000))),
            ("render -exit later", said(None, None, None, None)),
            ("sleep long; exit", said(None, None, None, None)),
            ("sleep -1", said(None, None, None, None)),
            ("sleep NaN", said(None, None, None, None)),
            ("", said(None, None, None, None)),
        ];
        for (command, expected) in cases {
            assert_eq!(read(command), expected, "{command}");
        }
    }

    #[test]
    fn what_a_command_leaves_open_depends_on_seed_frame_and_try_alone() {
        let config = FarmConfig { failures: 0.5, ..FarmConfig::default() };
        let frame = |name: &str| RunFrame { frame_name: name.to_owned(), ..RunFrame::default() };
        let one = Outcome::of(&config, &frame("0001-l"), 0);
        assert_eq!(one, Outcome::of(&config, &frame("0001-l"), 0));
        assert_ne!(one.duration, Outcome::of(&config, &frame("0002-l"), 0).duration);
        assert_ne!(one.duration, Outcome::of(&config, &frame("0001-l"), 1).duration);
        let other = FarmConfig { seed: 2, ..config.clone() };
        assert_ne!(one.duration, Outcome::of(&other, &frame("0001-l"), 0).duration);
        assert!((config.durations.min..=config.durations.max).contains(&one.duration));
    }

    #[test]
    fn about_the_wanted_share_of_frames_fails() {
        let config = FarmConfig { failures: 0.2, ..FarmConfig::default() };
        let failed = (0..1000)
            .filter(|n| {
                let frame = RunFrame { frame_name: format!("{n:04}-l"), ..RunFrame::default() };
                Outcome::of(&config, &frame, 0).exit_status != 0
            })
            .count();
        assert!((150..250).contains(&failed), "{failed} of 1000");
    }

    #[test]
    fn a_script_comes_before_the_command() {
        let wanted = Outcome { duration: Duration::from_secs(9), exit_status: 3, exit_signal: 0, rss_kb: 1 };
        let script = move |_: &RunFrame, tries: u32| (tries == 0).then_some(wanted);
        let config = FarmConfig { script: Some(Arc::new(script)), ..FarmConfig::default() };
        let frame = RunFrame { command: "sleep 1".to_owned(), ..RunFrame::default() };
        assert_eq!(Outcome::of(&config, &frame, 0), wanted);
        assert_eq!(Outcome::of(&config, &frame, 1).duration, Duration::from_secs(1));
    }
}
