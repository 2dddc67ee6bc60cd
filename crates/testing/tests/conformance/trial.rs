//! One case against one server: what it asks, and a transcript of the answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, header};
use http_body_util::{BodyExt, BodyStream};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::normal::Normalizer;
use crate::server::Server;

/// How long anything may take before a case gives up on it.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long a watch may take for what it should tell.
const WATCH_PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what no watch tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Media types of patches.
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A request and its answer, as they compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Method and path.
    pub label: String,
    /// Status code, warnings and body.
    pub answer: Value,
}

/// A case at work.
pub struct Trial<'s> {
    server: &'s Server,
    client: Client,
    /// The case's own namespace, of the same name on both servers.
    pub namespace: String,
    headers: Vec<(&'static str, String)>,
    normalizer: Normalizer,
    /// What was asked and answered.
    pub steps: Vec<Step>,
    /// Codes that the case did not expect.
    pub surprises: Vec<String>,
}

/// An answer in full.
struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

// === impl Trial ===

impl<'s> Trial<'s> {
    /// A case in a namespace of its own, which is made.
    pub async fn begin(server: &'s Server, namespace: &str) -> Self {
        let mut trial = Self {
            server,
            client: server.admin.clone(),
            namespace: namespace.into(),
            headers: Vec::new(),
            normalizer: Normalizer::default(),
            steps: Vec::new(),
            surprises: Vec::new(),
        };
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let made = trial
            .exchange(Method::POST, "/api/v1/namespaces", None, Some(&body))
            .await;
        assert_eq!(made.code, 201, "{}", made.body);
        // On a real cluster a controller makes it; pods cannot be without.
        trial
            .until("serviceaccounts/default", |code, _| code == 200)
            .await;
        trial
    }

    /// From now on the administrator speaks for `user`, or for himself.
    pub fn act_as(&mut self, user: Option<&str>) {
        self.headers = user
            .map(|user| ("impersonate-user", user.to_owned()))
            .into_iter()
            .collect();
    }

    /// From now on the bearer of `token` speaks.
    pub fn bear(&mut self, token: &str) {
        self.client = self.server.bearer(token);
    }

    /// GET.
    pub async fn get(&mut self, code: u16, path: &str) -> Value {
        self.ask(code, Method::GET, path, None, None).await
    }

    /// GET of what it takes in another form.
    pub async fn get_as(&mut self, code: u16, path: &str, accept: &'static str) -> Value {
        self.headers.push(("accept", accept.into()));
        let body = self.ask(code, Method::GET, path, None, None).await;
        self.headers.pop();
        body
    }

    /// POST.
    pub async fn create(&mut self, code: u16, path: &str, body: Value) -> Value {
        self.ask(code, Method::POST, path, None, Some(body)).await
    }

    /// PUT.
    pub async fn replace(&mut self, code: u16, path: &str, body: Value) -> Value {
        self.ask(code, Method::PUT, path, None, Some(body)).await
    }

    /// PATCH with an RFC 7386 document.
    pub async fn merge(&mut self, code: u16, path: &str, body: Value) -> Value {
        self.ask(code, Method::PATCH, path, Some(MERGE), Some(body))
            .await
    }

    /// PATCH with an RFC 6902 document.
    pub async fn json_patch(&mut self, code: u16, path: &str, body: Value) -> Value {
        self.ask(code, Method::PATCH, path, Some(JSON), Some(body))
            .await
    }

    /// PATCH in Kubernetes' own strategic way.
    pub async fn strategic(&mut self, code: u16, path: &str, body: Value) -> Value {
        self.ask(code, Method::PATCH, path, Some(STRATEGIC), Some(body))
            .await
    }

    /// Server-side apply; `path` has the field manager among its parameters.
    pub async fn apply(&mut self, code: u16, path: &str, body: Value) -> Value {
        self.ask(code, Method::PATCH, path, Some(APPLY), Some(body))
            .await
    }

    /// DELETE; `options` may be null.
    pub async fn delete(&mut self, code: u16, path: &str, options: Value) -> Value {
        let mut body = options;
        if body.is_object() {
            body["apiVersion"] = "v1".into();
            body["kind"] = "DeleteOptions".into();
        }
        let body = Some(body).filter(Value::is_object);
        self.ask(code, Method::DELETE, path, None, body).await
    }

