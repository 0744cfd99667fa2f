//! A small API server in memory: enough of lists, watches, server-side apply and deletion for the operator, with faults on
//! command, and a record of every call. What admission, garbage collection and controllers do is the real one's business.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

type AnyBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// What a call meets instead of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status code.
    Code(u16),
    /// No answer at all.
    Silence,
    /// It is carried out, and the answer is lost.
    Lost,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub verb: &'static str,
    /// `deployments/farm-spi`, `schedulerdeployments/farm/status`.
    pub about: String,
}

#[derive(Default)]
struct State {
    /// Objects by path.
    objects: BTreeMap<String, Value>,
    version: u64,
    calls: Vec<Call>,
    /// Faults, each for the next call whose verb and path fit.
    faults: VecDeque<(&'static str, String, Fault)>,
    /// What happened: version, path, kind of event, object.
    history: Vec<(u64, String, &'static str, Value)>,
    /// Watches by the path of their collection.
    watches: Vec<(String, UnboundedSender<Bytes>)>,
    /// Writes after which every call is met with silence, as if the operator had been killed.
    writes_left: Option<usize>,
    /// Nothing is answered, and what watches were there hear no more for ever.
    is_silent: bool,
    silenced: Vec<(String, UnboundedSender<Bytes>)>,
}

/// The server.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<State>>);

impl Api {
    /// A client of it.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { api.answer(request).await }
        });
        Client::new(service, "opencue")
    }

    /// The next call of this verb whose path ends so meets a fault.
    pub fn fault(&self, verb: &'static str, path: &str, fault: Fault) {
        self.0.lock().unwrap().faults.push_back((verb, path.to_owned(), fault));
    }

    /// After so many further writes nothing is answered any more; `None` ends that.
    pub fn die_after(&self, writes: Option<usize>) {
        self.0.lock().unwrap().writes_left = writes;
    }

    /// Accepts everything and answers nothing, or does again. Watches of before stay open, and nothing comes of them.
    pub fn fall_silent(&self, is_silent: bool) {
        let mut state = self.0.lock().unwrap();
        state.is_silent = is_silent;
        let watches = std::mem::take(&mut state.watches);
        state.silenced.extend(watches);
    }

    /// Whether all faults have been met.
    pub fn all_faults_met(&self) -> bool {
        self.0.lock().unwrap().faults.is_empty()
    }

    /// Calls so far that change something, in order.
    pub fn writes(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let writes = state.calls.iter().filter(|call| ["apply", "delete", "create"].contains(&call.verb));
        writes.map(|call| format!("{} {}", call.verb, call.about)).collect()
    }

    /// All calls so far but watches and lists.
    pub fn calls(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let calls = state.calls.iter().filter(|call| !["list", "watch", "discover"].contains(&call.verb));
        calls.map(|call| format!("{} {}", call.verb, call.about)).collect()
    }

    /// Everything that is there, without what differs from run to run.
    pub fn snapshot(&self) -> BTreeMap<String, Value> {
        let state = self.0.lock().unwrap();
        let objects = state.objects.iter().filter(|(path, _)| !path.contains("/events/"));
        let clean = |(path, object): (&String, &Value)| {
            let mut object = object.clone();
            for field in ["uid", "resourceVersion", "generation", "ownerReferences"] {
                object["metadata"].as_object_mut().unwrap().remove(field);
            }
            // The versions of Secrets, and hashes of what has them.
            object["metadata"]["annotations"]
                .as_object_mut()
                .map(|words| words.remove("scheduler.opencue.io/template-hash"));
            object["spec"]["template"]["metadata"]["annotations"]
                .as_object_mut()
                .map(|words| words.remove("scheduler.opencue.io/secret-revision"));
            for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
                condition["lastTransitionTime"] = json!("");
            }
            (path.clone(), object)
        };
        objects.map(clean).collect()
    }

    /// Events, as they were published.
    pub fn snapshot_events(&self) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        state.objects.iter().filter(|(path, _)| path.contains("/events/")).map(|(_, event)| event.clone()).collect()
    }

    /// An object, by the end of its path.
    pub fn object(&self, path: &str) -> Option<Value> {
        let state = self.0.lock().unwrap();
        state.objects.iter().find(|(known, _)| known.ends_with(path)).map(|(_, object)| object.clone())
    }

    /// The highest resource version.
    pub fn version(&self) -> u64 {
        self.0.lock().unwrap().version
    }

    /// Puts an object there, as a user would.
    pub fn put(&self, collection: &str, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{collection}/{name}");
        let before = state.objects.get(&path).cloned();
        let generation = before.as_ref().map_or(0, |before| before["metadata"]["generation"].as_i64().unwrap_or(0));
        let uid = before
            .as_ref()
            .map_or_else(|| json!(format!("uid-{name}-{}", state.version)), |before| before["metadata"]["uid"].clone());
        object["metadata"]["namespace"] = json!("opencue");
        object["metadata"]["uid"] = uid;
        object["metadata"]["generation"] = json!(generation + 1);
        if let Some(before) = before.filter(|before| !before["status"].is_null() && object["status"].is_null()) {
            object["status"] = before["status"].clone();
        }
        state.store(&path, object);
    }

    /// Takes an object away, as a user would.
    pub fn take(&self, path: &str) {
        self.0.lock().unwrap().remove(path);
    }

    /// Closes all watches; `gone` tells them first that their version is too old.
    pub fn close_watches(&self, gone: bool) {
        let mut state = self.0.lock().unwrap();
        for (_, watch) in state.watches.drain(..) {
            if gone {
                let status = json!({ "type": "ERROR", "object": { "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "too old resource version", "reason": "Expired", "code": 410 } });
                let _ = watch.unbounded_send(line(&status));
            }
        }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<AnyBody>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let metadata_only = parts
            .headers
            .get("accept")
            .is_some_and(|accept| accept.to_str().unwrap().contains("PartialObjectMetadata"));
        let is_collection = is_collection(&path);
        let verb = match (&parts.method, is_collection) {
            (&Method::GET, true) if query.contains("watch=true") => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) if path.matches('/').count() <= 3 => "discover",
            (&Method::GET, false) => "get",
            (&Method::PATCH, _) => "apply",
            (&Method::DELETE, _) => "delete",
            _ => "create",
        };
        let fault = self.met(verb, &path);
        match fault {
            Some(Fault::Silence) => futures::future::pending().await,
            Some(Fault::Code(code)) => return Ok(refused(code)),
            Some(Fault::Lost) => {
                let _ = self.carried_out(verb, &path, &query, &body, metadata_only);
                return futures::future::pending().await;
            }
            None => {}
        }
        Ok(self.carried_out(verb, &path, &query, &body, metadata_only))
    }

    /// Notes a call, and the fault that it meets.
    fn met(&self, verb: &'static str, path: &str) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        let is_write = ["apply", "delete", "create"].contains(&verb);
        if state.is_silent || state.writes_left == Some(0) {
            return Some(Fault::Silence);
        }
        state.calls.push(Call { verb, about: about(path) });
        if is_write && let Some(left) = &mut state.writes_left {
            *left -= 1;
            if *left == 0 {
                return Some(Fault::Lost);
            }
        }
        let position = state.faults.iter().position(|(v, end, _)| *v == verb && path.ends_with(end.as_str()));
        position.and_then(|position| state.faults.remove(position)).map(|(_, _, fault)| fault)
    }

    fn carried_out(&self, verb: &str, path: &str, query: &str, body: &[u8], metadata_only: bool) -> Response<AnyBody> {
        let mut state = self.0.lock().unwrap();
        match verb {
            "discover" => refused(404),
            "list" => {
                let items: Vec<Value> = state.select(path, query).map(|object| shown(object, metadata_only)).collect();
                let kind = if metadata_only { "PartialObjectMetadataList" } else { "List" };
                answer(
                    200,
                    &json!({ "apiVersion": "v1", "kind": kind, "metadata": { "resourceVersion": state.version.to_string() }, "items": items }),
                )
            }
            "watch" => {
                let (sender, receiver) = unbounded();
                // What happened since the version that the watch knows.
                let known = query
                    .split('&')
                    .find_map(|part| part.strip_prefix("resourceVersion="))
                    .and_then(|version| version.parse().ok());
                let missed =
                    state.history.iter().filter(|(version, ..)| known.is_some_and(|known: u64| *version > known));
                for (_, _, kind, object) in missed.filter(|(_, at, _, object)| is_in(path, at) && fits(query, object)) {
                    let _ =
                        sender.unbounded_send(line(&json!({ "type": kind, "object": shown(object, metadata_only) })));
                }
                state.watches.push((format!("{path}?{metadata_only}?{query}"), sender));
                let frames = receiver.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
                Response::new(StreamBody::new(frames).boxed_unsync())
            }
            "get" => match state.objects.get(path) {
                Some(object) => answer(200, &shown(object, metadata_only)),
                None => refused(404),
            },
            "apply" => {
                let manifest: Value = serde_json::from_slice(body).unwrap();
                match path.strip_suffix("/status") {
                    Some(path) => state.apply_status(path, &manifest),
                    None => state.apply(path, manifest),
                }
            }
            "delete" => {
                let found = state.remove(path);
                if found {
                    answer(200, &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {} }))
                } else {
                    refused(404)
                }
            }
            _ => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
                state.store(&path, object.clone());
                answer(201, &object)
            }
        }
    }
}

