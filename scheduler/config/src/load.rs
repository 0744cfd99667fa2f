//! The one way in: defaults, a file, the environment, the command line, in this order.
//!
//! Nothing here reads the process's own environment except [`Sources::of_process`], so that a test, a second instance
//! and an operator can load with values of their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::finding::{ConfigErrors, Finding, Place};
use crate::key::{Key, Section as _, keys};
use crate::layers::Assembly;
use crate::model::Config;
use crate::strategy::STRATEGY;
use crate::tree::Node;

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "OPENCUE_SCHEDULER_CONFIG";

/// The variable that programs of this kind take a log level from.
const LOG_VARIABLE: &str = "RUST_LOG";

/// The files that are tried below the home directory when none is named: upstream's code has the first, its guide the
/// second.
pub const HOME_FILES: [&str; 2] = [".local/share/scheduler.yaml", ".config/cue-scheduler/scheduler.yaml"];

/// Where values come from. It has no `Debug`, since the environment may hold a password.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file, if the command line names one. It must exist.
    pub file: Option<PathBuf>,
    /// Environment variables. Those without our names are not looked at.
    pub environment: Vec<(String, OsString)>,
    /// The home directory, for `~` and for [`HOME_FILES`].
    pub home: Option<PathBuf>,
    /// What the command line says about single keys.
    pub overrides: Overrides,
    /// Whether unknown keys are warnings instead of faults.
    pub lenient: bool,
}

/// Keys that have an argument of the command line. What is given replaces the configured value; lists are not merged.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--facility`.
    pub facility: Option<String>,
    /// `--ignore-tags`, split.
    pub ignore_tags: Option<Vec<String>>,
}

/// A configuration that holds, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// What was accepted and should be looked at; to be logged once.
    pub warnings: Vec<Finding>,
    origins: BTreeMap<String, Place>,
}

/// A key with the value that holds.
#[derive(Clone, Debug)]
pub struct Effective<'l> {
    /// The key.
    pub key: &'static Key,
    /// Its value as a file would spell it; `None` when it has none, and when it is a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: &'l Place,
}

impl Loaded {
    /// Every key with its value, in the order of the reference; without the keys of a booking strategy that is not the one
    /// that holds.
    pub fn effective(&self) -> Vec<Effective<'_>> {
        let mut values = Vec::new();
        self.config.spell(&mut values);
        let strategy = &self.config.queue.host_booking_strategy;
        let holds = |key: &Key| key.path.strip_prefix(STRATEGY).is_none_or(|rest| strategy.takes(rest));
        let pairs = keys().iter().zip(values).filter(|(key, _)| holds(key));
        pairs.map(|(key, value)| Effective { key, value, origin: self.origin(&key.path) }).collect()
    }

    /// Where the value of a key comes from, by its path: `queue.worker_threads`.
    pub fn origin(&self, path: &str) -> &Place {
        self.origins.get(path).unwrap_or(&Place::Defaults)
    }

    /// Whether a file, a variable or an argument sets the key.
    pub fn is_set(&self, path: &str) -> bool {
        self.origins.contains_key(path)
    }
}

impl Sources {
    /// The environment and the home directory of this process, and nothing else yet.
    pub fn of_process() -> Self {
        let ours = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self { environment: env::vars_os().filter_map(ours).collect(), home: env::home_dir(), ..Self::default() }
    }

    fn variable(&self, name: &str) -> Option<&OsStr> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str())
    }

    fn expand(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }
}

