//! What others see of a running scheduler: `/metrics`, `/healthz`, `/readyz`, `/api/v1/status`.

pub mod metrics;
pub mod readiness;
mod server;
pub mod status;

pub use metrics::Metrics;
pub use readiness::Readiness;
pub use server::{Server, bind};
pub use status::Status;
