//! Reading: one object, or a list of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Accept, Answer};
use super::request::Query;
use super::status::{Reply, Status};
use super::{Api, Call, form};
use crate::pure::selector::{FieldSelector, LabelSelector};
use crate::resource::Resource;
use crate::store::{StoreError, Stored};
use crate::table;

/// Which objects of a collection are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
    name: Option<String>,
}

/// Where a list that was cut goes on.
#[derive(Debug, PartialEq, Eq)]
struct Continuation {
    rv: u64,
    after: (String, String),
}

// === impl Selection ===

impl Selection {
    /// The selection that a request makes.
    pub(super) fn parse(resource: &Resource, query: &Query, name: &str) -> Reply<Self> {
        let labels = query
            .get("labelSelector")
            .map(LabelSelector::parse)
            .transpose();
        let labels = labels.map_err(|error| {
            Status::bad_request(format!("unable to parse requirement: {error}"))
        })?;
        let fields = query
            .get("fieldSelector")
            .map(FieldSelector::parse)
            .transpose();
        let fields = fields.map_err(|error| Status::bad_request(error.to_string()))?;
        if let Some(fields) = &fields {
            check_fields(resource, fields)?;
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Self {
            labels,
            fields,
            name,
        })
    }

    /// Whether everything is wanted.
    fn is_all(&self) -> bool {
        self.labels.is_none() && self.fields.is_none() && self.name.is_none()
    }

    /// Whether the object, in the form shown, is wanted.
    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels
            .as_ref()
            .is_none_or(|labels| labels.matches(object))
            && self
                .fields
                .as_ref()
                .is_none_or(|fields| fields.matches(object))
            && self
                .name
                .as_ref()
                .is_none_or(|name| object["metadata"]["name"] == **name)
    }
}

// === impl Continuation ===

impl Continuation {
    fn parse(token: &str) -> Reply<Self> {
        let decode = || -> Option<Self> {
            let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            let text = |at: usize| value["after"][at].as_str().map(str::to_owned);
            Some(Self {
                rv: value["rv"].as_u64()?,
                after: (text(0)?, text(1)?),
            })
        };
        decode().ok_or_else(|| Status::bad_request("continue key is not valid"))
    }

    fn token(&self) -> String {
        URL_SAFE_NO_PAD
            .encode(json!({"rv": self.rv, "after": [self.after.0, self.after.1]}).to_string())
    }
}

// === impl Api ===

impl Api {
    pub(super) async fn get(&self, call: &Call) -> Reply<Answer> {
        let found = self.store.get(&self.key(call));
        self.settle(self.store.rv()).await?;
        let found = found.ok_or_else(|| Status::not_found(&call.resource, &call.target.name))?;
        Ok(self.show(call, &found))
    }

    /// One object in the form that the client wants.
    pub(super) fn show(&self, call: &Call, stored: &Stored) -> Answer {
        let resource = &call.resource;
        match call.accept {
            Accept::Object => Answer::bytes(form::shown_json(resource, stored), "application/json"),
            form => Answer::json(&rendered(resource, form, &call.query, stored, true)),
        }
    }

    pub(super) async fn list(&self, call: &Call) -> Reply<Answer> {
        let resource = &call.resource;
        let selection = Selection::parse(resource, &call.query, "")?;
        let continuation = call
            .query
            .get("continue")
            .map(Continuation::parse)
            .transpose()?;
        let exact = call.query.get("resourceVersionMatch") == Some("Exact");
        let asked = call.query.number("resourceVersion").unwrap_or(0);
        let at = continuation
            .as_ref()
            .map(|c| c.rv)
            .or_else(|| (exact && asked > 0).then_some(asked));
        let (rv, objects) = self.objects_at(resource, &call.target.namespace, at, asked)?;
        self.settle(rv).await?;
        let mut wanted: Vec<Arc<Stored>> = objects
            .into_iter()
            .filter(|object| {
                selection.is_all() || selection.matches(&form::shown(resource, &object.value))
            })
            .collect();
        if let Some(continuation) = &continuation {
            wanted.retain(|object| place(object) > continuation.after);
        }
        let mut metadata = json!({"resourceVersion": rv.to_string()});
        let limit = call
            .query
            .number("limit")
            .filter(|&limit| limit > 0)
            .map_or(usize::MAX, |limit| limit as usize);
        if wanted.len() > limit {
            let left = wanted.len() - limit;
            wanted.truncate(limit);
            if let Some(last) = wanted.last() {
                metadata["continue"] = Continuation {
                    rv,
                    after: place(last),
                }
                .token()
                .into();
            }
            if selection.is_all() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        Ok(Answer::bytes(
            listing(resource, call.accept, &call.query, &wanted, &metadata),
            "application/json",
        ))
    }

    /// All objects of a resource as they are, or as they were at a resource version.
    fn objects_at(
        &self,
        resource: &Resource,
        namespace: &str,
        at: Option<u64>,
        least: u64,
    ) -> Reply<(u64, Vec<Arc<Stored>>)> {
        let namespace = (resource.namespaced && !namespace.is_empty()).then_some(namespace);
        let (now, objects) = self.store.list(&resource.storage, namespace);
        let wanted = at.unwrap_or(least);
        if wanted > now {
            return Err(too_new(wanted, now));
        }
        let Some(at) = at.filter(|&at| at < now) else {
            return Ok((now, objects));
        };
        let expired = |_: StoreError| {
            Status::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new \
                 list without the continue parameter, or use the continue token in this response to retrieve the \
                 remainder of the results.",
            )
        };
        let changes = self
            .store
            .changes(Some(&resource.storage), at, now)
            .map_err(expired)?;
        let mut objects: BTreeMap<(String, String), Arc<Stored>> = objects
            .into_iter()
            .map(|object| (place(&object), object))
            .collect();
        for change in changes.iter().rev() {
            if namespace.is_some_and(|namespace| change.key.namespace != namespace) {
                continue;
            }
            let place = (change.key.namespace.clone(), change.key.name.clone());
            match &change.previous {
                Some(previous) => objects.insert(place, previous.clone()),
                None => objects.remove(&place),
            };
        }
        Ok((at, objects.into_values().collect()))
    }
}

