//! Subresources other than `status`: logs, evictions, bindings, tokens, scale.

use std::io;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Answer;
use super::status::{Reply, Status};
use super::write::Tracking;
use super::{Api, Call, body, delete};
use crate::auth::tokens::Subject;
use crate::controllers::{budgets, is_ready, selects};
use crate::logs::{LogError, LogRequest, LogStream};
use crate::objects::ending;
use crate::pure::patch::{json_patch, merge_patch};
use crate::resource::Scale;
use crate::store::{Key, Stored};

/// Shortest life of a token, seconds, as in the real server.
const SHORTEST: i64 = 600;
/// Longest life of a token, seconds: 2^32, as in the real server.
const LONGEST: i64 = 1 << 32;

// === impl Api ===

impl Api {
    pub(super) async fn subresource(
        self: &Arc<Self>,
        call: &Call,
        verb: &str,
        body: Incoming,
    ) -> Reply<Answer> {
        let name = &*call.target.subresource;
        let known = call
            .resource
            .subresources
            .iter()
            .find(|subresource| subresource.name == name);
        if call.resource.is_core("pods") && matches!(name, "exec" | "attach" | "portforward") {
            let why = "pods are plain processes of this machine here: look at them and connect to them directly";
            return Err(Status::bad_request(why));
        }
        let known = known.ok_or_else(Status::no_such_path)?;
        if !known.verbs.contains(&verb) {
            return Err(Status::method_not_allowed());
        }
        match name {
            "log" => self.log(call).await,
            "eviction" => self.evict(call, body).await,
            "binding" => self.bind(call, body).await,
            "token" => self.token(call, body).await,
            "scale" => self.scale(call, verb, body).await,
            "finalize" => self.finalize(call, body).await,
            _ if call.resource.crd.is_none() => Err(Status::no_such_resource()),
            _ => Err(Status::no_such_path()),
        }
    }

    fn existing(&self, call: &Call) -> Reply<(Key, Arc<Stored>)> {
        let key = call.key();
        let found = self
            .store
            .get(&key)
            .ok_or_else(|| Status::not_found(&call.resource, &key.name))?;
        Ok((key, found))
    }

    async fn log(&self, call: &Call) -> Reply<Answer> {
        let (_, pod) = self.existing(call)?;
        let container = container_of(call, &pod.value)?;
        if pod.value["spec"]["nodeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            // Nothing has run, so nothing was written.
            return Ok(Answer::text(""));
        }
        let query = &call.query;
        let request = LogRequest {
            namespace: call.target.namespace.clone(),
            pod: call.target.name.clone(),
            uid: pod.value["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .into(),
            container: container.clone(),
            follow: query.flag("follow"),
            tail_lines: query.number("tailLines"),
            previous: query.flag("previous"),
        };
        let source = self
            .logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(source) = source else {
            return Err(Status::internal(
                "no node agent runs here, so there are no logs",
            ));
        };
        match source.open(request).await {
            Ok(stream) => {
                let stop = self.stop.clone();
                let stream = limited(stream, query.number("limitBytes"));
                Ok(Answer::stream(
                    stream.take_until(stop.cancelled_owned()),
                    "text/plain",
                ))
            }
            Err(LogError::NotYet(why)) => Err(Status::bad_request(format!(
                "container \"{container}\" in pod \"{}\" {why}",
                call.target.name
            ))),
            Err(error) => Err(Status::internal(error)),
        }
    }

    async fn evict(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let eviction = body::read_optional(&call.headers, body)
            .await?
            .unwrap_or(Value::Null);
        let deletion = delete::parse(&eviction["deleteOptions"], call)?;
        {
            // One at a time: each counts the pods that the one before has left.
            let _evictions = self.evictions.lock();
            let (key, pod) = self.existing(call)?;
            self.check_budgets(&pod.value)?;
            self.discard(&call.resource, &key, &deletion)?;
        }
        self.settle(self.store.rv()).await?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Answer::json(&status).with_code(StatusCode::CREATED))
    }

