//! Rows of a small snapshot, for unit tests.

use cue_scheduler_core::domain::amount::{Gpus, Kb};
use cue_scheduler_core::domain::cap::{Budget, Cap};
use cue_scheduler_core::domain::request::CoreRequest;
use cue_scheduler_core::snapshot::{
    Folder, FolderIx, Given, Job, JobIx, Layer, Snapshot, Subscription, SubscriptionIx,
};

/// No cap, nothing used.
const FREE: Budget = Budget { cap: Cap::Unlimited, used: 0 };

/// Layer `l{at}` of a job with so many waiting frames, each as large as the whole host.
pub fn layer(at: u32, job: JobIx, waiting: u32) -> Layer {
    Layer {
        id: format!("l{at}").into(),
        name: "layer".into(),
        job,
        dispatch_order: 0,
        cores: CoreRequest::WholeHost,
        cores_max: None,
        threadable: false,
        memory: Kb(1),
        gpus: Gpus(0),
        gpu_memory: Kb(0),
        tags: Vec::new(),
        services: Vec::new(),
        limits: Vec::new(),
        waiting,
        given: Given::default(),
    }
}

/// A subscription, a folder and jobs `j0`, `j1`, … of priority 7 in them, none of them capped; no layers.
pub fn farm(jobs: u32) -> Snapshot {
    let job = |at: u32| Job {
        id: format!("j{at}").into(),
        name: format!("j{at}").into(),
        subscription: SubscriptionIx(0),
        folder: FolderIx(0),
        priority: 7,
        started: 0,
        os: None,
        cores: FREE,
        gpus: FREE,
    };
    let subscription = Subscription { show: "s".into(), show_name: "show".into(), alloc: "a".into(), cores: FREE };
    Snapshot {
        subscriptions: vec![subscription],
        folders: vec![Folder { id: "f".into(), cores: FREE, gpus: FREE }],
        jobs: (0..jobs).map(job).collect(),
        ..Snapshot::default()
    }
}
