//! Every published spelling of every kind, accepted and refused.

use super::*;

/// Reads what a file would have after `key: `.
fn read<T: Setting>(yaml: &str, kind: &Kind) -> Result<T, Refused> {
    let Ok(node) = Node::parse(&format!("key: {yaml}\n")) else {
        panic!("{yaml:?} is no YAML");
    };
    let Value::Map(mut entries) = node.value else { panic!("not a mapping") };
    T::read(&entries.remove(0).node, kind)
}

fn check<T: Setting + PartialEq + fmt::Debug>(kind: &Kind, accepted: &[(&str, T)], refused: &[&str]) {
    for (yaml, expected) in accepted {
        assert_eq!(read::<T>(yaml, kind).as_ref(), Ok(expected), "{yaml}");
    }
    for yaml in refused {
        assert_eq!(read::<T>(yaml, kind), Err(Refused), "{yaml}");
    }
}

#[test]
fn durations_need_a_unit() {
    let seconds = |n| Duration::from_secs(n);
    check(
        &Kind::millis(0),
        &[
            ("5s", seconds(5)),
            ("500ms", Duration::from_millis(500)),
            ("2m", seconds(120)),
            ("1h 30m", seconds(5400)),
            ("1h30m", seconds(5400)),
            ("1.5s", Duration::from_millis(1500)),
            ("3 hours", seconds(10800)),
            ("1day", seconds(86400)),
            ("2us", Duration::from_micros(2)),
            ("100ns", Duration::from_nanos(100)),
            ("5sec", seconds(5)),
            ("0s", Duration::ZERO),
            // A capital M is a month of 30.44 days.
            ("1M", seconds(2_630_016)),
            ("\" 5s \"", seconds(5)),
        ],
        &[
            "30",
            "\"30\"",
            "10.5",
            "0",
            "\"0\"",
            "-5s",
            "\"\"",
            "soon",
            "[5s]",
            "true",
            "~",
            "11years",
            "99999999999999999999s",
        ],
    );
}

#[test]
fn a_duration_below_its_minimum_is_refused() {
    check(&Kind::millis(1), &[("1ms", Duration::from_millis(1))], &["0s", "999us"]);
}

#[test]
fn byte_sizes_have_binary_and_decimal_units() {
    check(
        &Kind::Bytes,
        &[
            ("2GiB", Bytes::gib(2)),
            ("2Gi", Bytes::gib(2)),
            ("2gib", Bytes::gib(2)),
            ("2 GiB", Bytes::gib(2)),
            ("2GB", Bytes(2_000_000_000)),
            ("2G", Bytes(2_000_000_000)),
            ("1.5GiB", Bytes::mib(1536)),
            ("2048", Bytes(2048)),
            ("\"2048\"", Bytes(2048)),
            ("250MiB", Bytes(262_144_000)),
            ("0", Bytes(0)),
        ],
        &[
            "-1",
            "\"-1\"",
            "\"\"",
            "2048.0",
            "\"2048.0\"",
            "\"2048.\"",
            "2 bananas",
            "[1]",
            "~",
            "2EiB",
            "99999999999999999999",
        ],
    );
}

#[test]
fn whole_numbers_are_rounded_and_bounded() {
    check(
        &Kind::whole(0, 65535),
        &[
            ("4", 4_u16),
            ("\"4\"", 4),
            ("4.7", 5),
            ("4.4", 4),
            ("0", 0),
            ("-0.2", 0),
            ("0x10", 16),
            ("010", 10),
            ("65535", 65535),
        ],
        &["-1", "-0.6", "70000", "65535.6", "four", "\"4.7\"", "\"\"", "true", "~", "[4]", ".nan", ".inf", "1e300"],
    );
    check(&Kind::whole(1, 10), &[("1", 1_usize), ("10", 10)], &["0", "11"]);
}

#[test]
fn numbers_are_finite_and_may_be_text() {
    check(
        &Kind::Real,
        &[("2", 2.0), ("1.6", 1.6), ("\"1.6\"", 1.6), ("-1", -1.0), ("0", 0.0)],
        &["x", ".nan", ".inf", "\"inf\"", "true", "~", "[1]"],
    );
    check(&Kind::RealAboveZero, &[("0.1", 0.1)], &["0", "-1"]);
}

#[test]
fn booleans_have_many_spellings() {
    check(
        &Kind::Flag,
        &[
            ("true", true),
            ("True", true),
            ("TRUE", true),
            ("yes", true),
            ("On", true),
            ("\"on\"", true),
            ("1", true),
            ("\"1\"", true),
            ("2", true),
            ("0.5", true),
            ("false", false),
            ("No", false),
            ("OFF", false),
            ("0", false),
            ("\"0\"", false),
        ],
        &["y", "n", "\"2\"", "\"\"", "~", "[true]", "maybe"],
    );
}

#[test]
fn numbers_in_the_place_of_text_keep_their_spelling() {
    check(
        &Kind::Text,
        &[
            ("spi", "spi".to_owned()),
            ("12", "12".to_owned()),
            ("0123", "0123".to_owned()),
            ("1e5", "1e5".to_owned()),
            ("1.50", "1.50".to_owned()),
            ("true", "true".to_owned()),
        ],
        &["\"\"", "\"  \"", "~", "[a]", "{a: b}"],
    );
    check(
        &Kind::Secret,
        &[
            ("1e5", Secret::new("1e5")),
            ("1e999", Secret::new("1e999")),
            (".nan", Secret::new(".nan")),
            ("0x1F", Secret::new("0x1F")),
            ("\"\"", Secret::new("")),
            ("\" a \"", Secret::new(" a ")),
        ],
        &["~", "[a]", "{a: b}"],
    );
}

#[test]
fn a_list_of_texts_is_not_a_scalar() {
    check(
        &Kind::Texts,
        &[("[a, 2]", vec!["a".to_owned(), "2".to_owned()]), ("[]", vec![]), ("~", vec![])],
        &["a", "\"a,b\"", "[[a]]", "[~]", "{a: b}"],
    );
}

#[test]
fn each_number_of_a_list_has_the_bounds() {
    check(
        &Kind::Wholes { min: 1, max: 9 },
        &[("[1, \"9\"]", vec![1_u32, 9]), ("[]", vec![]), ("~", vec![])],
        &["1", "[0]", "[10]", "[-1]", "[one]", "[~]", "[[1]]", "{a: 1}"],
    );
}

#[test]
fn an_optional_value_may_be_nothing() {
    check(&Kind::whole(1, 9), &[("~", None), ("\"\"", None), ("3", Some(3_u32))], &["0", "x"]);
}

#[test]
fn every_value_is_read_back_from_its_spelling() {
    for bytes in [0, 1, 1000, 1024, 1 << 20, 5 << 29, 3 << 30, 1 << 40] {
        let spelling = Bytes(bytes).spell().unwrap();
        assert_eq!(read(&spelling, &Kind::Bytes), Ok(Bytes(bytes)), "{spelling}");
    }
    for millis in [1, 400, 1000, 90_000, 10_800_000] {
        let span = Duration::from_millis(millis);
        let spelling = span.spell().unwrap();
        assert_eq!(read(&spelling, &Kind::millis(0)), Ok(span), "{spelling}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let secret = Secret::new("hunter2");
    assert!(!format!("{secret:?}").contains("hunter2"));
    assert_eq!(secret.spell(), None);
}
