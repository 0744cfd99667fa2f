//! etcd, kube-apiserver and kube-controller-manager on loopback: all default admission, RBAC, an audit log. One for all tests of
//! this program, in a temporary folder; they end with it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use cue_scheduler_operator::yaml;
use serde_json::{Value, json};

use crate::binaries::Binaries;

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
    address: String,
    /// Ends its programs when this process ends, however that is: their standard input closes then.
    _leashes: Vec<Child>,
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
        let _ = fs::remove_dir_all(discovered(&plane.admin));
        plane.apply(&plane.role_of_the_chart());
        plane
    }

    /// Another one, that knows nothing of the operator yet.
    pub fn start_bare() -> Self {
        let binaries = Binaries::get();
        let started = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let ports = free_ports(5);
        let address = format!("https://127.0.0.1:{}", ports[2]);
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(at("sa.key"), key.serialize_pem()).unwrap();
        fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
        let operators = (0..USERS).map(|n| format!("token-{n},operator-{n},operator-{n}\n"));
        fs::write(at("tokens.csv"), format!("admin,admin,admin,system:masters\n{}", operators.collect::<String>()))
            .unwrap();
        fs::write(
            at("audit.yaml"),
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
        )
        .unwrap();
        let admin = user(folder.path(), &address, "admin", "admin");

        let mut leashes = Vec::new();
        let etcd = format!("http://127.0.0.1:{}", ports[0]);
        let peer = format!("http://127.0.0.1:{}", ports[1]);
        let mut run = |name: &str, arguments: &[String]| {
            leashes.push(leashed(binaries.path(name), arguments, &folder.path().join(format!("{name}.log"))));
        };
        run(
            "etcd",
            &[
                "--name=e".to_owned(),
                format!("--data-dir={}", at("etcd").display()),
                "--unsafe-no-fsync".to_owned(),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=e={peer}"),
                "--log-level=warn".to_owned(),
            ],
        );
        run(
            "kube-apiserver",
            &[
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={}", ports[2]),
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--cert-dir={}", at("apiserver").display()),
                format!("--etcd-servers={etcd}"),
                "--authorization-mode=RBAC".to_owned(),
                "--anonymous-auth=false".to_owned(),
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
                format!("--token-auth-file={}", at("tokens.csv").display()),
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
                format!("--service-account-key-file={}", at("sa.pub").display()),
                format!("--service-account-signing-key-file={}", at("sa.key").display()),
                "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
                format!("--audit-policy-file={}", at("audit.yaml").display()),
                format!("--audit-log-path={}", at("audit.log").display()),
            ],
        );
        let plane_kubectl = |arguments: &[&str]| kubectl(binaries, &admin, arguments, "");
        let log = at("kube-apiserver.log");
        until(START_LIMIT, || plane_kubectl(&["get", "--raw", "/readyz"]).status.success(), || tail(&log));
        // It ends when it starts before the API server has made its roles.
        run(
            "kube-controller-manager",
            &[
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={}", ports[3]),
                "--leader-elect=false".to_owned(),
                format!("--kubeconfig={}", admin.kubeconfig.display()),
                format!("--authentication-kubeconfig={}", admin.kubeconfig.display()),
                format!("--authorization-kubeconfig={}", admin.kubeconfig.display()),
                format!("--service-account-private-key-file={}", at("sa.key").display()),
                format!("--cert-dir={}", at("kcm").display()),
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=1000".to_owned(),
                "--concurrent-deployment-syncs=10".to_owned(),
                "--concurrent-replicaset-syncs=10".to_owned(),
            ],
        );
        let log = at("kube-controller-manager.log");
        until(START_LIMIT, || plane_kubectl(&["get", "serviceaccount", "default"]).status.success(), || tail(&log));
        println!("the control plane was there after {:.1} s", started.elapsed().as_secs_f64());
        Self { admin, folder, address, binaries, _leashes: leashes }
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
        let user = user(self.folder.path(), &self.address, &name, &format!("token-{number}"));
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
        let user = user(self.folder.path(), &self.address, &file, token.trim());
        User { name: format!("system:serviceaccount:{namespace}:{name}"), ..user }
    }

    /// The same user, who takes a port of loopback for the API server.
    pub fn user_through(&self, port: u16, user: &User) -> User {
        let text = fs::read_to_string(&user.kubeconfig).unwrap();
        let kubeconfig = user.kubeconfig.with_extension(format!("{port}.kubeconfig"));
        fs::write(&kubeconfig, text.replace(&self.address, &format!("https://127.0.0.1:{port}"))).unwrap();
        User { kubeconfig, ..user.clone() }
    }

    /// Where the API server listens.
    pub fn address(&self) -> &str {
        self.address.strip_prefix("https://").unwrap()
    }

    /// The rules of the chart's `ClusterRole`.
    pub fn role_of_the_chart(&self) -> String {
        self.helm_template("operator", "default", "templates/clusterrole.yaml")
    }

    fn helm_template(&self, release: &str, namespace: &str, file: &str) -> String {
        self.helm(&["template", release, &chart(), "--namespace", namespace, "--show-only", file])
    }

    /// What Helm prints; it has to work.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let (is_done, said) = self.attempt_helm(arguments);
        assert!(is_done, "helm {arguments:?}: {said}");
        said
    }

    /// What Helm prints, on its error output if it failed, and whether it worked.
    pub fn attempt_helm(&self, arguments: &[&str]) -> (bool, String) {
        let folder = |name: &str| self.folder.path().join(name);
        let output = Command::new(self.binaries.path("helm"))
            .env("KUBECONFIG", &self.admin.kubeconfig)
            .env("HELM_CACHE_HOME", folder("helm-cache"))
            .env("HELM_CONFIG_HOME", folder("helm-config"))
            .env("HELM_DATA_HOME", folder("helm-data"))
            .args(arguments)
            .output()
            .unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// What `kubectl` prints; it has to work.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = kubectl(self.binaries, &self.admin, arguments, "");
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `kubectl` does with an input; it has to work.
    pub fn run_with(&self, arguments: &[&str], input: &str) {
        let (is_done, said) = self.attempt(arguments, input);
        assert!(is_done, "kubectl {arguments:?}: {said}");
    }

    /// What `kubectl` prints, on both outputs, and whether it worked.
    pub fn attempt(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let output = kubectl(self.binaries, &self.admin, arguments, input);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }

    /// Applies manifests, as a user would.
    pub fn apply(&self, manifests: &str) {
        let (is_applied, said) = self.attempt(&["apply", "-f", "-"], manifests);
        assert!(is_applied, "{said}\n{manifests}");
    }

    /// Applies objects, as a user would.
    pub fn apply_all(&self, objects: &[Value]) {
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string());
    }

    /// An object, or null.
    pub fn get(&self, namespace: &str, object: &str) -> Value {
        let (is_there, said) =
            self.attempt(&["get", "-n", namespace, object, "-o", "json", "--show-managed-fields"], "");
        if is_there { serde_json::from_str(&said).unwrap() } else { Value::Null }
    }

    /// All objects of some kinds.
    pub fn list(&self, namespace: &str, kinds: &str) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.run(&["get", "-n", namespace, kinds, "-o", "json"])).unwrap();
        list["items"].as_array().cloned().unwrap_or_default()
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

