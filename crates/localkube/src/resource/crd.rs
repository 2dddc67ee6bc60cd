//! Custom resource definitions: checked, completed and turned into resources.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Names, Resource, Subresource};
use crate::pure::schema::{FieldError, Schema};

/// What a CRD says about one version beyond a resource's description.
#[derive(Clone, Debug)]
pub(crate) struct CrdParts {
    /// Name of the CRD.
    pub(crate) name: String,
    /// `openAPIV3Schema`, as written.
    pub(crate) schema: Value,
    /// `additionalPrinterColumns`.
    pub(crate) columns: Vec<Column>,
    /// The `scale` subresource, if there is one.
    pub(crate) scale: Option<Scale>,
}

/// A column that `kubectl get` prints.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Heading.
    pub(crate) name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub(crate) kind: String,
    /// Format, as in OpenAPI.
    pub(crate) format: String,
    /// What it means.
    pub(crate) description: String,
    /// Above 0: only in the wide form.
    pub(crate) priority: i64,
    /// JSON path.
    pub(crate) path: String,
}

/// Where `scale` finds its numbers: JSON paths with dots only.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// `specReplicasPath`
    pub(crate) spec: String,
    /// `statusReplicasPath`
    pub(crate) status: String,
    /// `labelSelectorPath`
    pub(crate) selector: Option<String>,
}

const SCALE: &[Subresource] = &[Subresource {
    name: "scale",
    group: "autoscaling",
    version: "v1",
    kind: "Scale",
    verbs: &["get", "patch", "update"],
}];

/// The resources that a CRD defines: one a served version.
pub(super) fn resources(crd: &Value) -> Result<Vec<Resource>, String> {
    let versions = crd["spec"]["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    versions
        .iter()
        .filter(|version| version["served"] == true)
        .map(|version| resource(crd, version))
        .collect()
}

fn resource(crd: &Value, version: &Value) -> Result<Resource, String> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| -> Vec<super::Text> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| text(item).into())
            .collect()
    };
    let open_api = version["schema"]["openAPIV3Schema"].clone();
    let schema = Schema::for_crd(&open_api).map_err(|error| error.to_string())?;
    let scale = scale(&version["subresources"]["scale"]);
    let parts = CrdParts {
        name: text(&crd["metadata"]["name"]),
        schema: open_api,
        columns: version["additionalPrinterColumns"]
            .as_array()
            .into_iter()
            .flatten()
            .map(column)
            .collect(),
        scale: scale.clone(),
    };
    Ok(Resource {
        group: text(&spec["group"]).into(),
        version: text(&version["name"]).into(),
        kind: text(&names["kind"]).into(),
        plural: text(&names["plural"]).into(),
        singular: text(&names["singular"]).into(),
        short: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        status: version["subresources"]["status"].is_object(),
        generation: true,
        review: false,
        create_on_update: false,
        names: Names::Subdomain,
        subresources: if scale.is_some() { SCALE } else { &[] },
        storage: super::qualified(&text(&spec["group"]), &text(&names["plural"])).into(),
        check: None,
        crd: Some(Arc::new(parts)),
        schema: Arc::new(schema),
    })
}

fn column(value: &Value) -> Column {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description: text("description"),
        priority: value["priority"].as_i64().unwrap_or(0),
        path: text("jsonPath"),
    }
}

fn scale(value: &Value) -> Option<Scale> {
    let path = |name: &str| {
        value[name]
            .as_str()
            .map(|path| path.trim_start_matches('.').replace('.', "/"))
    };
    let pointer = |name: &str| path(name).map(|path| format!("/{path}"));
    Some(Scale {
        spec: pointer("specReplicasPath")?,
        status: pointer("statusReplicasPath")?,
        selector: pointer("labelSelectorPath"),
    })
}

/// Checks a CRD, fills in what the server fills in, and sets the conditions that say it is served.
pub(crate) fn accept(crd: &mut Value, now: &str) -> Vec<FieldError> {
    complete(crd);
    let mut errors = check(crd);
    if errors.is_empty()
        && let Err(message) = resources(crd)
    {
        let path = "spec.versions[0].schema.openAPIV3Schema".into();
        errors.push(FieldError {
            path,
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {message}"),
        });
    }
    if errors.is_empty() {
        establish(crd, now);
    }
    errors
}

fn complete(crd: &mut Value) {
    let kind = crd["spec"]["names"]["kind"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let names = &mut crd["spec"]["names"];
    if names["singular"].as_str().unwrap_or_default().is_empty() {
        names["singular"] = kind.to_lowercase().into();
    }
    if names["listKind"].as_str().unwrap_or_default().is_empty() {
        names["listKind"] = format!("{kind}List").into();
    }
    if crd["spec"]["conversion"].is_null() {
        crd["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

fn check(crd: &Value) -> Vec<FieldError> {
    let spec = &crd["spec"];
    let mut errors = Vec::new();
    let mut wrong = |path: &str, reason, message: String| {
        errors.push(FieldError {
            path: path.into(),
            reason,
            message,
        });
    };
    for path in ["/group", "/scope", "/names/plural", "/names/kind"] {
        if spec
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .is_empty()
        {
            wrong(
                &format!("spec{}", path.replace('/', ".")),
                "FieldValueRequired",
                "Required value".into(),
            );
        }
    }
    let name = crd["metadata"]["name"].as_str().unwrap_or_default();
    let want = format!(
        "{}.{}",
        spec["names"]["plural"].as_str().unwrap_or_default(),
        spec["group"].as_str().unwrap_or_default()
    );
    if name != want {
        let message =
            format!("Invalid value: \"{name}\": must be spec.names.plural+\".\"+spec.group");
        wrong("metadata.name", "FieldValueInvalid", message);
    }
    let versions = spec["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if versions
        .iter()
        .filter(|version| version["storage"] == true)
        .count()
        != 1
    {
        let message =
            "Invalid value: must have exactly one version marked as storage version".into();
        wrong("spec.versions", "FieldValueInvalid", message);
    }
    for (at, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
            wrong(
                &path,
                "FieldValueRequired",
                "Required value: schemas are required".into(),
            );
        }
    }
    errors
}

fn establish(crd: &mut Value, now: &str) {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    if crd["status"]["conditions"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        crd["status"]["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted"
            ),
        ]);
    }
    crd["status"]["acceptedNames"] = crd["spec"]["names"].clone();
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let stored: Vec<Value> = versions
        .filter(|v| v["storage"] == true)
        .map(|v| v["name"].clone())
        .collect();
    crd["status"]["storedVersions"] = Value::Array(stored);
}