impl State {
    /// Objects of a collection, in one namespace or all, that selectors ask for.
    fn select<'s>(&'s self, collection: &'s str, query: &'s str) -> impl Iterator<Item = &'s Value> {
        let objects = self.objects.iter().filter(move |(path, object)| is_in(collection, path) && fits(query, object));
        objects.map(|(_, object)| object)
    }

    fn store(&mut self, path: &str, mut object: Value) {
        let known = self.objects.contains_key(path);
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        self.tell(path, if known { "MODIFIED" } else { "ADDED" }, &object);
    }

    fn remove(&mut self, path: &str) -> bool {
        let Some(mut object) = self.objects.remove(path) else { return false };
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.tell(path, "DELETED", &object);
        true
    }

    fn tell(&mut self, path: &str, kind: &'static str, object: &Value) {
        self.history.push((self.version, path.to_owned(), kind, object.clone()));
        self.watches.retain(|(watch, sender)| {
            let mut parts = watch.splitn(3, '?');
            let (collection, metadata_only, query) =
                (parts.next().unwrap(), parts.next() == Some("true"), parts.next().unwrap());
            if !is_in(collection, path) || !fits(query, object) {
                return !sender.is_closed();
            }
            sender.unbounded_send(line(&json!({ "type": kind, "object": shown(object, metadata_only) }))).is_ok()
        });
    }

    /// Server-side apply by one manager who owns everything. What changes nothing is no write.
    fn apply(&mut self, path: &str, mut manifest: Value) -> Response<AnyBody> {
        let before = self.objects.get(path).cloned();
        let mut object = before.clone().unwrap_or_else(
            || json!({ "metadata": { "uid": format!("uid-{path}-{}", self.version), "generation": 0 } }),
        );
        let server: Vec<(String, Value)> = ["uid", "resourceVersion", "generation"]
            .iter()
            .filter_map(|field| Some(((*field).to_owned(), object["metadata"].get(*field)?.clone())))
            .collect();
        manifest["metadata"].as_object_mut().unwrap().extend(server);
        if before.as_ref().is_some_and(|before| before["status"].is_object()) {
            manifest["status"] = before.as_ref().unwrap()["status"].clone();
        }
        if before.as_ref() == Some(&manifest) {
            return answer(200, &manifest);
        }
        if object.get("spec") != manifest.get("spec") {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            manifest["metadata"]["generation"] = json!(generation + 1);
        }
        object = manifest;
        self.store(path, object);
        answer(200, &self.objects[path])
    }

    fn apply_status(&mut self, path: &str, manifest: &Value) -> Response<AnyBody> {
        let Some(mut object) = self.objects.get(path).cloned() else { return refused(404) };
        if object["status"] != manifest["status"] {
            object["status"] = manifest["status"].clone();
            self.store(path, object);
        }
        answer(200, &self.objects[path])
    }
}

