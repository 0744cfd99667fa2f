//! All SQL of the scheduler, and nothing else: statements, rows to domain, SQLSTATE to outcome.
//!
//! Each statement has a name and one home under `queries/`, whose first lines say what it promises. Nobody outside this
//! folder imports sqlx. Reads take no locks; what is true is settled in [`booking::BookingTx`].

pub mod accounting;
pub mod booking;
pub mod error;
pub mod explain;
pub mod feed;
pub mod hosts;
pub mod notify;
pub mod places;
pub mod retry;
mod schema;
mod sessions;
pub mod takeover;
mod target;
pub mod undo;
pub mod work;

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};

pub use error::StoreError;
use schema::Schema;
use sessions::{Route, Sessions, Settings};
use target::PasswordFile;
pub use target::{Direct, Password, Target, Tls};

/// How long one connection may take to be there when nothing else waits for it.
const REACH_MAX: Duration = Duration::from_secs(10);

/// The database.
///
/// Bookings have few connections of their own: a session that has booked before has its statements planned and its triggers
/// compiled, and a pool that deals bookings to twenty sessions pays for that twenty times.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Sessions,
    bookings: Sessions,
    /// What reaches the database, without our settings.
    plain: Arc<Mutex<PgConnectOptions>>,
    direct: Direct,
    password_file: Option<PasswordFile>,
    schema: Schema,
}

impl Store {
    /// Prepares a pool; connects on first use. A password that stands in a file is read by [`Store::reach`].
    pub fn new(target: &Target) -> Self {
        let (route, plain) = (Route::default(), target.options());
        let pool = |connections: u32| {
            let options = PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(10))
                .idle_timeout(Duration::from_mins(10))
                .max_lifetime(Duration::from_hours(1))
                // A dead connection shows at its first statement and the pass is repeated; asking each time costs a round
                // trip.
                .test_before_acquire(false);
            route.pool(options, &plain)
        };
        let bookings = target.booking_connections.clamp(1, target.pool_size.saturating_sub(1).max(1));
        Self {
            pool: pool(target.pool_size.saturating_sub(bookings).max(1)),
            bookings: pool(bookings),
            plain: Arc::new(Mutex::new(plain)),
            direct: target.direct.clone(),
            password_file: PasswordFile::of(target),
            schema: Schema::default(),
        }
    }

    /// On a pool that somebody else made, for tests and benchmarks.
    pub fn on(pool: PgPool) -> Self {
        let plain = (*pool.connect_options()).clone().extra_float_digits(None);
        let pool = Sessions::on(pool);
        Self {
            bookings: pool.clone(),
            pool,
            plain: Arc::new(Mutex::new(plain)),
            direct: Direct::default(),
            password_file: None,
            schema: Schema::default(),
        }
    }

    /// Opens all connections for bookings and one for reading, so that nothing waits for them later.
    pub async fn warm(&self) -> Result<(), StoreError> {
        let pool = self.bookings.pool();
        let opened = (0..pool.options().get_max_connections()).map(|_| pool.acquire());
        futures::future::try_join_all(opened).await.map_err(StoreError::during("opening connections"))?;
        self.ping().await
    }

    /// Opens a connection outside the pools and closes it. A pool tries a refused connection again for its whole time-out and
    /// then says only that it timed out; here the cause is told, and at once. A pooler shows here, if there is one.
    pub async fn reach(&self) -> Result<(), StoreError> {
        self.refresh_password().await?;
        let plain = self.plain();
        let connecting = async {
            let (connection, settings) = self.pool.route().open(&plain, &[]).await?;
            connection.close().await?;
            Ok(settings)
        };
        let answer = tokio::time::timeout(REACH_MAX, connecting).await;
        let silent =
            || Err(sqlx::Error::Io(std::io::Error::new(ErrorKind::TimedOut, format!("silent for {REACH_MAX:?}"))));
        let settings = answer.unwrap_or_else(|_| silent()).map_err(StoreError::during("connecting"))?;
        self.pool.route().showed(settings);
        self.connect_with(&plain);
        Ok(())
    }

    /// Takes the password from its file, if it stands in one and has changed. Connections that are open stay.
    pub async fn refresh_password(&self) -> Result<(), StoreError> {
        let Some(file) = &self.password_file else { return Ok(()) };
        if let Some(password) = file.changed().await? {
            let plain = self.plain().password(&password);
            self.plain.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&plain);
            self.connect_with(&plain);
        }
        Ok(())
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(StoreError::during("sign of life"))?;
        Ok(())
    }

    /// Opens a session outside the pools, at the server itself, to hold locks there. Its statements are few and cheap, and who
    /// doesn't get an answer soon is to notice. `None`: a pooler answers where the server should.
    pub async fn own_session(&self) -> Result<Option<PgConnection>, StoreError> {
        let above = [("statement_timeout", "4s"), ("tcp_user_timeout", "10s")];
        let opened = self.pool.route().open(&self.to_server(), &above).await;
        let (connection, settings) = opened.map_err(StoreError::during("connecting for coordination"))?;
        Ok((settings == Settings::Taken).then_some(connection))
    }

    /// What reaches the server itself.
    fn to_server(&self) -> PgConnectOptions {
        let plain = self.plain();
        let host = self.direct.host.clone().unwrap_or_else(|| plain.get_host().to_owned());
        let port = self.direct.port.unwrap_or(plain.get_port());
        plain.host(&host).port(port)
    }

    /// What reaches the database, without our settings.
    fn plain(&self) -> PgConnectOptions {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// New connections are opened so.
    fn connect_with(&self, plain: &PgConnectOptions) {
        for sessions in [&self.pool, &self.bookings] {
            sessions.connect_with(plain);
        }
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        self.bookings.pool().close().await;
        self.pool.pool().close().await;
    }
}

/// A statement text of this folder.
macro_rules! sql {
    ($file:literal) => {
        include_str!(concat!("queries/", $file, ".sql"))
    };
}
pub(crate) use sql;

/// The statements whose plans decide how fast the scheduler is, by name: those of scans, passes, bookings and undos. Tests
/// hold their plans on a big farm against the indexes that they may use.
pub fn hot_statements() -> Vec<(&'static str, &'static str)> {
    macro_rules! hot {
        ($($name:literal),+ $(,)?) => { vec![$(($name, sql!($name))),+] };
    }
    hot![
        "feed/awake",
        "work/layers",
        "work/limits",
        "work/booked_by_job",
        "work/booked_by_folder",
        "work/booked_by_show",
        "work/window",
        "work/launch_sources",
        "work/environments",
        "hosts/pool",
        "hosts/tags",
        "booking/claim",
        "booking/running_under_limits",
        "booking/lock_stats",
        "booking/start_frames",
        "booking/lock_resources",
        "booking/apply",
        "takeover/left_behind",
        "undo/lock_frames",
        "undo/delete_procs",
        "undo/clear_frames",
        "accounting/differences",
        "accounting/booked_by_subscription",
        "accounting/booked_by_layer",
        "accounting/booked_by_point",
        "accounting/jobs_with_wrong_layers",
    ]
}
