//! A number of pods, or a part of them in per cent.

use serde_json::Value;

use super::Faults;

/// A number or per cent, as `maxUnavailable` and its like take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Pods(i64),
    Percent(i64),
}

impl Share {
    pub(super) fn read(place: &str, value: &Value, faults: &mut Faults) -> Option<Self> {
        let share = match value {
            Value::Number(number) => number.as_i64().map(Self::Pods),
            Value::String(text) => {
                let number = text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
                number.and_then(|digits| digits.parse().ok()).map(Self::Percent)
            }
            _ => None,
        };
        let share = share.filter(|share| match share {
            Self::Pods(pods) => (0..=1000).contains(pods),
            Self::Percent(percent) => (0..=100).contains(percent),
        });
        if share.is_none() {
            faults.spec(format!("{place}: found {value}; allowed is a number of pods, or a part such as \"25%\""));
        }
        share
    }

    pub(super) fn is_zero(self) -> bool {
        matches!(self, Self::Pods(0) | Self::Percent(0))
    }

    /// How many pods of so many, rounded up as Kubernetes does it for what has to be there.
    pub(super) fn of(self, replicas: i32) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => (percent * i64::from(replicas) + 99) / 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_parts_are_read_and_nothing_else() {
        let mut faults = Faults::default();
        assert_eq!(Share::read("x", &json!(2), &mut faults), Some(Share::Pods(2)));
        assert_eq!(Share::read("x", &json!("25%"), &mut faults), Some(Share::Percent(25)));
        assert!(faults.0.is_empty());
        for (position, value) in
            [json!(-1), json!("2"), json!("x%"), json!("101%"), json!("-5%"), json!(1.5)].iter().enumerate()
        {
            assert_eq!(Share::read("x", value, &mut faults), None, "{value}");
            assert_eq!(faults.0.len(), position + 1);
        }
    }

    #[test]
    fn parts_are_rounded_up() {
        assert_eq!(Share::Percent(50).of(3), 2);
        assert_eq!(Share::Percent(100).of(3), 3);
        assert_eq!(Share::Pods(2).of(3), 2);
    }
}
