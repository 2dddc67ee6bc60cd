//! OpenAPI v3: enough for `kubectl explain` of custom resources and for `kubectl apply` to leave
//! the checking of fields to the server.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Api;
use super::answer::Answer;
use super::status::{Reply, Status};
use crate::resource::{Catalog, Resource};

// === impl Api ===

impl Api {
    /// The list of documents, or one of them.
    #[expect(clippy::unused_self, reason = "one more of the API's answers")]
    pub(super) fn open_api(&self, catalog: &Catalog, rest: &[&str]) -> Reply<Answer> {
        let (group, version) = match rest {
            [] => return Ok(Answer::json(&json!({"paths": index(catalog)}))),
            ["api", version] => ("", *version),
            ["apis", group, version] => (*group, *version),
            _ => return Err(Status::no_such_path()),
        };
        let document = document(catalog, group, version).ok_or_else(Status::no_such_path)?;
        Ok(Answer::json(&document))
    }
}

fn index(catalog: &Catalog) -> Value {
    let mut paths = Map::new();
    for resource in catalog.all() {
        let path = base(resource).trim_start_matches('/').to_owned();
        if paths.contains_key(&path) {
            continue;
        }
        // Clients keep documents as long as the hash in their address stays.
        if let Some(document) = document(catalog, &resource.group, &resource.version) {
            let hash = Sha256::digest(document.to_string());
            let hash: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
            paths.insert(
                path.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
            );
        }
    }
    Value::Object(paths)
}

fn document(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let mut found = catalog
        .all()
        .filter(|r| r.group == group && r.version == version)
        .peekable();
    found.peek()?;
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    schemas.insert(
        OBJECT_META.into(),
        json!({"type": "object", "description": "Standard object's metadata."}),
    );
    for resource in found {
        schemas.insert(schema_name(resource), schema(resource));
        for (path, operations) in operations(resource) {
            paths.insert(path, operations);
        }
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// `/api/v1` or `/apis/group/version`.
fn base(resource: &Resource) -> String {
    match &*resource.group {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    }
}

/// Reverse DNS name of the group, version, kind.
fn schema_name(resource: &Resource) -> String {
    if resource.crd.is_none() {
        let group = resource
            .group
            .split('.')
            .next()
            .filter(|group| !group.is_empty())
            .unwrap_or("core");
        return format!("io.k8s.api.{group}.{}.{}", resource.version, resource.kind);
    }
    let group: Vec<&str> = resource.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), resource.version, resource.kind)
}

fn kinds(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn schema(resource: &Resource) -> Value {
    let mut schema = match &resource.crd {
        Some(crd) => crd.schema.clone(),
        None => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    };
    let properties = &mut schema["properties"];
    properties["apiVersion"] = json!({"type": "string", "description": "APIVersion defines the versioned schema of this representation of an object."});
    properties["kind"] = json!({"type": "string", "description": "Kind is a string value representing the REST resource this object represents."});
    properties["metadata"] = json!({
        "description": "Standard object's metadata.",
        "allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}],
    });
    schema["x-kubernetes-group-version-kind"] = json!([kinds(resource)]);
    schema
}

fn operations(resource: &Resource) -> Vec<(String, Value)> {
    let middle = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{}{middle}/{}", base(resource), resource.plural);
    let query = |name: &str, text: &str| json!({"name": name, "in": "query", "description": text, "schema": {"type": "string", "uniqueItems": true}});
    let parameters = json!([
        query("dryRun", "'All': nothing is stored"),
        query("fieldManager", "the program that writes"),
        query(
            "fieldValidation",
            "what to do about unknown fields: Ignore, Warn or Strict"
        ),
    ]);
    let reference = json!({"$ref": format!("#/components/schemas/{}", schema_name(resource))});
    let operation = |action: &str, media_types: &[&str]| {
        let content: Map<String, Value> = media_types
            .iter()
            .map(|name| ((*name).to_owned(), json!({"schema": reference})))
            .collect();
        json!({
            "operationId": format!("{action}{}{}", resource.version, resource.kind),
            "parameters": parameters,
            "requestBody": {"content": content},
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kinds(resource),
        })
    };
    let plain = ["application/json", "application/yaml"];
    let create = json!({"post": operation("post", &plain)});
    if resource.review {
        return vec![(collection, create)];
    }
    let patches = [
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
    ];
    let single = json!({"put": operation("put", &plain), "patch": operation("patch", &patches)});
    vec![
        (format!("{collection}/{{name}}"), single),
        (collection, create),
    ]
}
