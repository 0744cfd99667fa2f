//! The coordination session: the one connection of a replica that holds its place and its pools, as advisory locks.
//!
//! The locks live as long as the session. It is therefore not one of the pools' connections, and it must be a session of the
//! server itself: a pooler would leave our locks with whoever comes next. That is looked for before the first lock is taken,
//! and again at every look.

use std::future::Future;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::key::LockKey;
use super::members::HeldLock;
use crate::store::{Store, StoreError};

/// Longest wait for an answer on this connection; a session that doesn't answer for so long is taken for lost.
const ANSWER_MAX: Duration = Duration::from_secs(4);

macro_rules! sql {
    ($file:literal) => {
        include_str!(concat!("queries/", $file, ".sql"))
    };
}

/// Why there is no coordination session, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// The database could not be asked.
    #[error("the coordination session is lost")]
    Database(#[source] StoreError),
    /// It did not answer.
    #[error("no answer on the coordination session within {0:?}")]
    Silent(Duration),
    /// The connection is no session of the server's, or another one from statement to statement.
    #[error(
        "a pooler answers where the server should: set database.direct_host (and database.direct_port) to the PostgreSQL \
         server itself"
    )]
    Pooled,
    /// The session does not hold the locks that it took.
    #[error("the coordination session does not hold its place any more")]
    Unregistered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Who {
    pid: i32,
    role: i64,
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    pid: i32,
    name: String,
    own_role: bool,
    own_session: bool,
    idle: Option<f64>,
    class: i64,
    key: i64,
}

impl From<HeldRow> for HeldLock {
    fn from(row: HeldRow) -> Self {
        let HeldRow { pid, name, own_role, own_session, idle, class, key } = row;
        Self { pid, name, own_role, own_session, idle, key: LockKey::from_columns(class, key) }
    }
}

/// The session.
#[derive(Debug)]
pub struct Coordination {
    connection: PgConnection,
    who: Who,
}

impl Coordination {
    /// Opens the session and takes the place of `member`.
    pub async fn open(store: &Store, member: &str) -> Result<Self, Loss> {
        let mut connection = connect(store).await?;
        let who = ask_who(&mut connection).await?;
        let mut session = Self { connection, who };
        let place = LockKey::of_member(member);
        if session.take(&[place]).await?.is_empty() {
            session.end_predecessor(place).await?;
            return Err(Loss::Unregistered);
        }
        Ok(session)
    }

    /// The role that the session was opened with.
    pub fn role(&self) -> i64 {
        self.who.role
    }

    /// Who is there and who holds what.
    pub async fn look(&mut self) -> Result<Vec<HeldLock>, Loss> {
        let held = look(&mut self.connection).await?;
        if let Some(lock) = held.iter().find(|lock| lock.own_session) {
            same_session(self.who.pid, lock.pid)?;
            return Ok(held);
        }
        same_session(self.who.pid, ask_who(&mut self.connection).await?.pid)?;
        Err(Loss::Unregistered)
    }

    /// Tries locks that the session does not hold; answers those that it does now.
    pub async fn take(&mut self, keys: &[LockKey]) -> Result<Vec<LockKey>, Loss> {
        let (classes, ids): (Vec<i32>, Vec<i32>) = keys.iter().map(|key| (key.class, key.key)).unzip();
        let query = sqlx::query_as::<_, (i32, i32)>(sql!("take")).bind(classes).bind(ids);
        let taken = answer("taking pools", query.fetch_all(&mut self.connection)).await?;
        Ok(taken.into_iter().map(|(class, key)| LockKey { class, key }).collect())
    }

    /// Gives locks back.
    pub async fn give(&mut self, keys: &[LockKey]) -> Result<(), Loss> {
        let (classes, ids): (Vec<i32>, Vec<i32>) = keys.iter().map(|key| (key.class, key.key)).unzip();
        let query = sqlx::query(sql!("give")).bind(classes).bind(ids);
        answer("giving pools", query.execute(&mut self.connection)).await.map(drop)
    }

    /// Ends all sessions of a member of our role; how many there were.
    pub async fn end_member(&mut self, member: &str) -> Result<usize, Loss> {
        let query = sqlx::query(sql!("end_member")).bind(member.to_owned());
        Ok(answer("ending a member that hangs", query.fetch_all(&mut self.connection)).await?.len())
    }

    /// Ends one session of our role.
    pub async fn end_session(&mut self, pid: i32) -> Result<(), Loss> {
        let query = sqlx::query(sql!("end_session")).bind(pid);
        answer("ending a session that keeps pools", query.execute(&mut self.connection)).await.map(drop)
    }

    /// Gives everything back and closes.
    pub async fn leave(mut self) -> Result<(), Loss> {
        answer("giving all back", sqlx::query(sql!("give_all")).execute(&mut self.connection)).await?;
        answer("closing the coordination session", self.connection.close()).await
    }

    async fn end_predecessor(&mut self, place: LockKey) -> Result<(), Loss> {
        let query = sqlx::query(sql!("end_predecessor"))
            .bind(i64::from(place.class))
            .bind(i64::from(place.key.cast_unsigned()));
        answer("ending our lost session", query.execute(&mut self.connection)).await.map(drop)
    }
}

async fn connect(store: &Store) -> Result<PgConnection, Loss> {
    match tokio::time::timeout(ANSWER_MAX, store.own_session()).await {
        Ok(Ok(opened)) => opened.ok_or(Loss::Pooled),
        Ok(Err(error)) => Err(Loss::Database(error)),
        Err(_) => Err(Loss::Silent(ANSWER_MAX)),
    }
}

/// A connection stays one session, unless somebody in between deals them out: each has a process of its own at the server.
fn same_session(opened: i32, answered: i32) -> Result<(), Loss> {
    if opened == answered { Ok(()) } else { Err(Loss::Pooled) }
}

/// Looks over a session of its own, which takes nothing: the role, and who is there and who holds what.
pub async fn look_once(store: &Store) -> Result<(i64, Vec<HeldLock>), Loss> {
    let mut connection = connect(store).await?;
    let who = ask_who(&mut connection).await?;
    let held = look(&mut connection).await?;
    answer("closing the session", connection.close()).await?;
    Ok((who.role, held))
}

async fn look(connection: &mut PgConnection) -> Result<Vec<HeldLock>, Loss> {
    let (first, last) = LockKey::CLASSES;
    let query = sqlx::query_as::<_, HeldRow>(sql!("look")).bind(i64::from(first)).bind(i64::from(last));
    let held = answer("reading members", query.fetch_all(connection)).await?;
    Ok(held.into_iter().map(HeldLock::from).collect())
}

async fn ask_who(connection: &mut PgConnection) -> Result<Who, Loss> {
    answer("asking which session this is", sqlx::query_as(sql!("who")).fetch_one(connection)).await
}

async fn answer<T>(what: &'static str, asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Loss> {
    match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(answer) => answer.map_err(|error| Loss::Database(StoreError::during(what)(error))),
        Err(_) => Err(Loss::Silent(ANSWER_MAX)),
    }
}