    /// Any request, with a body that may be no JSON at all.
    pub async fn raw(
        &mut self,
        code: u16,
        method: Method,
        path: &str,
        media_type: &str,
        body: &str,
    ) -> Value {
        let full = self.full(path);
        let request = self
            .request(method.clone(), &full)
            .header(header::CONTENT_TYPE, media_type)
            .body(Body::from(body.as_bytes().to_vec()))
            .unwrap();
        let answer = self.answer(request).await;
        self.record(code, &method, path, answer)
    }

    /// Tries to make something, notes nothing, and returns the code.
    pub async fn attempt(&mut self, path: &str, body: &Value) -> u16 {
        let full = self.full(path);
        self.exchange(Method::POST, &full, None, Some(body))
            .await
            .code
    }

    /// Makes something whose name the server makes up, and compares it as `<generated>`.
    pub async fn create_generated(&mut self, path: &str, body: Value) -> Value {
        let full = self.full(path);
        let answer = self.exchange(Method::POST, &full, None, Some(&body)).await;
        self.alias(&answer.body["metadata"]["name"], "<generated>");
        self.record(201, &Method::POST, path, answer)
    }

    /// Code and reason for which a merge is refused; for messages that show whole objects.
    pub async fn refused_change(&mut self, path: &str, body: Value) -> Value {
        let full = self.full(path);
        let answer = self
            .exchange(Method::PATCH, &full, Some(MERGE), Some(&body))
            .await;
        json!({
            "code": answer.code,
            "reason": answer.body["reason"],
            "details": answer.body["details"]["kind"],
            "field": answer.body["details"]["causes"][0]["field"],
        })
    }

    /// GET without a note.
    pub async fn get_unnoted(&mut self, path: &str) -> Value {
        let full = self.full(path);
        self.exchange(Method::GET, &full, None, None).await.body
    }

    /// The same in another form.
    pub async fn get_as_unnoted(&mut self, path: &str, accept: &'static str) -> Value {
        self.headers.push(("accept", accept.into()));
        let body = self.get_unnoted(path).await;
        self.headers.pop();
        body
    }

    /// POST without a note.
    pub async fn post_unnoted(&mut self, path: &str, body: Value) -> Value {
        let full = self.full(path);
        self.exchange(Method::POST, &full, None, Some(&body))
            .await
            .body
    }

    /// From now on answers are wanted in this form.
    pub fn accept(&mut self, form: &'static str) {
        self.headers.retain(|(name, _)| *name != "accept");
        self.headers.push(("accept", form.into()));
    }

    async fn ask(
        &mut self,
        code: u16,
        method: Method,
        path: &str,
        media_type: Option<&str>,
        body: Option<Value>,
    ) -> Value {
        let full = self.full(path);
        let answer = self
            .exchange(method.clone(), &full, media_type, body.as_ref())
            .await;
        self.record(code, &method, path, answer)
    }

    fn record(&mut self, code: u16, method: &Method, path: &str, answer: Answer) -> Value {
        let label = format!("{} {method} {path}", self.steps.len() + 1);
        if answer.code != code {
            let (found, body) = (answer.code, &answer.body);
            self.surprises
                .push(format!("{label}: expected {code}, got {found}: {body}"));
        }
        let body = self.normalizer.value(&answer.body);
        let mut compared = json!({"code": answer.code, "body": body});
        if !answer.warnings.is_empty() {
            let warnings = answer.warnings.iter();
            compared["warnings"] = warnings.map(|text| self.normalizer.text(text)).collect();
        }
        let label = self.normalizer.text(&label);
        self.steps.push(Step {
            label,
            answer: compared,
        });
        answer.body
    }

    /// Notes something that must be the same on both servers.
    pub fn note(&mut self, what: &str, value: impl Into<Value>) {
        let answer = self.normalizer.value(&value.into());
        let label = format!("{} {what}", self.steps.len() + 1);
        self.steps.push(Step { label, answer });
    }