/// `/apis/apps/v1/namespaces/opencue/deployments/farm` → `deployments/farm`.
fn about(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.iter().position(|part| *part == "namespaces") {
        Some(position) => parts[position + 2..].join("/"),
        None => parts[parts.len() - 1].to_owned(),
    }
}

fn is_collection(path: &str) -> bool {
    let core = path.starts_with("/api/");
    let parts = path.trim_start_matches('/').split('/').count();
    let below = parts - if core { 2 } else { 3 };
    if path.contains("/namespaces/") { below == 3 } else { below == 1 }
}

/// Whether an object is in a collection, of one namespace or of all.
fn is_in(collection: &str, path: &str) -> bool {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let anywhere = folder.replace("/namespaces/opencue", "");
    folder == collection || anywhere == collection
}

fn fits(query: &str, object: &Value) -> bool {
    let ours = object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "cue-scheduler-operator";
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    (!query.contains("labelSelector") || ours)
        && (!query.contains("fieldSelector") || query.contains(&format!("metadata.name%3D{name}")))
}

fn shown(object: &Value, metadata_only: bool) -> Value {
    if metadata_only {
        return json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"] });
    }
    object.clone()
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn answer(code: u16, value: &Value) -> Response<AnyBody> {
    let body = http_body_util::Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(StatusCode::from_u16(code).unwrap()).body(body).unwrap()
}

fn refused(code: u16) -> Response<AnyBody> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    answer(
        code,
        &json!({ "reason": reason, "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": format!("refused with {code}"), "code": code }),
    )
}
