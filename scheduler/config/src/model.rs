//! Every section and key of scheduler.yaml.
//!
//! The names and most defaults are upstream's, so that its files load as they are. Where a key means something else
//! here, its text says what. Keys that exist in this program only say so.

use std::path::PathBuf;
use std::time::Duration;

use crate::key::{IdleKey, section};
use crate::kind::Kind;
use crate::log_filter::LogFilter;
use crate::strategy::HostBookingStrategy;
use crate::tree::Node;
use crate::values::{Bytes, InFlight, Refused, Secret, Setting};

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Any number that a row count, or the number of things of one kind on a farm, can have.
const COUNT: Kind = Kind::whole(1, 1_000_000_000);
const PORT: Kind = Kind::whole(1, 65535);
/// Intervals of loops. Zero would spin, or panic the timer.
const INTERVAL: Kind = Kind::millis(1);
const ANY_TIME: Kind = Kind::millis(0);

section! {
    /// The whole configuration, checked. Times are spans, sizes are true bytes, cores are whole cores.
    Config {
        in /// Logs.
        logging: Logging;
        in /// How fast, how much at once, and what is placed how.
        queue: Queue;
        in /// The booking transactions. A section of this program's own.
        booking: Booking;
        in /// PostgreSQL.
        database: Database;
        in /// The agents on the render hosts.
        rqd: Rqd;
        in /// What is known of the hosts.
        host_cache: HostCache;
        in /// Which part of the farm is this program's.
        scheduler: Scheduler;
        in /// The counters of what is booked.
        accounting: Accounting;
    }
}

section! {
    /// Logs. They go to standard output, and beside it to a file where one is wanted.
    Logging {
        /// Which log lines are shown: `error`, `warn`, `info`, `debug`, `trace` or `off`, and after commas the same for
        /// single parts, such as `sqlx=warn`. Nothing short of `off` hides errors. The variable `RUST_LOG` sets it too,
        /// over the file and below the variable of this key's own name.
        level: LogFilter = LogFilter::info(), Kind::LogFilter;
        /// `text`, one readable line an event, or `json`, one object an event. A key of this program's own.
        format: LogFormat = LogFormat::Text, Kind::OneOf(&["text", "json"]);
        /// The file for `file_appender`. At 1 MiB it becomes `<path>.1`, and so on up to `<path>.7`.
        path: PathBuf = PathBuf::from("/opt/rqd/logs/scheduler.log"), Kind::Path;
        /// Write the log to the file `path` beside standard output. A file that can't be opened ends the program at the
        /// start.
        file_appender: bool = false, Kind::Flag;
    }
}

