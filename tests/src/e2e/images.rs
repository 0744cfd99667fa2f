//! The images, built from the Dockerfiles.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::debian::Unpacked;
use crate::harness::scheduler::program;

/// The programs, which are also the names of their images.
pub const PROGRAMS: [&str; 2] = ["cue-scheduler", "cue-scheduler-operator"];

/// Builds both; with programs that were built before, unless they are to be built inside.
pub fn build(inside: bool) -> anyhow::Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    if !inside {
        for name in PROGRAMS {
            let status = Command::new("strip").arg("-o").arg(folder.join(name)).arg(program(name)?).status();
            ensure!(status.context("running strip, of binutils")?.success(), "strip {name} failed");
        }
    }
    let buildah = Unpacked::get("buildah", &["buildah"])?;
    let status = Command::new(root().join("packaging/images.sh"))
        .env("BINARY_STAGE", if inside { "build" } else { "prebuilt" })
        .env("PATH", buildah.path()?)
        .env("LD_LIBRARY_PATH", buildah.libraries()?)
        .status()
        .context("running packaging/images.sh")?;
    ensure!(status.success(), "packaging/images.sh failed");
    Ok(())
}

/// What was built.
pub fn archives() -> anyhow::Result<Vec<PathBuf>> {
    let archives: Vec<PathBuf> = PROGRAMS.iter().map(|name| folder().join(format!("{name}.tar"))).collect();
    for archive in &archives {
        ensure!(archive.is_file(), "{} was not built", archive.display());
    }
    Ok(archives)
}

/// The root of the repository.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Where packaging/images.sh works.
fn folder() -> PathBuf {
    root().join("target/images")
}
