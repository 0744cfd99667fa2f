//! What others see of a running scheduler: `/metrics`, `/healthz`, `/readyz`.

pub mod metrics;
pub mod readiness;
mod server;

pub use metrics::Metrics;
pub use readiness::Readiness;
pub use server::{Server, bind};
