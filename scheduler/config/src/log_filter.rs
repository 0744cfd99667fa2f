//! What `logging.level` says, brought into one form.
//!
//! Upstream's filter took many texts for the name of one odd target and then showed nothing, not even errors; its own
//! default (`debug:sqlx=info`) was one of them. Here each such text means what its author meant, and nothing short of
//! `off` silences errors.

use crate::kind::Kind;
use crate::suggest;
use crate::tree::Node;
use crate::values::{Refused, Setting};

/// A filter of log lines in the form that tracing's `EnvFilter` reads, such as `info,sqlx=warn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl LogFilter {
    /// What is shown when nothing is configured.
    pub fn info() -> Self {
        Self("info".to_owned())
    }

    /// The directives, separated by commas, in lower case.
    pub fn directives(&self) -> &str {
        &self.0
    }

    /// From a text: levels (also 0 for `off` to 5 for `trace`), targets with a level (`sqlx=warn`), or targets alone,
    /// which are shown whole; separated by commas, semicolons or a colon. Letter case does not matter. The target
    /// `scheduler`, by which upstream's guide calls the program, is `cue_scheduler`.
    ///
    /// `None` for a word that is nearly a level, and for an unknown level after `=`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase().replace("::", "\0");
        let mut directives = Vec::new();
        let mut whole_program = false;
        let parts = text.split([',', ';', ':']).map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let part = part.replace('\0', "::");
            let directive = match part.split_once('=') {
                Some((target, word)) => {
                    format!("{}={}", target_named(target.trim())?, level(word.trim())?)
                }
                None => match level(&part) {
                    Some(level) => {
                        whole_program = true;
                        level.to_owned()
                    }
                    None if LEVELS.iter().any(|word| suggest::distance(word, &part) <= 1) => {
                        return None;
                    }
                    None => format!("{}=trace", target_named(&part)?),
                },
            };
            directives.push(directive);
        }
        if !whole_program {
            directives.insert(0, "error".to_owned());
        }
        Some(Self(directives.join(",")))
    }
}

fn level(word: &str) -> Option<&'static str> {
    match word {
        "warning" => Some("warn"),
        "err" => Some("error"),
        word => match word.parse::<usize>() {
            Ok(number) => LEVELS.get(number).copied(),
            Err(_) => LEVELS.into_iter().find(|level| *level == word),
        },
    }
}

fn target_named(target: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == ':';
    let named = !target.is_empty() && target.chars().all(fits) && !target.starts_with(|c: char| c.is_ascii_digit());
    let target = match target.strip_prefix("scheduler") {
        Some(rest) if rest.is_empty() || rest.starts_with("::") => format!("cue_scheduler{rest}"),
        _ => target.to_owned(),
    };
    named.then_some(target)
}

impl Setting for LogFilter {
    fn read(node: &Node, _: &Kind) -> Result<Self, Refused> {
        use crate::tree::Value;
        match (&node.value, &node.spelling) {
            (Value::Text(text), _) | (Value::Integer(_), Some(text)) => Self::parse(text).ok_or(Refused),
            // YAML 1.1 files may say `off` without quotes, which some writers turn into false.
            (Value::Bool(false), _) => Ok(Self("off".to_owned())),
            _ => Err(Refused),
        }
    }

    fn spell(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_means_what_its_author_meant() {
        for (text, expected) in [
            ("info", "info"),
            ("INFO", "info"),
            ("info,sqlx=warn", "info,sqlx=warn"),
            ("info, sqlx = WARN ", "info,sqlx=warn"),
            ("3", "info"),
            ("0", "off"),
            ("off", "off"),
            ("warning", "warn"),
            ("sqlx=warning", "error,sqlx=warn"),
            ("debug:sqlx=info", "debug,sqlx=info"),
            ("info;sqlx=warn", "info,sqlx=warn"),
            ("", "error"),
            ("scheduler=debug", "error,cue_scheduler=debug"),
            ("scheduler::booking=debug", "error,cue_scheduler::booking=debug"),
            ("cue_scheduler::booking=trace,info", "cue_scheduler::booking=trace,info"),
            ("sqlx::query", "error,sqlx::query=trace"),
        ] {
            let filter = LogFilter::parse(text);
            assert_eq!(filter.as_ref().map(LogFilter::directives), Some(expected), "{text}");
            let again = filter.as_ref().and_then(|f| LogFilter::parse(f.directives()));
            assert_eq!(again, filter, "{text}");
        }
    }

    #[test]
    fn what_would_silence_the_log_by_mistake_is_refused() {
        for text in ["infoo", "deubg", "sqlx=loud", "sqlx=", "=info", "6", "info sqlx", "sqlx=1=2"] {
            assert_eq!(LogFilter::parse(text), None, "{text}");
        }
    }
}
