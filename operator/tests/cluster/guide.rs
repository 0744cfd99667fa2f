//! What README.md and docs/operations/kubernetes.md tell people to type, as a reader would: files are written, commands run in order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::control_plane::ControlPlane;
use crate::operator::{LIMIT, Operator, keep_pods_ready};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Blocks of a page in a language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A page's commands.
fn commands(page: &str) -> Vec<&str> {
    blocks(page, "console").into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).collect()
}

/// Somebody at a terminal, in a folder like the repository's.
struct Reader<'p> {
    plane: &'p ControlPlane,
    folder: tempfile::TempDir,
}

impl<'p> Reader<'p> {
    fn of(plane: &'p ControlPlane) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["crds", "charts"] {
            std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
        }
        Self { plane, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Types a command; it has to work.
    fn types(&self, command: &str) {
        let ours = Path::new(env!("CARGO_BIN_EXE_cue-scheduler-operator")).parent().unwrap();
        let of = |name: &str| self.plane.binaries.path(name).parent().unwrap();
        let programs = [of("kubectl"), of("helm"), ours].map(|folder| folder.display().to_string());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{}", programs.join(":"), std::env::var("PATH").unwrap()))
            .env("KUBECONFIG", &self.plane.admin.kubeconfig)
            .env("HELM_CACHE_HOME", self.file("helm"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{said}");
        if !command.contains("render") {
            println!("$ {command}\n{said}");
        }
    }
}

#[test]
fn every_command_of_the_guide_works() {
    let plane = ControlPlane::running();
    let page = fs::read_to_string(root().join("docs/operations/kubernetes.md")).unwrap();
    let reader = Reader::of(plane);
    for block in blocks(&page, "yaml") {
        let name = block.lines().next().unwrap().strip_prefix("# ").expect("a file begins with its name");
        fs::write(reader.file(name), block).unwrap();
    }
    let user = plane.operator("default");
    let mut operator = Operator::of(&user, "opencue");
    let _pods = keep_pods_ready(plane, "opencue");
    let commands = commands(&page);
    assert!(commands.len() > 40, "{commands:?}");
    for command in commands {
        reader.types(command);
    }
    assert_eq!(operator.stop(), 0);
}

/// In a cluster that has nothing of ours. The pods of the operator are played by its program, with the account of the chart.
#[test]
fn the_five_commands_of_the_readme_make_a_farm() {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start_bare()));
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let commands = commands(&page);
    assert_eq!(commands.len(), 5, "{commands:?}");
    let reader = Reader::of(plane);
    for command in commands {
        reader.types(command);
    }
    let user = plane.account("opencue-operator", "cue-scheduler-operator");
    let _operator = Operator::start(&user, &["--lease-namespace=opencue-operator"]);
    let _pods = keep_pods_ready(plane, "opencue");
    reader.types(&format!("cue-scheduler-operator wait farm --namespace opencue --timeout {}s", LIMIT.as_secs()));
    assert!(!plane.get("opencue", "deployment/farm-spi").is_null());
}