section! {
    /// How fast, how much at once, and what is placed how.
    Queue {
        /// The longest time between two passes of a pool with waiting work, whether or not something changed.
        monitor_interval: Duration = secs(5), INTERVAL;
        /// Threads of the runtime.
        worker_threads: usize = 4, Kind::whole(1, 1024);
        /// The most frames of one layer that a pass books. Unset: no bound, since a whole pool is planned at once.
        dispatch_frames_per_layer_limit: Option<u32> = None, COUNT;
        /// The most jobs of a show to which a pass gives frames. Unset: no bound, since a whole pool is planned at once.
        max_jobs_per_cluster_pass: Option<u32> = None, COUNT;
        /// The most hosts that a pass tries for one layer. Unset: no bound, since a whole pool is planned at once.
        host_candidate_attempts_per_layer also "host_candidate_attemps_per_layer": Option<u32> = None, COUNT;
        /// How long a layer is left alone whose frames can't be started (its command can't be built, or every host
        /// refuses it), unless it changes before.
        job_back_off_duration: Duration = secs(300), ANY_TIME;
        /// The longest that a pool without waiting work, or with a failing query, is left alone.
        cluster_empty_sleep: Duration = secs(30), ANY_TIME;
        /// How soon a pool is looked at again when work waits and nothing could be booked. Unset: after 200 ms, or at
        /// once when something changes.
        cluster_saturated_sleep: Option<Duration> = None, ANY_TIME;
        /// How often the shows, allocations and tags of the farm are read anew.
        cluster_reload_interval: Duration = secs(120), INTERVAL;
        /// How often the farm is searched for pools with new work: one cheap statement. Upstream's default is 2 s.
        active_scan_interval: Duration = millis(400), INTERVAL;
        /// How many manual or hardware tags count as one cluster in the metrics.
        manual_tags_chunk_size: u32 = 50, COUNT;
        /// How many hostname tags count as one cluster in the metrics.
        hostname_tags_chunk_size: u32 = 50, COUNT;
        /// End the program after this many looks in a row that found no work, with exit code 0; for tests. A look is an awake
        /// scan after which no pool has work, while no pass is under way, or a pass that found no jobs. A pass that finds
        /// jobs begins the count anew; a look that the database did not answer does not count. Work that may not start yet,
        /// or whose tags no host has, is none. 0 is taken for 1. Unset: run for ever.
        empty_job_cycles_before_quiting also "empty_job_cycles_before_quitting": Option<u32> = None,
            Kind::whole(0, 1_000_000_000);
        /// A threadable frame that would leave a host no more idle memory than this takes all of its idle cores, since
        /// nobody else could use them.
        memory_stranded_threshold: Bytes = Bytes::gib(2), Kind::Bytes;
        /// Services whose threadable frames take all idle cores of a host.
        selfish_services: Vec<String> = Vec::new(), Kind::Texts;
        /// What a proc is said to use before its host's first report.
        mem_reserved_min: Bytes = Bytes::mib(250), Kind::Bytes;
        /// The agent's soft memory limit of a frame, as a multiple of the layer's minimum memory.
        frame_memory_soft_limit: f64 = 1.6, Kind::RealAboveZero;
        /// The agent's hard memory limit of a frame, as a multiple of the layer's minimum memory.
        frame_memory_hard_limit: f64 = 2.0, Kind::RealAboveZero;
        /// The HTTP port for metrics, probes and status, on all interfaces. 0 takes any free port.
        metrics_port: u16 = 9090, Kind::whole(0, 65535);
        in /// How much is under way at once.
        stream: Stream;
        in /// How the host for a frame is chosen.
        host_booking_strategy: HostBookingStrategy;
    }
}

section! {
    /// How much is under way at once.
    Stream {
        /// Passes under way at once, each of a pool; 0 for no limit.
        cluster_buffer_size: InFlight = InFlight(3), Kind::whole(0, 1_000_000);
        /// Booking transactions under way at once in one pass; 0 for no limit.
        job_buffer_size: InFlight = InFlight(3), Kind::whole(0, 1_000_000);
    }
}

section! {
    /// The booking transactions.
    Booking {
        /// Frames of one booking transaction. More take fewer statements a frame, and hold the counters of a show
        /// longer. A key of this program's own.
        chunk_frames: usize = 100, Kind::whole(1, 10_000);
        /// Exit statuses of a frame after which a new start is no retry, beside those that Cuebot never counts. Give those of
        /// Cuebot's `dispatcher.layer_delay.rules`: a layer that is delayed, for want of a licence say, would otherwise spend
        /// its retries, and its frames would go DEAD. A key of this program's own.
        uncounted_exit_statuses: Vec<u32> = Vec::new(), Kind::Wholes { min: 1, max: 65_535 };
    }
}

