//! What a farm holds, in the words of a person: read from YAML or built in Rust, turned into rows by the loader.
//!
//! Things refer to each other by name. A name that leads nowhere is an error of the load, not of reading, since a job may be
//! added to a farm that was described elsewhere.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::amount::{Cores, Memory};

/// A whole farm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FarmDescription {
    /// All ids follow from it and from names, so the same description makes the same ids.
    pub seed: u64,
    /// Write ids in upper case, as some old installations hold them.
    pub upper_case_ids: bool,
    /// Sites with their pools of hosts.
    pub facilities: Vec<FacilityDescription>,
    /// Productions.
    pub shows: Vec<ShowDescription>,
    /// Farm-wide limits on running frames.
    pub limits: Vec<LimitDescription>,
    /// Machines.
    pub hosts: Vec<HostGroup>,
    /// Work that waits when the farm opens.
    pub jobs: Vec<JobDescription>,
}

impl FarmDescription {
    /// Reads YAML. The error names the line and what was expected there.
    pub fn from_yaml(text: &str) -> anyhow::Result<Self> {
        Ok(serde_saphyr::from_str(text)?)
    }

    /// Writes YAML that [`Self::from_yaml`] reads back.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        Ok(serde_saphyr::to_string(self)?)
    }
}

/// A site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilityDescription {
    /// `facility.str_name`, at most 36 characters.
    pub name: String,
    /// Its pools of hosts.
    #[serde(default)]
    pub allocations: Vec<AllocationDescription>,
}

/// A pool of hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllocationDescription {
    /// `alloc.str_name`, unique on the farm; by custom `facility.pool`; at most 36 characters.
    pub name: String,
    /// The tag its hosts carry; the name if left out. At most 24 characters.
    #[serde(default)]
    pub tag: Option<String>,
    /// Whether hosts that nobody knows are put here when they report.
    #[serde(default)]
    pub default: bool,
}

/// A production.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShowDescription {
    /// `show.str_name`.
    pub name: String,
    /// Whether an external scheduler books it (`b_scheduler_managed`).
    pub managed: bool,
    /// `b_active`.
    pub active: bool,
    /// What it may use, per allocation.
    pub subscriptions: Vec<SubscriptionDescription>,
    /// Groups below the root folder, which always exists and bears the show's name.
    pub folders: Vec<FolderDescription>,
}

impl Default for ShowDescription {
    fn default() -> Self {
        Self { name: String::new(), managed: true, active: true, subscriptions: Vec::new(), folders: Vec::new() }
    }
}

/// The right of a show to an allocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionDescription {
    /// Name of the allocation.
    pub allocation: String,
    /// Guaranteed cores.
    #[serde(default)]
    pub size: Cores,
    /// Hard ceiling.
    pub burst: Cores,
}

/// A group of jobs with caps of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderDescription {
    /// `folder.str_name`, unique in the show here; at most 36 characters.
    pub name: String,
    /// The folder above; the root if left out.
    #[serde(default)]
    pub parent: Option<String>,
    /// Left out: no cap.
    #[serde(default)]
    pub max_cores: Option<Cores>,
    /// Left out: no cap.
    #[serde(default)]
    pub max_gpus: Option<i32>,
}

/// A limit on running frames, over the whole farm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDescription {
    /// `limit_record.str_name`.
    pub name: String,
    /// Running frames allowed, or hosts that run some.
    pub max: i32,
    /// Whether hosts are counted instead of frames.
    #[serde(default)]
    pub hosts: bool,
}

/// Like machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostGroup {
    /// Name of the allocation that owns them.
    pub allocation: String,
    /// How many. Ignored when `names` is given.
    pub count: u32,
    /// Address and name of the first; the others follow. Left out: after the hosts before, from 127.16.0.1 on. A host's name
    /// is what a scheduler dials, so the default names answer on loopback.
    pub first_address: Option<Ipv4Addr>,
    /// Explicit names instead of a range.
    pub names: Vec<String>,
    /// Cores of each.
    pub cores: Cores,
    /// Memory of each.
    pub memory: Memory,
    /// GPUs of each.
    pub gpus: i64,
    /// Memory of all GPUs of each.
    pub gpu_memory: Memory,
    /// `host_stat.str_os`; several names are separated by commas.
    pub os: String,
    /// How cores are given out.
    pub thread_mode: ThreadMode,
    /// Tags of kind MANUAL.
    pub manual_tags: Vec<String>,
    /// Tags of kind HARDWARE.
    pub hardware_tags: Vec<String>,
    /// Whether each carries its allocation's tag, kind ALLOC.
    pub allocation_tag: bool,
    /// Whether each carries its own name as a tag, kind HOSTNAME.
    pub hostname_tag: bool,
    /// LOCKED instead of OPEN.
    pub locked: bool,
}

impl Default for HostGroup {
    fn default() -> Self {
        Self {
            allocation: String::new(),
            count: 1,
            first_address: None,
            names: Vec::new(),
            cores: Cores::whole(8),
            memory: Memory::gib(16),
            gpus: 0,
            gpu_memory: Memory::default(),
            os: "linux".to_owned(),
            thread_mode: ThreadMode::Auto,
            manual_tags: Vec::new(),
            hardware_tags: Vec::new(),
            allocation_tag: true,
            hostname_tag: true,
            locked: false,
        }
    }
}

