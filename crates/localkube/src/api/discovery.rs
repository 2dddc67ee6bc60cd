//! Discovery: which groups, versions and resources there are.

use http::header::ACCEPT;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::Api;
use super::answer::Answer;
use super::status::{Reply, Status};
use crate::resource::{Catalog, Resource};

/// The version of Kubernetes whose API this is.
const MINOR: &str = "37";

/// What `/version` says.
pub(super) fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+localkube"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

// === impl Api ===

impl Api {
    /// Answers what is no resource.
    pub(super) fn other(&self, path: &str, method: &Method, headers: &HeaderMap) -> Reply<Answer> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Status::method_not_allowed());
        }
        let catalog = self.registry.catalog();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let aggregated = aggregated(headers);
        match &parts[..] {
            ["api"] if aggregated => Ok(aggregated_answer(&catalog, true)),
            ["apis"] if aggregated => Ok(aggregated_answer(&catalog, false)),
            ["api"] => Ok(Answer::json(&json!({
                "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
            }))),
            ["apis"] => {
                let groups: Vec<Value> = groups(&catalog)
                    .iter()
                    .map(|group| group_value(&catalog, group))
                    .collect();
                Ok(Answer::json(
                    &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
                ))
            }
            ["apis", group] if groups(&catalog).iter().any(|known| known == group) => {
                let mut value = group_value(&catalog, group);
                value["kind"] = "APIGroup".into();
                value["apiVersion"] = "v1".into();
                Ok(Answer::json(&value))
            }
            ["api", version] => resource_list(&catalog, "", version),
            ["apis", group, version] => resource_list(&catalog, group, version),
            ["openapi", "v3", rest @ ..] => self.open_api(&catalog, rest),
            [".well-known", "openid-configuration"] => Ok(Answer::json(&json!({
                "issuer": self.tokens.issuer(),
                "jwks_uri": format!("{}/openid/v1/jwks", self.tokens.issuer()),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }))),
            ["openid", "v1", "jwks"] => Ok(Answer::bytes(
                self.tokens.jwks().to_string().into(),
                "application/jwk-set+json",
            )),
            _ => Err(Status::no_such_path()),
        }
    }
}

/// Whether the client would like everything in one answer.
fn aggregated(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept.split(',').any(|entry| {
        let has = |part: &str| entry.split(';').any(|found| found.trim() == part);
        has("as=APIGroupDiscoveryList") && has("g=apidiscovery.k8s.io") && has("v=v2")
    })
}

/// Names of all groups but the core.
fn groups(catalog: &Catalog) -> Vec<String> {
    let mut names: Vec<String> = catalog
        .all()
        .map(|r| r.group.to_string())
        .filter(|g| !g.is_empty())
        .collect();
    names.dedup();
    names
}

fn versions(catalog: &Catalog, group: &str) -> Vec<String> {
    let mut names: Vec<String> = catalog
        .all()
        .filter(|r| r.group == group)
        .map(|r| r.version.to_string())
        .collect();
    names.dedup();
    // Stable versions before beta before alpha, newer before older.
    names.sort_by_key(|name| std::cmp::Reverse(rank(name)));
    names
}

/// Kubernetes' order of versions.
fn rank(version: &str) -> (u8, u32, u32) {
    let digits = |text: &str| text.parse::<u32>().ok();
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    for (level, word) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return (
                level,
                digits(major).unwrap_or(0),
                digits(minor).unwrap_or(0),
            );
        }
    }
    digits(rest).map_or((0, 0, 0), |major| (3, major, 0))
}

fn group_value(catalog: &Catalog, group: &str) -> Value {
    let versions: Vec<Value> = versions(catalog, group)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

fn resource_list(catalog: &Catalog, group: &str, version: &str) -> Reply<Answer> {
    let found: Vec<_> = catalog
        .all()
        .filter(|r| r.group == group && r.version == version)
        .collect();
    if found.is_empty() {
        return Err(Status::no_such_path());
    }
    let resources: Vec<Value> = found
        .iter()
        .flat_map(|resource| resource_values(resource))
        .collect();
    let version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(Answer::json(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources,
    })))
}

fn resource_values(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs(),
    });
    if !resource.short.is_empty() {
        main["shortNames"] = json!(resource.short);
    }
    if !resource.categories.is_empty() {
        main["categories"] = json!(resource.categories);
    }
    if resource.crd.is_some() {
        main["storageVersionHash"] = storage_hash(resource).into();
    }
    let mut values = vec![main];
    let sub = |name: &str, kind: &str, verbs: &[&str]| {
        json!({
            "name": format!("{}/{name}", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind,
            "verbs": verbs,
        })
    };
    let status = || sub("status", &resource.kind, &["get", "patch", "update"]);
    if resource.status && resource.crd.is_some() {
        values.push(status());
    }
    for s in resource.subresources {
        let mut value = sub(s.name, s.kind, s.verbs);
        if s.group != resource.group {
            value["group"] = s.group.into();
            value["version"] = s.version.into();
        }
        values.push(value);
    }
    if resource.status && resource.crd.is_none() {
        values.push(status());
    }
    values
}

/// Says of two servers whether they store the kind alike.
fn storage_hash(resource: &Resource) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let kind = format!("{}/{}/{}", resource.group, resource.version, resource.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(kind.as_bytes())[..8])
}

fn aggregated_answer(catalog: &Catalog, core: bool) -> Answer {
    let groups = if core {
        vec![String::new()]
    } else {
        groups(catalog)
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> = versions(catalog, group)
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = catalog
                        .all()
                        .filter(|r| r.group == **group && r.version == **version)
                        .map(|resource| aggregated_resource(resource))
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    Answer::bytes(
        list.to_string().into(),
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    )
}

fn aggregated_resource(resource: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = kind(&resource.group, &resource.version, &resource.kind);
    let mut subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|s| json!({"subresource": s.name, "responseKind": kind(s.group, s.version, s.kind), "verbs": s.verbs}))
        .collect();
    if resource.status {
        subresources.push(json!({"subresource": "status", "responseKind": own, "verbs": ["get", "patch", "update"]}));
    }
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": own,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    let lists = [
        ("shortNames", json!(resource.short)),
        ("categories", json!(resource.categories)),
        ("subresources", Value::Array(subresources)),
    ];
    for (name, list) in lists {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            value[name] = list;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first() {
        let mut versions = ["v1alpha1", "v2", "v1beta2", "v1", "v1beta1", "v10"];
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1"]
        );
    }
}
