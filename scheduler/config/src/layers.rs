//! From trees to a configuration: one walk over each layer, later layers over earlier ones.
//!
//! A layer is a set of values by path, each with its place. Every value of every layer is read, also one that a later
//! layer replaces: a file with a fault is a file with a fault. Pure, and ignorant of files: whoever has a value (the
//! loader, an operator with a resource) builds the layers and hands them over.

use std::collections::BTreeMap;

use crate::combinations;
use crate::finding::{Finding, Place};
use crate::key::{Key, Named, Section, named};
use crate::kind::Kind;
use crate::model::Config;
use crate::suggest::nearest;
use crate::tree::{Node, Value};

/// What the walk over the layers gives.
#[derive(Default)]
pub(crate) struct Assembly {
    pub(crate) config: Config,
    /// Where the value of each key that was set comes from.
    pub(crate) origins: BTreeMap<String, Place>,
    pub(crate) faults: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
    /// Unknown keys are warnings.
    pub(crate) lenient: bool,
}

/// A variable's name without the prefix that all of ours have.
const PREFIX: &str = "openscheduler_";

impl Assembly {
    /// Puts a document over what is there.
    pub(crate) fn document(&mut self, root: &Node, place: &Place) {
        let mut seen = BTreeMap::new();
        match &root.value {
            Value::Map(_) | Value::Null => self.mapping("", root, place, &mut seen),
            _ => {
                let message = format!(
                    "found {} where the sections should be, for example `queue: {{worker_threads: 4}}`",
                    root.describe_kind()
                );
                self.faults.push(Finding::new(place.at(root.line), None, message));
            }
        }
    }

    /// Walks one mapping. `seen` has the keys of this document, with the line and the name by which they were written.
    fn mapping(
        &mut self,
        prefix: &str,
        node: &Node,
        place: &Place,
        seen: &mut BTreeMap<String, (Option<u64>, String)>,
    ) {
        let Value::Map(entries) = &node.value else {
            return;
        };
        for entry in entries {
            let written = format!("{prefix}{}", entry.key);
            let path = written.to_lowercase();
            let here = place.at(entry.line);
            match named(&path) {
                Named::Section => match entry.node.value {
                    // A section whose keys are all commented out is empty.
                    Value::Map(_) | Value::Null => {
                        self.mapping(&format!("{written}."), &entry.node, place, seen);
                    }
                    _ => {
                        let message = format!(
                            "found {}; it is a section and takes keys on lines of their own below it",
                            entry.node.describe_kind()
                        );
                        self.faults.push(Finding::new(here, Some(&written), message));
                    }
                },
                Named::Key(key) => {
                    let before = seen.insert(key.path.clone(), (entry.line, written.clone()));
                    if let Some((line, other)) = before {
                        let line = line.map(|line| format!(" in line {line}")).unwrap_or_default();
                        let message = format!("it is given twice: also{line} as `{other}`");
                        self.faults.push(Finding::new(here, Some(&written), message));
                    } else {
                        self.value(key, &written, &entry.node, here);
                    }
                }
                Named::Idle(idle) => {
                    self.warnings.push(Finding::new(here, Some(&written), no_meaning(idle.why)));
                }
                Named::Nothing => self.unknown(&written, here),
            }
        }
    }

    fn value(&mut self, key: &Key, written: &str, node: &Node, place: Place) {
        if self.config.set(&key.path, node).is_ok() {
            self.origins.insert(key.path.clone(), place);
            return;
        }
        let found = match key.kind {
            Kind::Secret => node.describe_kind().to_owned(),
            _ => node.describe(),
        };
        let example = key.default.clone().filter(|text| text != "[]");
        let message = format!(
            "found {found}; allowed is {}, for example {}",
            key.kind,
            example.unwrap_or_else(|| key.kind.example())
        );
        self.faults.push(Finding::new(place, Some(written), message));
    }

    fn unknown(&mut self, written: &str, place: Place) {
        let message = match nearest(&written.to_lowercase()) {
            Some(near) => format!("there is no such key; did you mean `{near}`?"),
            None => "there is no such key".to_owned(),
        };
        let finding = Finding::new(place, Some(written), message);
        if self.lenient {
            self.warnings.push(finding);
        } else {
            self.faults.push(finding);
        }
    }

