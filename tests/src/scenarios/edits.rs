//! What people do to a farm that runs, drawn from a seed.
//!
//! An edit names things of the farm by their names, never by what is going on at the moment, so the sequence of edits is a function of
//! the seed and the farm's description alone. What an edit finds when it's made may differ between two runs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use cue_scheduler_proto::rqd::RqdStaticKillRunningFrameRequest;
use cue_scheduler_proto::rqd::rqd_interface_client::RqdInterfaceClient;
use tonic::transport::Endpoint;

use super::Stage;
use crate::loader::seeded::Draws;

/// An agent that doesn't answer a kill in this time gets no second one.
const KILL_WITHIN: Duration = Duration::from_secs(3);

/// What may be edited.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Names of limits.
    pub limits: Vec<&'static str>,
    /// Shows whose burst is changed.
    pub shows: Vec<&'static str>,
    /// Shows that change hands.
    pub flipped: Vec<&'static str>,
    /// Folders of one show, between which jobs of that show move: `show/folder`.
    pub folders: Vec<&'static str>,
    /// Jobs, and whether they may move between the folders.
    pub jobs: Vec<(String, bool)>,
    /// Layers whose tags are changed: `job/layer`.
    pub layers: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Hosts that are locked and opened.
    pub hosts: Vec<String>,
    /// Frames of each layer.
    pub frames: usize,
}

/// One edit.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// A cap is set.
    Cap {
        /// Which.
        cap: CapKind,
        /// Of what.
        name: String,
        /// In the column's unit.
        value: i64,
    },
    /// A layer asks for these tags.
    Tags {
        /// `job/layer`
        layer: String,
        /// As the column wants them.
        tags: String,
    },
    /// A host is locked or opened.
    Lock {
        /// Its name.
        host: String,
        /// Locked.
        locked: bool,
    },
    /// A show changes hands.
    Flip {
        /// Its name.
        show: String,
    },
    /// A job goes to a folder.
    Move {
        /// Its name.
        job: String,
        /// `show/folder`
        folder: String,
    },
    /// A job waits for a person, or goes on.
    Pause {
        /// Its name.
        job: String,
        /// Whether it waits.
        paused: bool,
    },
    /// A job becomes more or less urgent.
    Priority {
        /// Its name.
        job: String,
        /// Larger is sooner.
        priority: i64,
    },
    /// A job is given up and its frames are killed.
    KillJob {
        /// Its name.
        job: String,
    },
    /// A frame is killed, if it runs.
    KillFrame {
        /// `job/layer`
        layer: String,
        /// Its place in the layer.
        frame: usize,
    },
    /// A frame is sent round again, if it's done.
    Retry {
        /// `job/layer`
        layer: String,
        /// Its place in the layer.
        frame: usize,
    },
}

/// A kind of cap that people set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CapKind {
    /// Running frames.
    Limit,
    /// Centicores of a folder.
    Folder,
    /// Centicores of a job.
    Job,
    /// Centicores of a show.
    Burst,
}

impl CapKind {
    fn sql(self) -> (&'static str, &'static str) {
        match self {
            Self::Limit => (
                "UPDATE limit_record SET int_max_value = $2 WHERE pk_limit_record = $1",
                "SELECT int_max_value::bigint FROM limit_record WHERE pk_limit_record = $1",
            ),
            Self::Folder => (
                "UPDATE folder_resource SET int_max_cores = $2 WHERE pk_folder = $1",
                "SELECT int_max_cores::bigint FROM folder_resource WHERE pk_folder = $1",
            ),
            Self::Job => (
                "UPDATE job_resource SET int_max_cores = $2 WHERE pk_job = $1",
                "SELECT int_max_cores::bigint FROM job_resource WHERE pk_job = $1",
            ),
            Self::Burst => (
                "UPDATE subscription SET int_burst = $2 WHERE pk_show = $1",
                "SELECT int_burst::bigint FROM subscription WHERE pk_show = $1",
            ),
        }
    }
}

