//! etcd, kube-apiserver and kube-controller-manager, with what a test wants of them beyond the usual.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::binaries::Binaries;
use super::client::{Client, write_kubeconfig};
use super::process::{Leash, free_ports, leashed, tail, until};

/// On a machine that does other things too.
const START_LIMIT: Duration = Duration::from_mins(3);

/// The token of who may do everything.
const ADMIN_TOKEN: &str = "admin";

/// What is told to the programs.
pub struct Settings {
    /// Where the API server listens; all else is on loopback.
    pub address: Ipv4Addr,
    /// The authority of the API server's certificate, if it was given one.
    pub authority: Option<PathBuf>,
    /// Who may come with a token, beside the admin: lines of token, name, uid and groups, as in `--token-auth-file`. They are read
    /// once, at the start.
    pub tokens: String,
    /// More arguments of kube-apiserver.
    pub api_server: Vec<String>,
    /// More arguments of kube-controller-manager.
    pub controller_manager: Vec<String>,
}

/// A control plane that runs.
pub struct ControlPlane {
    /// Who may do everything.
    pub admin: Client,
    /// `https://…`
    pub address: String,
    authority: Option<PathBuf>,
    folder: PathBuf,
    _leashes: [Leash; 3],
}

impl ControlPlane {
    /// Starts one whose files are in a folder, and waits until it works.
    pub fn start(binaries: &'static Binaries, settings: &Settings, folder: &Path) -> anyhow::Result<Self> {
        let started = Instant::now();
        let at = |name: &str| folder.join(name);
        let ports = free_ports(4)?;
        let address = format!("https://{}:{}", settings.address, ports[2]);
        let key = rcgen::KeyPair::generate()?;
        fs::write(at("sa.key"), key.serialize_pem())?;
        fs::write(at("sa.pub"), key.public_key_pem())?;
        fs::write(at("tokens.csv"), format!("{ADMIN_TOKEN},admin,admin,system:masters\n{}", settings.tokens))?;
        let kubeconfig = at("admin.kubeconfig");
        write_kubeconfig(&kubeconfig, &address, settings.authority.as_deref(), ADMIN_TOKEN)?;
        let admin = Client { binaries, kubeconfig };
        let run = |name: &str, arguments: &[String]| {
            leashed(Command::new(binaries.path(name)).args(arguments), &at(&format!("{name}.log")))
        };

        let etcd = run("etcd", &etcd(folder, ports[0], ports[1]))?;
        let mut arguments = api_server(folder, settings.address, ports[2], ports[0]);
        arguments.extend(settings.api_server.iter().cloned());
        let api_server = run("kube-apiserver", &arguments)?;
        let log = at("kube-apiserver.log");
        let answers = |arguments: &[&str]| admin.attempt(arguments, "").is_ok_and(|(is_done, _)| is_done);
        until(START_LIMIT, || answers(&["get", "--raw", "/readyz"]), || tail(&log)).context("kube-apiserver")?;
        // It ends when it starts before the API server has made its roles.
        let mut arguments = controller_manager(folder, &admin.kubeconfig, ports[3]);
        arguments.extend(settings.controller_manager.iter().cloned());
        let controller_manager = run("kube-controller-manager", &arguments)?;
        let log = at("kube-controller-manager.log");
        until(START_LIMIT, || answers(&["get", "serviceaccount", "default"]), || tail(&log))
            .context("kube-controller-manager")?;
        println!("the control plane was there after {:.1} s", started.elapsed().as_secs_f64());
        Ok(Self {
            admin,
            address,
            authority: settings.authority.clone(),
            folder: folder.to_owned(),
            _leashes: [etcd, api_server, controller_manager],
        })
    }

    /// Starts kube-scheduler, as somebody. It gives pods their nodes as long as what is answered is there, and spreads only those
    /// that ask for it: what it does for all others is switched off.
    pub fn scheduler(&self, who: &Client) -> anyhow::Result<Leash> {
        let settings = serde_json::json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "clientConnection": { "kubeconfig": who.kubeconfig },
            "leaderElection": { "leaderElect": false },
            "profiles": [{ "schedulerName": "default-scheduler", "pluginConfig": [
                { "name": "PodTopologySpread", "args": { "defaultingType": "List" } },
            ] }],
        });
        let file = self.folder.join("kube-scheduler.yaml");
        fs::write(&file, settings.to_string())?;
        let mut command = Command::new(self.admin.binaries.path("kube-scheduler"));
        command.args(["--secure-port=0", "--config"]).arg(file);
        for name in ["authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(format!("--{name}={}", who.kubeconfig.display()));
        }
        leashed(&command, &self.folder.join("kube-scheduler.log"))
    }

    /// Somebody with a token.
    pub fn client(&self, name: &str, token: &str) -> anyhow::Result<Client> {
        let kubeconfig = self.folder.join(format!("{name}.kubeconfig"));
        write_kubeconfig(&kubeconfig, &self.address, self.authority.as_deref(), token)?;
        Ok(Client { binaries: self.admin.binaries, kubeconfig })
    }
}

fn etcd(folder: &Path, port: u16, peers: u16) -> Vec<String> {
    let (own, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    vec![
        "--name=e".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={own}"),
        format!("--advertise-client-urls={own}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=e={peer}"),
        "--log-level=warn".to_owned(),
    ]
}

fn api_server(folder: &Path, address: Ipv4Addr, port: u16, etcd: u16) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--bind-address={address}"),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", at("apiserver")),
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--anonymous-auth=false".to_owned(),
        format!("--token-auth-file={}", at("tokens.csv")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", at("sa.pub")),
        format!("--service-account-signing-key-file={}", at("sa.key")),
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
    ]
}

fn controller_manager(folder: &Path, kubeconfig: &Path, port: u16) -> Vec<String> {
    let (at, kubeconfig) = (|name: &str| folder.join(name).display().to_string(), kubeconfig.display());
    vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--leader-elect=false".to_owned(),
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--service-account-private-key-file={}", at("sa.key")),
        format!("--cert-dir={}", at("kcm")),
    ]
}
