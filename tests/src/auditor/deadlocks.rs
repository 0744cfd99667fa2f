//! Who waited in a circle, as PostgreSQL's log tells it.
//!
//! That a Cuebot counts no deadlock says little: the victim of a circle is chosen by PostgreSQL, and Cuebot's dependencies make circles
//! among its own sessions. The log names every session of a circle, so that is where to look.

use std::collections::BTreeSet;

use sqlx::PgPool;

/// The server's log from some moment on.
pub struct DeadlockLog {
    offset: i64,
}

/// Circles of waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deadlocks {
    /// All of them.
    pub all: usize,
    /// Those in which one of the asked sessions took part: the lines of the log.
    pub with_them: Vec<String>,
}

/// Where a private server writes.
const FILE: &str = "current_setting('data_directory') || '/../log'";

impl DeadlockLog {
    /// From now on. An error where the server's log can't be read: it isn't a private server, or the role isn't a superuser's.
    pub async fn from_now_on(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let sql = format!("SELECT size FROM pg_stat_file({FILE})");
        Ok(Self { offset: sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await? })
    }

    /// The whole log.
    pub fn whole() -> Self {
        Self { offset: 0 }
    }

    /// The circles since then, and those in which these sessions took part.
    pub async fn read(&self, pool: &PgPool, sessions: &BTreeSet<i32>) -> Result<Deadlocks, sqlx::Error> {
        // The longest text that PostgreSQL gives; a log of a test is some kilobytes.
        let sql = format!("SELECT pg_read_file({FILE}, $1, 100000000)");
        let log: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(self.offset).fetch_one(pool).await?;
        Ok(circles(&log, sessions))
    }
}

fn circles(log: &str, sessions: &BTreeSet<i32>) -> Deadlocks {
    // The first line of the detail follows the message, one line for each who waits.
    let circles: Vec<String> = log
        .split("deadlock detected\n")
        .skip(1)
        .map(|rest| rest.lines().take_while(|line| line.contains(" waits for ")).collect::<Vec<_>>().join("\n"))
        .collect();
    let takes_part = |circle: &String, pid: &i32| {
        circle.contains(&format!("Process {pid} waits")) || circle.contains(&format!("blocked by process {pid}."))
    };
    let all = circles.len();
    let with_them = circles
        .into_iter()
        // One that reads otherwise than expected is nobody's, so it's taken for theirs.
        .filter(|circle| !circle.contains("blocked by process") || sessions.iter().any(|pid| takes_part(circle, pid)))
        .collect();
    Deadlocks { all, with_them }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-01-01 LOG:  checkpoint starting: time
2026-01-01 ERROR:  deadlock detected
2026-01-01 DETAIL:  Process 11 waits for ShareLock on transaction 7; blocked by process 12.
\tProcess 12 waits for ShareLock on transaction 8; blocked by process 11.
\tProcess 11: UPDATE x
2026-01-01 HINT:  See server log for query details.
2026-01-01 ERROR:  deadlock detected
2026-01-01 DETAIL:  Process 13 waits for ShareLock on transaction 9; blocked by process 110.
\tProcess 110 waits for ShareLock on transaction 6; blocked by process 13.
";

    #[test]
    fn a_circle_belongs_to_each_session_in_it_and_to_no_other() {
        let with = |pid| circles(LOG, &BTreeSet::from([pid])).with_them.len();
        assert_eq!(circles(LOG, &BTreeSet::new()), Deadlocks { all: 2, with_them: Vec::new() });
        assert_eq!([11, 12, 13, 110, 1, 10].map(with), [1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_log_in_another_language_is_not_taken_for_innocent() {
        let log = "ERROR:  deadlock detected\nDETAIL:  Prozess 11 wartet\n";
        assert_eq!(circles(log, &BTreeSet::new()).with_them.len(), 1);
    }
}