/// Runs a program that ends with this process: when the pipe to its shell closes.
fn leashed(program: &Path, arguments: &[String], log: &Path) -> Child {
    let log = fs::File::create(log).unwrap();
    Command::new("sh")
        .args(["-c", "\"$@\" </dev/null & read -r _; kill -9 $!; wait", "sh"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn user(folder: &Path, address: &str, name: &str, token: &str) -> User {
    let kubeconfig = folder.join(format!("{name}.kubeconfig"));
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": address, "insecure-skip-tls-verify": true } }],
        "users": [{ "name": "u", "user": { "token": token } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    fs::write(&kubeconfig, config.to_string()).unwrap();
    User { name: name.to_owned(), kubeconfig }
}

fn kubectl(binaries: &Binaries, user: &User, arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(binaries.path("kubectl"))
        .env("KUBECONFIG", &user.kubeconfig)
        .env("KUBECACHEDIR", discovered(user))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have said no before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// What `kubectl` remembers of the kinds that there are.
fn discovered(user: &User) -> PathBuf {
    user.kubeconfig.with_extension("cache")
}

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Waits for something, and says what there is if it does not come.
pub fn until(limit: Duration, holds: impl Fn() -> bool, what: impl Fn() -> String) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < limit, "not within {} s: {}", limit.as_secs(), what());
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