/// `host.int_thread_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ThreadMode {
    /// Cores balanced against memory.
    #[default]
    Auto,
    /// A threadable frame takes all idle cores.
    All,
    /// As auto, with two cores at least.
    Variable,
}

impl ThreadMode {
    /// The number in the column.
    pub fn column(self) -> i32 {
        match self {
            Self::Auto => 0,
            Self::All => 1,
            Self::Variable => 2,
        }
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobDescription {
    /// `job.str_name`, unique.
    pub name: String,
    /// Name of the show.
    pub show: String,
    /// Name of the folder; the show's root if left out.
    pub folder: Option<String>,
    /// Name of the facility; the first of the description, or the only one of the database, if left out.
    pub facility: Option<String>,
    /// Larger is sooner.
    pub priority: i32,
    /// Most cores at a time. Zero and less: nothing may run.
    pub max_cores: Cores,
    /// Most GPUs at a time.
    pub max_gpus: i32,
    /// `job_resource.int_min_cores`.
    pub min_cores: Cores,
    /// Left out: any.
    pub os: Option<String>,
    /// Whether it waits for a person.
    pub paused: bool,
    /// Where logs go.
    pub log_dir: String,
    /// Address of a log store.
    pub loki_url: Option<String>,
    /// Owner.
    pub user: String,
    /// Number of the owner on the hosts.
    pub uid: Option<i64>,
    /// Shot.
    pub shot: String,
    /// Failures before a frame is dead.
    pub max_retries: i16,
    /// Whether frames that fail are given up on at once.
    pub auto_eat: bool,
    /// Variables of all its frames.
    pub env: BTreeMap<String, String>,
    /// Names of jobs that must end first (`JOB_ON_JOB`).
    pub after_jobs: Vec<String>,
    /// Layers in the order of dispatch.
    pub layers: Vec<LayerDescription>,
}

impl Default for JobDescription {
    fn default() -> Self {
        Self {
            name: String::new(),
            show: String::new(),
            folder: None,
            facility: None,
            priority: 1,
            max_cores: Cores::whole(1000),
            max_gpus: 100,
            min_cores: Cores::whole(1),
            os: None,
            paused: false,
            log_dir: "/tmp/cue-logs".to_owned(),
            loki_url: None,
            user: "artist".to_owned(),
            uid: Some(1000),
            shot: "shot".to_owned(),
            max_retries: 3,
            auto_eat: false,
            env: BTreeMap::new(),
            after_jobs: Vec::new(),
            layers: Vec::new(),
        }
    }
}

/// A layer: frames with one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerDescription {
    /// Unique in the job.
    pub name: String,
    /// What runs, with its tokens.
    pub command: String,
    /// Frame numbers: comma list of `A`, `A-B`, `A-BxS`.
    pub range: String,
    /// Frame numbers per frame row.
    pub chunk: u32,
    /// PRE, POST, RENDER, UTIL.
    pub kind: String,
    /// Least cores; zero and less have the meaning of the column.
    pub min_cores: Cores,
    /// Most cores; 0 is no maximum.
    pub max_cores: Cores,
    /// Least memory.
    pub memory: Memory,
    /// Least GPUs.
    pub gpus: i64,
    /// Least GPU memory.
    pub gpu_memory: Memory,
    /// Tags of which a host must carry one.
    pub tags: Vec<String>,
    /// Whether it can use more cores than the minimum.
    pub threadable: bool,
    /// Names of services.
    pub services: Vec<String>,
    /// Names of limits.
    pub limits: Vec<String>,
    /// Variables of its frames.
    pub env: BTreeMap<String, String>,
    /// Minutes after which a frame is stopped; 0 is none.
    pub timeout_minutes: i32,
    /// Layers that must end first.
    pub after: Vec<LayerDependency>,
}

impl Default for LayerDescription {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: "true".to_owned(),
            range: "1-1".to_owned(),
            chunk: 1,
            kind: "RENDER".to_owned(),
            min_cores: Cores::whole(1),
            max_cores: Cores::default(),
            memory: Memory::gib(1),
            gpus: 0,
            gpu_memory: Memory::default(),
            tags: vec!["general".to_owned()],
            threadable: true,
            services: vec!["default".to_owned()],
            limits: Vec::new(),
            env: BTreeMap::new(),
            timeout_minutes: 0,
            after: Vec::new(),
        }
    }
}

/// What a layer waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerDependency {
    /// How frames wait.
    pub kind: LayerDependencyKind,
    /// The job of the layer waited for; the own one if left out.
    #[serde(default)]
    pub job: Option<String>,
    /// The layer waited for.
    pub layer: String,
}

/// How the frames of a layer wait for another layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerDependencyKind {
    /// Each frame waits for the frames of its own numbers.
    #[serde(rename = "FRAME_BY_FRAME")]
    FrameByFrame,
    /// Each frame waits for the whole layer.
    #[serde(rename = "LAYER_ON_LAYER")]
    LayerOnLayer,
}
