//! Frame ranges: the text of `layer.str_range`, such as `1-10x2,20`, as an ordered list that is never written out.
//!
//! A layer's range is needed for every frame that is launched, and it may name two thousand million frames. It is parsed
//! once, into sections that answer "where is this frame?" and "what stands there?" by arithmetic. Only an interleaved
//! section (`1-10:5`) has no such arithmetic; it is written out, and refused above [`INTERLEAVED_MAX`] frames. A chunk is
//! a piece of the list; its compact text ([`FrameSet::spec`]) is made run by run, so that its cost follows the length of
//! the text, and a text above [`SPEC_BYTES_MAX`] is refused.
//!
//! Invariant: the spec of a chunk, parsed again, is the chunk, but that a frame which the range repeats in a row may be
//! written once, as Cuebot writes it.

mod compact;
mod section;

use thiserror::Error;

use compact::Compactor;
use section::Section;

/// Most frames of an interleaved section (`A-B:S`), which is held as a list of 4 bytes a frame.
pub const INTERLEAVED_MAX: i64 = 1_000_000;

/// Longest text of a chunk's spec. Render commands stay far below it; agents refuse messages of 4 MiB.
pub const SPEC_BYTES_MAX: usize = 1 << 20;

/// Why a range can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RangeError {
    /// A section follows none of the five forms.
    #[error(
        "\"{0}\" is not a frame range: A, A-B, A-BxS, A-ByS or A-B:S would be, several joined by commas"
    )]
    Syntax(String),
    /// A number needs more than 32 bits.
    #[error("\"{0}\" holds a number outside -2147483648 to 2147483647")]
    TooLarge(String),
    /// A step of 0.
    #[error("\"{0}\" has step 0; a step is at least 1, or at most -1 when the range descends")]
    ZeroStep(String),
    /// A positive step above 1 with an end below the start.
    #[error("\"{0}\" descends with a positive step; -S would be right")]
    Descends(String),
    /// A negative step with an end not below the start.
    #[error("\"{0}\" does not descend, and has a negative step; S without the sign would be right")]
    Ascends(String),
    /// An interleaved section of too many frames.
    #[error("\"{0}\" interleaves more than {INTERLEAVED_MAX} frames; cut it into several sections")]
    Interleaved(String),
    /// A chunk whose spec is too long.
    #[error(
        "the frame spec of a chunk is longer than {SPEC_BYTES_MAX} bytes; a smaller chunk size would be right"
    )]
    SpecTooLong,
}

/// An ordered list of frame numbers, duplicates kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameSet {
    sections: Vec<Section>,
}

