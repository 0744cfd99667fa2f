//! A node: containerd, a control plane, a kubelet and kube-proxy, in namespaces of their own, so that nothing of it is seen from
//! outside and all of it goes with them.
//!
//! It takes two processes. The one outside calls [`Namespaces::enter`] with a program and its arguments, which is run inside and
//! there calls [`Node::start`]. What is missing is told: there is no metrics server, nothing that enforces a `NetworkPolicy`, one node
//! only, and its DNS knows the Services that have an address, and nothing else.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::binaries::Binaries;
use super::client::Client;
use super::control_plane::{ControlPlane, Settings};
use super::digest;
use super::process::{Leash, leashed, tail, until};
use crate::authority::Authority;
use crate::debian::Unpacked;

/// The node's own address, at which pods reach what runs outside the cluster.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);

/// The first of 65,536 addresses that the node answers for: hosts of a farm.
pub const FIRST_HOST: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 0);

/// An address that a real render agent has for itself, and the interface that it is on.
pub const AGENT: (Ipv4Addr, &str) = (Ipv4Addr::new(10, 202, 0, 1), "agent0");

/// Pods have addresses of this network.
pub const PODS: &str = "10.244.0.0/24";

/// The node's name.
const NAME: &str = "node-1";

/// The first address of Services: the API server, as pods see it.
const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// What every pod needs beside its own image.
const SANDBOX_IMAGE: &str = "localhost/sandbox:1";

/// On a machine that does other things too.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Variable with the name of the control group that the kubelet makes its own in.
const GROUP: &str = "NODE_CONTROL_GROUP";

const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// What Debian's packages have of a node.
pub const PACKAGES: [&str; 7] =
    ["containerd", "runc", "containernetworking-plugins", "nftables", "conntrack", "catatonit", "dnsmasq-base"];

/// What makes the namespaces usable; its own words say how.
const INSIDE: &str = include_str!("namespaces.sh");

/// Places of one run outside its namespaces: its folder, and its control groups. They go with this value.
pub struct Namespaces {
    folder: tempfile::TempDir,
    groups: Vec<PathBuf>,
    group: String,
}

