//! A farm in a database, and passes over one of its pools.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cue_scheduler::booking::BookingSettings;
use cue_scheduler::pass::{PassContext, PassReport, pass};
use cue_scheduler::snapshot::{Launches, PoolReader, ReadSettings};
use cue_scheduler::store::Store;
use cue_scheduler_core::cluster::Pool;
use cue_scheduler_core::domain::amount::Kb;
use cue_scheduler_core::domain::tag::TagKind;
use cue_scheduler_core::planning::Policy;
use cue_scheduler_core::planning::score::{Saturation, Strategy};
use cue_scheduler_core::run_frame::MemoryFactors;
use cue_scheduler_core::slicing::Slice;
use sqlx::PgPool;
use testbed::auditor::audit;
use testbed::loader::description::FarmDescription;
use testbed::loader::load;
use tokio::sync::{Mutex, Semaphore};

pub struct Farm {
    pub pool: PgPool,
    pub context: PassContext,
    pub reader: PoolReader,
}

impl Farm {
    /// Loads a farm; passes are those of allocation `local.general` of facility `local`.
    pub async fn new(yaml: &str) -> Self {
        let pool = super::common::database().await;
        let loaded = load(&pool, &FarmDescription::from_yaml(yaml).unwrap()).await.unwrap();
        Self::on(pool, &loaded.facilities["local"], &loaded.allocations["local.general"])
    }

    /// Another scheduler at the same time, that works on another allocation.
    pub async fn another(&self, alloc: &str) -> Self {
        let id: String = sqlx::query_scalar("SELECT pk_alloc FROM alloc WHERE str_name = $1")
            .bind(alloc)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        Self::on(self.pool.clone(), self.reader.pool.facility.as_str(), &id)
    }

    fn on(pool: PgPool, facility: &str, alloc: &str) -> Self {
        let context = PassContext {
            store: Store::on(pool.clone()),
            launch: None,
            policy: policy(),
            booking: BookingSettings {
                memory_factors: MemoryFactors { soft: 1.6, hard: 2.0 },
                memory_used_at_start: 262_144,
                take_reported_memory: false,
                uncounted_exit_statuses: Vec::new(),
            },
            chunk_frames: 100,
            chunks_in_flight: 3,
            launches: Mutex::new(Launches::new(Duration::from_mins(5))),
        };
        let settings = ReadSettings {
            host_staleness: Duration::from_mins(2),
            // Each pass reads hosts and tags anew.
            host_interval: Duration::ZERO,
            ignored_tags: BTreeSet::new(),
            host_reads: Semaphore::new(1),
        };
        let of_pool = Pool {
            facility: facility.into(),
            alloc: alloc.into(),
            slice: Slice::WHOLE,
            name: "local.general".into(),
            shows: BTreeSet::new(),
            tags: BTreeMap::from([("general".into(), TagKind::Alloc), ("other".into(), TagKind::Alloc)]),
        };
        let reader = PoolReader::new(of_pool, Arc::new(settings));
        Self { pool, context, reader }
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }

    pub async fn pass(&mut self) -> PassReport {
        let tags: Vec<(String, String)> = sqlx::query_as(
            "SELECT str_tag, min(str_tag_type) FROM host_tag JOIN host USING (pk_host) WHERE pk_alloc = $1 GROUP BY 1",
        )
        .bind(self.reader.pool.alloc.as_str())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        self.reader.pool.tags =
            tags.iter().filter_map(|(tag, kind)| Some((tag.as_str().into(), TagKind::from_column(kind)?))).collect();
        let report = pass(&self.context, &mut self.reader).await.unwrap();
        assert!(report.failed.is_none(), "{:?}", report.failed);
        report
    }

    /// A pass during which somebody makes a change that its reading does not see yet and its booking has to wait for.
    pub async fn pass_while(&mut self, change: &'static str) -> PassReport {
        let pool = self.pool.clone();
        commit_once_waited_for(&pool, change, 1, self.pass()).await
    }

    /// How many frames of each layer run on each host: (job/layer, host).
    pub async fn running(&self) -> BTreeMap<(String, String), i64> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT j.str_name, l.str_name, h.str_name, count(*)
             FROM proc p JOIN job j USING (pk_job) JOIN layer l USING (pk_layer) JOIN host h ON h.pk_host = p.pk_host
             GROUP BY 1, 2, 3",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter().map(|(job, layer, host, frames)| ((format!("{job}/{layer}"), host), frames)).collect()
    }

    pub async fn assert_running(&self, expected: &[(&str, &str, i64)]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(layer, host, frames)| (((*layer).to_owned(), (*host).to_owned()), *frames)).collect();
        assert_eq!(self.running().await, expected);
        self.assert_exact().await;
    }

    /// All counters are right and no cap is passed.
    pub async fn assert_exact(&self) {
        let audit = audit(&self.pool).await.unwrap();
        assert!(audit.is_clean(), "{audit}");
    }
}

/// Makes a change, lets `booking` go on until so many of its sessions wait for the change to be committed, and commits it.
pub async fn commit_once_waited_for<T>(
    pool: &PgPool,
    change: &'static str,
    sessions: i64,
    booking: impl Future<Output = T>,
) -> T {
    let mut other = pool.begin().await.unwrap();
    sqlx::raw_sql(change).execute(&mut *other).await.unwrap();
    let commit = async {
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        for _ in 0..2000 {
            let waiting: i64 = sqlx::query_scalar(waits).fetch_one(pool).await.unwrap();
            if waiting >= sessions {
                return other.commit().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("no booking waits for: {change}");
    };
    tokio::join!(booking, commit).0
}

pub fn policy() -> Policy {
    Policy {
        strategy: Strategy::Saturation(Saturation { cores: true, memory: false }),
        memory_stranded: Kb(2 << 20),
        selfish_services: Vec::new(),
        frames_per_layer: None,
        hosts_per_layer: None,
        jobs_per_show: None,
    }
}
