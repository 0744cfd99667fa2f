//! The table of all families. It is what is registered, and what `docs/reference/metrics.md` is written from.
//!
//! Names, types, labels and buckets of the retired scheduler are kept, so that its dashboards go on working. Where it
//! counted something that a design which plans whole pools does not have, the nearest thing with a meaning is counted, and
//! the table says which.

use super::family::{Family, Kind, Label, Origin};

macro_rules! families {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:ident),*], $origin:ident, $help:literal, $more:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Family = Family {
                name: $name,
                kind: $kind,
                labels: &[$(Label::$label),*],
                origin: Origin::$origin,
                help: $help,
                more: $more,
            };
        )+

        /// Every family.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

/// For statements, in seconds.
const QUERY: Kind = Kind::Histogram(&[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0]);

families! {
    JOBS_QUERIED = "scheduler_jobs_queried_total", Kind::Counter, [], Retired,
        "Jobs with waiting work that passes read",
        "A job is counted in each pass that reads it.";
    JOBS_PROCESSED = "scheduler_jobs_processed_total", Kind::Counter, [Show], Retired,
        "Jobs that passes planned",
        "Fewer than were read only where all layers of a job are left alone because they can't be launched.";
    JOB_QUERY_DURATION = "scheduler_job_query_duration_seconds", QUERY, [], Retired,
        "Time to read a pool's waiting work and hosts",
        "Observed also when the reading fails.";
    NO_CANDIDATE = "scheduler_no_candidate_iterations_total", Kind::Counter, [], Retired,
        "Layers left waiting because no host took their next frame",
        "Once per layer and pass, whatever else of the layer was placed.";
    CHECKOUT_OUTCOME = "scheduler_checkout_outcome_total", Kind::Counter, [Checkout], Retired,
        "What became of layers that looked for hosts",
        "Exactly one outcome per layer and pass: `booked` when at least one frame was booked, `no_progress` when frames were \
         placed and the database refused them all, `dispatch_error` when they could not be launched as written or their \
         transaction failed, `no_match` when no host took one. A layer that only a cap holds back looks for no host and is \
         not counted here.";
    CANDIDATES_PER_LAYER = "scheduler_candidates_per_layer",
        Kind::Histogram(&[1.0, 5.0, 10.0, 20.0, 50.0, 100.0]), [], Retired,
        "Hosts on which a layer was booked whose waiting frames all were, in one pass",
        "The first host counts as 1.";
    FRAMES_DISPATCHED = "scheduler_frames_dispatched_total", Kind::Counter, [Show], Retired,
        "Frames booked",
        "Counted at the commit, since from then on the frame is RUNNING in the database. What an agent then made of it is \
         in `scheduler_launch_outcomes_total`; a frame whose launch is undone is counted again when it is booked again.";
    TIME_TO_BOOK = "scheduler_time_to_book_seconds",
        Kind::Histogram(&[0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]), [], Retired,
        "From a frame's last change to its booking",
        "Both by the database's clock.";
    FRAMES_PER_PASS = "scheduler_frames_dispatched_per_pass",
        Kind::Histogram(&[0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0]), [ClusterType], Retired,
        "Frames booked in a pass, by the kind of tag by which their layers matched",
        "A pass is observed under each kind for which it had waiting work, with 0 where none of it was booked. A match by \
         several tags counts under the first kind of alloc, manual, hostname, hardware.";
    PASS_TERMINATED = "scheduler_pass_terminated_reason_total", Kind::Counter, [PassEnd], Retired,
        "How passes ended",
        "`booked`: at least one frame; `saturated`: work waited and none was booked; `no_jobs`: nothing waited; \
         `query_error`: the database failed.";
    LIMIT_EXCEEDED = "scheduler_accounting_limit_exceeded_total", Kind::Counter, [Table], Retired,
        "Refusals by a cap",
        "Each frame that the booking transaction refused, and each layer that a pass left waiting at the cap.";
    JOB_CAP_SKIP = "scheduler_job_cap_precheck_skip_total", Kind::Counter, [], Retired,
        "Layers that a pass left waiting at their job's core or GPU maximum",
        "Once per layer and pass.";
    RECOMPUTE_DURATION = "scheduler_recompute_cycle_duration_seconds",
        Kind::Histogram(&[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0]), [], Retired,
        "Time of a comparison of the counters with what procs really hold",
        "Observed also when it fails.";
    CLUSTER_ROUND_TRIP = "scheduler_cluster_round_trip_seconds",
        Kind::Histogram(&[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0]), [ClusterType], Retired,
        "Between the beginnings of two passes of a pool that had waiting work all the time",
        "Observed under each kind of tag by which the waiting work asks for the pool's hosts.";
    CLUSTERS = "scheduler_clusters_total", Kind::Gauge, [ClusterType], Retired,
        "Clusters",
        "Cut as the retired scheduler cut them; what is planned is pools.";
    CLUSTERS_ACTIVE = "scheduler_clusters_active", Kind::Gauge, [], Retired,
        "Clusters with waiting work",
        "Set by each awake scan, also while nothing waits.";
    CLUSTERS_SLEEPING = "scheduler_clusters_sleeping", Kind::Gauge, [], Retired,
        "Clusters without waiting work",
        "Set by each awake scan.";
    ACTIVE_TAGS = "scheduler_active_tags", Kind::Gauge, [], Retired,
        "Combinations of show, facility and tag list with waiting work",
        "";
    ACTIVE_SCAN_DURATION = "scheduler_active_scan_duration_seconds", QUERY, [], Retired,
        "Time of an awake scan",
        "Observed also when it fails.";
    PLACEMENT_SCORE = "scheduler_placement_score_chosen",
        Kind::Histogram(&[0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0]), [], Retired,
        "E-PVM: score of each host chosen",
        "Stays empty with the strategy `saturation`, which orders hosts and has no scores.";
    INNER_RETRIES_EXHAUSTED = "scheduler_placement_inner_retries_exhausted_total", Kind::Counter, [], Retired,
        "Booking transactions given up after their last try",
        "Nothing is reserved in memory, so what the retired scheduler lost there is lost here in the transaction, with \
         either strategy. The frames wait for the next pass.";
    WAITING_FRAMES = "scheduler_waiting_frames", Kind::Gauge, [Show, Reason], Ours,
        "Frames that could start and wait, by show and reason",
        "What the last passes left. Each layer counts once, under the reason of the pool that came nearest to running it; what no \
         pool could run counts as `no_host_with_tag`. The reasons are told in [reasons.md](reasons.md).";
    BOOKING_REFUSED = "scheduler_booking_refused_total", Kind::Counter, [Refusal], Ours,
        "Frames that the booking transaction refused, by cause",
        "";
    BOOKING_RETRIES = "scheduler_booking_retries_total", Kind::Counter, [Sqlstate], Ours,
        "Booking transactions that were repeated, by SQLSTATE",
        "";
    BOOKING_LOCK_WAIT = "scheduler_booking_lock_wait_seconds",
        Kind::Histogram(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8]), [], Ours,
        "Time in a booking transaction of the statements that wait for what others hold",
        "The rows of counters and hosts, and limits; with their round trips, so a quiet database shows those. A wait above 400 ms is given \
         up and counts in `scheduler_booking_retries_total`.";
    COUNTERS_HEALED = "scheduler_counters_healed_total", Kind::Counter, [], Ours,
        "Counters that refused wrongly and were set to what procs really hold",
        "";
    COUNTERS_RECONCILED = "scheduler_counters_reconciled_total", Kind::Counter, [CounterTable], Ours,
        "Rows of counters that differed from their procs and were set right, by table",
        "Where Cuebot's releases count for managed shows, a difference comes only from moves and is worth a look.";
    LAUNCH_OUTCOMES = "scheduler_launch_outcomes_total", Kind::Counter, [Launch], Ours,
        "What became of launches",
        "`launched`, `refused`, `not_sent`, `unknown` and `fenced` are what calls came to; what was not launched then becomes \
         `adopted`, `undone` or `left` to Cuebot, as the launch protocol says.";
    PASS_DURATION = "scheduler_pass_duration_seconds",
        Kind::Histogram(&[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]), [Step], Ours,
        "Time of a pass, by step",
        "";
    NOTICES = "scheduler_cuebot_notices_total", Kind::Counter, [Notice], Ours,
        "Messages of Cuebot that were heard, by kind",
        "`release`: a proc of a managed show was released; `cap`: a cap was changed; `malformed`: the message made no sense. \
         Newer Cuebots send none.";
    STANDSTILL = "scheduler_standstill", Kind::Gauge, [Standstill], Ours,
        "1 while nothing is booked at all, by cause",
        "`no_managed_flag`: the database is older than managed shows; `maestro_leads`: a Maestro leader is alive and books \
         managed shows itself.";
    DATABASE_UP = "scheduler_database_up", Kind::Gauge, [], Ours,
        "1 while the database answers",
        "The gauges of clusters and tags keep their last values while it does not.";
    HOSTS_QUARANTINED = "scheduler_hosts_quarantined", Kind::Gauge, [], Ours,
        "Hosts that are left alone for a while, since their agents refused or did not answer",
        "Which ones, and why, is in `/api/v1/status`.";
    COORDINATION = "scheduler_coordination_up", Kind::Gauge, [], Ours,
        "1 while pools are shared out with other replicas",
        "0 before the replica has its place, and while it works on all pools because they can't be shared out.";
    MEMBERS = "scheduler_members", Kind::Gauge, [], Ours,
        "Replicas that share pools, with this one",
        "All see the same number; 0 while this one has no place.";
    STRANGERS = "scheduler_members_of_other_roles", Kind::Gauge, [], Ours,
        "Replicas that use another database role",
        "Nothing is shared out with them, which is safe and wasteful.";
    POOLS = "scheduler_pools", Kind::Gauge, [], Ours,
        "Pools that this replica could work on",
        "";
    POOLS_OWNED = "scheduler_pools_owned", Kind::Gauge, [], Ours,
        "Pools that this replica works on",
        "Over all replicas of one scope they add up to `scheduler_pools`.";
    HAND_OVERS = "scheduler_pool_hand_overs_total", Kind::Counter, [HandOver], Ours,
        "Pools that changed hands",
        "`taken`: it was free and is this replica's now; `given`: it is somebody else's by the sharing; `lost`: the \
         coordination session was lost, or the lock with it.";
    MEMBERS_ENDED = "scheduler_members_ended_total", Kind::Counter, [], Ours,
        "Replicas whose sessions this one ended because they were not heard of",
        "Whoever looks first ends them, so the sum over all replicas counts.";
    LEFT_BEHIND = "scheduler_procs_left_behind_total", Kind::Counter, [], Ours,
        "Procs that another replica booked and no report has named, which this one asks about",
        "What became of them is in `scheduler_launch_outcomes_total`: `adopted`, `undone` or `left`.";
    PROCESS_MEMORY = "process_resident_memory_bytes", Kind::Gauge, [], Custom,
        "Resident memory of the process",
        "";
    PROCESS_CPU = "process_cpu_seconds_total", Kind::Counter, [], Custom,
        "Time that all threads spent on processors",
        "";
    PROCESS_OPEN_FILES = "process_open_fds", Kind::Gauge, [], Custom,
        "Open files and connections",
        "";
    PROCESS_MAX_FILES = "process_max_fds", Kind::Gauge, [], Custom,
        "Most files and connections that may be open",
        "";
    PROCESS_START = "process_start_time_seconds", Kind::Gauge, [], Custom,
        "When the process was started, in seconds since 1970",
        "";
}