section! {
    /// PostgreSQL. The rights that Cuebot's user has are enough.
    Database {
        /// The most connections for work. One more is used for coordination and one for listening.
        pool_size: u32 = 20, Kind::whole(2, 10_000);
        /// The host of the server.
        db_host: String = "localhost".to_owned(), Kind::Text;
        /// The name of the database.
        db_name: String = "test".to_owned(), Kind::Text;
        /// The user.
        db_user: String = "postgres".to_owned(), Kind::Text;
        /// The user's password. Never shown; the default is upstream's, `password`.
        db_pass: Secret = Secret::new("password"), Kind::Secret;
        /// A file with the user's password, instead of `db_pass`; a line end after it is cut off. It is read at the start, and
        /// again every few seconds, so that a password can be changed while the program runs. A key of this program's own.
        db_pass_file: Option<PathBuf> = None, Kind::Path;
        /// The port of the server.
        db_port: u16 = 5432, PORT;
        /// The server itself, where `db_host` is a pooler: coordination between replicas and listening to Cuebot's
        /// announcements need sessions of their own. Unset: `db_host`. A key of this program's own.
        direct_host: Option<String> = None, Kind::Text;
        /// The port that goes with `direct_host`. Unset: `db_port`. A key of this program's own.
        direct_port: Option<u16> = None, PORT;
        /// Whether connections use TLS: `disable`, never; `prefer`, if the server offers it, without looking at its
        /// certificate; `require`, always; `verify-ca`, and the certificate is from an authority that is trusted;
        /// `verify-full`, and it is for the name `db_host`. `require` with `ssl_root_cert` is `verify-ca`. A key of this
        /// program's own.
        sslmode: SslMode = SslMode::Prefer, Kind::OneOf(&["disable", "prefer", "require", "verify-ca", "verify-full"]);
        /// A PEM file with certificate authorities that are trusted beside the system's; see the page on the database for how
        /// to trust no others. Unset: the system's. A key of this program's own.
        ssl_root_cert: Option<PathBuf> = None, Kind::Path;
        /// A PEM file with the certificate that this program shows the server. A key of this program's own.
        ssl_cert: Option<PathBuf> = None, Kind::Path;
        /// A PEM file with the private key of `ssl_cert`, without a passphrase. A key of this program's own.
        ssl_key: Option<PathBuf> = None, Kind::Path;
    }
}

section! {
    /// The agents on the render hosts.
    Rqd {
        /// The port of every agent.
        grpc_port: u16 = 8444, PORT;
        /// Book in the database, and do not call the agents.
        dry_run_mode: bool = false, Kind::Flag;
        /// How long connecting to an agent may take. A key of this program's own.
        connect_timeout: Duration = secs(5), INTERVAL;
        /// How long an agent may take to answer a call. A launch that was not answered in this time is unknown and is
        /// asked about. A key of this program's own.
        call_timeout: Duration = secs(10), INTERVAL;
        /// Launches under way at once, over all hosts. A launch is mostly waiting for the host. A key of this program's
        /// own.
        max_launches_in_flight: usize = 256, Kind::whole(1, 100_000);
        /// Launches under way at once to one host. An agent starts frames one after another. A key of this program's
        /// own.
        max_launches_per_host: usize = 4, Kind::whole(1, 1000);
        /// Connections to agents that are kept open, each to one host; the one unused the longest is closed first. A
        /// connection takes about 40 kB and one descriptor. A key of this program's own.
        max_channels: usize = 2000, Kind::whole(1, 100_000);
        /// How long an unused connection to an agent is kept. A key of this program's own.
        channel_idle_timeout: Duration = secs(30), INTERVAL;
    }
}

section! {
    /// What is known of the hosts.
    HostCache {
        /// How often the hosts of a pool are read anew. Upstream's code has 10 s, its guide 1 s.
        monitoring_interval: Duration = secs(1), INTERVAL;
        /// How often what is kept in memory is looked through for what is not needed any more: see `group_idle_timeout`.
        clean_up_interval: Duration = secs(300), INTERVAL;
        /// A pool that had no work for this long is forgotten: its hosts, and the next frames of its layers. It is read anew
        /// when it has work again. Hosts of a pool without work are never read.
        group_idle_timeout: Duration = secs(10_800), INTERVAL;
        /// Pools whose hosts are read at once.
        concurrent_fetch_permit: usize = 4, Kind::whole(1, 10_000);
        /// A host that has not reported for longer than this gets no frames.
        host_staleness_threshold: Duration = secs(120), INTERVAL;
        /// Take what is booked off the free memory that a host has reported last, until it reports again; for tests without
        /// agents that report.
        update_stat_on_book: bool = false, Kind::Flag;
    }
}