    /// Refuses an eviction that a disruption budget does not allow.
    fn check_budgets(&self, pod: &Value) -> Reply<()> {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if matches!(phase, "Succeeded" | "Failed" | "Pending") || ending(pod) {
            return Ok(());
        }
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let (_, mut budgets) = self
            .store
            .list("poddisruptionbudgets.policy", Some(namespace));
        budgets.retain(|budget| selects(&budget.value["spec"]["selector"], pod));
        let budget = match &budgets[..] {
            [] => return Ok(()),
            [one] => one,
            _ => {
                let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Status::internal(why));
            }
        };
        let status = budgets::status(self, &budget.value);
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        let (desired, healthy) = (number("desiredHealthy"), number("currentHealthy"));
        let kept = healthy >= desired && desired > 0;
        let always = budget.value["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if number("disruptionsAllowed") > 0 || (!is_ready(pod) && (always || kept)) {
            return Ok(());
        }
        let mut refusal = Status::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        );
        let name = budget.value["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        let message = format!(
            "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        );
        refusal.details = json!({"causes": [{"reason": "DisruptionBudget", "message": message}]});
        Err(refusal)
    }

    async fn bind(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let binding = body::read(&call.headers, body).await?;
        let node = binding["target"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let (key, pod) = self.existing(call)?;
        let current = pod.value["spec"]["nodeName"].as_str().unwrap_or_default();
        if !current.is_empty() {
            let why = format!(
                "pod {} is already assigned to node \"{current}\"",
                call.target.name
            );
            return Err(Status::conflict(&call.resource, &call.target.name, &why));
        }
        let mut new = pod.value.clone();
        new["spec"]["nodeName"] = node.into();
        let stored = self.put(&key, &pod, new);
        let stored = stored
            .map_err(|error| Status::from_store(&error, &call.resource, &call.target.name))?;
        self.settle(stored.rv).await?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Answer::json(&status).with_code(StatusCode::CREATED))
    }

    async fn token(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let mut request = body::read(&call.headers, body).await?;
        let (_, account) = self.existing(call)?;
        let spec = &request["spec"];
        let audiences: Vec<String> = spec["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let audiences = if audiences.is_empty() {
            vec![self.tokens.issuer().to_owned()]
        } else {
            audiences
        };
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(3600);
        if !(SHORTEST..=LONGEST).contains(&seconds) {
            let bound = if seconds < SHORTEST {
                "may not specify a duration less than 10 minutes"
            } else {
                "may not specify a duration larger than 2^32 seconds"
            };
            return Err(Status::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!(
                    "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: {seconds}: {bound}"
                ),
            ));
        }
        let (bound, node) = self.bound(call, &spec["boundObjectRef"])?;
        let subject = Subject {
            namespace: call.target.namespace.clone(),
            name: call.target.name.clone(),
            uid: account.value["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .into(),
            bound,
            node,
        };
        let issued = Timestamp::now().as_second();
        let token = self.tokens.issue(&subject, &audiences, issued, seconds);
        let end =
            Timestamp::from_second(issued.saturating_add(seconds)).map_err(Status::internal)?;
        request["metadata"]["name"] = call.target.name.clone().into();
        request["metadata"]["namespace"] = call.target.namespace.clone().into();
        request["metadata"]["creationTimestamp"] = super::now().into();
        request["spec"]["audiences"] = json!(audiences);
        request["spec"]["expirationSeconds"] = seconds.into();
        request["status"] = json!({"token": token, "expirationTimestamp": end.to_string()});
        Ok(Answer::json(&request).with_code(StatusCode::CREATED))
    }

    /// The object that a token is to be bound to and, if that is a pod, its node.
    #[expect(
        clippy::type_complexity,
        reason = "the two optional parts of a token's subject"
    )]
    fn bound(
        &self,
        call: &Call,
        reference: &Value,
    ) -> Reply<(Option<(String, String, String)>, Option<(String, String)>)> {
        if reference.is_null() {
            return Ok((None, None));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&reference["kind"]), text(&reference["name"]));
        let plural = match &*kind {
            "Pod" => "pods",
            "Secret" => "secrets",
            _ => {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount \"{}\" to object of kind {kind:?}",
                    call.target.name
                )));
            }
        };
        let resource = self
            .registry
            .catalog()
            .find("", "v1", plural)
            .ok_or_else(Status::no_such_path)?;
        let object = self
            .store
            .get(&Key::new(&plural.into(), &call.target.namespace, &name));
        let object = object.ok_or_else(|| Status::not_found(&resource, &name))?;
        let uid = text(&object.value["metadata"]["uid"]);
        let wanted = text(&reference["uid"]);
        if !wanted.is_empty() && wanted != uid {
            let why = format!(
                "the UID in the bound object reference ({wanted}) does not match the UID in record ({uid})"
            );
            return Err(Status::conflict(&resource, &name, &why));
        }
        if plural == "pods" && object.value["spec"]["serviceAccountName"] != *call.target.name {
            let why = "cannot bind token for serviceaccount to pod running with different serviceaccount name.";
            return Err(Status::bad_request(why));
        }
        let node = text(&object.value["spec"]["nodeName"]);
        let node = self
            .store
            .get(&Key::new(&"nodes".into(), "", &node))
            .filter(|_| plural == "pods")
            .map(|found| (node, text(&found.value["metadata"]["uid"])));
        Ok((Some((kind.to_lowercase(), name, uid)), node))
    }

    async fn scale(&self, call: &Call, verb: &str, body: Incoming) -> Reply<Answer> {
        let paths = call
            .resource
            .crd
            .as_ref()
            .and_then(|crd| crd.scale.clone())
            .ok_or_else(Status::no_such_path)?;
        let (key, found) = self.existing(call)?;
        if verb == "get" {
            self.settle(found.rv).await?;
            return Ok(Answer::json(&scale_of(&found.value, &paths)));
        }
        let bytes = body::collect(body).await?;
        let media_type = body::media_type(&call.headers).to_owned();
        let sent = body::parse(&bytes, &media_type)?;
        let written = self.change(call, &key, Tracking::Update, |old| {
            let current = scale_of(old, &paths);
            let wanted = match &*media_type {
                _ if verb == "update" => Ok(sent.clone()),
                "application/json-patch+json" => json_patch(&current, &sent),
                "application/merge-patch+json" => merge_patch(&current, &sent),
                _ => {
                    return Err(Status::unsupported(
                        "application/json-patch+json, application/merge-patch+json",
                    ));
                }
            };
            let wanted = wanted.map_err(|error| Status::bad_request(error.to_string()))?;
            let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
            if replicas < 0 {
                return Err(Status::bad_request(
                    "spec.replicas: must be greater than or equal to 0",
                ));
            }
            let mut new = old.clone();
            set(&mut new, &paths.spec, replicas.into());
            let version = &wanted["metadata"]["resourceVersion"];
            if version.is_string() {
                new["metadata"]["resourceVersion"] = version.clone();
            }
            Ok(new)
        })?;
        self.settle(written.stored.rv).await?;
        Ok(Answer::json(&scale_of(&written.stored.value, &paths)))
    }

    /// Lets the last finalizer of a namespace's spec go; the server does so by itself as well.
    async fn finalize(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let wanted = body::read(&call.headers, body).await?;
        let (key, found) = self.existing(call)?;
        let mut new = found.value.clone();
        new["spec"]["finalizers"] = wanted["spec"]["finalizers"].clone();
        let stored = self.put(&key, &found, new);
        let stored = stored
            .map_err(|error| Status::from_store(&error, &call.resource, &call.target.name))?;
        self.settle(stored.rv).await?;
        Ok(call.show(&stored))
    }
}

