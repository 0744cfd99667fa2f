//! Dependencies: what ended lets others go, all in one transaction even where that touches frames of several layers.

use sqlx::{FromRow, PgConnection};

use super::Cuebot;
use super::retry::Retry;

#[derive(FromRow)]
struct Satisfied {
    pk_parent: Option<String>,
    job: String,
    layer: Option<String>,
    frame: Option<String>,
    kind: String,
}

/// The frame that ended well.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub frame: String,
    pub layer: String,
    pub job: String,
}

/// Ends the dependencies on this frame and, if they have ended as a whole, on its layer and its job.
pub(super) async fn satisfy(cuebot: &Cuebot, ended: &Ended) -> Result<(), sqlx::Error> {
    attempt(cuebot, Some(ended)).await
}

/// Ends the dependencies that were overlooked.
pub(super) async fn satisfy_stuck(cuebot: &Cuebot) -> Result<(), sqlx::Error> {
    attempt(cuebot, None).await
}

async fn attempt(cuebot: &Cuebot, ended: Option<&Ended>) -> Result<(), sqlx::Error> {
    let mut retry = Retry::new(&cuebot.counts);
    loop {
        match attempt_once(cuebot, ended).await {
            Ok(count) => {
                cuebot.counts.dependencies_satisfied.add(count);
                return Ok(());
            }
            Err(error) => retry.again(error).await?,
        }
    }
}

async fn attempt_once(cuebot: &Cuebot, ended: Option<&Ended>) -> Result<u64, sqlx::Error> {
    let mut transaction = cuebot.pool.begin().await?;
    let satisfied: Vec<Satisfied> = match ended {
        Some(ended) => {
            sqlx::query_as(include_str!("queries/depends/satisfy.sql"))
                .bind(&ended.frame)
                .bind(&ended.layer)
                .bind(&ended.job)
                .fetch_all(&mut *transaction)
                .await?
        }
        None => sqlx::query_as(include_str!("queries/depends/satisfy_stuck.sql")).fetch_all(&mut *transaction).await?,
    };
    if satisfied.is_empty() {
        return Ok(0);
    }
    let_go(&mut transaction, &satisfied).await?;
    transaction.commit().await?;
    Ok(satisfied.len() as u64)
}

async fn let_go(connection: &mut PgConnection, satisfied: &[Satisfied]) -> Result<(), sqlx::Error> {
    let (mut frames, mut layers, mut jobs, mut parents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for depend in satisfied {
        parents.extend(depend.pk_parent.as_deref());
        match depend.kind.as_str() {
            "FRAME_ON_FRAME" => frames.extend(depend.frame.as_deref()),
            "LAYER_ON_LAYER" => layers.extend(depend.layer.as_deref()),
            _ => jobs.push(depend.job.as_str()),
        }
    }
    sqlx::query(include_str!("queries/depends/release_frames.sql"))
        .bind(&frames)
        .bind(&layers)
        .bind(&jobs)
        .execute(&mut *connection)
        .await?;
    if !parents.is_empty() {
        sqlx::query(include_str!("queries/depends/close_parents.sql")).bind(&parents).execute(connection).await?;
    }
    Ok(())
}
