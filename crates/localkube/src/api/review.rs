//! Reviews: questions about users and permissions.

use http::StatusCode;
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Answer;
use super::status::{Reply, Status};
use super::write::check_identity;
use super::{Api, Call, body, now};
use crate::auth::User;
use crate::pure::rbac::Attributes;

// === impl Api ===

impl Api {
    pub(super) async fn review(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let mut review = body::read(&call.headers, body).await?;
        check_identity(call, &review)?;
        if let Some(check) = call.resource.check {
            check(&mut review).map_err(Status::bad_request)?;
        }
        let spec = review["spec"].clone();
        review["status"] = match &*call.resource.plural {
            "selfsubjectreviews" => {
                review["metadata"]["creationTimestamp"] = now().into();
                json!({"userInfo": call.user.info()})
            }
            "tokenreviews" => self.token_review(&spec),
            "selfsubjectaccessreviews" => self.access(&spec, &call.user)?,
            "selfsubjectrulesreviews" => self.own_rules(&spec, &call.user),
            "localsubjectaccessreviews" => {
                let asked = spec["resourceAttributes"]["namespace"]
                    .as_str()
                    .unwrap_or_default();
                if asked != call.target.namespace {
                    return Err(Status::bad_request(
                        "spec.resourceAttributes.namespace must match metadata.namespace",
                    ));
                }
                self.access(&spec, &subject(&spec))?
            }
            _ => self.access(&spec, &subject(&spec))?,
        };
        Ok(Answer::json(&review).with_code(StatusCode::CREATED))
    }

    fn token_review(&self, spec: &Value) -> Value {
        let token = spec["token"].as_str().unwrap_or_default();
        let wanted = spec["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned);
        let mut wanted: Vec<String> = wanted.collect();
        if wanted.is_empty() {
            wanted.push(self.tokens.issuer().to_owned());
        }
        match self
            .tokens
            .verify(token, &wanted, Timestamp::now().as_second(), &self.store)
        {
            Ok((user, audiences)) => {
                json!({"authenticated": true, "user": user.info(), "audiences": audiences})
            }
            Err(reason) => {
                json!({"error": format!("[invalid bearer token, {reason}]"), "user": {}})
            }
        }
    }

    fn access(&self, spec: &Value, user: &User) -> Reply<Value> {
        let text =
            |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let mut attributes = Attributes {
            user: user.name.clone(),
            groups: user.groups.clone(),
            ..Attributes::default()
        };
        let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
        match (resource.is_object(), path.is_object()) {
            (true, false) => {
                attributes.verb = text(resource, "verb");
                attributes.group = text(resource, "group");
                attributes.resource = text(resource, "resource");
                attributes.subresource = text(resource, "subresource");
                attributes.name = text(resource, "name");
                attributes.namespace = text(resource, "namespace");
            }
            (false, true) => {
                attributes.verb = text(path, "verb");
                attributes.non_resource_path = Some(text(path, "path"));
            }
            _ => {
                return Err(Status::bad_request(
                    "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified",
                ));
            }
        }
        let decision = self.rules().decide(&attributes);
        let mut status = json!({"allowed": decision.allowed});
        if !decision.reason.is_empty() {
            status["reason"] = decision.reason.into();
        }
        Ok(status)
    }

    fn own_rules(&self, spec: &Value, user: &User) -> Value {
        let namespace = spec["namespace"].as_str().unwrap_or_default();
        let (resources, paths) = self.rules().rules_for(user, namespace);
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
    }
}

/// The user whom a review is about.
fn subject(spec: &Value) -> User {
    let groups = spec["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    User {
        name: spec["user"].as_str().unwrap_or_default().into(),
        uid: spec["uid"].as_str().unwrap_or_default().into(),
        groups: groups.collect(),
        ..User::default()
    }
}
