//! Each benchmark runs and tells its figures, on a farm so small that they mean nothing.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

use std::time::Instant;

use clap::ValueEnum as _;
use testbed::bench::{Scale, Scenario, table, write};

#[tokio::test(flavor = "multi_thread")]
async fn every_benchmark_runs_and_tells_its_figures() {
    let scale = Scale { size: 0.02, pairs: 1 };
    let mut figures = Vec::new();
    for scenario in Scenario::value_variants() {
        let name = scenario.to_possible_value().unwrap().get_name().to_owned();
        let began = Instant::now();
        let of_scenario = scenario.run(scale).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(!of_scenario.is_empty() && of_scenario.iter().all(|figure| figure.scenario == name), "{of_scenario:?}");
        println!("{name}: {:.0} s", began.elapsed().as_secs_f64());
        figures.extend(of_scenario);
    }
    print!("{}", table(&figures));
    for figure in &figures {
        assert!(figure.figure.is_finite() && figure.figure >= 0.0, "{figure:?}");
        assert!(figure.baseline.is_none_or(|baseline| baseline > 0.0), "{figure:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    write(&figures, folder.path()).unwrap();
    let results = std::fs::read_to_string(folder.path().join("results.json")).unwrap();
    let results: Vec<serde_json::Value> = serde_json::from_str(&results).unwrap();
    assert_eq!(results.len(), figures.len());
    assert!(results.iter().all(|result| result["scenario"].is_string() && result["figure"].is_number()));
}