impl Namespaces {
    /// Makes them; needs root.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("cue-node-").tempdir()?;
        // The server programs of a database, which are not root, find their folders below it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let group = folder.path().file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        let mut this = Self { folder, groups: Vec::new(), group };
        for hierarchy in hierarchies()? {
            let own = hierarchy.join(&this.group);
            fs::create_dir(&own).with_context(|| format!("making {}; a node needs root", own.display()))?;
            for settings in ["cpuset.cpus", "cpuset.mems"] {
                if is_first_version() && hierarchy.join(settings).is_file() {
                    fs::write(own.join(settings), fs::read(hierarchy.join(settings))?)?;
                }
            }
            this.groups.push(own);
        }
        Ok(this)
    }

    /// The folder of the run. Programs inside find it as their folder for temporary files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a program inside. Killing what is answered ends everything there; so does the end of the thread that has called this.
    pub fn enter(&self, program: &Path, arguments: &[OsString]) -> anyhow::Result<tokio::process::Child> {
        let folder = self.folder.path();
        let temporary = folder.join("tmp");
        fs::create_dir(&temporary)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))?;
        tokio::process::Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", "--propagation", "private", "bash", "-c", INSIDE, "namespaces"])
            .arg(folder)
            .arg(program)
            .args(arguments)
            .env(GROUP, &self.group)
            .env("TMPDIR", temporary)
            .env("NODE_ADDRESS", ADDRESS.to_string())
            .env("FARM_NETWORK", format!("{FIRST_HOST}/16"))
            .env("AGENT_ADDRESS", AGENT.0.to_string())
            // Ctrl-C is for who started it, who then ends it.
            .process_group(0)
            .spawn()
            .context("entering namespaces (setpriv, unshare, bash)")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for group in &self.groups {
            // Processes that were killed leave a moment later.
            for _ in 0..50 {
                remove_group(group);
                if !group.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// A node that runs. It ends with the namespaces.
pub struct Node {
    /// Who may do everything in the cluster.
    pub admin: Client,
    /// From the start to readiness.
    pub ready_after: Duration,
    folder: PathBuf,
    packages: Unpacked,
    _plane: ControlPlane,
    _leashes: Vec<Leash>,
}

impl Node {
    /// Starts everything and waits until the node is ready for pods of these images, archives. `folder` is that of the namespaces.
    pub fn start(
        binaries: &'static Binaries,
        packages: Unpacked,
        images: &[PathBuf],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut this = NodeParts { folder, packages: &packages, binaries, leashes: Vec::new() };
        this.containerd()?;
        this.sandbox_image()?;
        for image in images {
            this.ctr(&["image", "import", &image.display().to_string()])?;
        }
        let authority = Authority::new("cluster")?;
        this.write("authority.crt", &authority.certificate)?;
        let plane = this.control_plane(&authority)?;
        this.leashes.push(plane.scheduler(&plane.client("kube-scheduler", "scheduler")?)?);
        this.names(&plane)?;
        this.kubelet(&plane, &authority)?;
        let is_ready = || {
            let wait = ["wait", "--for=condition=Ready", &format!("node/{NAME}"), "--timeout=1s"];
            plane.admin.attempt(&wait, "").is_ok_and(|(is_ready, _)| is_ready)
        };
        until(START_LIMIT, is_ready, || tail(&folder.join("kubelet.log"))).context("the node")?;
        this.proxy(&plane)?;
        let leashes = this.leashes;
        let (admin, folder) = (plane.admin.clone(), folder.to_owned());
        Ok(Self { admin, ready_after: started.elapsed(), folder, packages, _plane: plane, _leashes: leashes })
    }

    /// The logs of the cluster's own programs.
    pub fn logs(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path()));
        let files: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
        Ok(files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "log")).collect())
    }

    /// Gives an image another name, as a registry would have it.
    pub fn tag_image(&self, name: &str, other: &str) -> anyhow::Result<()> {
        ctr(&self.packages, &["image", "tag", name, other])
    }
}

/// What is being started.
struct NodeParts<'a> {
    folder: &'a Path,
    packages: &'a Unpacked,
    binaries: &'static Binaries,
    leashes: Vec<Leash>,
}