impl Config {
    /// Loads the configuration. All faults are reported together.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        let mut assembly = Assembly { lenient: sources.lenient, ..Assembly::default() };
        let file = match choose(sources, &mut assembly.warnings) {
            Ok(file) => file,
            Err(fault) => {
                assembly.faults.push(fault);
                None
            }
        };
        if let Some(path) = &file {
            let place = Place::File { path: path.clone(), line: None };
            match read(path) {
                Ok(text) => document(&mut assembly, &text, &place),
                Err(message) => assembly.faults.push(Finding::new(place, None, message)),
            }
        }
        let variables = sources.environment.iter();
        assembly.environment(variables.map(|(name, value)| (name.as_str(), value.to_str())));
        if let Some(text) = sources.variable(LOG_VARIABLE).and_then(OsStr::to_str) {
            assembly.rust_log(text);
        }
        let Overrides { facility, ignore_tags } = &sources.overrides;
        if let Some(facility) = facility {
            assembly.argument("scheduler.facility", &Node::text(facility));
        }
        if let Some(tags) = ignore_tags {
            assembly.argument("scheduler.ignore_tags", &Node::texts(tags));
        }
        assembly.finish();
        named_files(&mut assembly);
        conclude(assembly, file)
    }

    /// From a text of YAML or JSON over the defaults. `name` stands for the file in reports.
    pub fn from_text(name: &str, text: &str) -> Result<Loaded, ConfigErrors> {
        let mut assembly = Assembly::default();
        let place = Place::File { path: PathBuf::from(name), line: None };
        document(&mut assembly, text, &place);
        assembly.finish();
        conclude(assembly, None)
    }

    /// From a JSON value over the defaults. `name` says in reports what it is, such as `spec.config`.
    pub fn from_json(name: &str, value: &serde_json::Value) -> Result<Loaded, ConfigErrors> {
        let mut assembly = Assembly::default();
        assembly.document(&Node::from_json(value), &Place::Value(name.to_owned()));
        assembly.finish();
        conclude(assembly, None)
    }
}

fn document(assembly: &mut Assembly, text: &str, place: &Place) {
    match Node::parse(text) {
        Ok(root) => assembly.document(&root, place),
        Err(error) => assembly.faults.push(Finding::new(place.at(error.line), None, error.message)),
    }
}

/// Files that the configuration names must be there to be read. Looked at here and not in [`Config::from_text`], since a
/// value alone may be meant for another machine.
fn named_files(assembly: &mut Assembly) {
    let database = &assembly.config.database;
    let files = [
        ("database.db_pass_file", &database.db_pass_file),
        ("database.ssl_root_cert", &database.ssl_root_cert),
        ("database.ssl_cert", &database.ssl_cert),
        ("database.ssl_key", &database.ssl_key),
    ];
    for (key, path) in files {
        let Some(path) = path else { continue };
        if let Err(error) = fs::read(path) {
            let place = assembly.origins.get(key).cloned().unwrap_or(Place::Defaults);
            let message = format!("the file {} can't be read: {error}", path.display());
            assembly.faults.push(Finding::new(place, Some(key), message));
        }
    }
}

fn conclude(assembly: Assembly, file: Option<PathBuf>) -> Result<Loaded, ConfigErrors> {
    let Assembly { config, origins, faults, warnings, lenient: _ } = assembly;
    ConfigErrors::of(faults)?;
    Ok(Loaded { config, file, warnings, origins })
}

/// Which file is read: one that is named must exist, the ones below the home directory may.
fn choose(sources: &Sources, warnings: &mut Vec<Finding>) -> Result<Option<PathBuf>, Finding> {
    if let Some(path) = &sources.file {
        return Ok(Some(sources.expand(path)));
    }
    if let Some(value) = sources.variable(FILE_VARIABLE) {
        if value.is_empty() {
            let place = Place::Environment(FILE_VARIABLE.to_owned());
            let message = "it is empty; it names a file, or is not set at all";
            return Err(Finding::new(place, None, message));
        }
        return Ok(Some(with_extension(sources.expand(Path::new(value)))));
    }
    let Some(home) = &sources.home else {
        return Ok(None);
    };
    let mut found = HOME_FILES.iter().map(|file| home.join(file)).filter(|path| path.exists());
    let first = found.next();
    for path in found {
        let message = "it is not read, since another file comes before it";
        warnings.push(Finding::new(Place::File { path, line: None }, None, message));
    }
    Ok(first)
}

/// The path, or if nothing is there the same with an extension, as upstream does it.
fn with_extension(path: PathBuf) -> PathBuf {
    if path.exists() {
        return path;
    }
    let longer = ["yaml", "yml", "json"].map(|extension| {
        let mut name = path.clone().into_os_string();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    });
    longer.into_iter().find(|path| path.exists()).unwrap_or(path)
}

/// The text of the file, or why there is none.
fn read(path: &Path) -> Result<String, String> {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase();
    if ["toml", "json5", "ini", "ron"].contains(&extension.as_str()) {
        return Err(format!("a .{extension} file is not read here; write it as YAML or JSON"));
    }
    let bytes = fs::read(path).map_err(|error| format!("it can't be read: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}
