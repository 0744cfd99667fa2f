//! Writing a list of frames as a short range text.
//!
//! Render commands have come to rely on the text that Cuebot makes, so it is made here by the same rule. Walk the frames
//! with a run whose step is the difference of its first two. A frame that keeps the step joins. One that does not ends
//! the run, and is the first of the next. But of two frames that are not neighbours only the first is given away; the
//! second and the newcomer are a *loose* pair, which never becomes a run: 1 6 3 5 7 9 is written `1,6,3,5,7,9`.
//!
//! In one case Cuebot's text is wrong and ours is not: when a loose pair is followed by the neighbour of its first frame
//! (1 5 8 6), Cuebot writes all frames from its first to its second (`1,5-8,6`).

use std::fmt::Write;

use super::{RangeError, SPEC_BYTES_MAX};

/// The text so far, and the run that is not yet written.
#[derive(Default)]
pub(super) struct Compactor {
    text: String,
    run: Option<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    first: i64,
    last: i64,
    /// The difference of neighbours; 0 while it is open: in a run of one, of equal frames, and in a loose pair.
    step: i64,
    count: i64,
}

impl Run {
    fn of_one(frame: i64) -> Self {
        Self {
            first: frame,
            last: frame,
            step: 0,
            count: 1,
        }
    }
}

impl Compactor {
    /// Adds `count` frames, each `step` after the one before it. Where they form a run, the cost does not depend on
    /// `count`: after three of them the run has their step, and the rest only moves its end.
    pub(super) fn push_run(&mut self, first: i64, step: i64, count: i64) -> Result<(), RangeError> {
        for at in 0..count {
            if at >= 3
                && let Some(run) = &mut self.run
                && run.step == step
            {
                run.last = first + step * (count - 1);
                run.count += count - at;
                return Ok(());
            }
            self.push(first + step * at)?;
        }
        Ok(())
    }

    fn push(&mut self, frame: i64) -> Result<(), RangeError> {
        let Some(run) = self.run else {
            self.run = Some(Run::of_one(frame));
            return Ok(());
        };
        let step = if run.step == 0 {
            frame - run.first
        } else {
            run.step
        };
        let next = if frame - run.last == step {
            Run {
                last: frame,
                step,
                count: run.count + 1,
                ..run
            }
        } else if run.count == 2 && run.step != 1 {
            self.write(Run::of_one(run.first))?;
            Run {
                first: run.last,
                last: frame,
                step: 0,
                count: 2,
            }
        } else {
            self.write(run)?;
            Run::of_one(frame)
        };
        self.run = Some(next);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<String, RangeError> {
        match self.run {
            Some(run) if run.count == 2 && run.step != 1 => {
                self.write(Run::of_one(run.first))?;
                self.write(Run::of_one(run.last))?;
            }
            Some(run) => self.write(run)?,
            None => {}
        }
        Ok(self.text)
    }

    fn write(&mut self, run: Run) -> Result<(), RangeError> {
        let Run {
            first, last, step, ..
        } = run;
        if !self.text.is_empty() {
            self.text.push(',');
        }
        // Writing to a text can't fail.
        let _ = match (first == last, step) {
            (true, _) => write!(self.text, "{first}"),
            (false, 1) => write!(self.text, "{first}-{last}"),
            (false, _) => write!(self.text, "{first}-{last}x{step}"),
        };
        if self.text.len() > SPEC_BYTES_MAX {
            return Err(RangeError::SpecTooLong);
        }
        Ok(())
    }
}
