//! A Kubernetes API in memory, just enough to watch one controller's calls:
//! get, list by label, create, server-side apply, delete with preconditions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// The API; clones are one.
#[derive(Clone, Default)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By path of the object.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Every write, as `VERB path`.
    writes: Vec<String>,
    /// The write with this number is made and then answered with an error.
    lose_answer_of: Option<usize>,
}

struct Call {
    method: Method,
    path: String,
    query: String,
    body: Value,
}

// === impl FakeApi ===

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Puts an object there, as if somebody else had.
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{version}").into();
        }
        state.objects.insert(path.to_owned(), object);
    }

    /// Changes an object, as if somebody else had.
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(path).unwrap_or_else(|| panic!("no {path}"));
        change(&mut object);
        self.put(path, object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    pub(crate) fn paths(&self, part: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let paths = state.objects.keys();
        paths.filter(|path| path.contains(part)).cloned().collect()
    }

    /// The writes since the last call, without Events: they are news, not state.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        let mut writes = std::mem::take(&mut self.state.lock().unwrap().writes);
        writes.retain(|write| !write.contains("/events"));
        writes
    }

    /// The write with this number, from zero, is made, and its answer is lost.
    pub(crate) fn lose_answer_of(&self, write: Option<usize>) {
        self.state.lock().unwrap().lose_answer_of = write;
    }

    async fn answer(&self, request: Request<Body>) -> Response<axum::body::Body> {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(axum::body::Body::new(body), 1 << 20)
            .await
            .unwrap();
        let call = Call {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        };
        let (code, answer) = self.state.lock().unwrap().handle(&call);
        Response::builder()
            .status(code)
            .header("content-type", "application/json")
            .body(answer.to_string().into())
            .unwrap()
    }
}

// === impl State ===

impl State {
    fn handle(&mut self, call: &Call) -> (StatusCode, Value) {
        if call.method == Method::GET {
            return self.read(call);
        }
        if call.path.contains("/events") {
            return (StatusCode::CREATED, call.body.clone());
        }
        let number = self.writes.len();
        self.writes.push(format!("{} {}", call.method, call.path));
        let answer = match call.method {
            Method::POST => self.create(call),
            Method::PATCH => self.patch(call),
            Method::DELETE => self.delete(call),
            _ => failure(405, "MethodNotAllowed"),
        };
        if self.lose_answer_of == Some(number) {
            return failure(504, "Timeout");
        }
        answer
    }

    fn read(&self, call: &Call) -> (StatusCode, Value) {
        if let Some(object) = self.objects.get(&call.path) {
            return (StatusCode::OK, object.clone());
        }
        let name = call.path.rsplit('/').next().unwrap_or_default();
        let is_list = name.ends_with('s') && !name.contains('-');
        if !is_list {
            return failure(404, "NotFound");
        }
        let selector = call
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix("labelSelector="));
        let wanted = selector.and_then(|selector| selector.split_once("%3D"));
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(path, _)| {
                path.strip_prefix(call.path.as_str())
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|rest| !rest.contains('/'))
            })
            .map(|(_, object)| object)
            .filter(|object| {
                wanted.is_none_or(|(label, value)| {
                    object["metadata"]["labels"][label.replace("%2F", "/")] == value
                })
            })
            .collect();
        let list = json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": { "resourceVersion": self.version.to_string() },
            "items": items,
        });
        (StatusCode::OK, list)
    }

    fn create(&mut self, call: &Call) -> (StatusCode, Value) {
        let name = call.body["metadata"]["name"].as_str().unwrap();
        let path = format!("{}/{name}", call.path);
        if self.objects.contains_key(&path) {
            return failure(409, "AlreadyExists");
        }
        self.store(path, call.body.clone())
    }

    fn patch(&mut self, call: &Call) -> (StatusCode, Value) {
        let (path, status) = match call.path.strip_suffix("/status") {
            Some(path) => (path.to_owned(), true),
            None => (call.path.clone(), false),
        };
        let old = self.objects.get(&path).cloned();
        if status && old.is_none() {
            return failure(404, "NotFound");
        }
        let mut object = old.unwrap_or(json!({}));
        if status {
            merge(&mut object["status"], &call.body["status"]);
        } else {
            merge(&mut object, &call.body);
        }
        self.store(path, object)
    }

    fn delete(&mut self, call: &Call) -> (StatusCode, Value) {
        let Some(object) = self.objects.get(&call.path) else {
            return failure(404, "NotFound");
        };
        let wanted = &call.body["preconditions"];
        let metadata = &object["metadata"];
        assert!(wanted["uid"].is_string() && wanted["resourceVersion"].is_string());
        if wanted["uid"] != metadata["uid"]
            || wanted["resourceVersion"] != metadata["resourceVersion"]
        {
            return failure(409, "Conflict");
        }
        let object = self.objects.remove(&call.path).unwrap();
        (StatusCode::OK, object)
    }

    fn store(&mut self, path: String, mut object: Value) -> (StatusCode, Value) {
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{}", self.version).into();
        }
        self.objects.insert(path, object.clone());
        (StatusCode::OK, object)
    }
}

fn failure(code: u16, reason: &str) -> (StatusCode, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    });
    (StatusCode::from_u16(code).unwrap(), status)
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from.clone(),
    }
}
