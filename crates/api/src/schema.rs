//! Schemas of Kubernetes' own types inside ours.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A list of conditions, merged by `type` as Kubernetes' own kinds do.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "maxLength": 316 },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "reason": { "type": "string", "minLength": 1, "maxLength": 1024 },
                "message": { "type": "string", "maxLength": 32768 },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
            },
        },
    })
}

/// A label selector.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "matchLabels": { "type": "object", "additionalProperties": { "type": "string" } },
            "matchExpressions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": { "type": "string" },
                        "operator": {
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": { "type": "array", "items": { "type": "string" } },
                    },
                },
            },
        },
    })
}

/// Amounts by resource name (`cpu`, `memory`), as in a container's `resources`.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "pattern": QUANTITY },
    })
}

/// A pod's tolerations.
pub(crate) fn tolerations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 50,
        "items": {
            "type": "object",
            "properties": {
                "key": { "type": "string", "maxLength": 316 },
                "operator": { "type": "string", "enum": ["Equal", "Exists"] },
                "value": { "type": "string", "maxLength": 63 },
                "effect": {
                    "type": "string",
                    "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
                },
                "tolerationSeconds": { "type": "integer", "format": "int64" },
            },
        },
    })
}

/// A pod's `nodeAffinity`; fields of nodes, which is their name alone, are left
/// out: who names nodes does the scheduler's work.
pub(crate) fn node_affinity(_: &mut SchemaGenerator) -> Schema {
    let term = json_schema!({
        "type": "object",
        "required": ["matchExpressions"],
        "properties": {
            "matchExpressions": {
                "type": "array",
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": { "type": "string", "minLength": 1, "maxLength": 316 },
                        "operator": {
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
                        },
                        "values": {
                            "type": "array",
                            "maxItems": 100,
                            "items": { "type": "string", "maxLength": 63 },
                        },
                    },
                },
            },
        },
    });
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "type": "object",
                "required": ["nodeSelectorTerms"],
                "properties": {
                    "nodeSelectorTerms": {
                        "type": "array", "minItems": 1, "maxItems": 50, "items": term,
                    },
                },
            },
            "preferredDuringSchedulingIgnoredDuringExecution": {
                "type": "array",
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "required": ["weight", "preference"],
                    "properties": {
                        "weight": {
                            "type": "integer", "format": "int32", "minimum": 1, "maximum": 100,
                        },
                        "preference": term,
                    },
                },
            },
        },
    })
}

/// What Kubernetes reads as an amount that is not negative.
pub(crate) const QUANTITY: &str =
    r"^([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]+)?$";
