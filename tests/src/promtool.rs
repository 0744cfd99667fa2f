//! The real `promtool`, which says whether rules and queries are sound and what rules come to.

use std::ffi::OsStr;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::debian::{Program, Source};

const SOURCE: Source =
    Source { program: "promtool", variable: "PROMTOOL", packages: &["prometheus"], place: "usr/bin/promtool" };

/// What it says to these arguments. An error, with what it said, if it is not content.
pub async fn promtool<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> anyhow::Result<String> {
    let program = Program::find(&SOURCE).await?;
    let mut command = Command::new(&program.path);
    let output = program.with_libraries(&mut command).args(arguments).output().await.context("running promtool")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(said)
}
