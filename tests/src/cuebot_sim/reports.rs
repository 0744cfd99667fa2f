//! Reports of hosts: who they are, how they fare, which frames they run.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cue_scheduler_proto::host::HardwareState;
use cue_scheduler_proto::report::{BootReport, HostReport, RenderHost, RunningFrameInfo};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::retry::Retry;
use super::{Cuebot, lock};

/// The attribute in which agents tell their operating system.
const OS_ATTRIBUTE: &str = "SP_OS";

/// An agent started.
pub(super) async fn boot(cuebot: &Cuebot, report: &BootReport) -> Result<(), sqlx::Error> {
    cuebot.counts.boot_reports.one();
    let Some(host) = &report.host else { return Ok(()) };
    let Some(id) = find_or_create(cuebot, host).await? else { return Ok(()) };
    update_stat(cuebot, &id, host, true).await?;
    let mut transaction = cuebot.pool.begin().await?;
    reset_if_unused(&mut transaction, &id, host).await?;
    sqlx::query(include_str!("queries/reports/delete_hardware_tags.sql")).bind(&id).execute(&mut *transaction).await?;
    for tag in &host.tags {
        insert_tag(&mut transaction, &id, tag, "HARDWARE").await?;
    }
    transaction.commit().await
}

/// A host tells how it fares and what it runs.
pub(super) async fn status(cuebot: &Cuebot, report: &HostReport) -> Result<(), sqlx::Error> {
    cuebot.counts.host_reports.one();
    let Some(host) = &report.host else { return Ok(()) };
    let Some(id) = find_or_create(cuebot, host).await? else { return Ok(()) };
    update_stat(cuebot, &id, host, false).await?;
    ping(cuebot, host, &report.frames).await?;
    if cuebot.idle_memory.is_open() {
        sqlx::query(include_str!("queries/reports/reset_idle_memory.sql")).bind(&id).execute(&cuebot.pool).await?;
    }
    Ok(())
}

/// `None`: there is no allocation to put it in.
async fn find_or_create(cuebot: &Cuebot, host: &RenderHost) -> Result<Option<String>, sqlx::Error> {
    let find = || sqlx::query_scalar(include_str!("queries/reports/find_host.sql")).bind(&host.name);
    if let Some(id) = find().fetch_optional(&cuebot.pool).await? {
        return Ok(Some(id));
    }
    let alloc: Option<(String, Option<String>)> = sqlx::query_as(include_str!("queries/reports/default_alloc.sql"))
        .bind(&host.facility)
        .bind(&cuebot.config.default_allocation)
        .fetch_optional(&cuebot.pool)
        .await?;
    let Some((alloc, tag)) = alloc else {
        cuebot.counts.failures.one();
        tracing::error!(
            "host {} is new, and facility `{}` has no allocation for it; mark one as default, or name one",
            host.name,
            host.facility
        );
        return Ok(None);
    };
    let id = Uuid::new_v4().to_string();
    let size = Size::of(host);
    let mut transaction = cuebot.pool.begin().await?;
    let inserted = sqlx::query(include_str!("queries/reports/insert_host.sql"))
        .bind(&id)
        .bind(&alloc)
        .bind(&host.name)
        .bind(host.nimby_locked)
        .bind(host.nimby_enabled)
        .bind(i64::from(host.num_procs))
        .bind(size.cores)
        .bind(size.memory)
        .bind(size.gpus)
        .bind(size.gpu_memory)
        .execute(&mut *transaction)
        .await?;
    if inserted.rows_affected() == 0 {
        // Its other first report was faster.
        return find().fetch_optional(&cuebot.pool).await;
    }
    sqlx::query(include_str!("queries/reports/insert_host_stat.sql"))
        .bind(&id)
        .bind(os(host))
        .execute(&mut *transaction)
        .await?;
    if let Some(tag) = &tag {
        insert_tag(&mut transaction, &id, tag, "ALLOC").await?;
    }
    insert_tag(&mut transaction, &id, &host.name, "HOSTNAME").await?;
    for tag in &host.tags {
        insert_tag(&mut transaction, &id, tag, "HARDWARE").await?;
    }
    transaction.commit().await?;
    cuebot.counts.hosts_created.one();
    Ok(Some(id))
}

async fn insert_tag(connection: &mut PgConnection, host: &str, tag: &str, kind: &str) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("queries/reports/insert_tag.sql"))
        .bind(Uuid::new_v4().to_string())
        .bind(host)
        .bind(tag)
        .bind(kind)
        .bind(kind != "HARDWARE")
        .execute(connection)
        .await?;
    Ok(())
}

/// What a host has, in the units of its columns. Its cores are sockets times cores of each, not what `core_info` says.
struct Size {
    cores: i64,
    memory: i64,
    gpus: i64,
    gpu_memory: i64,
}

impl Size {
    fn of(host: &RenderHost) -> Self {
        Self {
            cores: i64::from(host.num_procs) * i64::from(host.cores_per_proc),
            memory: host.total_mem,
            gpus: i64::from(host.num_gpus),
            gpu_memory: host.total_gpu_mem,
        }
    }
}

fn os(host: &RenderHost) -> &str {
    host.attributes.get(OS_ATTRIBUTE).map_or("", String::as_str)
}

async fn reset_if_unused(connection: &mut PgConnection, id: &str, host: &RenderHost) -> Result<(), sqlx::Error> {
    let size = Size::of(host);
    sqlx::query(include_str!("queries/reports/lock_host.sql")).bind(id).execute(&mut *connection).await?;
    sqlx::query(include_str!("queries/reports/reset_host.sql"))
        .bind(id)
        .bind(host.nimby_enabled)
        .bind(i64::from(host.num_procs))
        .bind(size.cores)
        .bind(size.memory)
        .bind(size.gpus)
        .bind(size.gpu_memory)
        .execute(connection)
        .await?;
    Ok(())
}

