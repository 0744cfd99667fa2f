//! docs/operations/kubernetes.md, as a reader would follow it: its files are written, its commands run in order.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::control_plane::ControlPlane;
use crate::operator::{Operator, keep_pods_ready};

/// Blocks of a page in a language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_command_of_the_guide_works() {
    let plane = ControlPlane::running();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/operations/kubernetes.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["crds", "charts"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).unwrap();
    }
    for block in blocks(&page, "yaml") {
        let name = block.lines().next().unwrap().strip_prefix("# ").expect("a file begins with its name");
        fs::write(folder.path().join(name), block).unwrap();
    }
    let ours = Path::new(env!("CARGO_BIN_EXE_cue-scheduler-operator")).parent().unwrap();
    let of = |name: &str| plane.binaries.path(name).parent().unwrap();
    let programs = [of("kubectl"), of("helm"), ours].map(|folder| folder.display().to_string());
    let path = format!("{}:{}", programs.join(":"), std::env::var("PATH").unwrap());
    let user = plane.operator("default");
    let mut operator = Operator::of(&user, "opencue");
    let _pods = keep_pods_ready(plane, "opencue");
    let commands: Vec<&str> =
        blocks(&page, "console").into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() > 25, "{commands:?}");
    for command in commands {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("KUBECONFIG", &plane.admin.kubeconfig)
            .env("HELM_CACHE_HOME", folder.path().join("helm"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{said}");
        if command.contains("render") {
            continue;
        }
        println!("$ {command}\n{said}");
    }
    assert_eq!(operator.stop(), 0);
}
