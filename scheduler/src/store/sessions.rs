//! Whose sessions statements run in: our own, or those of a pooler that deals them out for one transaction each.
//!
//! A session of our own is opened with our settings and a random mark among them. A pooler refuses such settings, or opens
//! sessions without them; so it shows with every new connection, before the first statement is prepared there. It must, since
//! a statement that is prepared under a name belongs to a session, and behind a pooler that session is soon somebody else's,
//! who may have given another statement the same name.
//!
//! Behind a pooler all statements are therefore unnamed, every reading statement is a transaction too, so that preparing and
//! running it happen in one session, and each transaction brings its time-outs along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use futures::{FutureExt as _, TryFutureExt as _};
use rand::RngExt as _;
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{
    AssertSqlSafe, Connection as _, Either, Error, Execute, Executor, PgConnection, Postgres, Row as _, SqlStr,
};

/// What every session of ours is opened with. The open transaction of a stopped process would hold row locks for ever.
const SETTINGS: [(&str, &str); 6] = [
    ("timezone", "UTC"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("statement_timeout", "30s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
];

/// How many of [`SETTINGS`] concern a transaction; the others concern a connection to the server, which a pooler has its own of.
const OF_TRANSACTIONS: usize = 3;

/// The setting that carries the mark.
const MARK: &str = "cue_scheduler.mark";

/// Asks for it.
const ASK_MARK: &str = "SELECT current_setting('cue_scheduler.mark', true)";

/// `protocol_violation`: how `PgBouncer` refuses settings that it doesn't know.
const PROTOCOL_VIOLATION: &str = "08P01";

/// Reads begin like this behind a pooler.
const READ: &str = "BEGIN READ ONLY";

/// What became of our settings when a connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settings {
    /// The session has them: it is ours.
    Taken,
    /// The session lacks them.
    Ignored,
    /// No connection was to be had with them.
    Refused,
}

/// How statements reach the server: in sessions of our own until a pooler shows. Shared by all pools of one database.
#[derive(Clone, Debug)]
pub(super) struct Route {
    mark: Arc<str>,
    pooled: Arc<AtomicBool>,
    refused: Arc<AtomicBool>,
}

impl Default for Route {
    fn default() -> Self {
        let mark = format!("{:016x}", rand::rng().random::<u64>()).into();
        Self { mark, pooled: Arc::default(), refused: Arc::default() }
    }
}

impl Route {
    /// Whether a pooler has shown.
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Acquire)
    }

    /// A connection was opened like the pools'.
    pub(super) fn showed(&self, settings: Settings) {
        if settings == Settings::Taken {
            return;
        }
        self.refused.fetch_or(settings == Settings::Refused, Ordering::AcqRel);
        if !self.pooled.swap(true, Ordering::AcqRel) {
            tracing::info!(
                "database.db_host is a pooler: no statement is prepared ahead, since its sessions are anybody's; that takes \
                 more of the database's time"
            );
        }
    }

    /// With our settings.
    fn own(&self, plain: &PgConnectOptions) -> PgConnectOptions {
        plain.clone().options(SETTINGS).options([(MARK, &*self.mark)])
    }

    /// How connections of pools are opened.
    fn options(&self, plain: &PgConnectOptions) -> PgConnectOptions {
        if self.refused.load(Ordering::Acquire) { plain.clone() } else { self.own(plain) }
    }

    /// Opens a connection outside the pools, with these settings above ours.
    pub(super) async fn open(
        &self,
        plain: &PgConnectOptions,
        above: &[(&str, &str)],
    ) -> Result<(PgConnection, Settings), Error> {
        match PgConnection::connect_with(&self.own(plain).options(above.iter().copied())).await {
            Ok(mut connection) => {
                let ours = self.is_ours(&mut connection).await?;
                Ok((connection, if ours { Settings::Taken } else { Settings::Ignored }))
            }
            Err(Error::Database(error)) if refuses_settings(&*error) => {
                Ok((PgConnection::connect_with(plain).await?, Settings::Refused))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the session has the mark. Asked without preparing anything.
    async fn is_ours(&self, connection: &mut PgConnection) -> Result<bool, Error> {
        let asked = sqlx::raw_sql(ASK_MARK).fetch_one(connection).await?;
        Ok(asked.try_get::<Option<&str>, _>(0)? == Some(&*self.mark))
    }

    /// A pool that connects on first use and looks at each new connection.
    pub(super) fn pool(&self, options: PgPoolOptions, plain: &PgConnectOptions) -> Sessions {
        let route = self.clone();
        let pool = options.after_connect(move |connection, _| {
            let route = route.clone();
            Box::pin(async move {
                if !route.is_pooled() && !route.is_ours(connection).await? {
                    route.showed(Settings::Ignored);
                }
                Ok(())
            })
        });
        Sessions { pool: pool.connect_lazy_with(self.own(plain)), route: self.clone() }
    }
}

fn refuses_settings(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code == PROTOCOL_VIOLATION) && error.message().contains("startup parameter")
}

/// `begin` and what a session of our own would have been opened with.
fn with_settings(begin: &str) -> String {
    let settings = SETTINGS[..OF_TRANSACTIONS].iter().map(|(name, value)| format!("; SET LOCAL {name} = '{value}'"));
    std::iter::once(begin.to_owned()).chain(settings).collect()
}

/// A pool of sessions. As an executor it is for statements that read.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    pool: PgPool,
    route: Route,
}

