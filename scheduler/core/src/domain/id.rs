//! One type per id, so that a wrong one does not compile.
//!
//! Ids in OpenCue's database are text compared case-sensitively, and some installations hold upper-case ones. They are kept
//! exactly as read: parsing one to a UUID and printing it again would make a different id.

use std::fmt;
use std::sync::Arc;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text exactly as the database holds it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// `facility.pk_facility`
    FacilityId,
    /// `show.pk_show`
    ShowId,
    /// `alloc.pk_alloc`
    AllocId,
    /// `folder.pk_folder`
    FolderId,
    /// `job.pk_job`
    JobId,
    /// `layer.pk_layer`
    LayerId,
    /// `frame.pk_frame`
    FrameId,
    /// `host.pk_host`
    HostId,
    /// `proc.pk_proc`, sent to the agent as the resource id
    ProcId,
    /// `limit_record.pk_limit_record`
    LimitId,
}