impl NodeParts<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let file = self.at(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(file.display().to_string())
    }

    fn run(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        command.env("PATH", self.packages.path()?).env("LD_LIBRARY_PATH", self.packages.libraries()?);
        self.leashes.push(leashed(command, &self.at(&format!("{name}.log")))?);
        Ok(())
    }

    fn ctr(&self, arguments: &[&str]) -> anyhow::Result<()> {
        ctr(self.packages, arguments)
    }

    /// Files of the program's name with its certificate and key.
    fn certify(
        &self,
        authority: &Authority,
        name: &str,
        group: Option<&str>,
        addresses: &[Ipv4Addr],
    ) -> anyhow::Result<()> {
        let certified = authority.certify(name, group, addresses)?;
        self.write(&format!("{name}.crt"), &certified.certificate)?;
        self.write(&format!("{name}.key"), &certified.key)?;
        Ok(())
    }

    fn containerd(&mut self) -> anyhow::Result<()> {
        let folder = self.folder.display();
        fs::create_dir(self.at("cni"))?;
        self.write(
            "cni/10-pods.conflist",
            &format!(
                r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{"type": "bridge", "bridge": "pods0",
                   "isGateway": true, "hairpinMode": true, "ipam": {{"type": "host-local", "dataDir": "{folder}/ipam",
                   "ranges": [[{{"subnet": "{PODS}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"#
            ),
        )?;
        let plugins = self.packages.file("usr/lib/cni");
        let runc = self.packages.file("usr/sbin/runc");
        // Without CAP_SYS_RESOURCE no score can be lowered, and without a registry no sandbox can be fetched.
        let settings = format!(
            r#"version = 2
root = "{folder}/containerd"
state = "/run/containerd/state"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_tcp_service = true
  netns_mounts_under_state_dir = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{}"
        SystemdCgroup = false
"#,
            plugins.display(),
            runc.display()
        );
        let settings = self.write("containerd.toml", &settings)?;
        self.run("containerd", Command::new(self.packages.file("usr/bin/containerd")).args(["--config", &settings]))?;
        let log = self.at("containerd.log");
        until(START_LIMIT, || self.ctr(&["version"]).is_ok(), || tail(&log)).context("containerd")
    }

    /// An image of the process that holds a pod's namespaces: Debian's catatonit, which is linked statically, and nothing else.
    fn sandbox_image(&self) -> anyhow::Result<()> {
        let at = |name: &str| self.at(name).display().to_string();
        let program = self.packages.file("usr/bin/catatonit");
        let program = program.parent().context("a program lies in a folder")?;
        succeeds(Command::new("tar").args(["-cf", &at("layer.tar"), "-C"]).arg(program).arg("catatonit"))?;
        let digest = digest(&fs::read(at("layer.tar"))?);
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Entrypoint": ["/catatonit", "-P"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        self.write("config.json", &config.to_string())?;
        let manifest =
            serde_json::json!([{ "Config": "config.json", "RepoTags": [SANDBOX_IMAGE], "Layers": ["layer.tar"] }]);
        self.write("manifest.json", &manifest.to_string())?;
        let files = ["manifest.json", "config.json", "layer.tar"];
        succeeds(Command::new("tar").args(["-cf", &at("sandbox.tar"), "-C"]).arg(self.folder).args(files))?;
        self.ctr(&["image", "import", &at("sandbox.tar")])
    }

    fn control_plane(&self, authority: &Authority) -> anyhow::Result<ControlPlane> {
        self.certify(authority, "kube-apiserver", None, &[ADDRESS, API_SERVICE])?;
        self.certify(authority, "kube-apiserver-to-kubelet", Some("system:masters"), &[])?;
        let at = |name: &str| self.at(name).display().to_string();
        let settings = Settings {
            address: ADDRESS,
            authority: Some(self.at("authority.crt")),
            tokens: format!(
                "kubelet,system:node:{NAME},kubelet,system:nodes\nproxy,system:kube-proxy,proxy\n\
                 scheduler,system:kube-scheduler,scheduler\n"
            ),
            api_server: vec![
                format!("--advertise-address={ADDRESS}"),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                "--allow-privileged".to_owned(),
                format!("--tls-cert-file={}", at("kube-apiserver.crt")),
                format!("--tls-private-key-file={}", at("kube-apiserver.key")),
                format!("--kubelet-client-certificate={}", at("kube-apiserver-to-kubelet.crt")),
                format!("--kubelet-client-key={}", at("kube-apiserver-to-kubelet.key")),
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
            ],
            controller_manager: vec![
                "--use-service-account-credentials".to_owned(),
                format!("--root-ca-file={}", at("authority.crt")),
            ],
        };
        ControlPlane::start(self.binaries, &settings, self.folder)
    }

    /// A DNS for pods, which reads what it knows from files; and what writes a file for each Service as it comes.
    fn names(&mut self, plane: &ControlPlane) -> anyhow::Result<()> {
        const WRITE: &str = r#"while :; do
            "$1" get services --all-namespaces --watch --output "jsonpath=$3" | while read -r service namespace address; do
                [ "$address" = None ] || echo "$address $service.$namespace.svc.cluster.local" >"$2/$service.$namespace"
            done
            sleep 1
        done"#;
        const LINE: &str = r#"{.metadata.name} {.metadata.namespace} {.spec.clusterIP}{"\n"}"#;
        let folder = self.at("names");
        fs::create_dir(&folder)?;
        let mut command = Command::new(self.packages.file("usr/sbin/dnsmasq"));
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--log-facility=-"])
            .args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--local=/cluster.local/"])
            .arg(format!("--listen-address={ADDRESS}"))
            .arg(format!("--hostsdir={}", folder.display()));
        self.run("dnsmasq", &mut command)?;
        let mut command = Command::new("bash");
        let (kubeconfig, cache) = (&plane.admin.kubeconfig, plane.admin.discovered());
        command.env("KUBECONFIG", kubeconfig).env("KUBECACHEDIR", cache).args(["-c", WRITE, "names"]);
        self.run("names", command.arg(self.binaries.path("kubectl")).arg(folder).arg(LINE))
    }

    fn kubelet(&mut self, plane: &ControlPlane, authority: &Authority) -> anyhow::Result<()> {
        self.certify(authority, "kubelet", None, &[ADDRESS])?;
        let at = |name: &str| self.at(name).display().to_string();
        fs::write(self.at("resolv.conf"), "")?;
        let kubeconfig = plane.client("kubelet", "kubelet")?.kubeconfig;
        let group = std::env::var(GROUP).context("a node starts in its namespaces")?;
        let settings = serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{group}"),
            "failSwapOn": false,
            "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
            "address": ADDRESS.to_string(),
            "clusterDNS": [ADDRESS.to_string()],
            "clusterDomain": "cluster.local",
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": at("authority.crt") },
            },
            "tlsCertFile": at("kubelet.crt"),
            "tlsPrivateKeyFile": at("kubelet.key"),
            "resolvConf": at("resolv.conf"),
            "podLogsDir": at("pod-logs"),
            "volumePluginDir": at("volume-plugins"),
            // The machine's disk may be as full as it is.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%" },
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "5s",
        });
        let settings = self.write("kubelet.yaml", &settings.to_string())?;
        let mut command = Command::new(self.binaries.path("kubelet"));
        command
            .args(["--config", &settings, "--kubeconfig"])
            .arg(kubeconfig)
            .arg("--root-dir")
            .arg(self.at("kubelet"))
            .args(["--hostname-override", NAME, "--node-ip", &ADDRESS.to_string()]);
        self.run("kubelet", &mut command)
    }

    /// It gives Services their addresses; without it no pod reaches the API server.
    fn proxy(&mut self, plane: &ControlPlane) -> anyhow::Result<()> {
        let kubeconfig = plane.client("kube-proxy", "proxy")?.kubeconfig;
        let settings = serde_json::json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": PODS,
            "bindAddress": ADDRESS.to_string(),
            "healthzBindAddress": PROXY_HEALTH,
            "clientConnection": { "kubeconfig": kubeconfig },
            // They are the whole machine's.
            "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
            "hostnameOverride": NAME,
        });
        let settings = self.write("kube-proxy.yaml", &settings.to_string())?;
        self.run("kube-proxy", Command::new(self.binaries.path("kube-proxy")).args(["--config", &settings]))?;
        let log = self.at("kube-proxy.log");
        until(START_LIMIT, || std::net::TcpStream::connect(PROXY_HEALTH).is_ok(), || tail(&log)).context("kube-proxy")
    }
}

/// Where containerd is asked, in the namespaces' own `/run`.
const SOCKET: &str = "/run/containerd/containerd.sock";

const PROXY_HEALTH: &str = "127.0.0.1:10256";

/// Asks containerd about what Kubernetes has there.
fn ctr(packages: &Unpacked, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(packages.file("usr/bin/ctr"));
    succeeds(command.args(["--address", SOCKET, "--namespace", "k8s.io"]).args(arguments))
        .with_context(|| format!("ctr {arguments:?}"))
}

fn succeeds(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("running {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Where control groups are made: one place, or with the first version one for each controller.
fn hierarchies() -> anyhow::Result<Vec<PathBuf>> {
    let root = PathBuf::from(CONTROL_GROUPS);
    if !is_first_version() {
        return Ok(vec![root]);
    }
    let entries = fs::read_dir(&root)?.map(|entry| Ok(entry?.path()));
    let places: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    // A link leads to a place that is there under its own name.
    Ok(places.into_iter().filter(|place| !place.is_symlink() && place.join("cgroup.procs").is_file()).collect())
}

fn is_first_version() -> bool {
    !Path::new(CONTROL_GROUPS).join("cgroup.controllers").is_file()
}

/// From the leaves on; what processes are in stays.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