    /// Puts the variables with our prefix over what is there; other variables are not looked at.
    pub(crate) fn environment<'a>(&mut self, variables: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) {
        let mut lists: BTreeMap<String, (Place, BTreeMap<usize, &str>)> = BTreeMap::new();
        let mut variables: Vec<_> = variables.into_iter().collect();
        // The environment has no order; reports should.
        variables.sort_unstable();
        for (name, value) in variables {
            let lower = name.to_lowercase();
            let Some(written) = lower.strip_prefix(PREFIX).filter(|rest| !rest.is_empty()) else {
                continue;
            };
            let place = Place::Environment(name.to_owned());
            let path = written.replace("__", ".");
            let (path, index) = match item_of(&path) {
                Some((path, index)) => (path.to_owned(), Some(index)),
                None => (path, None),
            };
            let key = match named(&path) {
                Named::Key(key) => key,
                Named::Idle(idle) => {
                    self.warnings.push(Finding::new(place, Some(&path), no_meaning(idle.why)));
                    continue;
                }
                Named::Section => {
                    let message = "it is a section; a variable sets one key of it";
                    self.faults.push(Finding::new(place, Some(&path), message));
                    continue;
                }
                // A name without any separator may be somebody else's: Kubernetes sets OPENSCHEDULER_PORT and its like
                // beside a service that is called openscheduler.
                Named::Nothing if !path.contains('.') => {
                    self.warnings.push(Finding::new(place, None, ignored(written)));
                    continue;
                }
                Named::Nothing => {
                    self.unknown(&path, place);
                    continue;
                }
            };
            if let Some(Place::Environment(other)) = self.origins.get(&key.path) {
                let message = format!("it is given twice: also by {other}");
                self.faults.push(Finding::new(place, Some(&path), message));
                continue;
            }
            let Some(value) = value else {
                let message = "its value is not UTF-8 text";
                self.faults.push(Finding::new(place, Some(&path), message));
                continue;
            };
            match (key.kind, index) {
                (kind, Some(index)) if kind.is_list() => {
                    let (_, items) = lists.entry(key.path.clone()).or_insert_with(|| (place, BTreeMap::new()));
                    items.insert(index, value);
                }
                (kind, None) if kind.is_list() => {
                    let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
                    self.value(key, &path, &Node::texts(items), place);
                }
                (_, Some(_)) => {
                    let message = "it is not a list, so it has no items in brackets";
                    self.faults.push(Finding::new(place, Some(&path), message));
                }
                (_, None) => self.value(key, &path, &Node::text(value), place),
            }
        }
        for (path, (place, items)) in lists {
            if let Named::Key(key) = named(&path) {
                self.value(key, &path, &Node::texts(items.into_values()), place);
            }
        }
    }

    /// What `RUST_LOG` says, by which upstream's developers are told to set the level; to be called after
    /// [`Assembly::environment`], whose variables are meant for this program alone and win. For the same reason a text that
    /// means nothing here is no fault.
    pub(crate) fn rust_log(&mut self, text: &str) {
        const LEVEL: &str = "logging.level";
        const NAME: &str = "RUST_LOG";
        if text.trim().is_empty() || matches!(self.origins.get(LEVEL), Some(Place::Environment(_))) {
            return;
        }
        let place = Place::Environment(NAME.to_owned());
        if self.config.set(LEVEL, &Node::text(text)).is_ok() {
            self.origins.insert(LEVEL.to_owned(), place);
        } else {
            let message = format!("it is not read: allowed is {}", Kind::LogFilter);
            self.warnings.push(Finding::new(place, None, message));
        }
    }

    /// Puts one key from the command line over what is there.
    pub(crate) fn argument(&mut self, path: &str, node: &Node) {
        if let Named::Key(key) = named(path) {
            self.value(key, path, node, Place::CommandLine);
        }
    }

    /// Looks at what only fits together or not at all. To be called when all layers are in.
    pub(crate) fn finish(&mut self) {
        combinations::check(&self.config, &self.origins, &mut self.faults, &mut self.warnings);
    }
}

/// The list and the position in `scheduler.ignore_tags[0]`.
fn item_of(path: &str) -> Option<(&str, usize)> {
    let (list, index) = path.strip_suffix(']')?.rsplit_once('[')?;
    Some((list, index.parse().ok()?))
}

fn no_meaning(why: &str) -> String {
    format!("it has no meaning here and is not read: {why}")
}

/// About a variable without a separator: upstream ignored it too.
fn ignored(written: &str) -> String {
    let flat = |key: &&Key| key.path.replace('.', "_") == written;
    match crate::key::keys().iter().find(flat) {
        Some(key) => {
            let name = key.path.to_uppercase().replace('.', "__");
            format!("it is not read; `{}` is set by OPENSCHEDULER_{name}", key.path)
        }
        None => "it is not read: the name has no section (OPENSCHEDULER_SECTION__KEY)".to_owned(),
    }
}