impl FrameSet {
    /// Parses a comma list of sections, each trimmed of outer blanks.
    ///
    /// | Form | Frames |
    /// | --- | --- |
    /// | `A` | one |
    /// | `A-B` | from A to B, descending when B < A |
    /// | `A-BxS` | every S-th, counted from A |
    /// | `A-ByS` | those that `x` leaves out |
    /// | `A-B:S` | the `x` steps with S, then with S ÷ 2, until 1; each frame once |
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let sections = text
            .split(',')
            .map(Section::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { sections })
    }

    /// How many frames it lists.
    pub fn len(&self) -> i64 {
        self.sections.iter().map(Section::len).sum()
    }

    /// Whether it lists none, as `5-1x1` does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where `frame` stands first, counted from 0.
    pub fn position(&self, frame: i32) -> Option<i64> {
        let mut before = 0;
        for section in &self.sections {
            if let Some(at) = section.position(i64::from(frame)) {
                return Some(before + at);
            }
            before += section.len();
        }
        None
    }

    /// The frame at a position.
    pub fn get(&self, at: i64) -> Option<i32> {
        let mut at = at;
        for section in &self.sections {
            if at < section.len() {
                return section.get(at);
            }
            at -= section.len();
        }
        None
    }

    /// The last frame of the chunk of `size` frames that starts at a position; the list's last when the chunk is cut.
    /// `None` when the position is past the end or `size` is below 1.
    pub fn chunk_end(&self, from: i64, size: i64) -> Option<i32> {
        let last = from.checked_add(size.checked_sub(1)?)?.min(self.len() - 1);
        if size < 1 || last < from {
            None
        } else {
            self.get(last)
        }
    }

    /// The compact text of the chunk of `size` frames that starts at a position; empty past the end.
    ///
    /// Runs of equal steps are joined: `4-6`, `3-7x2`, `10-7x-1`. Two frames make a run only when they are neighbours.
    pub fn spec(&self, from: i64, size: i64) -> Result<String, RangeError> {
        let mut skip = from.max(0);
        let mut left = size;
        let mut compactor = Compactor::default();
        for section in &self.sections {
            let here = (section.len() - skip).clamp(0, left.max(0));
            section.runs(skip, here, |first, step, count| {
                compactor.push_run(first, step, count)
            })?;
            skip = (skip - section.len()).max(0);
            left -= here;
        }
        compactor.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(text: &str) -> Vec<i32> {
        let set = FrameSet::parse(text).unwrap();
        (0..set.len()).map(|at| set.get(at).unwrap()).collect()
    }

    /// The spec and the last frame of the chunk of a frame.
    fn chunk(range: &str, frame: i32, size: i64) -> (String, i32) {
        let set = FrameSet::parse(range).unwrap();
        let at = set.position(frame).unwrap();
        (
            set.spec(at, size).unwrap(),
            set.chunk_end(at, size).unwrap(),
        )
    }

    #[test]
    fn every_form_lists_its_frames_in_order() {
        let table: &[(&str, &[i32])] = &[
            ("7", &[7]),
            ("1-10", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            ("10-1", &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
            ("1-10x3", &[1, 4, 7, 10]),
            ("10-1x-3", &[10, 7, 4, 1]),
            ("1-10y3", &[2, 3, 5, 6, 8, 9]),
            ("10-1y-3", &[9, 8, 6, 5, 3, 2]),
            ("1-10y2", &[2, 4, 6, 8, 10]),
            ("1-5y1", &[]),
            ("5-1y-1", &[]),
            ("1-10:5", &[1, 6, 3, 5, 7, 9, 2, 4, 8, 10]),
            ("1-10:3", &[1, 4, 7, 10, 2, 3, 5, 6, 8, 9]),
            ("1-8:4", &[1, 5, 3, 7, 2, 4, 6, 8]),
            ("10-1:-4", &[10, 6, 2, 8, 4, 9, 7, 5, 3, 1]),
            ("-5--1", &[-5, -4, -3, -2, -1]),
            ("-3-3x2", &[-3, -1, 1, 3]),
            ("0001-0010x3", &[1, 4, 7, 10]),
            ("5-1x1", &[]),
            ("5-1:1", &[]),
            ("5-1y1", &[]),
            ("1-3,2-4", &[1, 2, 3, 2, 3, 4]),
            (" 1-3 , 7", &[1, 2, 3, 7]),
        ];
        for (text, expected) in table {
            assert_eq!(frames(text), *expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_range_is_refused_with_what_is_wrong() {
        type Made = fn(String) -> RangeError;
        let table: &[(&str, &str, Made)] = &[
            ("1 - 3", "1 - 3", RangeError::Syntax),
            ("+5", "+5", RangeError::Syntax),
            ("1-10z2", "1-10z2", RangeError::Syntax),
            ("", "", RangeError::Syntax),
            ("1-3,", "", RangeError::Syntax),
            ("1x2", "1x2", RangeError::Syntax),
            ("1-", "1-", RangeError::Syntax),
            ("1-3x", "1-3x", RangeError::Syntax),
            ("1-3x2 y", "1-3x2 y", RangeError::Syntax),
            ("--1", "--1", RangeError::Syntax),
            ("1-9:2:2", "1-9:2:2", RangeError::Syntax),
            ("5-5x-1", "5-5x-1", RangeError::Ascends),
            ("1-10x-2", "1-10x-2", RangeError::Ascends),
            ("10-1x2", "10-1x2", RangeError::Descends),
            ("10-1:2", "10-1:2", RangeError::Descends),
            ("1-10x0", "1-10x0", RangeError::ZeroStep),
            ("1-10:0", "1-10:0", RangeError::ZeroStep),
            ("1-10y-0", "1-10y-0", RangeError::ZeroStep),
            ("99999999999", "99999999999", RangeError::TooLarge),
            ("1-2147483648", "1-2147483648", RangeError::TooLarge),
            ("1-2147483647:2", "1-2147483647:2", RangeError::Interleaved),
        ];
        for (text, named, made) in table {
            assert_eq!(
                FrameSet::parse(text),
                Err(made((*named).to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_chunk_is_written_compactly_and_ends_where_its_last_frame_is() {
        let table: &[(&str, i32, i64, &str, i32)] = &[
            ("1-10", 4, 1, "4", 4),
            ("1-10", 4, 3, "4-6", 6),
            ("1-10", 9, 5, "9-10", 10),
            ("1-10x2", 3, 3, "3-7x2", 7),
            ("1-10x2", 7, 2, "7,9", 9),
            ("10-1", 10, 4, "10-7x-1", 7),
            ("10-1x-2", 8, 3, "8-4x-2", 4),
            ("1-10:5", 1, 4, "1,6,3,5", 5),
            ("1-10:5", 3, 3, "3-7x2", 7),
            ("1-10:5", 1, 10, "1,6,3,5,7,9,2,4,8,10", 10),
            ("1-5,10-15", 4, 4, "4-5,10-11", 11),
            ("1-5x2,10,15-20", 3, 4, "3,5,10,15", 15),
            ("5,3", 5, 2, "5,3", 3),
            ("1,3,4,6,7,9", 1, 6, "1,3,4,6,7,9", 9),
            ("1,3,5,7,8,9", 1, 6, "1-7x2,8-9", 9),
            ("1,2,5,8", 1, 4, "1-2,5,8", 8),
            ("1-3,1-3", 2, 4, "2-3,1-2", 2),
            ("1,5,8,6", 1, 4, "1,5,8,6", 6),
            ("1,5-8", 1, 5, "1,5,6,7,8", 8),
            ("1,1,1", 1, 3, "1", 1),
            ("-5-5", -5, 3, "-5--3", -3),
        ];
        for (range, frame, size, spec, end) in table {
            assert_eq!(
                chunk(range, *frame, *size),
                ((*spec).to_owned(), *end),
                "{range} at {frame} by {size}"
            );
        }
    }

    #[test]
    fn a_chunk_past_the_end_or_of_no_frames_has_no_last_frame() {
        let set = FrameSet::parse("1-3").unwrap();
        for (from, size) in [(3, 1), (0, 0), (1, -1), (i64::MAX, i64::MAX), (0, i64::MIN)] {
            assert_eq!(set.chunk_end(from, size), None, "{from} {size}");
        }
        assert_eq!(set.spec(3, 1).unwrap(), "");
        assert_eq!(set.chunk_end(0, i64::MAX), Some(3));
    }

    #[test]
    fn the_whole_of_32_bits_costs_no_memory_and_no_time() {
        let set = FrameSet::parse("-2147483648-2147483647,5,2147483647--2147483648x-3").unwrap();
        assert_eq!(set.position(2_147_483_647), Some((1 << 32) - 1));
        assert_eq!(set.get(1 << 32), Some(5));
        assert_eq!(
            chunk("1-2147483647", 2, i64::from(i32::MAX)),
            ("2-2147483647".to_owned(), i32::MAX)
        );
        assert_eq!(
            chunk("1-2147483647y2", 4, 1 << 40),
            ("4-2147483646x2".to_owned(), i32::MAX - 1)
        );
    }

    #[test]
    fn a_spec_that_would_fill_the_memory_is_refused() {
        let set = FrameSet::parse("1-2147483647y3").unwrap();
        assert_eq!(set.position(2), Some(0));
        assert_eq!(
            set.spec(0, i64::from(i32::MAX)),
            Err(RangeError::SpecTooLong)
        );
        assert_eq!(set.spec(0, 4).unwrap(), "2-3,5-6");
    }

    /// A list by the words of the grammar, written out, as an oracle.
    fn written_out(start: i32, end: i32, step: i32, kind: char) -> Vec<i32> {
        let by = |step: i32| -> Vec<i32> {
            let mut all = Vec::new();
            let mut at = i64::from(start);
            while (step > 0 && at <= i64::from(end)) || (step < 0 && at >= i64::from(end)) {
                all.push(at as i32);
                at += i64::from(step);
            }
            all
        };
        match kind {
            'x' => by(step),
            'y' => {
                let taken = by(step);
                by(step.signum())
                    .into_iter()
                    .filter(|frame| !taken.contains(frame))
                    .collect()
            }
            _ => {
                let mut all = Vec::new();
                let mut step = step;
                while step != 0 {
                    for frame in by(step) {
                        if !all.contains(&frame) {
                            all.push(frame);
                        }
                    }
                    step /= 2;
                }
                all
            }
        }
    }

    fn section() -> impl Strategy<Value = (String, Vec<i32>)> {
        (
            -40..40_i32,
            0..60_i32,
            1..9_i32,
            prop::sample::select(vec!['x', 'y', ':']),
            any::<bool>(),
        )
            .prop_map(|(start, length, step, kind, down)| {
                let (end, step) = if down {
                    (start - length - 1, -step)
                } else {
                    (start + length, step)
                };
                (
                    format!("{start}-{end}{kind}{step}"),
                    written_out(start, end, step, kind),
                )
            })
    }

    /// The list without a frame that equals the one before it.
    fn without_repeats(mut list: Vec<i32>) -> Vec<i32> {
        list.dedup();
        list
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_the_list_written_out(sections in prop::collection::vec(section(), 1..4)) {
            let text = sections.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",");
            let list: Vec<i32> = sections.into_iter().flat_map(|(_, list)| list).collect();
            let set = FrameSet::parse(&text).unwrap();
            prop_assert_eq!(set.len(), list.len() as i64);
            for (at, frame) in list.iter().enumerate() {
                prop_assert_eq!(set.get(at as i64), Some(*frame));
            }
            for frame in -120..120 {
                let first = list.iter().position(|f| *f == frame).map(|at| at as i64);
                prop_assert_eq!(set.position(frame), first, "{} in {}", frame, text);
            }
        }

        #[test]
        fn a_spec_parsed_again_is_the_chunk(
            sections in prop::collection::vec(section(), 0..4),
            singles in prop::collection::vec(-3..9_i32, 1..9),
            from: prop::sample::Index,
            size in 1..80_i64,
        ) {
            let singles = singles.into_iter().map(|frame| (frame.to_string(), vec![frame]));
            let sections: Vec<_> = sections.into_iter().chain(singles).collect();
            let text = sections.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",");
            let list: Vec<i32> = sections.into_iter().flat_map(|(_, list)| list).collect();
            let from = from.index(list.len());
            let chunk: Vec<i32> = list.into_iter().skip(from).take(size as usize).collect();
            let set = FrameSet::parse(&text).unwrap();
            let spec = set.spec(from as i64, size).unwrap();
            prop_assert_eq!(set.chunk_end(from as i64, size), chunk.last().copied());
            prop_assert_eq!(frames(&spec).last().copied(), chunk.last().copied());
            prop_assert_eq!(without_repeats(frames(&spec)), without_repeats(chunk), "{} of {}", spec, text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-0-9xy:, ]{0,24}") {
            if let Ok(set) = FrameSet::parse(&text) {
                let _ = (set.len(), set.spec(0, 50), set.chunk_end(0, 50), set.position(3));
            }
        }
    }
}
