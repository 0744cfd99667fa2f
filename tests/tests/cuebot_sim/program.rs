//! The stand-in as a program.

use std::process::Stdio;

use cue_scheduler_proto::report::rqd_report_interface_client::RqdReportInterfaceClient;
use cue_scheduler_proto::report::{BootReport, RqdReportRqdStartupRequest};
use testbed::loader::description::FarmDescription;
use testbed::loader::load;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::farm::{FARM, new_database, number, wait_for, wolf};

#[tokio::test]
async fn the_program_serves_the_database_that_it_is_given_and_ends_when_told() {
    let database = new_database().await;
    let pool = database.pool().await.unwrap();
    load(&pool, &FarmDescription::from_yaml(FARM).unwrap()).await.unwrap();
    let target = database.target(1);
    let url = format!("postgres://{}@{}:{}/{}", target.user, target.host, target.port, target.database);
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_cuebot-sim"))
        .args(["--listen", "127.0.0.1:0", "--generation", "b1", "--bookers", "1", "--run-for", "0"])
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let listening = lines.next_line().await.unwrap().unwrap();
    let address = listening.strip_prefix("listening on ").unwrap();
    let mut client = RqdReportInterfaceClient::connect(format!("http://{address}")).await.unwrap();
    let boot_report = Some(BootReport { host: Some(wolf()), ..BootReport::default() });
    client.report_rqd_startup(RqdReportRqdStartupRequest { boot_report }).await.unwrap();
    wait_for("the program's own booking", || async { number(&pool, "SELECT count(*) FROM proc").await == 1 }).await;
    let pid = rustix::process::Pid::from_raw(program.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let summary = lines.next_line().await.unwrap().unwrap();
    assert!(program.wait().await.unwrap().success());
    assert!(summary.contains("boot reports 1") && summary.contains("bookings 1"), "{summary}");
}