impl Sessions {
    /// On a pool that somebody else made, which reaches the server itself.
    pub(super) fn on(pool: PgPool) -> Self {
        Self { pool, route: Route::default() }
    }

    /// Opens new connections so.
    pub(super) fn connect_with(&self, plain: &PgConnectOptions) {
        self.pool.set_connect_options(self.route.options(plain));
    }

    /// How they reach the server.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// The pool.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self, begin: &'static str) -> Result<Transaction, Error> {
        loop {
            let pooled = self.route.is_pooled();
            let tx = if pooled {
                self.pool.begin_with(AssertSqlSafe(with_settings(begin))).await?
            } else {
                self.pool.begin_with(begin).await?
            };
            // It may be the connection opened for this very transaction that has shown the pooler.
            if pooled == self.route.is_pooled() {
                return Ok(Transaction { tx, named: !pooled });
            }
        }
    }

    async fn collect<'q, E>(self, query: E) -> Result<Vec<Either<PgQueryResult, PgRow>>, Error>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let mut connection = self.pool.acquire().await?;
        if !self.route.is_pooled() {
            return (&mut *connection).fetch_many(query).try_collect().await;
        }
        let mut tx = connection.begin_with(AssertSqlSafe(with_settings(READ))).await?;
        let answer = (&mut *tx).fetch_many(Sent { query, named: false }).try_collect().await?;
        tx.commit().await?;
        Ok(answer)
    }
}

/// An open transaction. Dropped without a commit, it is rolled back.
#[derive(Debug)]
pub(super) struct Transaction {
    tx: sqlx::Transaction<'static, Postgres>,
    named: bool,
}

impl Transaction {
    pub(super) async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await
    }

    pub(super) async fn roll_back(self) -> Result<(), Error> {
        self.tx.rollback().await
    }
}

/// A statement as it is sent: prepared under a name and kept so, or unnamed.
struct Sent<E> {
    query: E,
    named: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Sent<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.named && self.query.persistent()
    }
}

type Answers<'e> = BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>;

impl<'c> Executor<'c> for &Sessions {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Answers<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.clone()
            .collect(query)
            .map_ok(|answer| stream::iter(answer.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.fetch_all(query).map_ok(|rows| rows.into_iter().next()).boxed()
    }

    fn prepare_with<'e>(self, _sql: SqlStr, _: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        prepared_by_hand()
    }
}

impl<'c> Executor<'c> for &'c mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Answers<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        (&mut *self.tx).fetch_many(Sent { query, named: self.named })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        (&mut *self.tx).fetch_optional(Sent { query, named: self.named })
    }

    fn prepare_with<'e>(self, _sql: SqlStr, _: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        prepared_by_hand()
    }
}

/// Nothing here asks for it, and behind a pooler there is no session to keep the statement.
fn prepared_by_hand<'e>() -> BoxFuture<'e, Result<PgStatement, Error>> {
    futures::future::err(Error::Protocol("statements are prepared as they are sent".to_owned())).boxed()
}
