//! Frame ranges as the loader's descriptions use them: lists of `A`, `A-B` and `A-BxS`, ascending or descending.
//!
//! The scheduler reads more forms than these. They are not needed to describe a farm, and sharing its parser would let a fault
//! in it hide from the tests.

/// The frame numbers in order.
pub fn parse(text: &str) -> Result<Vec<i64>, String> {
    let mut numbers = Vec::new();
    for section in text.split(',') {
        let wrong = || format!("`{section}` in range `{text}` is not a frame range; write 7, 1-10 or 1-10x2");
        let section = section.trim();
        let (ends, step) = match section.split_once('x') {
            Some((ends, step)) => (ends, step.parse::<i64>().map_err(|_| wrong())?.abs()),
            None => (section, 1),
        };
        // The first character may be the sign of the first number.
        let dash = ends.char_indices().skip(1).find(|(_, c)| *c == '-');
        let (first, last) = match dash {
            Some((at, _)) => (&ends[..at], &ends[at + 1..]),
            None => (ends, ends),
        };
        let first: i64 = first.parse().map_err(|_| wrong())?;
        let last: i64 = last.parse().map_err(|_| wrong())?;
        let steps = first.abs_diff(last);
        if step == 0 || steps > 10_000_000 {
            return Err(wrong());
        }
        let sign = if last < first { -1 } else { 1 };
        numbers.extend((0..=steps as i64).step_by(step as usize).map(|n| first + sign * n));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ranges_give_their_numbers_in_order() {
        for (text, numbers) in [
            ("1-3", vec![1, 2, 3]),
            ("7", vec![7]),
            ("1-10x3", vec![1, 4, 7, 10]),
            ("3-1", vec![3, 2, 1]),
            ("10-1x-3", vec![10, 7, 4, 1]),
            ("-2--1, 5", vec![-2, -1, 5]),
        ] {
            assert_eq!(parse(text), Ok(numbers), "{text}");
        }
        for text in ["", "a", "1-", "1-2x0", "1-3,", "1-99999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