impl Edit {
    /// The next edit of the sequence. Kinds that end things are rare.
    pub fn draw(draws: &mut Draws, scope: &Scope) -> Self {
        let one = |draws: &mut Draws, names: &[&'static str]| names[draws.below(names.len())].to_owned();
        // The first quarter of a layer is what has run soon.
        let frame = |draws: &mut Draws| {
            let layer = scope.layers[draws.below(scope.layers.len())].clone();
            (layer, draws.below(scope.frames.div_ceil(4)))
        };
        let (job, moves) = scope.jobs[draws.below(scope.jobs.len())].clone();
        match draws.below(100) {
            0..12 => Self::Cap { cap: CapKind::Limit, name: one(draws, &scope.limits), value: draws.between(0, 20) },
            12..24 => {
                let value = [-100, 0, 500, 1500, 3000, 6000][draws.below(6)];
                Self::Cap { cap: CapKind::Folder, name: one(draws, &scope.folders), value }
            }
            24..36 => Self::Cap { cap: CapKind::Job, name: job, value: draws.between(0, 40) * 100 },
            36..46 => {
                Self::Cap { cap: CapKind::Burst, name: one(draws, &scope.shows), value: draws.between(0, 10) * 1000 }
            }
            46..56 => {
                let count = 1 + draws.below(2);
                let tags: Vec<&str> =
                    draws.distinct(scope.tags.len(), count).into_iter().map(|tag| scope.tags[tag].as_str()).collect();
                Self::Tags { layer: frame(draws).0, tags: tags.join(" | ") }
            }
            56..66 => {
                let host = scope.hosts[draws.below(scope.hosts.len())].clone();
                Self::Lock { host, locked: draws.below(3) == 0 }
            }
            66..70 => Self::Flip { show: one(draws, &scope.flipped) },
            70..78 if moves => Self::Move { job, folder: one(draws, &scope.folders) },
            70..78 => Self::Priority { job, priority: draws.between(1, 100) },
            78..86 => Self::Pause { job, paused: draws.below(3) == 0 },
            86..88 => Self::KillJob { job },
            88..94 => {
                let (layer, frame) = frame(draws);
                Self::KillFrame { layer, frame }
            }
            _ => {
                let (layer, frame) = frame(draws);
                Self::Retry { layer, frame }
            }
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cap { cap, name, value } => write!(f, "{cap:?} cap of {name} is {value}"),
            Self::Tags { layer, tags } => write!(f, "{layer} asks for {tags}"),
            Self::Lock { host, locked } => write!(f, "host {host} is {}", if *locked { "locked" } else { "opened" }),
            Self::Flip { show } => write!(f, "show {show} changes hands"),
            Self::Move { job, folder } => write!(f, "job {job} moves to {folder}"),
            Self::Pause { job, paused } => write!(f, "job {job} {}", if *paused { "is paused" } else { "goes on" }),
            Self::Priority { job, priority } => write!(f, "job {job} has priority {priority}"),
            Self::KillJob { job } => write!(f, "job {job} is killed"),
            Self::KillFrame { layer, frame } => write!(f, "frame {frame} of {layer} is killed if it runs"),
            Self::Retry { layer, frame } => write!(f, "frame {frame} of {layer} goes round again if it is done"),
        }
    }
}

/// Makes edits, and knows the last word on each cap.
#[derive(Default)]
pub struct Editor {
    /// Edits made.
    pub made: usize,
    /// Edits that the database rejected.
    pub rejected: Vec<String>,
    caps: BTreeMap<(CapKind, String), i64>,
}

impl Editor {
    /// Makes an edit. One that the database rejects is noted; an error is one of the harness.
    pub async fn make(&mut self, stage: &mut Stage, edit: &Edit) -> anyhow::Result<()> {
        stage.logbook.note(&edit.to_string());
        self.made += 1;
        match write(stage, edit).await {
            Ok(()) => {
                if let Edit::Cap { cap, name, value } = edit {
                    self.caps.insert((*cap, id_of_cap(stage, *cap, name)?), *value);
                }
                Ok(())
            }
            Err(error) if error.chain().any(<dyn std::error::Error>::is::<sqlx::Error>) => {
                stage.logbook.note(&format!("rejected: {error:#}"));
                self.rejected.push(format!("{edit}: {error:#}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Caps that are no longer what a person last made them.
    pub async fn lost(&self, stage: &Stage) -> anyhow::Result<Vec<String>> {
        let mut lost = Vec::new();
        for ((cap, id), value) in &self.caps {
            let found: i64 = sqlx::query_scalar(cap.sql().1).bind(id).fetch_one(&stage.harness.pool).await?;
            if found != *value {
                lost.push(format!("{cap:?} cap of {id}: {found}, was set to {value}"));
            }
        }
        Ok(lost)
    }
}

fn id_of_cap(stage: &Stage, cap: CapKind, name: &str) -> anyhow::Result<String> {
    let loaded = &stage.harness.loaded;
    let ids = match cap {
        CapKind::Limit => &loaded.limits,
        CapKind::Folder => &loaded.folders,
        CapKind::Job => &loaded.jobs,
        CapKind::Burst => &loaded.shows,
    };
    ids.get(name).cloned().with_context(|| format!("nothing was loaded as {name}"))
}

async fn write(stage: &mut Stage, edit: &Edit) -> anyhow::Result<()> {
    let pool = stage.harness.pool.clone();
    let loaded = &stage.harness.loaded;
    match edit {
        Edit::Cap { cap, name, value } => {
            let id = id_of_cap(stage, *cap, name)?;
            sqlx::query(cap.sql().0).bind(id).bind(value).execute(&pool).await?;
        }
        Edit::Tags { layer, tags } => {
            let sql = "UPDATE layer SET str_tags = $2 WHERE pk_layer = $1";
            sqlx::query(sql).bind(&loaded.layers[layer]).bind(tags).execute(&pool).await?;
        }
        Edit::Lock { host, locked } => {
            let sql = "UPDATE host SET str_lock_state = $2 WHERE pk_host = $1";
            let lock = if *locked { "LOCKED" } else { "OPEN" };
            sqlx::query(sql).bind(&loaded.hosts[host]).bind(lock).execute(&pool).await?;
        }
        Edit::Flip { show } => {
            let sql = "UPDATE show SET b_scheduler_managed = NOT b_scheduler_managed WHERE pk_show = $1";
            sqlx::query(sql).bind(&loaded.shows[show]).execute(&pool).await?;
        }
        Edit::Move { job, folder } => {
            let sql = "UPDATE job SET pk_folder = $2 WHERE pk_job = $1";
            sqlx::query(sql).bind(&loaded.jobs[job]).bind(&loaded.folders[folder]).execute(&pool).await?;
        }
        Edit::Pause { job, paused } => {
            let sql = "UPDATE job SET b_paused = $2 WHERE pk_job = $1";
            sqlx::query(sql).bind(&loaded.jobs[job]).bind(paused).execute(&pool).await?;
        }
        Edit::Priority { job, priority } => {
            let sql = "UPDATE job_resource SET int_priority = $2 WHERE pk_job = $1";
            sqlx::query(sql).bind(&loaded.jobs[job]).bind(priority).execute(&pool).await?;
        }
        Edit::KillJob { job } => {
            // As Cuebot does: the job ends first, then its frames are killed one by one.
            let id = &loaded.jobs[job];
            sqlx::query(
                "UPDATE job SET str_state = 'FINISHED', str_visible_name = NULL, ts_stopped = now()
                 WHERE pk_job = $1 AND str_state = 'PENDING'",
            )
            .bind(id)
            .execute(&pool)
            .await?;
            kill(stage, "proc.pk_job", id).await?;
        }
        Edit::KillFrame { layer, frame } => kill(stage, "proc.pk_frame", &loaded.frames[layer][*frame].id).await?,
        Edit::Retry { layer, frame } => {
            let id = loaded.frames[layer][*frame].id.clone();
            let done = sqlx::query(
                "UPDATE frame SET str_state = 'WAITING', int_version = int_version + 1, ts_updated = now()
                 FROM job
                 WHERE pk_frame = $1 AND frame.str_state IN ('SUCCEEDED', 'DEAD') AND job.pk_job = frame.pk_job
                   AND job.str_state = 'PENDING'",
            )
            .bind(&id)
            .execute(&pool)
            .await?;
            if done.rows_affected() > 0 {
                stage.retried.push(id);
            }
        }
    }
    Ok(())
}

/// Asks the agents to kill what these procs run. An agent that runs it no more, or is another's simulation, says so.
async fn kill(stage: &Stage, column: &str, id: &str) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT host.str_name, proc.pk_frame FROM proc JOIN host USING (pk_host) WHERE {column} = $1 AND proc.pk_frame IS NOT NULL"
    );
    let running: Vec<(String, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_all(&stage.harness.pool).await?;
    for (host, frame_id) in running {
        let agent = Endpoint::from_shared(format!("http://{host}:{}", stage.harness.hosts.port()))?;
        let Ok(channel) = agent.connect_timeout(KILL_WITHIN).timeout(KILL_WITHIN).connect().await else { continue };
        let request = RqdStaticKillRunningFrameRequest { frame_id, message: "a person wants it so".to_owned() };
        let answer = RqdInterfaceClient::new(channel).kill_running_frame(request).await;
        drop(answer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    use super::*;

    fn scope() -> Scope {
        Scope {
            limits: vec!["l"],
            shows: vec!["s"],
            flipped: vec!["f"],
            folders: vec!["s/a", "s/b"],
            jobs: vec![("j".to_owned(), true), ("k".to_owned(), false)],
            layers: vec!["j/x".to_owned()],
            tags: vec!["t".to_owned(), "u".to_owned()],
            hosts: vec!["h".to_owned()],
            frames: 10,
        }
    }

    #[test]
    fn a_seed_makes_the_same_edits_again_and_another_seed_others() {
        let edits = |seed| {
            let mut draws = Draws::new(seed);
            (0..200).map(|_| Edit::draw(&mut draws, &scope())).collect::<Vec<_>>()
        };
        assert_eq!(edits(1), edits(1));
        assert_ne!(edits(1), edits(2));
        let kinds: Vec<_> = edits(1).iter().map(discriminant).collect();
        assert_eq!(kinds.iter().map(|kind| format!("{kind:?}")).collect::<BTreeSet<_>>().len(), 10, "every kind comes");
    }

    #[test]
    fn only_jobs_that_may_move_do() {
        let mut draws = Draws::new(3);
        for _ in 0..2000 {
            if let Edit::Move { job, .. } = Edit::draw(&mut draws, &scope()) {
                assert_eq!(job, "j");
            }
        }
    }
}
