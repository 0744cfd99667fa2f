//! A database of a test's own with one of everything, under ids that read as what they are.

use std::collections::BTreeMap;

use sqlx::postgres::PgQueryResult;
use sqlx::{AssertSqlSafe, PgPool};
use testbed::postgres::Server;

/// One show with a subscription, a folder, a department, a job of one layer and one frame that waits, and one host. Caps are
/// far away. The counters of the job and the layer start at 10 each, so that a test sees in which direction one went.
const ROWS: &str = "
INSERT INTO facility (pk_facility, str_name) VALUES ('facility', 'schema-test');
INSERT INTO dept (pk_dept, str_name) VALUES ('dept', 'schema-test'), ('other-dept', 'schema-test-other');
INSERT INTO show (pk_show, str_name) VALUES ('show', 'schema-test');
INSERT INTO alloc (pk_alloc, str_name, str_tag, pk_facility) VALUES ('alloc', 'schema-test.general', 'general', 'facility');
INSERT INTO subscription (pk_subscription, pk_alloc, pk_show, int_size, int_burst)
VALUES ('subscription', 'alloc', 'show', 1000, 2000);
INSERT INTO point (pk_point, pk_dept, pk_show) VALUES ('point', 'dept', 'show'), ('other-point', 'other-dept', 'show');
INSERT INTO folder (pk_folder, pk_show, pk_dept, str_name) VALUES ('folder', 'show', 'dept', 'schema-test');
INSERT INTO folder (pk_folder, pk_parent_folder, pk_show, pk_dept, str_name)
VALUES ('other-folder', 'folder', 'show', 'dept', 'below');
INSERT INTO job (pk_job, pk_folder, pk_show, pk_facility, pk_dept, str_name, str_shot, str_user, str_state)
VALUES ('job', 'folder', 'show', 'facility', 'dept', 'schema-test-job', 'shot', 'user', 'PENDING');
INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, str_type, str_tags)
VALUES ('layer', 'job', 'comp', 'true', '1-1', 'RENDER', 'general');
INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, str_state, int_number, int_layer_order, int_dispatch_order)
VALUES ('frame', 'layer', 'job', '0001-comp', 'WAITING', 1, 1, 1);
UPDATE layer_stat SET int_waiting_count = 10, int_running_count = 10, int_dead_count = 10, int_depend_count = 10,
    int_eaten_count = 10, int_succeeded_count = 10, int_checkpoint_count = 10, int_total_count = 60;
UPDATE job_stat SET int_waiting_count = 10, int_running_count = 10, int_dead_count = 10, int_depend_count = 10,
    int_eaten_count = 10, int_succeeded_count = 10, int_checkpoint_count = 10;
INSERT INTO host (pk_host, pk_alloc, str_name, str_lock_state, int_cores, int_cores_idle, int_mem, int_mem_idle,
    int_gpus, int_gpus_idle, int_gpu_mem, int_gpu_mem_idle)
VALUES ('host', 'alloc', 'schema-test-host', 'OPEN', 800, 800, 16000, 16000, 2, 2, 8000, 8000);
INSERT INTO host_stat (pk_host_stat, pk_host, int_mem_total, int_mem_free) VALUES ('host', 'host', 16000, 16000);
INSERT INTO host_tag (pk_host_tag, pk_host, str_tag, str_tag_type) VALUES ('tag', 'host', 'general', 'ALLOC');
";

/// A proc of the frame on the host. The host's idle amounts are left as they are: no trigger takes them.
pub const PROC: &str = "
INSERT INTO proc (pk_proc, pk_host, pk_show, pk_job, pk_layer, pk_frame, int_cores_reserved, int_mem_reserved, int_gpus_reserved)
VALUES ('proc', 'host', 'show', 'job', 'layer', 'frame', 200, 4000, 1);
";

/// The start of the frame, as a booking does it.
pub const START: &str = "
UPDATE frame SET str_state = 'RUNNING', str_host = 'schema-test-host', int_cores = 200, int_mem_reserved = 4000, int_gpus = 1,
    int_gpu_mem_reserved = 100, ts_started = now(), ts_updated = now(), ts_stopped = NULL, int_version = int_version + 1;
";

/// An error of the database as code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: String,
    pub text: String,
}

pub struct Farm {
    pool: PgPool,
}

impl Farm {
    pub async fn new() -> Self {
        let farm = Self { pool: Server::shared().await.unwrap().database().await.unwrap().pool().await.unwrap() };
        farm.run(ROWS).await;
        farm
    }

    /// Runs statements that must succeed, all in one transaction.
    pub async fn run(&self, sql: &str) {
        if let Err(refused) = self.attempt(sql).await {
            panic!("{refused:?} in {sql}");
        }
    }

    /// Runs statements, all in one transaction.
    pub async fn attempt(&self, sql: &str) -> Result<PgQueryResult, Refused> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.map_err(|error| {
            let error = error.into_database_error().expect("an answer of the database");
            Refused { code: error.code().unwrap_or_default().into_owned(), text: error.message().to_owned() }
        })
    }

    /// The code and text with which statements are refused.
    pub async fn refusal(&self, sql: &str) -> Refused {
        match self.attempt(sql).await {
            Ok(_) => panic!("was not refused: {sql}"),
            Err(refused) => refused,
        }
    }

    /// The first column of all rows, as text; a null is `-`.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        // A row seen through JSON needs no types here.
        let sql = format!(
            "SELECT coalesce(value, '-') FROM ({sql}) AS asked, LATERAL json_each_text(row_to_json(asked)) AS f(key, value)"
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.pool).await.unwrap()
    }

    /// The columns of one row, one after another, as text.
    pub async fn row(&self, sql: &str) -> String {
        self.texts(sql).await.join(" ")
    }

    /// Every counter of frames that differs from what it began with, such as `("waiting", -1)`; the job's and the layer's must
    /// agree.
    pub async fn counters_moved(&self) -> BTreeMap<String, i64> {
        let moved = async |table: &str| -> BTreeMap<String, i64> {
            let sql = format!(
                "SELECT substring(key FROM 'int_(.*)_count'), value::bigint - 10
                 FROM (SELECT * FROM {table}) AS asked, LATERAL json_each_text(row_to_json(asked)) AS f(key, value)
                 WHERE key LIKE 'int%count' AND key <> 'int_total_count' AND value <> '10'"
            );
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&self.pool).await.unwrap().into_iter().collect()
        };
        let (of_layer, of_job) = (moved("layer_stat").await, moved("job_stat").await);
        assert_eq!(of_layer, of_job, "layer_stat and job_stat");
        assert_eq!(self.row("SELECT int_total_count FROM layer_stat").await, "60");
        of_layer
    }
}
