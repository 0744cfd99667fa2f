//! What only fits together or not at all.
//!
//! Each value alone has been read and is within its bounds; here they are looked at beside one another. What can't work is a
//! fault; what works otherwise than it reads is a warning. Pure, and after all layers: a variable may mend what a file says.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Place};
use crate::model::{Config, Database, SslMode};
use crate::strategy::STRATEGY;

/// Looks at the values of all keys together.
pub(crate) fn check(
    config: &Config,
    origins: &BTreeMap<String, Place>,
    faults: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let unread = faults.iter().filter_map(|fault| fault.key.as_ref()).map(|key| key.to_lowercase()).collect();
    let mut looked = Looked { origins, unread, faults, warnings };
    looked.log_file(config);
    looked.strategy(config);
    looked.frame_memory(config);
    looked.pace(config);
    looked.password();
    looked.tls(&config.database);
    looked.connections(config);
    looked.agents(config);
}

struct Looked<'c> {
    origins: &'c BTreeMap<String, Place>,
    /// Keys that have a fault of their own: their values are not what was meant, and say nothing about others.
    unread: BTreeSet<String>,
    faults: &'c mut Vec<Finding>,
    warnings: &'c mut Vec<Finding>,
}

impl Looked<'_> {
    fn is_given(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    /// About the first of the keys, which do not fit together; `None` if one of them could not be read. The place is that of
    /// the first one that is given.
    fn finding(&self, keys: &[&str], message: impl Into<String>) -> Option<Finding> {
        if keys.iter().any(|key| self.unread.contains(*key)) {
            return None;
        }
        let place = keys.iter().find_map(|key| self.origins.get(*key)).cloned().unwrap_or(Place::Defaults);
        Some(Finding::new(place, keys.first().copied(), message))
    }

    fn fault(&mut self, keys: &[&str], message: impl Into<String>) {
        self.faults.extend(self.finding(keys, message));
    }

    fn warning(&mut self, keys: &[&str], message: impl Into<String>) {
        self.warnings.extend(self.finding(keys, message));
    }

    fn log_file(&mut self, config: &Config) {
        if self.is_given("logging.path") && !config.logging.file_appender {
            let message = "no file is written, since `logging.file_appender` is false";
            self.warning(&["logging.path", "logging.file_appender"], message);
        }
    }

    fn strategy(&mut self, config: &Config) {
        let given = |key: &str| self.origins.contains_key(&format!("{STRATEGY}{key}"));
        let Some((key, message)) = config.queue.host_booking_strategy.misfit(given) else { return };
        let key = format!("{STRATEGY}{key}");
        let others: Vec<&str> =
            self.origins.keys().map(String::as_str).filter(|other| other.starts_with(STRATEGY)).collect();
        // A value that could not be read is not missing.
        if !self.unread.contains(&key) {
            let place = self.origins.get(&key).or_else(|| self.origins.get(*others.first()?));
            self.faults.push(Finding::new(place.cloned().unwrap_or(Place::Defaults), Some(&key), message));
        }
    }

    fn frame_memory(&mut self, config: &Config) {
        let (soft, hard) = (config.queue.frame_memory_soft_limit, config.queue.frame_memory_hard_limit);
        if soft > hard {
            let message = format!("the soft limit {soft} lies above the hard limit {hard}, so it will never be met");
            self.warning(&["queue.frame_memory_soft_limit", "queue.frame_memory_hard_limit"], message);
        }
    }

    fn pace(&mut self, config: &Config) {
        let (pause, longest) = (config.queue.backlog_pace(), config.queue.monitor_interval);
        if self.is_given("queue.cluster_saturated_sleep") && pause > longest {
            let message = format!(
                "it is cut to the {} of `queue.monitor_interval`, the longest time between two passes",
                humantime::format_duration(longest)
            );
            self.warning(&["queue.cluster_saturated_sleep", "queue.monitor_interval"], message);
        }
    }

    fn password(&mut self) {
        if self.is_given("database.db_pass_file") && self.is_given("database.db_pass") {
            let message = "`database.db_pass` is given too; keep one of them";
            self.fault(&["database.db_pass_file", "database.db_pass"], message);
        }
    }

    fn tls(&mut self, database: &Database) {
        const MODE: &str = "database.sslmode";
        let mode = database.sslmode;
        let verifies = matches!(mode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
        if database.ssl_root_cert.is_some() && !verifies {
            let message = format!(
                "no certificate is looked at, since `{MODE}` is {}; it takes require, verify-ca or verify-full",
                mode.word()
            );
            self.fault(&["database.ssl_root_cert", MODE], message);
        }
        if database.ssl_root_cert.is_none() && mode == SslMode::VerifyCa {
            let message = "verify-ca needs `database.ssl_root_cert`: any authority of the system would do otherwise, \
                           for any server; verify-full does without";
            self.fault(&[MODE, "database.ssl_root_cert"], message);
        }
        let together = "a certificate and its key go together";
        match (&database.ssl_cert, &database.ssl_key) {
            (Some(_), None) => {
                let message = format!("it needs `database.ssl_key`; {together}");
                self.fault(&["database.ssl_cert", "database.ssl_key"], message);
            }
            (None, Some(_)) => {
                let message = format!("it needs `database.ssl_cert`; {together}");
                self.fault(&["database.ssl_key", "database.ssl_cert"], message);
            }
            _ => {}
        }
        if database.ssl_cert.is_some() && mode == SslMode::Disable {
            self.fault(&["database.ssl_cert", MODE], format!("it is shown over TLS only, and `{MODE}` is disable"));
        }
    }

    fn connections(&mut self, config: &Config) {
        let stream = &config.queue.stream;
        let wanted = u64::from(stream.cluster_buffer_size.0) + u64::from(stream.job_buffer_size.0);
        let pool = config.database.pool_size;
        if u64::from(pool) < wanted {
            let message = format!(
                "{pool} connections are fewer than the {wanted} that `queue.stream.cluster_buffer_size` and \
                 `job_buffer_size` have use for at once, so passes wait for one another"
            );
            let keys = ["database.pool_size", "queue.stream.cluster_buffer_size", "queue.stream.job_buffer_size"];
            self.warning(&keys, message);
        }
    }

    fn agents(&mut self, config: &Config) {
        let rqd = &config.rqd;
        let (answer, drain) = (rqd.connect_timeout + rqd.call_timeout, config.scheduler.drain_timeout);
        if answer > drain {
            let message = format!(
                "an agent may take {} to answer (`rqd.connect_timeout` and `call_timeout`), which is longer than the {} \
                 that a stop waits, so launches can be left unknown",
                humantime::format_duration(answer),
                humantime::format_duration(drain)
            );
            self.warning(&["scheduler.drain_timeout", "rqd.call_timeout", "rqd.connect_timeout"], message);
        }
        if rqd.max_channels < rqd.max_launches_in_flight {
            let message = format!(
                "fewer connections than the {} launches of `rqd.max_launches_in_flight`, so each launch may open a new one",
                rqd.max_launches_in_flight
            );
            self.warning(&["rqd.max_channels", "rqd.max_launches_in_flight"], message);
        }
    }
}
