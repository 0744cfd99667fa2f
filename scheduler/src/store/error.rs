//! What can go wrong with the database, and what each kind means for the caller. SQLSTATE codes live here only.

use std::borrow::Cow;
use std::path::PathBuf;

/// A statement failed, or a row made no sense.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be asked.
    #[error("database: {what} failed")]
    Database {
        /// The statement, in words.
        what: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The file with the password gave none.
    #[error("database: the password file {} can't be read", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Others held the rows, again and again.
    #[error("database: {what}: the rows stay locked by others")]
    Busy {
        /// What was tried, in words.
        what: &'static str,
    },
    /// A row that the schema should not allow.
    #[error("database: {what}: {detail}")]
    Row {
        /// The statement, in words.
        what: &'static str,
        /// Which row, what was found and what would be right.
        detail: String,
    },
}

/// `deadlock_detected`
const DEADLOCK: &str = "40P01";
/// `serialization_failure`
const SERIALIZATION: &str = "40001";
/// `lock_not_available`: our own lock time-out, shorter than PostgreSQL's deadlock time-out, so that a cycle ends with us.
const LOCK_TIMEOUT: &str = "55P03";

/// `admin_shutdown`, `crash_shutdown`, `cannot_connect_now`: the server ends or begins. The first two can also come instead of
/// the answer to a commit that was made.
const SHUTDOWNS: [&str; 3] = ["57P01", "57P02", "57P03"];
/// `foreign_key_violation`
const FOREIGN_KEY: &str = "23503";
/// Classes of SQLSTATE: data exception, integrity constraint, and what triggers raise.
const ABOUT_DATA: [&str; 3] = ["22", "23", "P0"];

impl StoreError {
    /// What [`StoreError::retryable`] can answer.
    pub const RETRYABLE: [&'static str; 3] = [DEADLOCK, SERIALIZATION, LOCK_TIMEOUT];

    /// What would help where the cause alone doesn't tell: TLS, of which the library says what it found and not which key of the
    /// configuration it concerns.
    pub fn advice(&self) -> Option<&'static str> {
        let Self::Database { source: source @ (sqlx::Error::Io(_) | sqlx::Error::Tls(_)), .. } = self else {
            return None;
        };
        let cause = source.to_string();
        let causes = [
            (
                "UnknownIssuer",
                "the server's certificate is from no authority that is trusted here; `database.ssl_root_cert` names a \
                 file with the right one",
            ),
            ("not valid for name", "`database.db_host` must be one of the names in the server's certificate"),
            ("does not support TLS", "the server has TLS turned off, and `database.sslmode` asks for it"),
        ];
        causes.into_iter().find(|(words, _)| cause.contains(words)).map(|(_, advice)| advice)
    }

    /// For `map_err`.
    pub fn during(what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { what, source }
    }

    /// The SQLSTATE, if the database sent one.
    pub fn sqlstate(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Database { source: sqlx::Error::Database(error), .. } => error.code(),
            _ => None,
        }
    }

    /// The SQLSTATE if the same transaction may succeed when tried again; a label for metrics.
    pub fn retryable(&self) -> Option<&'static str> {
        let sqlstate = self.sqlstate()?;
        Self::RETRYABLE.into_iter().find(|retryable| *retryable == sqlstate)
    }

    /// Whether what some row holds is the cause: a number that leaves its column, a constraint, a trigger's refusal, a value
    /// that can't be read. Others may go on without that row.
    pub fn is_about_data(&self) -> bool {
        match self {
            Self::Row { .. } => true,
            Self::Database { source: sqlx::Error::Database(_), .. } => {
                self.sqlstate().is_some_and(|sqlstate| ABOUT_DATA.iter().any(|class| sqlstate.starts_with(class)))
            }
            Self::Busy { .. } | Self::PasswordFile { .. } => false,
            Self::Database { source, .. } => {
                matches!(source, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
            }
        }
    }

    /// Whether a row that was read before is gone: a frame, a host, a job. What refers to it failed, and nothing is wrong with it.
    pub fn is_about_a_vanished_row(&self) -> bool {
        self.sqlstate().is_some_and(|sqlstate| sqlstate == FOREIGN_KEY)
    }

    /// Whether the database did not answer at all, or only that it ends, so that it isn't known what it did.
    pub fn is_unanswered(&self) -> bool {
        self.sqlstate().is_some_and(|sqlstate| SHUTDOWNS.contains(&&*sqlstate))
            || matches!(
                self,
                Self::Database {
                    source: sqlx::Error::Io(_)
                        | sqlx::Error::Protocol(_)
                        | sqlx::Error::PoolTimedOut
                        | sqlx::Error::PoolClosed
                        | sqlx::Error::WorkerCrashed,
                    ..
                }
            )
    }

    /// Whether we have closed our connections ourselves, so that nothing more can be asked.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Database { source: sqlx::Error::PoolClosed, .. })
    }
}
