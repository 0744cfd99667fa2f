//! Why frames wait. Every layer that a pass leaves waiting has one reason, counted and shown.

/// Why a layer's frames were not booked in a pass: the first obstacle met in the order of the planner's questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The subscription's burst is zero or negative: the show may not use this allocation.
    SubscriptionFrozen,
    /// The subscription's burst is used up.
    SubscriptionFull,
    /// The folder's core maximum is used up, or 0.
    FolderCores,
    /// The folder's GPU maximum is used up, or 0.
    FolderGpus,
    /// The job's core maximum is used up, 0 or negative.
    JobCores,
    /// The job's GPU maximum is used up.
    JobGpus,
    /// One of the layer's limits has no room.
    Limit,
    /// No host of the pool has one of the layer's tags.
    NoHostWithTag,
    /// Hosts have the tag, none of them the operating system.
    NoHostWithOs,
    /// Hosts match, and all of them give every idle core to one frame (thread mode All), which the layer's frames could
    /// not use.
    NoHostForUnthreaded,
    /// Hosts match, and none is large enough even when idle. A negative request, which no host can grant, counts here.
    NoHostLargeEnough,
    /// Hosts match and are large enough, and none has enough idle now.
    HostsBusy,
    /// A bound of the configuration ended the layer's share of this pass.
    PassBound,
}

impl Reason {
    /// Every reason, in the order of the questions.
    pub const ALL: [Self; 13] = [
        Self::SubscriptionFrozen,
        Self::SubscriptionFull,
        Self::FolderCores,
        Self::FolderGpus,
        Self::JobCores,
        Self::JobGpus,
        Self::Limit,
        Self::NoHostWithTag,
        Self::NoHostWithOs,
        Self::NoHostForUnthreaded,
        Self::NoHostLargeEnough,
        Self::HostsBusy,
        Self::PassBound,
    ];

    /// Whether no host took a frame, though caps and bounds allowed one.
    pub fn is_about_hosts(self) -> bool {
        matches!(
            self,
            Self::NoHostWithTag
                | Self::NoHostWithOs
                | Self::NoHostForUnthreaded
                | Self::NoHostLargeEnough
                | Self::HostsBusy
        )
    }

    /// The label for metrics and the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::SubscriptionFrozen => "subscription_frozen",
            Self::SubscriptionFull => "subscription_full",
            Self::FolderCores => "folder_cores",
            Self::FolderGpus => "folder_gpus",
            Self::JobCores => "job_cores",
            Self::JobGpus => "job_gpus",
            Self::Limit => "limit",
            Self::NoHostWithTag => "no_host_with_tag",
            Self::NoHostWithOs => "no_host_with_os",
            Self::NoHostForUnthreaded => "no_host_for_unthreaded",
            Self::NoHostLargeEnough => "no_host_large_enough",
            Self::HostsBusy => "hosts_busy",
            Self::PassBound => "pass_bound",
        }
    }
}
