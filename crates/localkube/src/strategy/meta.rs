//! `metadata`: names, labels, finalizers.

use serde_json::Value;

use super::{forbidden, required};
use crate::objects::finalizers;
use crate::pure::schema::FieldError;
use crate::resource::{Names, Resource};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
    and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// The most bytes of annotations that an object has.
const MAX_ANNOTATIONS: usize = 256 << 10;
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What is wrong with an object's metadata.
pub(crate) fn check_metadata(resource: &Resource, value: &Value) -> Vec<FieldError> {
    let metadata = &value["metadata"];
    let mut errors = Vec::new();
    match metadata["name"].as_str().unwrap_or_default() {
        "" => errors.push(required(
            "metadata.name",
            "name or generateName is required",
        )),
        name => {
            if let Some(why) = name_error(resource.names, name) {
                let message = format!("Invalid value: \"{name}\": {why}");
                errors.push(FieldError {
                    path: "metadata.name".into(),
                    reason: "FieldValueInvalid",
                    message,
                });
            }
        }
    }
    for (key, text) in metadata["labels"].as_object().into_iter().flatten() {
        errors.extend(key_error("metadata.labels", key));
        let text = text.as_str().unwrap_or_default();
        if !label_value(text) {
            let why = if text.len() > 63 {
                "must be no more than 63 bytes"
            } else {
                VALUE
            };
            let message = format!("Invalid value: \"{text}\": {why}");
            errors.push(FieldError {
                path: "metadata.labels".into(),
                reason: "FieldValueInvalid",
                message,
            });
        }
    }
    errors.extend(annotations(&metadata["annotations"]));
    for (at, name) in finalizers(value).into_iter().enumerate() {
        let qualified = name
            .split_once('/')
            .is_some_and(|(prefix, _)| !prefix.is_empty());
        if !qualified && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes") {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError {
                path: format!("metadata.finalizers[{at}]"),
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {name:?}: {why}"),
            });
        }
    }
    for (at, owner) in metadata["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                errors.push(required(
                    &format!("metadata.ownerReferences[{at}].{field}"),
                    "must not be empty",
                ));
            }
        }
    }
    errors
}

fn annotations(annotations: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, text) in annotations.as_object().into_iter().flatten() {
        // Case does not count here, and nowhere else.
        errors.extend(key_error("metadata.annotations", key));
        size += key.len() + text.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError {
            path: "metadata.annotations".into(),
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes"),
        });
    }
    errors
}

/// What is wrong with the key of a label or an annotation: `[prefix/]name`.
fn key_error(path: &str, key: &str) -> Option<FieldError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let good_prefix = prefix
        .is_none_or(|prefix| prefix.len() <= 253 && prefix.to_lowercase().split('.').all(label));
    let good_name = !name.is_empty() && label_value(name);
    let why = match (good_prefix, good_name) {
        (true, true) => return None,
        (false, _) => format!("prefix part {SUBDOMAIN}"),
        (true, false) => format!("name part {NAME}"),
    };
    Some(FieldError {
        path: path.into(),
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {key:?}: {why}"),
    })
}

/// What an update may not do to metadata.
pub(crate) fn check_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old["metadata"]["deletionTimestamp"].is_string() {
        let known = finalizers(old);
        let added: Vec<&str> = finalizers(new)
            .into_iter()
            .filter(|name| !known.contains(name))
            .collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(forbidden("metadata.finalizers", &why));
        }
    }
    errors
}

fn name_error(names: Names, name: &str) -> Option<String> {
    let long = |limit: usize| {
        (name.len() > limit).then(|| format!("must be no more than {limit} characters"))
    };
    match names {
        Names::Subdomain => {
            long(253).or_else(|| (!name.split('.').all(label)).then(|| SUBDOMAIN.into()))
        }
        Names::Label => long(63)
            .or_else(|| name.contains('.').then(|| "must not contain dots".into()))
            .or_else(|| (!label(name)).then(|| LABEL.into())),
        Names::Segment => match name {
            "." | ".." => Some(format!("may not be '{name}'")),
            _ if name.contains('/') => Some("may not contain '/'".into()),
            _ if name.contains('%') => Some("may not contain '%'".into()),
            _ => None,
        },
    }
}

/// A DNS-1123 label of any length.
fn label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(inner) && text.ends_with(inner) && text.chars().all(|c| inner(c) || c == '-')
}

fn label_value(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || (text.len() <= 63
            && text.starts_with(outer)
            && text.ends_with(outer)
            && text
                .chars()
                .all(|c| outer(c) || matches!(c, '-' | '_' | '.')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_follow_the_rules_of_their_kind() {
        for (names, good, bad) in [
            (Names::Subdomain, "a.b-c.1", "a..b"),
            (Names::Subdomain, "0", "A"),
            (Names::Label, "1a", "a.b"),
            (Names::Segment, "system:x", "a/b"),
        ] {
            assert_eq!(name_error(names, good), None, "{good}");
            assert!(name_error(names, bad).is_some(), "{bad}");
        }
        assert!(name_error(Names::Label, &"a".repeat(64)).is_some());
    }

    #[test]
    fn a_dying_object_gets_no_new_finalizer() {
        let old = json!({"metadata": {"deletionTimestamp": "x", "finalizers": ["a"]}});
        let more = json!({"metadata": {"finalizers": ["a", "b"]}});
        assert_eq!(check_update(&more, &old).len(), 1);
        assert_eq!(check_update(&json!({"metadata": {}}), &old).len(), 0);
    }
}
