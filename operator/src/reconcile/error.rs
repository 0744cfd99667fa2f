//! What goes wrong between the operator and the API server.

use std::time::Duration;

use crate::desired::{BuildError, Kind};

/// Why a reconcile could not be carried through. It is tried again, later each time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call about an object.
    #[error("{verb} {} {name}", kind.name())]
    Object {
        /// What was to be done.
        verb: &'static str,
        /// The object's kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// What the API server, or the client, said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The status could not be written.
    #[error("writing the status")]
    Status(#[source] Box<kube::Error>),
    /// The objects could not be built.
    #[error("building the objects")]
    Build(#[from] BuildError),
}

impl Error {
    /// A label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Object { source, .. } | Self::Status(source) => label(source),
            Self::Build(_) => "build",
        }
    }

    /// Whether trying the same again may help, without anybody changing something.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Object { source, .. } | Self::Status(source) => match code(source) {
                Some(code) => code >= 500 || [404, 408, 409, 410, 429].contains(&code),
                None => true,
            },
            Self::Build(_) => false,
        }
    }

    /// What the API server said, in a line for people.
    pub fn said(&self) -> String {
        match self {
            Self::Object { source, .. } | Self::Status(source) => match &**source {
                kube::Error::Api(status) => format!("{self}: {}", status.message.trim()),
                other => format!("{self}: {other}"),
            },
            Self::Build(error) => format!("{self}: {error}"),
        }
    }
}

/// How long the API server may take to answer a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A call, given up when there is no answer. Whether it was carried out is unknown then; the next reconcile finds out.
pub async fn timely<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = || kube::Error::Service(format!("no answer within {} s", CALL_TIMEOUT.as_secs()).into());
    tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| Err(late()))
}

/// The status code, where the API server has answered.
pub fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn label(error: &kube::Error) -> &'static str {
    match code(error) {
        Some(403) => "forbidden",
        Some(404) => "not_found",
        Some(409) => "conflict",
        Some(422 | 400) => "invalid",
        Some(429) => "too_many_requests",
        Some(500..) => "server_error",
        Some(_) => "refused",
        None => "connection",
    }
}
