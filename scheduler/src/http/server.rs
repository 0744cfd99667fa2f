//! The HTTP listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::status::LAYERS;
use super::{Metrics, Readiness, Status};

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    state: AppState,
}

#[derive(Clone)]
struct AppState {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    status: Arc<Status>,
}

/// Binds the port on all interfaces; 0 for a free one. A port in use is an error, since a scheduler that nobody can see is
/// worse than one that does not start.
pub async fn bind(
    port: u16,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    status: Arc<Status>,
) -> std::io::Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    Ok(Server { listener, state: AppState { metrics, readiness, status } })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) -> std::io::Result<()> {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/api/v1/status", get(status))
            .with_state(self.state);
        axum::serve(self.listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    state.metrics.quarantined(state.status.paused().len());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.text())
}

async fn status(State(state): State<AppState>, RawQuery(query): RawQuery) -> impl IntoResponse {
    match layers_asked(query.as_deref()) {
        Ok(most) => Json(state.status.json(most)).into_response(),
        Err(unknown) => (StatusCode::BAD_REQUEST, format!("{unknown}: only layers=NUMBER is known\n")).into_response(),
    }
}

/// How many waiting layers are to be listed; what is not understood is the error, since an answer to another question misleads.
fn layers_asked(query: Option<&str>) -> Result<usize, &str> {
    match query.filter(|query| !query.is_empty()) {
        None => Ok(LAYERS),
        Some(query) => query.strip_prefix("layers=").and_then(|number| number.parse().ok()).ok_or(query),
    }
}

async fn readyz(State(state): State<AppState>) -> impl IntoResponse {
    match state.readiness.missing() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    fn status() -> Arc<Status> {
        Arc::new(Status::new(None, BTreeSet::new(), Readiness::default(), Arc::default()))
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_and_metrics_are_served_until_the_stop() {
        let readiness = Readiness::default();
        let server = bind(0, Arc::new(Metrics::new().unwrap()), readiness.clone(), status()).await.unwrap();
        let address = server.address().unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.run(stop.clone()));

        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        readiness.waits_for("database: connection refused");
        let waiting = get(address, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("database: connection refused"), "{waiting}");
        readiness.ready();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = get(address, "/metrics").await.to_lowercase();
        assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.contains("# type scheduler_jobs_queried_total counter"), "{metrics}");
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
        for (query, answer) in [("", 200), ("?layers=5000", 200), ("?layers=all", 400), ("?layer=3", 400)] {
            let answered = get(address, &format!("/api/v1/status{query}")).await;
            assert!(answered.starts_with(&format!("HTTP/1.1 {answer}")), "{query}: {answered}");
        }

        stop.cancel();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error() {
        let first = bind(0, Arc::new(Metrics::new().unwrap()), Readiness::default(), status()).await.unwrap();
        let port = first.address().unwrap().port();
        assert!(bind(port, Arc::new(Metrics::new().unwrap()), Readiness::default(), status()).await.is_err());
    }
}
