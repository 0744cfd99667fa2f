//! Hosts that tell of themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cue_scheduler_proto::report::{RenderHost, RunningFrameInfo};
use testbed::auditor::audit;
use testbed::cuebot_sim::CuebotConfig;

use crate::farm::{Farm, IDLE_CORES, Run, wolf};

#[tokio::test]
async fn a_host_that_nobody_knows_is_created_with_its_tags_where_strangers_go() {
    for (allocation, named) in [("local.lobby", None), ("local.general", Some("local.general".to_owned()))] {
        let config = CuebotConfig { default_allocation: named, ..CuebotConfig::default() };
        let mut farm = Farm::new(config).await;
        let attributes = [("SP_OS".to_owned(), "rocky9".to_owned())].into();
        let fox = RenderHost { name: "fox".to_owned(), tags: vec!["fast".to_owned()], attributes, ..wolf() };
        farm.boot(fox.clone()).await;
        farm.report(fox.clone(), Vec::new()).await;
        farm.boot(RenderHost { tags: vec!["slow".to_owned()], ..fox }).await;
        let host: (String, i64, i64, i64, String, String, String) = sqlx::query_as(
            "SELECT alloc.str_name, int_cores_idle, int_mem_idle, int_gpus_idle, str_lock_state, str_state, str_os
             FROM host JOIN alloc USING (pk_alloc) JOIN host_stat USING (pk_host) WHERE host.str_name = 'fox'",
        )
        .fetch_one(&farm.pool)
        .await
        .unwrap();
        let (open, up, os) = ("OPEN".to_owned(), "UP".to_owned(), "rocky9".to_owned());
        assert_eq!(host, (allocation.to_owned(), 1600, 64 << 20, 4, open, up, os));
        let tags: Vec<(String, String)> = sqlx::query_as(
            "SELECT str_tag_type, str_tag FROM host_tag JOIN host USING (pk_host) WHERE str_name = 'fox' ORDER BY 1",
        )
        .fetch_all(&farm.pool)
        .await
        .unwrap();
        let pool_tag = allocation.trim_start_matches("local.");
        let expected = [("ALLOC", pool_tag), ("HARDWARE", "slow"), ("HOSTNAME", "fox")];
        assert_eq!(tags, expected.map(|(kind, tag)| (kind.to_owned(), tag.to_owned())));
        assert_eq!(farm.sim.counts().hosts_created, 1);
        farm.assert_clean().await;
    }
}

#[tokio::test]
async fn a_boot_heals_an_empty_host_and_spares_one_that_is_booked() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    farm.execute("UPDATE host SET int_cores_idle = 100").await;
    farm.boot(wolf()).await;
    assert_eq!(farm.number(IDLE_CORES).await, 1600);
    farm.book("plain/comp", 0).await;
    farm.boot(wolf()).await;
    assert_eq!(farm.number(IDLE_CORES).await, 1400);
    farm.assert_clean().await;
}

#[tokio::test]
async fn a_host_report_tells_that_host_and_frames_live_and_what_they_use() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let run = farm.book("plain/comp", 0).await;
    farm.execute("UPDATE host_stat SET ts_ping = ts_ping - interval '1 h', str_state = 'DOWN'").await;
    farm.execute("UPDATE proc SET ts_ping = ts_ping - interval '1 h'").await;
    let frame = RunningFrameInfo { rss: 3 << 20, max_rss: 3 << 20, llu_time: 1_700_000_000, ..run.info() };
    farm.report(RenderHost { nimby_locked: true, ..wolf() }, vec![frame]).await;
    let fresh = "SELECT count(*) FROM proc JOIN host_stat USING (pk_host)
                 WHERE proc.ts_ping > now() - interval '1 min' AND host_stat.ts_ping > now() - interval '1 min'
                   AND host_stat.str_state = 'UP'";
    assert_eq!(farm.number(fresh).await, 1);
    assert_eq!(farm.number("SELECT int_mem_used FROM frame WHERE str_state = 'RUNNING'").await, 3 << 20);
    // It asked for 2 GiB and uses 3: the host has less idle from now on.
    assert_eq!(farm.number("SELECT int_mem_reserved FROM proc").await, 3 << 20);
    assert_eq!(farm.number("SELECT int_mem_idle FROM host").await, 61 << 20);
    assert_eq!(farm.number("SELECT count(*) FROM host WHERE str_lock_state = 'NIMBY_LOCKED'").await, 1);
    farm.report(wolf(), Vec::new()).await;
    assert_eq!(farm.number("SELECT count(*) FROM host WHERE str_lock_state = 'OPEN'").await, 1);
    farm.complete(&run, 0).await;
    farm.assert_clean().await;
}

#[tokio::test]
async fn idle_memory_that_was_lost_is_found_by_a_report() {
    let config = CuebotConfig { idle_memory_reset: Some(Duration::from_hours(1)), ..CuebotConfig::default() };
    let mut farm = Farm::new(config).await;
    farm.book("plain/comp", 0).await;
    farm.execute("UPDATE host SET int_mem_idle = int_mem_idle - 1000").await;
    farm.report(wolf(), Vec::new()).await;
    farm.assert_clean().await;
    farm.execute("UPDATE host SET int_mem_idle = int_mem_idle - 1000").await;
    farm.report(wolf(), Vec::new()).await;
    assert_eq!(audit(&farm.pool).await.unwrap().hosts.len(), 1, "the next window is an hour away");
}

#[tokio::test]
async fn a_frame_that_runs_without_a_booking_is_noticed() {
    let mut farm = Farm::new(CuebotConfig::default()).await;
    let start_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let stranger = Run { frame: farm.frame("plain/comp", 0), proc: "no such proc".to_owned() };
    farm.report(wolf(), vec![RunningFrameInfo { start_time, ..stranger.info() }]).await;
    let counts = farm.sim.counts();
    assert_eq!((counts.strangers_running, counts.kills), (1, 0));
}