/// The first bytes of a log, if only some are wanted.
fn limited(stream: LogStream, limit: Option<u64>) -> LogStream {
    let Some(mut left) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return stream;
    };
    let cut = move |chunk: io::Result<Bytes>| {
        let more = left > 0;
        let chunk = chunk.map(|mut bytes| bytes.split_to(bytes.len().min(left)));
        left -= chunk.as_ref().map_or(0, Bytes::len);
        std::future::ready(more.then_some(chunk))
    };
    stream.scan(cut, |cut, chunk| cut(chunk)).boxed()
}

/// The container whose log is wanted: a pod with several does not let one guess.
fn container_of(call: &Call, pod: &Value) -> Reply<String> {
    let names = |list: &str| -> Vec<String> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.filter_map(|container| container["name"].as_str())
            .map(str::to_owned)
            .collect()
    };
    let (containers, inits) = (names("containers"), names("initContainers"));
    let name = &call.target.name;
    match call.query.get("container") {
        Some(wanted) if containers.iter().chain(&inits).any(|found| found == wanted) => {
            Ok(wanted.into())
        }
        Some(wanted) => Err(Status::bad_request(format!(
            "container {wanted} is not valid for pod {name}"
        ))),
        None => match &containers[..] {
            [only] => Ok(only.clone()),
            many => {
                let inits = if inits.is_empty() {
                    String::new()
                } else {
                    format!(" or one of the init containers: [{}]", inits.join(" "))
                };
                Err(Status::bad_request(format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]{inits}",
                    many.join(" ")
                )))
            }
        },
    }
}

fn scale_of(object: &Value, paths: &Scale) -> Value {
    let metadata = &object["metadata"];
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": number(&paths.spec)},
        "status": {"replicas": number(&paths.status)},
    });
    let selector = paths
        .selector
        .as_deref()
        .and_then(|path| object.pointer(path))
        .and_then(Value::as_str);
    if let Some(selector) = selector {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// Sets the value at a pointer whose parents may be missing.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for part in pointer.trim_start_matches('/').split('/') {
        at = &mut at[part];
    }
    *at = value;
}
