//! YAML for people: what commands print, the files that they read, and scheduler.yaml in a `ConfigMap`.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{SerializerOptions, from_multiple, from_str, to_string_with_options};

/// What can't be written. A value of JSON always can.
pub type WriteError = serde_saphyr::ser::Error;
/// What can't be read, and where.
pub type ReadError = serde_saphyr::Error;

/// A value as YAML, keys sorted. Equal values have equal texts, whatever order they were built in.
pub fn write(value: &Value) -> Result<String, WriteError> {
    // A text that is folded at 80 letters is harder to search for.
    let mut options = SerializerOptions::default();
    options.min_fold_chars = usize::MAX;
    options.folded_wrap_chars = usize::MAX;
    to_string_with_options(value, options)
}

/// Several documents, separated as `kubectl` takes them.
pub fn write_all<'v>(values: impl IntoIterator<Item = &'v Value>) -> Result<String, WriteError> {
    values.into_iter().map(|value| Ok(format!("---\n{}", write(value)?))).collect()
}

/// The one document of a text.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    from_str(text)
}

/// All documents of a text; empty ones are left out.
pub fn read_all(text: &str) -> Result<Vec<Value>, ReadError> {
    let documents: Vec<Value> = from_multiple(text)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        for value in [
            json!({}),
            json!({ "a": {}, "b": [], "c": null, "d": true, "e": 1.5, "f": -3 }),
            json!({ "list": [{ "a": 1, "b": { "c": [1, [2, 3], {}] } }, "x", null] }),
            json!({ "text": "a: b", "yes": "no", "empty": "", "number": "012", "float": "1e5", "date": "2026-01-01" }),
            json!({ "block": "one\n  two\n\nthree\n", "cut": "one\ntwo", "odd": "one\n\n", "lead": " one\ntwo" }),
            json!({ "tab": "a\tb\nc", "control": "\u{7}", "hash": "a #b", "colon": "a:", "long": "word ".repeat(60) }),
            json!({ "quote": "\"'", "dollar": "$$(HOME)", "star": "*x", "amp": "&x", "bang": "!x", "pct": "%x", "at": "@x" }),
            json!({ "unicode": "spï ✓", "~": "~", "-": "-", "- a": "? b", "a b": "c d  e", "end ": " x" }),
        ] {
            let text = write(&value).unwrap();
            assert_eq!(read::<Value>(&text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn documents_are_read_one_by_one() {
        let text = write_all([&json!({ "a": 1 }), &json!({ "b": 2 })]).unwrap();
        assert_eq!(text, "---\na: 1\n---\nb: 2\n");
        assert_eq!(read_all(&text).unwrap(), [json!({ "a": 1 }), json!({ "b": 2 })]);
    }
}
