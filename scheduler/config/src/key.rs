//! The table of keys, and the sections it is made from.
//!
//! Each key of scheduler.yaml is written down once, in [`crate::model`]: its doc comment is the meaning that the
//! reference pages show, its type and kind say what is read, its default is what holds when nothing is set. The macro
//! [`section`] makes of that a struct, its defaults, and rows of this table; so none of them can say something else.

use std::sync::LazyLock;

use crate::kind::Kind;
use crate::model::{Config, IDLE};
use crate::tree::Node;
use crate::values::Refused;

/// One key of scheduler.yaml.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where it stands, sections separated by dots: `queue.worker_threads`.
    pub path: String,
    /// What its value may be.
    pub kind: Kind,
    /// Whether it may be given without a value.
    pub optional: bool,
    /// The default as a file would spell it; `None` when there is none, or when it is a secret.
    pub default: Option<String>,
    /// What it means, in the words of the reference.
    pub meaning: String,
    /// Other names under which it was published, as whole paths.
    pub aliases: Vec<String>,
}

/// A key that was published and has no meaning here. It loads with a warning, whatever its value is.
#[derive(Clone, Copy, Debug)]
pub struct IdleKey {
    /// Where it stands.
    pub path: &'static str,
    /// Why it has no meaning, or what has its meaning instead.
    pub why: &'static str,
}

/// Every key that means something, in the order of the reference.
pub fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let mut keys = Vec::new();
        Config::list("", &mut keys);
        keys
    });
    &KEYS
}

/// Every key that loads without a meaning.
pub fn idle_keys() -> &'static [IdleKey] {
    IDLE
}

/// What a path in lower case names.
pub(crate) enum Named {
    Key(&'static Key),
    Idle(&'static IdleKey),
    Section,
    Nothing,
}

pub(crate) fn named(path: &str) -> Named {
    let is_it = |key: &&Key| key.path == path || key.aliases.iter().any(|alias| alias == path);
    if let Some(key) = keys().iter().find(is_it) {
        return Named::Key(key);
    }
    if let Some(idle) = IDLE.iter().find(|idle| idle.path == path) {
        return Named::Idle(idle);
    }
    let inside = |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if keys().iter().any(|key| inside(&key.path)) {
        return Named::Section;
    }
    Named::Nothing
}

/// A part of the configuration that is made of keys.
pub(crate) trait Section: Default {
    /// Adds the section's keys to the table.
    fn list(prefix: &str, keys: &mut Vec<Key>);

    /// Adds each key's value as a file would spell it, in the order of the table; `None` for no value, and for secrets.
    fn spell(&self, values: &mut Vec<Option<String>>);

    /// Sets the key at the path inside the section. A path that is not in the table is refused.
    fn set(&mut self, path: &str, node: &Node) -> Result<(), Refused>;
}

/// Makes a section: first its keys, then the sections inside it.
///
/// A key is `/// meaning`, its field, `as "name"` where the file spells it otherwise, `also "name"` for every other
/// published name, its type, its default and its kind.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident $(as $spelling:literal)? $(also $alias:literal)*: $ty:ty = $default:expr, $kind:expr;
            )*
            $(in $(#[doc = $inner_doc:literal])+ $inner:ident: $inner_ty:ty;)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $ty,)*
            $($(#[doc = $inner_doc])+ pub $inner: $inner_ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    $($inner: <$inner_ty>::default(),)*
                }
            }
        }

        impl $crate::key::Section for $name {
            #[allow(unused_variables, reason = "a section without keys of its own has no defaults to show")]
            fn list(prefix: &str, keys: &mut Vec<$crate::key::Key>) {
                let defaults = Self::default();
                $(keys.push($crate::key::Key {
                    path: format!("{prefix}{}", $crate::key::spelling!($field $($spelling)?)),
                    kind: $kind,
                    optional: <$ty as $crate::values::Setting>::OPTIONAL,
                    default: $crate::values::Setting::spell(&defaults.$field),
                    meaning: concat!($($doc),+).trim().to_owned(),
                    aliases: vec![$(format!("{prefix}{}", $alias)),*],
                });)*
                $(<$inner_ty>::list(&format!("{prefix}{}.", stringify!($inner)), keys);)*
            }

            #[allow(unused_variables, reason = "a section without keys of its own has no values to show")]
            fn spell(&self, values: &mut Vec<Option<String>>) {
                $(values.push($crate::values::Setting::spell(&self.$field));)*
                $($crate::key::Section::spell(&self.$inner, values);)*
            }

            fn set(
                &mut self,
                path: &str,
                node: &$crate::tree::Node,
            ) -> Result<(), $crate::values::Refused> {
                $(if path == $crate::key::spelling!($field $($spelling)?) {
                    self.$field = $crate::values::Setting::read(node, &$kind)?;
                    return Ok(());
                })*
                $(if let Some(rest) = path.strip_prefix(concat!(stringify!($inner), ".")) {
                    return self.$inner.set(rest, node);
                })*
                Err($crate::values::Refused)
            }
        }
    };
}

macro_rules! spelling {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $spelling:literal) => {
        $spelling
    };
}

pub(crate) use {section, spelling};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_means_two_things() {
        let mut seen = BTreeSet::new();
        let names = keys()
            .iter()
            .flat_map(|key| std::iter::once(&key.path).chain(&key.aliases).cloned())
            .chain(IDLE.iter().map(|idle| idle.path.to_owned()));
        for name in names {
            assert_eq!(name, name.to_lowercase());
            assert!(!matches!(named(&name), Named::Section | Named::Nothing));
            assert!(seen.insert(name.clone()), "{name} stands twice");
        }
    }

    #[test]
    fn every_default_is_within_its_own_bounds() {
        for key in keys() {
            let Some(default) = &key.default else {
                continue;
            };
            let Ok(node) = Node::parse(default) else { panic!("{default}") };
            let mut config = Config::default();
            assert_eq!(config.set(&key.path, &node), Ok(()), "{}", key.path);
            assert_eq!(config, Config::default(), "{}", key.path);
        }
    }

    #[test]
    fn every_key_takes_its_example() {
        for key in keys() {
            let Ok(node) = Node::parse(&key.kind.example()) else { panic!("{}", key.path) };
            assert_eq!(Config::default().set(&key.path, &node), Ok(()), "{}", key.path);
        }
    }

    #[test]
    fn every_key_has_a_meaning_in_whole_sentences() {
        for key in keys() {
            assert!(key.meaning.ends_with('.'), "{}: {}", key.path, key.meaning);
            assert!(!key.meaning.contains("  "), "{}: {}", key.path, key.meaning);
        }
    }
}
