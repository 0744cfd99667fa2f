//! A YAML document as a small tree that remembers its lines.
//!
//! Deserializing straight into typed structs ends at the first fault and knows no line for a range check. So the text
//! is parsed once into [`Node`]s, and one generic walk ([`crate::layers`]) compares them with the table of keys and
//! collects every fault. Scalars keep the spelling of the file beside their value: a password written as `0123` or `1e5`
//! is a number to YAML, and has to reach PostgreSQL as it was typed.
//!
//! Neither type has a `Debug`: a tree may hold a password.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// Deepest nesting of a document. Ours has three levels; the parser's own bound is more than a thread's stack holds.
const DEPTH_MAX: usize = 64;

/// Most keys of a document. Each that doesn't exist is compared with all that do, to name the nearest.
const KEYS_MAX: usize = 1_000;

const TOO_DEEP: &str = "the document is too large or nested too deeply";

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// How a boolean or a number was written; `None` for everything else.
    pub(crate) spelling: Option<String>,
    /// Counted from 1; `None` when the value did not come from a text.
    pub(crate) line: Option<u64>,
}

/// What YAML and JSON can say.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text.
    Map(Vec<Entry>),
}

/// A key and its value. Keys are text; numbers and booleans in their place are taken as they were written.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: Option<u64>,
    pub(crate) node: Node,
}

/// The first line that is nested deeper than [`DEPTH_MAX`] by its indentation and the lists that it opens. The parser descends
/// into blocks before it counts them, and a deep one would overflow the stack.
fn too_deep(text: &str) -> Option<u64> {
    let mut indents: Vec<usize> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        if content.is_empty() {
            continue;
        }
        while indents.pop_if(|outer| *outer >= indent).is_some() {}
        indents.push(indent);
        let words = content.split([' ', '\t']).filter(|word| !word.is_empty());
        let opened = words.take_while(|word| ["-", "?", ":"].contains(word)).count();
        if indents.len() + opened > DEPTH_MAX {
            return Some(number);
        }
    }
    None
}

/// Why a text is no YAML document. The words are ours: the parser's own messages can quote the text, and with it a
/// password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotYaml {
    pub(crate) line: Option<u64>,
    pub(crate) message: String,
}

impl Node {
    /// Parses one document of YAML or JSON. No document at all is an empty mapping.
    pub(crate) fn parse(text: &str) -> Result<Self, NotYaml> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            // The table of keys knows what a boolean may look like, and that a tag may be called `on`.
            strict_booleans: true,
            // A password may be spelled `1e999`.
            non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if let Some(line) = too_deep(text) {
            return Err(NotYaml { line: Some(line), message: TOO_DEEP.to_owned() });
        }
        match serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(text, options) {
            Ok(None) => Ok(Self::bare(Value::Map(Vec::new()))),
            Ok(Some(raw)) => match located(raw, text)? {
                node if node.keys() > KEYS_MAX => Err(NotYaml { line: None, message: TOO_DEEP.to_owned() }),
                node => Ok(node),
            },
            Err(error) => Err(not_yaml(&error)),
        }
    }

    /// The same tree from JSON values, which have no lines.
    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(*flag),
            Json::Number(number) => match number.as_i128() {
                Some(whole) => Value::Integer(whole),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(fields) => Value::Map(
                fields
                    .iter()
                    .map(|(key, value)| Entry { key: key.clone(), line: None, node: Self::from_json(value) })
                    .collect(),
            ),
        };
        let spelling = match json {
            Json::Bool(flag) => Some(flag.to_string()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self { value, spelling, line: None }
    }

    /// A text that came from outside a file: an environment variable or the command line.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::bare(Value::Text(text.into()))
    }

    /// A list of such texts.
    pub(crate) fn texts<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::bare(Value::List(items.into_iter().map(Self::text).collect()))
    }

    /// How many keys the tree has.
    fn keys(&self) -> usize {
        match &self.value {
            Value::List(items) => items.iter().map(Self::keys).sum(),
            Value::Map(entries) => entries.iter().map(|entry| 1 + entry.node.keys()).sum(),
            _ => 0,
        }
    }

    fn bare(value: Value) -> Self {
        Self { value, spelling: None, line: None }
    }

    /// What stands here, for a message: the kind, and for a scalar the text, shortened and on one line.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Text(text) if text.trim().is_empty() => "an empty text".to_owned(),
            Value::Text(text) => format!("the text {}", quoted(text)),
            Value::Bool(flag) => format!("the boolean {flag}"),
            Value::Integer(number) => format!("the number {number}"),
            Value::Float(number) => {
                format!("the number {}", self.spelling.clone().unwrap_or_else(|| number.to_string()))
            }
            _ => self.describe_kind().to_owned(),
        }
    }

    /// The same without the value, for keys that hold secrets.
    pub(crate) fn describe_kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Text in quotes, without control characters and cut to a length that a line of a report can bear.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let shown: String = text.chars().take(LONGEST).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{dots}")
}

/// What serde gets out of the parser, before lines and spellings are taken from the spans.
enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(i128::from(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(i128::from(number)))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<Raw>>()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Raw::Map(map))
    }
}

