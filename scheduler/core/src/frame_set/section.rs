//! One section of a range: what stands between two commas.

use super::{INTERLEAVED_MAX, RangeError};

/// The frames of a section, by arithmetic where there is one. Numbers are `i64` so that differences of 32-bit ones fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// `count` frames, the first `first`, each `step` after the one before it.
    Steps { first: i64, step: i64, count: i64 },
    /// `count` frames between the multiples of `step` counted from `first`; `|step|` ≥ 3.
    Between { first: i64, step: i64, count: i64 },
    /// Written out.
    List(Box<[i32]>),
}

impl Section {
    pub(super) fn parse(text: &str) -> Result<Self, RangeError> {
        let text = text.trim_matches(' ');
        let syntax = || RangeError::Syntax(text.to_owned());
        let number = |digits: &str| {
            digits
                .parse::<i32>()
                .map(i64::from)
                .map_err(|_| RangeError::TooLarge(text.to_owned()))
        };

        let (first, rest) = take_number(text).ok_or_else(syntax)?;
        if rest.is_empty() {
            return Ok(Self::Steps {
                first: number(first)?,
                step: 1,
                count: 1,
            });
        }
        let (last, rest) = rest
            .strip_prefix('-')
            .and_then(take_number)
            .ok_or_else(syntax)?;
        let mut chars = rest.chars();
        let Some(kind) = chars.next() else {
            let (first, last) = (number(first)?, number(last)?);
            return Ok(steps(first, last, if last < first { -1 } else { 1 }));
        };
        let (step, rest) = take_number(chars.as_str()).ok_or_else(syntax)?;
        if !rest.is_empty() || !matches!(kind, 'x' | 'y' | ':') {
            return Err(syntax());
        }
        let (first, last, step) = (number(first)?, number(last)?, number(step)?);
        match step {
            0 => return Err(RangeError::ZeroStep(text.to_owned())),
            // A step of 1 with an end below the start is an empty list to Cuebot, not an error.
            step if step > 1 && last < first => return Err(RangeError::Descends(text.to_owned())),
            step if step < 0 && last >= first => return Err(RangeError::Ascends(text.to_owned())),
            _ => {}
        }
        match kind {
            'x' => Ok(steps(first, last, step)),
            'y' => Ok(between(first, last, step)),
            _ => interleaved(first, last, step)
                .ok_or_else(|| RangeError::Interleaved(text.to_owned())),
        }
    }

    pub(super) fn len(&self) -> i64 {
        match self {
            Self::Steps { count, .. } | Self::Between { count, .. } => *count,
            Self::List(list) => list.len() as i64,
        }
    }

    /// Where `frame` stands first.
    pub(super) fn position(&self, frame: i64) -> Option<i64> {
        let at = match self {
            Self::Steps { first, step, .. } => {
                let off = frame - first;
                (off % step == 0).then(|| off / step)?
            }
            Self::Between { first, step, .. } => {
                let off = (frame - first) * step.signum();
                let period = step.abs();
                (off % period != 0).then(|| off / period * (period - 1) + off % period - 1)?
            }
            Self::List(list) => list.iter().position(|listed| i64::from(*listed) == frame)? as i64,
        };
        (0..self.len()).contains(&at).then_some(at)
    }

    /// The frame at a position.
    pub(super) fn get(&self, at: i64) -> Option<i32> {
        if !(0..self.len()).contains(&at) {
            return None;
        }
        match self {
            Self::Steps { first, step, .. } => i32::try_from(first + step * at).ok(),
            Self::Between { first, step, .. } => {
                let filled = step.abs() - 1;
                i32::try_from(first + step.signum() * (at / filled * step.abs() + at % filled + 1))
                    .ok()
            }
            Self::List(list) => list.get(usize::try_from(at).ok()?).copied(),
        }
    }

    /// Calls `run(first, step, count)` for the `count` frames from a position on, in order, until it fails.
    pub(super) fn runs(
        &self,
        from: i64,
        count: i64,
        mut run: impl FnMut(i64, i64, i64) -> Result<(), RangeError>,
    ) -> Result<(), RangeError> {
        if count <= 0 {
            return Ok(());
        }
        match self {
            Self::Steps { first, step, .. } => run(first + step * from, *step, count),
            Self::Between { first, step, .. } => {
                let filled = step.abs() - 1;
                let (mut at, end) = (from, from + count);
                while at < end {
                    let here = (filled - at % filled).min(end - at);
                    let start =
                        first + step.signum() * (at / filled * step.abs() + at % filled + 1);
                    run(start, step.signum(), here)?;
                    at += here;
                }
                Ok(())
            }
            Self::List(list) => {
                let list = list.iter().skip(from as usize).take(count as usize);
                for frame in list {
                    run(i64::from(*frame), 1, 1)?;
                }
                Ok(())
            }
        }
    }
}

/// A sign and digits at the start of a text, and what follows them.
fn take_number(text: &str) -> Option<(&str, &str)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let signed = text.len() - digits.len();
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    (end > 0).then(|| text.split_at(signed + end))
}

/// How many frames lie from `first` to `last`, both counted, by `step`; none when it leads away from `last`.
fn count(first: i64, last: i64, step: i64) -> i64 {
    let span = (last - first) * step.signum();
    if span < 0 { 0 } else { span / step.abs() + 1 }
}

fn steps(first: i64, last: i64, step: i64) -> Section {
    Section::Steps {
        first,
        step,
        count: count(first, last, step),
    }
}

fn between(first: i64, last: i64, step: i64) -> Section {
    let left_out = count(first, last, step.signum()) - count(first, last, step);
    match step.abs() {
        // The neighbours of every second frame are every second frame again, and compact much better so.
        2 => Section::Steps {
            first: first + step.signum(),
            step,
            count: left_out,
        },
        _ => Section::Between {
            first,
            step,
            count: left_out,
        },
    }
}

/// `None` when there are too many frames to write out.
fn interleaved(first: i64, last: i64, step: i64) -> Option<Section> {
    let all = count(first, last, step.signum());
    if all > INTERLEAVED_MAX {
        return None;
    }
    let mut seen = vec![false; usize::try_from(all).ok()?];
    let mut frames = Vec::with_capacity(seen.len());
    let mut stride = step.unsigned_abs() as usize;
    while stride > 0 {
        for off in (0..seen.len()).step_by(stride) {
            if !std::mem::replace(&mut seen[off], true) {
                frames.push((first + step.signum() * off as i64) as i32);
            }
        }
        stride /= 2;
    }
    Some(Section::List(frames.into()))
}