/// The answer to somebody who has seen a newer state than this server has.
pub(super) fn too_new(wanted: u64, now: u64) -> Status {
    let message = format!("Too large resource version: {wanted}, current: {now}");
    let mut status = Status::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
    status.details = json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    });
    status
}

/// An object in one of the forms that are made on demand.
pub(super) fn rendered(
    resource: &Resource,
    form: Accept,
    query: &Query,
    stored: &Stored,
    columns: bool,
) -> Value {
    let object = form::shown(resource, &stored.value);
    match form {
        Accept::Object => object.into_owned(),
        Accept::Metadata => partial(&object),
        Accept::Table => {
            let include = table::Include::parse(query.get("includeObject"));
            let metadata = json!({"resourceVersion": stored.rv.to_string()});
            table::render(resource, &[&object], include, &metadata, columns)
        }
    }
}

fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A list in the form wanted.
pub(super) fn listing(
    resource: &Resource,
    accept: Accept,
    query: &Query,
    objects: &[Arc<Stored>],
    metadata: &Value,
) -> Bytes {
    let shown: Vec<_> = objects
        .iter()
        .map(|object| form::shown(resource, &object.value))
        .collect();
    let list = match accept {
        Accept::Table => {
            let objects: Vec<&Value> = shown.iter().map(|object| &**object).collect();
            table::render(
                resource,
                &objects,
                table::Include::parse(query.get("includeObject")),
                metadata,
                true,
            )
        }
        Accept::Metadata => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": shown.iter().map(|object| partial(object)).collect::<Vec<_>>(),
        }),
        Accept::Object => json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(),
            "metadata": metadata,
            "items": shown.into_iter().map(|object| item(resource, object.into_owned())).collect::<Vec<_>>(),
        }),
    };
    Bytes::from(list.to_string())
}

/// In lists of built-in kinds the items do not say what they are.
fn item(resource: &Resource, mut object: Value) -> Value {
    if resource.crd.is_none()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}

fn place(object: &Stored) -> (String, String) {
    let text = |field: &str| {
        object.value["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("namespace"), text("name"))
}

/// Refuses selectors on fields that cannot be selected by.
fn check_fields(resource: &Resource, selector: &FieldSelector) -> Reply<()> {
    let known: &[&str] = match (&*resource.group, &*resource.plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "events") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        ("", "secrets") => &["type"],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        _ => &[],
    };
    for field in selector.fields() {
        if !matches!(&*field, "metadata.name" | "metadata.namespace") && !known.contains(&&*field) {
            return Err(Status::bad_request(format!(
                "field label not supported: {field}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuation_survives_its_token() {
        let continuation = Continuation {
            rv: 7,
            after: ("ns".into(), "name".into()),
        };
        assert_eq!(
            Continuation::parse(&continuation.token()).unwrap(),
            continuation
        );
        assert!(Continuation::parse("nonsense").is_err());
    }

    #[test]
    fn only_some_fields_can_be_selected_by() {
        let pods = crate::resource::BUILTIN
            .iter()
            .find(|r| r.is_core("pods"))
            .unwrap();
        let check = |text| check_fields(pods, &FieldSelector::parse(text).unwrap());
        assert!(check("spec.nodeName=a,metadata.name!=b").is_ok());
        let status = check("spec.color=red").unwrap_err();
        assert_eq!(status.message, "field label not supported: spec.color");
    }
}