    /// From now on `text`, which the server made up, compares as `alias`.
    pub fn alias(&mut self, text: &Value, alias: &str) {
        self.normalizer
            .alias(text.as_str().unwrap_or("<nothing>"), alias);
    }

    /// Looks at `path` until `done` says so; notes nothing but that it did not happen.
    pub async fn until(&mut self, path: &str, done: impl Fn(u16, &Value) -> bool) -> Value {
        let full = self.full(path);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.exchange(Method::GET, &full, None, None).await;
            if done(answer.code, &answer.body) {
                return answer.body;
            }
            if Instant::now() > deadline {
                let (code, body) = (answer.code, &answer.body);
                let text = format!("in vain waited for {path}, which is {code}: {body}");
                self.note("a wait in vain", text.clone());
                self.surprises.push(text);
                return answer.body;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until `path` is not there any more.
    pub async fn until_gone(&mut self, path: &str) {
        self.until(path, |code, _| code == 404).await;
    }

    /// The first `count` events of a watch, or fewer if it ends before. `path` has the watch
    /// among its parameters.
    pub async fn watch(&mut self, count: usize, path: &str) -> Vec<Value> {
        let events = self.watch_unnoted(count, path).await;
        let compared: Vec<Value> = events
            .iter()
            .map(|event| self.normalizer.value(event))
            .collect();
        let label = self
            .normalizer
            .text(&format!("{} WATCH {path}", self.steps.len() + 1));
        if events.len() != count {
            self.surprises
                .push(format!("{label}: {count} events expected: {events:?}"));
        }
        self.steps.push(Step {
            label,
            answer: json!({"events": compared}),
        });
        events
    }

    /// The same without a note.
    pub async fn watch_unnoted(&mut self, count: usize, path: &str) -> Vec<Value> {
        let full = self.full(path);
        let request = self.request(Method::GET, &full);
        let request = request.body(Body::empty()).unwrap();
        let reading = async {
            let response = self.client.send(request).await.unwrap();
            events(response.into_body(), count).await
        };
        let read = tokio::time::timeout(WATCH_PATIENCE, reading).await;
        read.unwrap_or_default()
    }

    /// `configmaps/a` is in the case's namespace; so is `apps/v1/deployments/a`; what begins
    /// with a slash is all of the path.
    fn full(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.into();
        }
        let namespace = &self.namespace;
        let (resource, parameters) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = resource.split('/').collect();
        let full = match &parts[..] {
            [group, version, rest @ ..] if version.starts_with('v') && version.len() <= 8 => {
                format!(
                    "/apis/{group}/{version}/namespaces/{namespace}/{}",
                    rest.join("/")
                )
            }
            rest => format!("/api/v1/namespaces/{namespace}/{}", rest.join("/")),
        };
        if parameters.is_empty() {
            full
        } else {
            format!("{full}?{parameters}")
        }
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::USER_AGENT, "conformance/1");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        media_type: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.request(method, path);
        if body.is_some() {
            let media_type = media_type.unwrap_or("application/json");
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let body = body.map_or_else(Body::empty, |body| {
            Body::from(body.to_string().into_bytes())
        });
        self.answer(request.body(body).unwrap()).await
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.client.send(request).await.unwrap();
        let code = response.status().as_u16();
        let warnings = response.headers().get_all(header::WARNING).iter();
        let warnings = warnings
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        // A watch that should have been refused has no end.
        let body = tokio::time::timeout(WATCH_PATIENCE, response.into_body().collect()).await;
        let body = match body {
            Ok(whole) => whole.unwrap().to_bytes(),
            Err(_) => Bytes::from_static(b"an answer without an end"),
        };
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
        Answer {
            code,
            warnings,
            body,
        }
    }
}

/// The first `count` lines of JSON, or all if there are fewer.
async fn events(body: Body, count: usize) -> Vec<Value> {
    let mut frames = BodyStream::new(body);
    let mut pending = Vec::new();
    let mut events = Vec::new();
    while events.len() < count
        && let Some(Ok(frame)) = frames.next().await
    {
        let data: Bytes = frame.into_data().unwrap_or_default();
        pending.extend_from_slice(&data);
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            events.push(serde_json::from_slice(&line).unwrap());
        }
    }
    events.truncate(count);
    events
}
