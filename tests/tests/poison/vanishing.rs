//! Rows that vanish under way: between the reading and the booking, and between the booking and the launch.

use cue_scheduler::booking::{DatabaseLedger, still_held, undo};
use cue_scheduler::launch::Ledger as _;
use cue_scheduler::store::Store;
use cue_scheduler_core::domain::amount::{Centicores, Resources};
use cue_scheduler_core::launch::Hold;

use super::world::{Sick, World};

/// Everything of a job but the rows of other things.
const OF_JOB: [&str; 8] = ["proc", "frame", "layer_stat", "layer_resource", "layer", "job_stat", "job_resource", "job"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_hosts_and_caps_may_vanish_while_they_are_planned_and_booked() {
    let names = |what: &str, count: usize| (0..count).map(|at| format!("{what}-{at}")).collect::<Vec<_>>();
    let sick = Sick { jobs: names("gone", 40), hosts: names("away", 40), shows: names("ended", 20) };
    let world = World::new(&sick).await;
    // What is deleted here was read before, in this pass or the one before: the loop reads and books all the time.
    let vanish = async {
        for at in 0..40 {
            let job = format!("(SELECT pk_job FROM job WHERE str_name = 'gone-{at}')");
            let mut gone: Vec<String> =
                OF_JOB.iter().map(|table| format!("DELETE FROM {table} WHERE pk_job = {job}")).collect();
            gone.extend([
                format!("DELETE FROM folder_resource WHERE pk_folder IN (SELECT pk_folder FROM folder WHERE str_name = 'gone-{at}')"),
                format!("DELETE FROM limit_record WHERE str_name = 'gone-{at}'"),
                format!("DELETE FROM host_stat WHERE pk_host = (SELECT pk_host FROM host WHERE str_name = 'away-{at}')"),
                format!("DELETE FROM host WHERE str_name = 'away-{at}'"),
                format!("DELETE FROM subscription WHERE pk_show IN (SELECT pk_show FROM show WHERE str_name = 'ended-{at}')"),
                format!("DELETE FROM point WHERE pk_show IN (SELECT pk_show FROM show WHERE str_name = 'ended-{at}')"),
            ]);
            world.vanish(&gone).await;
        }
    };
    let (heard, ()) = tokio::join!(
        world
            .schedule_until(
                async |world| world.number("SELECT count(*) FROM host WHERE str_name LIKE 'away-%'").await == 0
            ),
        vanish
    );
    println!("refused: {}; repeated: {:?}", heard.refusals, heard.retries);
    assert!(heard.errors.is_empty(), "{:#?}", heard.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vanished_after_its_booking_is_neither_held_nor_undone_and_no_error() {
    let world = World::new(&Sick { jobs: vec!["gone".to_owned()], ..Sick::default() }).await;
    world.schedule_until(async |world| world.running().await.contains_key("gone")).await;
    let rows: Vec<(String, String, i32, String, String)> = sqlx::query_as(
        "SELECT pk_proc, pk_frame, int_version, pk_host, host.str_name
         FROM proc JOIN frame USING (pk_frame) JOIN host USING (pk_host) JOIN job ON job.pk_job = frame.pk_job
         WHERE job.str_name = 'gone'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let holds: Vec<Hold> = rows
        .into_iter()
        .map(|(proc, frame, version, host, name)| Hold {
            proc: proc.into(),
            frame: frame.into(),
            frame_version: version,
            host: host.into(),
            host_name: name.into(),
            show_name: "ill".into(),
            size: Resources { cores: Centicores::CORE, ..Resources::default() },
        })
        .collect();
    assert!(!holds.is_empty());
    let store = Store::on(world.pool.clone());
    assert_eq!(still_held(&store, &holds).await.unwrap().len(), holds.len());

    let job = "(SELECT pk_job FROM job WHERE str_name = 'gone')";
    world.write(&OF_JOB.map(|table| format!("DELETE FROM {table} WHERE pk_job = {job}"))).await;
    assert_eq!(still_held(&store, &holds).await.unwrap(), []);
    assert_eq!(undo(&store, &holds).await.unwrap(), []);
    assert!(DatabaseLedger(store).undo(&holds).await.is_ok());
}
