//! Caps: which change of a counter is refused, in which words, and how a counter is set above its cap all the same.

use crate::farm::{Farm, Refused};

fn raised(text: &str) -> Refused {
    Refused { code: "P0001".to_owned(), text: text.to_owned() }
}

async fn check(cases: &[(&str, &str, Option<&str>)]) {
    for (before, change, text) in cases {
        let farm = Farm::new().await;
        farm.run(before).await;
        assert_eq!(farm.attempt(change).await.err(), text.map(raised), "{before} {change}");
    }
}

#[tokio::test]
async fn a_job_can_not_rise_above_its_maxima() {
    const CORES: Option<&str> = Some("job has exceeded max cores");
    const GPUS: Option<&str> = Some("job has exceeded max GPU units");
    const CAPPED: &str = "UPDATE job_resource SET int_max_cores = 400, int_max_gpus = 2";
    const NONE: &str = "UPDATE job_resource SET int_max_cores = -1, int_max_gpus = -1";
    const OVER: &str = "UPDATE job_resource SET int_max_cores = 400, int_cores = 500";
    check(&[
        (CAPPED, "UPDATE job_resource SET int_cores = 400, int_gpus = 2", None),
        (CAPPED, "UPDATE job_resource SET int_cores = 401", CORES),
        (CAPPED, "UPDATE job_resource SET int_gpus = 3", GPUS),
        (CAPPED, "UPDATE job_resource SET int_cores = 401, int_gpus = 3", CORES),
        // Minus one means no cap elsewhere; here nothing may rise.
        (NONE, "UPDATE job_resource SET int_cores = 1", CORES),
        (NONE, "UPDATE job_resource SET int_gpus = 1", CORES),
        // One that is over its cap may fall, and may rise when its cap changes in the same statement.
        (OVER, "UPDATE job_resource SET int_cores = 450", None),
        (OVER, "UPDATE job_resource SET int_cores = 600, int_max_cores = 399", None),
        // Both amounts are looked at, whichever rises.
        (OVER, "UPDATE job_resource SET int_gpus = 1", CORES),
    ])
    .await;
}

#[tokio::test]
async fn a_subscription_can_not_rise_above_its_burst() {
    const BURST: Option<&str> = Some("subscription has exceeded burst size");
    check(&[
        ("", "UPDATE subscription SET int_cores = 2000", None),
        ("", "UPDATE subscription SET int_cores = 2001", BURST),
        ("UPDATE subscription SET int_burst = 0", "UPDATE subscription SET int_cores = 1", BURST),
        ("UPDATE subscription SET int_burst = 5, int_cores = 9", "UPDATE subscription SET int_cores = 8", None),
        (
            "UPDATE subscription SET int_burst = 5, int_cores = 9",
            "UPDATE subscription SET int_cores = 10, int_burst = 6",
            None,
        ),
        // GPUs have no cap here.
        ("", "UPDATE subscription SET int_gpus = 1000000", None),
    ])
    .await;
}

#[tokio::test]
async fn folders_and_points_refuse_nothing() {
    check(&[
        (
            "UPDATE folder_resource SET int_max_cores = 100, int_max_gpus = 1",
            "UPDATE folder_resource SET int_cores = 900, int_gpus = 9",
            None,
        ),
        ("", "UPDATE point SET int_cores = 900, int_gpus = 9", None),
    ])
    .await;
}

#[tokio::test]
async fn a_counter_set_above_its_cap_by_two_complements_leaves_the_cap_as_it_was() {
    let farm = Farm::new().await;
    let set = "
        UPDATE subscription SET int_cores = 5000, int_burst = ~int_burst;
        UPDATE subscription SET int_burst = ~int_burst;
        UPDATE job_resource SET int_cores = 50000, int_gpus = 500, int_max_cores = ~int_max_cores, int_max_gpus = ~int_max_gpus;
        UPDATE job_resource SET int_max_cores = ~int_max_cores, int_max_gpus = ~int_max_gpus;";
    // A cap of -1 is the one whose complement is the other special value.
    for caps in ["int_max_cores = 10000, int_max_gpus = 100", "int_max_cores = -1, int_max_gpus = 0"] {
        farm.run(&format!("UPDATE job_resource SET int_cores = 0, int_gpus = 0, {caps}")).await;
        let asked = "SELECT int_max_cores, int_max_gpus FROM job_resource";
        let before = farm.row(asked).await;
        farm.run(set).await;
        assert_eq!(farm.row(asked).await, before);
        assert_eq!(farm.row("SELECT int_cores, int_gpus FROM job_resource").await, "50000 500");
    }
    assert_eq!(farm.row("SELECT int_cores, int_burst FROM subscription WHERE pk_show = 'show'").await, "5000 2000");
}

#[tokio::test]
async fn tiers_follow_the_counters() {
    let cases = [
        ("job_resource", "int_cores = 300, int_min_cores = 0", "4.00"),
        ("job_resource", "int_cores = 0, int_min_cores = 100", "-100.00"),
        ("job_resource", "int_cores = 50, int_min_cores = 200", "0.25"),
        ("subscription", "int_cores = 500, int_size = 0", "6.00"),
        ("subscription", "int_cores = 0, int_size = 1000", "-1000.00"),
        ("subscription", "int_cores = 1500, int_size = 1000", "1.50"),
        ("folder_resource", "int_cores = 300, int_min_cores = 0", "1.00"),
        ("folder_resource", "int_cores = 0, int_min_cores = 100", "-100.00"),
        ("folder_resource", "int_cores = 300, int_min_cores = 100", "1.00"),
        ("folder_resource", "int_cores = 50, int_min_cores = 100", "0.50"),
        ("point", "int_cores = 25, int_min_cores = 100", "0.25"),
    ];
    let farm = Farm::new().await;
    for (table, change, tier) in cases {
        farm.run(&format!("UPDATE {table} SET {change}")).await;
        assert_eq!(farm.texts(&format!("SELECT DISTINCT float_tier FROM {table}")).await, [tier], "{table} {change}");
    }
}

#[tokio::test]
async fn counters_of_shows_that_cuebot_books_are_recounted_from_procs_past_the_burst() {
    let farm = Farm::new().await;
    farm.run(crate::farm::PROC).await;
    farm.run(
        "
        INSERT INTO proc (pk_proc, pk_host, pk_show, b_local, int_cores_reserved, int_mem_reserved)
        VALUES ('local', 'host', 'show', true, 100, 1);
        UPDATE subscription SET int_burst = 100, int_cores = 7, int_gpus = 7;",
    )
    .await;
    let asked = "SELECT int_cores, int_gpus, int_burst FROM subscription WHERE pk_show = 'show'";
    farm.run("UPDATE show SET b_scheduler_managed = true; SELECT recalculate_subs();").await;
    assert_eq!(farm.row(asked).await, "7 7 100", "a managed show is left alone");
    farm.run("UPDATE show SET b_scheduler_managed = false; SELECT recalculate_subs();").await;
    assert_eq!(farm.row(asked).await, "200 1 100");
}