async fn update_stat(cuebot: &Cuebot, id: &str, host: &RenderHost, boot: bool) -> Result<(), sqlx::Error> {
    let state = HardwareState::try_from(host.state).unwrap_or(HardwareState::Up);
    sqlx::query(include_str!("queries/reports/update_host_stat.sql"))
        .bind(id)
        .bind(host.total_mem)
        .bind(host.free_mem)
        .bind(host.total_swap)
        .bind(host.free_swap)
        .bind(host.total_mcp)
        .bind(host.free_mcp)
        .bind(host.total_gpu_mem)
        .bind(host.free_gpu_mem)
        .bind(i64::from(host.load))
        .bind(f64::from(host.boot_time))
        .bind(os(host))
        .bind(state.as_str_name())
        .bind(boot)
        .execute(&cuebot.pool)
        .await?;
    sqlx::query(include_str!("queries/reports/set_nimby.sql"))
        .bind(id)
        .bind(host.nimby_locked)
        .execute(&cuebot.pool)
        .await?;
    Ok(())
}

#[derive(FromRow)]
struct Holder {
    pk_proc: String,
    pk_frame: Option<String>,
    int_mem_reserved: i64,
}

/// Notes that the frames of a report live, lets their memory grow, and sees to those that should not run.
async fn ping(cuebot: &Cuebot, host: &RenderHost, frames: &[RunningFrameInfo]) -> Result<(), sqlx::Error> {
    if frames.is_empty() {
        return Ok(());
    }
    let resources: Vec<&str> = frames.iter().map(|frame| frame.resource_id.as_str()).collect();
    let holders: Vec<Holder> =
        sqlx::query_as(include_str!("queries/reports/find_procs.sql")).bind(&resources).fetch_all(&cuebot.pool).await?;
    let mut alive: Vec<&RunningFrameInfo> = Vec::new();
    for frame in frames {
        match holders.iter().find(|holder| holder.pk_proc == frame.resource_id) {
            Some(holder) if holder.pk_frame.as_deref() == Some(frame.frame_id.as_str()) => {
                alive.push(frame);
                if frame.rss > holder.int_mem_reserved {
                    grow_memory(cuebot, frame).await?;
                }
            }
            holder => see_to_stranger(cuebot, host, frame, holder.is_some()).await,
        }
    }
    let column = |value: fn(&RunningFrameInfo) -> i64| alive.iter().map(|frame| value(frame)).collect::<Vec<i64>>();
    let ids: Vec<&str> = alive.iter().map(|frame| frame.frame_id.as_str()).collect();
    let procs: Vec<&str> = alive.iter().map(|frame| frame.resource_id.as_str()).collect();
    let mut retry = Retry::new(&cuebot.counts);
    loop {
        let frames = sqlx::query(include_str!("queries/reports/ping_frames.sql"))
            .bind(&ids)
            .bind(column(|frame| frame.rss))
            .bind(column(|frame| frame.max_rss))
            .bind(column(|frame| frame.llu_time))
            .execute(&cuebot.pool);
        let procs = sqlx::query(include_str!("queries/reports/ping_procs.sql"))
            .bind(&procs)
            .bind(&ids)
            .bind(column(|frame| frame.rss))
            .bind(column(|frame| frame.max_rss))
            .execute(&cuebot.pool);
        // One after the other, each on its own, as Cuebot writes them.
        let pinged = match frames.await {
            Ok(_) => procs.await,
            Err(error) => Err(error),
        };
        match pinged {
            Ok(_) => return Ok(()),
            Err(error) => retry.again(error).await?,
        }
    }
}

/// A host that has no memory left refuses through a trigger (P0001). Cuebot then balances or kills; here the reservation stays.
async fn grow_memory(cuebot: &Cuebot, frame: &RunningFrameInfo) -> Result<(), sqlx::Error> {
    let grown = sqlx::query(include_str!("queries/reports/grow_memory.sql"))
        .bind(&frame.resource_id)
        .bind(frame.rss)
        .execute(&cuebot.pool)
        .await;
    match grown {
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == "P0001") => Ok(()),
        other => other.map(|_| ()),
    }
}

/// A frame that runs without its proc: killed at once if the proc is there and holds another frame or none; killed after a grace
/// if there is no proc at all, since a booking or its undoing may be under way.
async fn see_to_stranger(cuebot: &Cuebot, host: &RenderHost, frame: &RunningFrameInfo, proc_exists: bool) {
    cuebot.counts.strangers_running.one();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Duration::from_millis(frame.start_time.try_into().unwrap_or_default());
    let in_grace = !proc_exists && now.saturating_sub(started) < cuebot.config.kill_grace;
    if let (false, Some(agents)) = (in_grace, &cuebot.agents) {
        cuebot.counts.kills.one();
        let outcome = agents.kill(&host.name, &frame.frame_id, "no booking holds this frame").await;
        tracing::info!(frame.id = frame.frame_id, host.name = host.name, ?outcome, "killed a frame without a booking");
    }
}

/// Lets one report through each time the interval has passed.
pub(super) struct IdleMemoryWindow {
    interval: Option<Duration>,
    /// Never held over an await.
    last: Mutex<Option<Instant>>,
}

impl IdleMemoryWindow {
    pub fn new(interval: Option<Duration>) -> Self {
        Self { interval, last: Mutex::default() }
    }

    fn is_open(&self) -> bool {
        let Some(interval) = self.interval else { return false };
        let mut last = lock(&self.last);
        let open = last.is_none_or(|last| last.elapsed() >= interval);
        if open {
            *last = Some(Instant::now());
        }
        open
    }
}
