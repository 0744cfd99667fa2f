//! What nobody reports any more.

use std::time::Duration;

use testbed::cuebot_sim::{CuebotConfig, Sweeps};

use crate::farm::{Farm, PROCS, wait_for};

#[tokio::test]
async fn sweeps_give_up_what_nobody_reports() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let silent = farm.book("plain/comp", 0).await;
    let alive = farm.book("plain/comp", 1).await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.number(PROCS).await, 2, "nothing is old yet");
    sqlx::query("UPDATE proc SET ts_ping = ts_ping - interval '301 s' WHERE pk_proc = $1")
        .bind(&silent.proc)
        .execute(&farm.pool)
        .await
        .unwrap();
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&silent.frame).await, ("WAITING".to_owned(), 301, 0));
    assert_eq!(farm.state(&alive.frame).await.0, "RUNNING");
    farm.assert_clean().await;

    farm.execute("UPDATE host_stat SET ts_ping = ts_ping - interval '301 s'").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&alive.frame).await, ("WAITING".to_owned(), 399, 0));
    assert_eq!(farm.number("SELECT count(*) FROM host_stat WHERE str_state = 'DOWN'").await, 1);
    farm.assert_clean().await;

    let orphan = farm.book("old/comp", 0).await;
    farm.execute("UPDATE frame SET ts_updated = now() - interval '301 s' WHERE str_state = 'RUNNING'").await;
    farm.execute("UPDATE host SET int_cores_idle = int_cores, int_mem_idle = int_mem").await;
    farm.execute("DELETE FROM proc").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&orphan.frame).await, ("WAITING".to_owned(), 301, 0));
    let counts = farm.sim.counts();
    assert_eq!((counts.lost_procs, counts.orphaned_frames), (2, 1));
    farm.complete(&silent, 0).await;
    assert_eq!(farm.state(&silent.frame).await.0, "WAITING", "a late report of a lost proc ends nothing");
}

#[tokio::test]
async fn a_sweep_runs_by_time_and_finds_dependencies_that_were_overlooked() {
    let interval = Duration::from_millis(20);
    let sweeps = Some(Sweeps { interval, ..Sweeps::default() });
    let farm = Farm::new(CuebotConfig { sweeps, ..CuebotConfig::default() }).await;
    farm.execute("UPDATE frame SET str_state = 'SUCCEEDED' WHERE str_name LIKE '%-sim'").await;
    wait_for("mesh goes on", || async { farm.states("chain/mesh").await == ["WAITING", "WAITING"] }).await;
    farm.assert_clean().await;
}

#[tokio::test]
async fn a_lost_proc_whose_agent_cannot_be_asked_is_kept_and_its_frame_parked_in_the_end() {
    // Nobody listens at this port.
    let mut farm = Farm::new(CuebotConfig { agent_port: Some(9), ..CuebotConfig::default() }).await;
    let run = farm.book("plain/comp", 0).await;
    farm.execute("UPDATE host SET str_name = '127.0.0.1'").await;
    farm.execute("UPDATE proc SET ts_ping = ts_ping - interval '301 s'").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&run.frame).await.0, "RUNNING");
    farm.execute("UPDATE proc SET ts_ping = ts_ping - interval '20 min'").await;
    farm.sim.sweep().await.unwrap();
    assert_eq!(farm.state(&run.frame).await, ("DEAD".to_owned(), 301, 0));
    farm.assert_clean().await;
    farm.complete(&run, 0).await;
    assert_eq!(farm.state(&run.frame).await.0, "DEAD");
}