fn located(raw: Spanned<Raw>, text: &str) -> Result<Node, NotYaml> {
    let line = line_of(raw.referenced);
    // The spelling stands where the value is defined; for an alias that is its anchor.
    let spelled = |span: Location| slice(span, text).map(str::to_owned);
    let (value, spelling) = match raw.value {
        Raw::Null => (Value::Null, None),
        Raw::Bool(flag) => (Value::Bool(flag), spelled(raw.defined)),
        Raw::Integer(number) => (Value::Integer(number), spelled(raw.defined)),
        Raw::Float(number) => (Value::Float(number), spelled(raw.defined)),
        Raw::Text(text) => (Value::Text(text), None),
        Raw::List(items) => {
            let items: Result<_, _> = items.into_iter().map(|item| located(item, text)).collect();
            (Value::List(items?), None)
        }
        Raw::Map(entries) => {
            let entries: Result<_, _> = entries
                .into_iter()
                .map(|(key, value)| {
                    let line = line_of(key.referenced);
                    Ok(Entry { key: key_text(located(key, text)?)?, line, node: located(value, text)? })
                })
                .collect();
            (Value::Map(entries?), None)
        }
    };
    Ok(Node { value, spelling, line })
}

fn key_text(key: Node) -> Result<String, NotYaml> {
    match key {
        Node { value: Value::Text(text), .. } | Node { spelling: Some(text), .. } => Ok(text),
        Node { value: Value::Null, .. } => Ok("~".to_owned()),
        Node { line, .. } => Err(NotYaml { line, message: "a key must be a text, not a list or a mapping".to_owned() }),
    }
}

fn line_of(location: Location) -> Option<u64> {
    Some(location.line()).filter(|line| *line > 0)
}

fn slice(location: Location, text: &str) -> Option<&str> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    let spelled = text.get(start..start.checked_add(length)?)?.trim();
    Some(spelled).filter(|spelled| !spelled.is_empty())
}

fn not_yaml(error: &serde_saphyr::Error) -> NotYaml {
    use serde_saphyr::Error;
    let message = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {} stands twice", quoted(key))
        }
        Error::DuplicateMappingKey { .. } => "a key stands twice".to_owned(),
        Error::MultipleDocuments { .. } => "a second document stands here, after `---`; one is allowed".to_owned(),
        Error::UnknownAnchor { .. } => {
            "an alias (`*name`) without its anchor; a text that begins with `*` needs quotes".to_owned()
        }
        Error::UnsupportedTag { .. } => {
            "a tag (`!name`) that is not known; a text that begins with `!` needs quotes".to_owned()
        }
        Error::Budget { .. } => TOO_DEEP.to_owned(),
        _ => "this is not valid YAML; look for an open quote or bracket, a tab, or a wrong indentation \
              here or just above"
            .to_owned(),
    };
    NotYaml { line: error.location().and_then(line_of), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line, with lines after `@`.
    fn show(node: &Node) -> String {
        let shown = match &node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => node.spelling.clone().unwrap(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(show).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Map(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|e| format!("{}@{}={}", e.key, e.line.unwrap(), show(&e.node))).collect();
                format!("{{{}}}", entries.join(" "))
            }
        };
        format!("{shown}@{}", node.line.map_or("-".to_owned(), |l| l.to_string()))
    }

    fn parsed(text: &str) -> String {
        match Node::parse(text) {
            Ok(node) => show(&node),
            Err(error) => format!("{:?}: {}", error.line, error.message),
        }
    }

    #[test]
    fn every_value_knows_its_line_and_numbers_their_spelling() {
        for (text, expected) in [
            ("", "{}@-"),
            ("# only a comment\n", "{}@-"),
            ("---\na: 1\n", "{a@2=1@2}@2"),
            ("\u{feff}a: 1", "{a@1=1@1}@1"),
            ("queue:\n  worker_threads: 4\n  x: 4.50\n", "{queue@1={worker_threads@2=4@2 x@3=4.50@3}@2}@1"),
            (
                "a: 0123\nb: 1e5\nc: true\nd: yes\ne: 1_0\n",
                "{a@1=\"0123\"@1 b@2=1e5@2 c@3=true@3 d@4=\"yes\"@4 e@5=\"1_0\"@5}@1",
            ),
            ("a: ~\nb:\nc: [x, 2]\nd:\n- y\n", "{a@1=null@1 b@2=null@2 c@3=[\"x\"@3 2@3]@3 d@4=[\"y\"@5]@5}@1"),
            ("x: &x 0x10\ny: *x\n", "{x@1=0x10@1 y@2=0x10@2}@1"),
            ("{\"a\": {\"b\": 1}}", "{a@1={b@1=1@1}@1}@1"),
            ("12: a\ntrue: b\n", "{12@1=\"a\"@1 true@2=\"b\"@2}@1"),
        ] {
            assert_eq!(parsed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        for (text, line, words) in [
            ("a: 1\na: 2\n", 2, "\"a\" stands twice"),
            ("a: 1\n---\nb: 2\n", 3, "second document"),
            ("a: *b\n", 1, "alias"),
            ("a:\n  b: 1\n c: 2\n", 3, "not valid YAML"),
            ("a: 1\n? [x]\n: 2\n", 2, "a key must be a text"),
        ] {
            let Err(error) = Node::parse(text) else { panic!("{text:?} was taken") };
            assert_eq!(error.line, Some(line), "{text:?}");
            assert!(error.message.contains(words), "{text:?}: {}", error.message);
        }
    }

    #[test]
    fn a_broken_document_never_quotes_a_value() {
        for value in [
            "*hunter2",
            "\"hunter2",
            "'hunter2",
            "[hunter2",
            "{hunter2",
            "!hunter2 x",
            "!!int hunter2",
            "@hunter2",
            "`hunter2",
            "%hunter2",
            "hunter2: x: y",
            "&hunter2 *hunter2",
            "\"\\hunter2\"",
            "!!binary hunter2",
            "!include hunter2",
        ] {
            let text = format!("database:\n  db_pass: {value}\n");
            if let Err(error) = Node::parse(&text) {
                assert!(!error.message.contains("hunter2"), "{text}: {}", error.message);
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_crash() {
        let text = "[".repeat(100_000);
        assert!(Node::parse(&text).is_err());
    }
}
