//! etcd, kube-apiserver and kube-controller-manager on loopback: all default admission, RBAC, an audit log. One for all tests of
//! this program, in a temporary folder; they end with it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};
use testbed::kubernetes::binaries::Binaries;
use testbed::kubernetes::control_plane::{ControlPlane as Running, Settings};
use testbed::kubernetes::{self, Client, Leash};

/// On a machine that does other things too.
const START_LIMIT: Duration = Duration::from_mins(3);

/// Who asks the API server.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub kubeconfig: PathBuf,
}

/// A control plane that runs.
pub struct ControlPlane {
    pub binaries: &'static Binaries,
    pub admin: User,
    folder: tempfile::TempDir,
    running: Running,
}

static RUNNING: LazyLock<ControlPlane> = LazyLock::new(ControlPlane::start);
/// Tokens are read once, at the start: these are the users that there can be.
static USERS_TAKEN: Mutex<usize> = Mutex::new(0);
const USERS: usize = 40;

impl ControlPlane {
    /// The one of this program.
    pub fn running() -> &'static Self {
        &RUNNING
    }

    /// Another one, which ends with the program.
    pub fn start() -> Self {
        let plane = Self::start_bare();
        plane.install_definition();
        // `explain` takes what is remembered for all there is.
        let _ = fs::remove_dir_all(plane.admin().discovered());
        plane.apply(&plane.role_of_the_chart());
        plane
    }

    /// Another one, that knows nothing of the operator yet.
    pub fn start_bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(
            at("audit.yaml"),
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
        )
        .unwrap();
        let tokens: Vec<String> = (0..USERS).map(|n| format!("token-{n},operator-{n},operator-{n}\n")).collect();
        let settings = Settings {
            address: Ipv4Addr::LOCALHOST,
            authority: None,
            tokens: tokens.concat(),
            api_server: vec![
                "--endpoint-reconciler-type=none".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
                format!("--audit-policy-file={}", at("audit.yaml").display()),
                format!("--audit-log-path={}", at("audit.log").display()),
            ],
            controller_manager: vec![
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=1000".to_owned(),
                "--concurrent-deployment-syncs=10".to_owned(),
                "--concurrent-replicaset-syncs=10".to_owned(),
            ],
        };
        let binaries = Binaries::of_control_plane().unwrap();
        let running = Running::start(binaries, &settings, folder.path()).unwrap();
        let admin = User { name: "admin".to_owned(), kubeconfig: running.admin.kubeconfig.clone() };
        Self { binaries, admin, folder, running }
    }

    /// Starts the real kube-scheduler, which gives pods their nodes until what is answered is dropped.
    pub fn scheduler(&self) -> Leash {
        self.running.scheduler(self.admin()).unwrap()
    }

    /// The definition as it lies in `crds/`.
    pub fn install_definition(&self) {
        let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/schedulerdeployments.yaml");
        // Client-side on purpose: it keeps a copy in an annotation, for which the definition has to be small.
        self.run(&["apply", "-f", definition.to_str().unwrap()]);
        until(START_LIMIT, || self.attempt(&["get", "schd"], "").0, || "the definition is not established".to_owned());
    }

    /// A user with exactly the rights of the operator's chart.
    pub fn operator(&self, namespace: &str) -> User {
        let number = {
            let mut taken = USERS_TAKEN.lock().unwrap();
            *taken += 1;
            *taken - 1
        };
        assert!(number < USERS, "more users than there are tokens");
        let name = format!("operator-{number}");
        let user = self.user(&name, &format!("token-{number}"));
        let subjects = json!([{ "kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io" }]);
        let role = self.helm_template("operator", namespace, "templates/role.yaml");
        let bind = |kind: &str, role: &str| {
            let role: Value = yaml::read(role).unwrap();
            let metadata = json!({ "name": format!("{name}-{}", kind.to_lowercase()), "namespace": namespace });
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "subjects": subjects,
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"] } })
        };
        let mut everywhere = bind("ClusterRoleBinding", &self.role_of_the_chart());
        everywhere["metadata"].as_object_mut().unwrap().remove("namespace");
        self.apply(&role);
        self.apply_all(&[everywhere, bind("RoleBinding", &role)]);
        user
    }

    /// A user that is an account of the cluster, by a token of its own.
    pub fn account(&self, namespace: &str, name: &str) -> User {
        let token = self.run(&["create", "token", "-n", namespace, name, "--duration=1h"]);
        let file = format!("account-{namespace}-{name}");
        let user = self.user(&file, token.trim());
        User { name: format!("system:serviceaccount:{namespace}:{name}"), ..user }
    }

    /// The same user, who takes a port of loopback for the API server.
    pub fn user_through(&self, port: u16, user: &User) -> User {
        let text = fs::read_to_string(&user.kubeconfig).unwrap();
        let kubeconfig = user.kubeconfig.with_extension(format!("{port}.kubeconfig"));
        fs::write(&kubeconfig, text.replace(&self.running.address, &format!("https://127.0.0.1:{port}"))).unwrap();
        User { kubeconfig, ..user.clone() }
    }

    /// Where the API server listens.
    pub fn address(&self) -> &str {
        self.running.address.strip_prefix("https://").unwrap()
    }

    /// The rules of the chart's `ClusterRole`.
    pub fn role_of_the_chart(&self) -> String {
        self.helm_template("operator", "default", "templates/clusterrole.yaml")
    }

    fn helm_template(&self, release: &str, namespace: &str, file: &str) -> String {
        self.helm(&["template", release, &chart(), "--namespace", namespace, "--show-only", file])
    }

    fn admin(&self) -> &Client {
        &self.running.admin
    }

    fn user(&self, name: &str, token: &str) -> User {
        User { name: name.to_owned(), kubeconfig: self.running.client(name, token).unwrap().kubeconfig }
    }

    /// What Helm prints; it has to work.
    pub fn helm(&self, arguments: &[&str]) -> String {
        self.admin().helm(arguments).unwrap()
    }

    /// What Helm prints, on its error output if it failed, and whether it worked.
    pub fn attempt_helm(&self, arguments: &[&str]) -> (bool, String) {
        self.admin().attempt_helm(arguments).unwrap()
    }

    /// What `kubectl` prints; it has to work.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.admin().run(arguments).unwrap()
    }

    /// What `kubectl` does with an input; it has to work.
    pub fn run_with(&self, arguments: &[&str], input: &str) {
        let (is_done, said) = self.attempt(arguments, input);
        assert!(is_done, "kubectl {arguments:?}: {said}");
    }

    /// What `kubectl` prints, on both outputs, and whether it worked.
    pub fn attempt(&self, arguments: &[&str], input: &str) -> (bool, String) {
        self.admin().attempt(arguments, input).unwrap()
    }

    /// Applies manifests, as a user would.
    pub fn apply(&self, manifests: &str) {
        self.admin().apply(manifests).unwrap();
    }

    /// Applies objects, as a user would.
    pub fn apply_all(&self, objects: &[Value]) {
        self.admin().apply_all(objects).unwrap();
    }

    /// An object, or null.
    pub fn get(&self, namespace: &str, object: &str) -> Value {
        self.admin().get(namespace, object).unwrap()
    }

    /// All objects of some kinds.
    pub fn list(&self, namespace: &str, kinds: &str) -> Vec<Value> {
        self.admin().list(namespace, kinds, "").unwrap()
    }

    /// How long the audit log is.
    pub fn audited(&self) -> u64 {
        fs::metadata(self.folder.path().join("audit.log")).map_or(0, |log| log.len())
    }

    /// How many writes of a user the audit log has from a place on; events are not counted.
    pub fn writes_since(&self, user: &User, place: u64) -> usize {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut log = fs::File::open(self.folder.path().join("audit.log")).unwrap();
        log.seek(SeekFrom::Start(place)).unwrap();
        let mut text = String::new();
        let _ = log.read_to_string(&mut text);
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let calls =
            entries.filter(|entry| entry["user"]["username"] == user.name.as_str()).map(|entry| Call::of(&entry));
        calls.filter(|call| ["create", "patch", "delete"].contains(&&*call.verb) && call.resource != "events").count()
    }

    /// The calls of a user so far, from the audit log: verb, resource with subresource, answer's code.
    pub fn calls(&self, user: &User) -> Vec<Call> {
        let text = fs::read_to_string(self.folder.path().join("audit.log")).unwrap_or_default();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let theirs = entries.filter(|entry| entry["user"]["username"] == user.name.as_str());
        theirs.map(|entry| Call::of(&entry)).collect()
    }
}

/// The folder of the operator's chart.
pub fn chart() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/cue-scheduler-operator").display().to_string()
}

/// A call, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub verb: String,
    pub group: String,
    pub resource: String,
    /// Empty for a call about all of them, or about what belongs to none.
    pub namespace: String,
    pub code: i64,
}

impl Call {
    fn of(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let about = &entry["objectRef"];
        let resource = match text(&about["subresource"]) {
            part if part.is_empty() => text(&about["resource"]),
            part => format!("{}/{part}", text(&about["resource"])),
        };
        Self {
            verb: text(&entry["verb"]),
            group: text(&about["apiGroup"]),
            resource,
            namespace: text(&about["namespace"]),
            code: entry["responseStatus"]["code"].as_i64().unwrap_or_default(),
        }
    }
}

/// Waits for something, and says what there is if it does not come.
pub fn until(limit: Duration, holds: impl Fn() -> bool, what: impl Fn() -> String) {
    kubernetes::until(limit, holds, what).unwrap();
}