section! {
    /// Which part of the farm is this program's.
    Scheduler {
        /// The name of the facility, in its exact letter case. Unset: all facilities.
        facility: Option<String> = None, Kind::Text;
        /// Tags that are taken out of every cluster.
        ignore_tags: Vec<String> = Vec::new(), Kind::Texts;
        /// The most hosts of a pool, which one replica plans at a time. An allocation with more is cut into slices, so that several
        /// replicas can work on it. A key of this program's own.
        pool_hosts_max: u64 = 5000, COUNT;
        /// How long the program may take to end: what is being booked lands, launches get their answers, pools are
        /// released. Then it ends all the same. A key of this program's own.
        drain_timeout: Duration = secs(20), INTERVAL;
    }
}

section! {
    /// The counters of what is booked.
    Accounting {
        /// How often the counters that Cuebot and the GUI read are compared with the procs and put right; also the period
        /// of the log line that says how much was dispatched.
        recompute_interval: Duration = secs(15), INTERVAL;
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Setting for LogFormat {
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        match String::read(node, kind)?.trim().to_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Refused),
        }
    }

    fn spell(&self) -> Option<String> {
        let word = match self {
            Self::Text => "text",
            Self::Json => "json",
        };
        Some(word.to_owned())
    }
}

/// How far TLS to PostgreSQL goes; libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Always, with whatever certificate.
    Require,
    /// With a certificate of a trusted authority.
    VerifyCa,
    /// And for the name of the host.
    VerifyFull,
}

impl SslMode {
    const WORDS: [(Self, &str); 5] = [
        (Self::Disable, "disable"),
        (Self::Prefer, "prefer"),
        (Self::Require, "require"),
        (Self::VerifyCa, "verify-ca"),
        (Self::VerifyFull, "verify-full"),
    ];

    /// The word for it in a file.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(mode, _)| *mode == self).map_or("", |(_, word)| word)
    }
}

impl Setting for SslMode {
    fn read(node: &Node, kind: &Kind) -> Result<Self, Refused> {
        let text = String::read(node, kind)?.trim().to_lowercase();
        Self::WORDS.iter().find(|(_, word)| *word == text).map(|(mode, _)| *mode).ok_or(Refused)
    }

    fn spell(&self) -> Option<String> {
        Some(self.word().to_owned())
    }
}

impl Queue {
    /// How soon a pool with waiting work is looked at again when nothing could be booked and nothing changed: 200 ms,
    /// or longer where the file says so.
    pub fn backlog_pace(&self) -> Duration {
        const PACE: Duration = millis(200);
        self.cluster_saturated_sleep.unwrap_or(PACE).max(PACE)
    }
}

/// Keys that upstream's code, guides or sample file had, and that have no meaning here.
pub(crate) const IDLE: &[IdleKey] = &[
    IdleKey { path: "sentry_dsn", why: "errors are in the log and in the metrics; no tracker is built in" },
    IdleKey { path: "queue.core_multiplier", why: "OpenCue's database counts hundredths of a core, always" },
    IdleKey {
        path: "queue.concurrent_groups",
        why: "hosts are read pool by pool; `host_cache.concurrent_fetch_permit` bounds it",
    },
    IdleKey {
        path: "queue.subscription_recalculation_interval",
        why: "`accounting.recompute_interval` has its meaning",
    },
    IdleKey { path: "queue.resource_recalculation_interval", why: "`accounting.recompute_interval` has its meaning" },
    IdleKey { path: "database.core_multiplier", why: "OpenCue's database counts hundredths of a core, always" },
    IdleKey {
        path: "host_cache.concurrent_groups",
        why: "hosts are read pool by pool; `host_cache.concurrent_fetch_permit` bounds it",
    },
    IdleKey { path: "host_cache.memory_key_divisor", why: "hosts are compared by their exact memory" },
    IdleKey { path: "host_cache.checkout_timeout", why: "hosts are not checked out" },
    IdleKey { path: "accounting.limit_reseed_interval", why: "every pass reads the caps" },
    IdleKey { path: "accounting.managed_shows_ttl", why: "every pass reads which shows are managed" },
];
