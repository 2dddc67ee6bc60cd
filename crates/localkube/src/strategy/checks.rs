//! What the real server refuses of kinds that have few rules.

use serde_json::Value;

use super::required;
use crate::pure::schema::FieldError;

/// The most bytes that a config map or a secret holds.
const MAX_DATA: usize = 1 << 20;

/// The longest note of an event, bytes.
const MAX_NOTE: usize = 1024;

const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
    'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// Keys and size of what a config map or a secret holds, and what a type of secret must hold.
pub(super) fn data(new: &Value, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in new[field].as_object().into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if !key.chars().all(good) || key.is_empty() {
                errors.push(invalid(
                    &format!("{field}[{key}]"),
                    &format!("{key:?}"),
                    KEY,
                ));
            }
        }
    }
    if size > MAX_DATA {
        errors.push(FieldError {
            path: "[]".into(),
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {MAX_DATA} bytes"),
        });
    }
    if new["type"] == "kubernetes.io/tls" {
        for key in ["tls.crt", "tls.key"] {
            if new["data"].get(key).is_none() {
                errors.push(required(&format!("data[{key}]"), ""));
            }
        }
    }
}

/// Times and counts of a lease.
pub(super) fn lease(new: &Value, errors: &mut Vec<FieldError>) {
    let number = |field: &str| new["spec"][field].as_i64();
    if let Some(seconds) = number("leaseDurationSeconds").filter(|&seconds| seconds <= 0) {
        let why = "must be greater than 0";
        errors.push(invalid(
            "spec.leaseDurationSeconds",
            &seconds.to_string(),
            why,
        ));
    }
    if let Some(count) = number("leaseTransitions").filter(|&count| count < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(invalid("spec.leaseTransitions", &count.to_string(), why));
    }
}

/// What an event of `events.k8s.io` must say, and must go on saying.
pub(super) fn event(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let text = |field: &str| new[field].as_str().unwrap_or_default();
    if let Some(old) = old {
        let fixed = [
            ("note", "message"),
            ("reason", "reason"),
            ("action", "action"),
        ];
        for (field, internal) in fixed {
            if new[field] != old[field] {
                errors.push(invalid(
                    internal,
                    &new[field].to_string(),
                    "field is immutable",
                ));
            }
        }
        return;
    }
    if text("eventTime").is_empty() {
        errors.push(required("eventTime", ""));
    }
    for field in [
        "reportingController",
        "reportingInstance",
        "action",
        "reason",
    ] {
        if text(field).is_empty() {
            errors.push(required(field, ""));
        }
    }
    if !matches!(text("type"), "Normal" | "Warning") {
        errors.push(invalid("type", "\"\"", "has invalid value: "));
    }
    if text("note").len() > MAX_NOTE {
        let why = format!("can have at most {MAX_NOTE} characters");
        errors.push(invalid("message", "\"\"", &why));
    }
}

/// A budget says one of two things.
pub(super) fn budget(new: &Value, errors: &mut Vec<FieldError>) {
    let spec = &new["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(invalid("spec", &spec.to_string(), why));
    }
}

/// What a rule of a role must name.
pub(super) fn role(new: &Value, errors: &mut Vec<FieldError>) {
    let namespaced = new["kind"] == "Role";
    for (at, rule) in new["rules"].as_array().into_iter().flatten().enumerate() {
        let lacks = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
        let path = |field: &str| format!("rules[{at}].{field}");
        if lacks("verbs") {
            errors.push(required(&path("verbs"), ""));
        }
        if !lacks("nonResourceURLs") {
            if namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                let urls = rule["nonResourceURLs"].to_string();
                errors.push(invalid(&path("nonResourceURLs"), &urls, why));
            }
            continue;
        }
        if lacks("apiGroups") {
            let why = "resource rules must supply at least one api group";
            errors.push(required(&path("apiGroups"), why));
        }
        if lacks("resources") {
            let why = "resource rules must supply at least one resource";
            errors.push(required(&path("resources"), why));
        }
    }
}

/// Kinds of those whom a binding is for.
pub(super) fn subjects(new: &Value, errors: &mut Vec<FieldError>) {
    for (at, subject) in new["subjects"].as_array().into_iter().flatten().enumerate() {
        let kind = subject["kind"].as_str().unwrap_or_default();
        if !matches!(kind, "ServiceAccount" | "User" | "Group") {
            let supported = "\"ServiceAccount\", \"User\", \"Group\"";
            errors.push(FieldError {
                path: format!("subjects[{at}].kind"),
                reason: "FieldValueNotSupported",
                message: format!("Unsupported value: {kind:?}: supported values: {supported}"),
            });
        }
    }
}

fn invalid(path: &str, value: &str, why: &str) -> FieldError {
    FieldError {
        path: path.into(),
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {value}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_is_refused_for_what_it_lacks() {
        type Check = fn(&Value, &mut Vec<FieldError>);
        let cases: [(Check, Value, &[&str]); 6] = [
            (data, json!({"data": {"a b": "1"}}), &["data[a b]"]),
            (
                data,
                json!({"type": "kubernetes.io/tls"}),
                &["data[tls.crt]", "data[tls.key]"],
            ),
            (
                lease,
                json!({"spec": {"leaseDurationSeconds": 0}}),
                &["spec.leaseDurationSeconds"],
            ),
            (
                budget,
                json!({"spec": {"minAvailable": 1, "maxUnavailable": 1}}),
                &["spec"],
            ),
            (
                role,
                json!({"kind": "Role", "rules": [{"verbs": ["get"], "resources": ["x"]}]}),
                &["rules[0].apiGroups"],
            ),
            (
                subjects,
                json!({"subjects": [{"kind": "Robot"}]}),
                &["subjects[0].kind"],
            ),
        ];
        for (check, value, wanted) in cases {
            let mut errors = Vec::new();
            check(&value, &mut errors);
            let paths: Vec<&str> = errors.iter().map(|error| &*error.path).collect();
            assert_eq!(paths, wanted, "{value}");
        }
    }
}
