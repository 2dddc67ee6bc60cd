use crate::pure::schema::Schema;
use serde_json::{Value, json};

/// The errors of a spec, as `path: message [reason]`.
fn errors(spec: &Value, given: &Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let schema = Schema::for_crd(&schema).unwrap();
    let found = schema.validate(
        &json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "spec": given}),
    );
    found
        .iter()
        .map(|e| format!("{e} [{}]", e.reason))
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn one_error_per_rule_in_the_servers_words() {
    let cases: Vec<(Value, Value, &str)> = vec![
        (
            json!({"type": "integer"}),
            json!("x"),
            "spec: Invalid value: \"string\": spec in body must be of type integer: \"string\" [FieldValueTypeInvalid]",
        ),
        (
            json!({"type": "integer"}),
            json!(1.5),
            "spec: Invalid value: \"number\": spec in body must be of type integer: \"number\" [FieldValueTypeInvalid]",
        ),
        (
            json!({"type": "string"}),
            json!(null),
            "spec: Invalid value: \"null\": spec in body must be of type string: \"null\" [FieldValueTypeInvalid]",
        ),
        (
            json!({"type": "object"}),
            json!([]),
            "spec: Invalid value: \"array\": spec in body must be of type object: \"array\" [FieldValueTypeInvalid]",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            "spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\" [FieldValueTypeInvalid]",
        ),
        (
            json!({"type": "object", "required": ["a"]}),
            json!({}),
            "spec.a: Required value [FieldValueRequired]",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            "spec: Unsupported value: \"c\": supported values: \"a\", \"b\" [FieldValueNotSupported]",
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            "spec: Unsupported value: 3: supported values: \"1\", \"2\" [FieldValueNotSupported]",
        ),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "spec: Invalid value: 0: spec in body should be greater than or equal to 1 [FieldValueInvalid]",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "spec: Invalid value: 1: spec in body should be greater than 1 [FieldValueInvalid]",
        ),
        (
            json!({"type": "number", "maximum": 2.5}),
            json!(3),
            "spec: Invalid value: 3: spec in body should be less than or equal to 2.5 [FieldValueInvalid]",
        ),
        (
            json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}),
            json!(3),
            "spec: Invalid value: 3: spec in body should be less than 3 [FieldValueInvalid]",
        ),
        (
            json!({"type": "integer", "multipleOf": 2.0}),
            json!(3),
            "spec: Invalid value: 3: spec in body should be a multiple of 2 [FieldValueInvalid]",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(2_147_483_648_i64),
            "spec: Invalid value: 2147483648: Checked value must be of type integer with format int32 in spec [FieldValueInvalid]",
        ),
        (
            json!({"type": "integer", "format": "int64"}),
            json!(u64::MAX),
            "spec: Invalid value: 18446744073709551615: Checked value must be of type integer with format int64 in spec [FieldValueInvalid]",
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("abc"),
            "spec: Too long: may not be more than 2 bytes [FieldValueTooLong]",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("ä"),
            "spec: Invalid value: \"ä\": spec in body should be at least 2 chars long [FieldValueInvalid]",
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            "spec: Invalid value: \"b\": spec in body should match '^a+$' [FieldValueInvalid]",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("x"),
            "spec: Invalid value: \"x\": spec in body must be of type date-time: \"x\" [FieldValueTypeInvalid]",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            "spec: Invalid value: 0: spec in body should have at least 1 items [FieldValueInvalid]",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec: Too many: 2: must have at most 1 items [FieldValueTooMany]",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            json!(["a", "a"]),
            "spec: Invalid value: \"\": spec in body shouldn't contain duplicates [FieldValueInvalid]",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["a", "b", "a"]),
            "spec[2]: Duplicate value: \"a\" [FieldValueDuplicate]",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": {"type": "string"}}}}),
            json!([{"n": "x"}, {"n": "x"}]),
            "spec[1]: Duplicate value: {\"n\":\"x\"} [FieldValueDuplicate]",
        ),
        (
            json!({"type": "object", "minProperties": 1}),
            json!({}),
            "spec: Invalid value: 0: spec in body should have at least 1 properties [FieldValueInvalid]",
        ),
        (
            json!({"type": "object", "maxProperties": 0}),
            json!({"a": 1}),
            "spec: Too many: 1: must have at most 0 items [FieldValueTooMany]",
        ),
        (
            json!({"type": "object", "not": {"required": ["a"]}}),
            json!({"a": 1}),
            "<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not) [FieldValueInvalid]",
        ),
        (
            json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"a": 1, "b": 1}),
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives [FieldValueInvalid]",
        ),
    ];
    for (spec, given, want) in cases {
        assert_eq!(errors(&spec, &given), [want], "{spec}");
    }
}

#[test]
fn failed_alternatives_explain_the_closest() {
    let spec = json!({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b", "c"]}]});
    assert_eq!(
        errors(&spec, &json!({})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf) [FieldValueInvalid]",
            "spec.a: Required value [FieldValueRequired]",
        ]
    );
    let spec = json!({"type": "object", "oneOf": [{"required": ["a"]}]});
    assert_eq!(errors(&spec, &json!({})).len(), 2);
    let spec = json!({"type": "object", "allOf": [{"required": ["a"]}, {"required": ["b"]}]});
    let found = errors(&spec, &json!({"a": 1}));
    assert_eq!(found[0], "spec.b: Required value [FieldValueRequired]");
    assert!(found[1].ends_with("must validate all the schemas (allOf) [FieldValueInvalid]"));
}

#[test]
fn what_fits_passes() {
    let cases = [
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"type": "integer"}), json!(3.0)),
        (json!({"type": "number"}), json!(3)),
        (json!({"type": "integer", "enum": [1]}), json!(1.0)),
        (json!({"x-kubernetes-int-or-string": true}), json!("10%")),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            json!(5),
        ),
        (
            json!({"x-kubernetes-preserve-unknown-fields": true}),
            json!([1, {"a": null}]),
        ),
        (json!({"type": "string", "pattern": "b"}), json!("abc")),
        (
            json!({"type": "object", "additionalProperties": true}),
            json!({"a": {"b": 1}}),
        ),
        (
            json!({"type": "integer", "format": "int32", "minimum": -1}),
            json!(-1),
        ),
        (
            json!({"type": "integer", "maximum": 9_007_199_254_740_993_i64}),
            json!(9_007_199_254_740_993_i64),
        ),
    ];
    for (spec, given) in cases {
        assert_eq!(errors(&spec, &given), [""; 0], "{spec} {given}");
    }
}

#[test]
fn errors_name_the_path() {
    let spec = json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
    }});
    let found = errors(
        &spec,
        &json!({"list": [{"n": 1}, {"n": "x"}], "map": {"k": 1}}),
    );
    assert!(
        found[0].starts_with("spec.list[1].n: Invalid value"),
        "{}",
        found[0]
    );
    assert!(
        found[1].starts_with("spec.map.k: Invalid value"),
        "{}",
        found[1]
    );
}

#[test]
fn large_integers_compare_exactly() {
    let spec = json!({"type": "integer", "maximum": 9_007_199_254_740_992_i64});
    assert_eq!(errors(&spec, &json!(9_007_199_254_740_993_i64)).len(), 1);
}

#[test]
fn updates_are_not_blamed_for_what_they_leave_alone() {
    let schema = Schema::for_crd(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1},
        "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
            "items": {"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "string", "maxLength": 1}}}},
    }}}}))
    .unwrap();
    let old = json!({"spec": {"a": "long", "b": "x", "l": [{"n": "1", "v": "long"}]}});
    let mut new = old.clone();
    new["spec"]["l"] = json!([{"n": "0"}, {"n": "1", "v": "long"}]);
    assert_eq!(schema.validate_update(&new, Some(&old)), []);
    new["spec"]["b"] = json!("long");
    let found = schema.validate_update(&new, Some(&old));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "spec.b");
    assert_eq!(schema.validate(&new).len(), 3);
}

#[test]
fn bad_schemas_are_refused_with_their_place() {
    let cases = [
        (
            json!({"type": "text"}),
            "properties[spec].type: Unsupported value",
        ),
        (json!({}), "properties[spec]: Required value"),
        (
            json!({"type": "array"}),
            "properties[spec].items: Required value",
        ),
        (
            json!({"type": "string", "pattern": "("}),
            "properties[spec].pattern: Invalid value: \"(\"",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"}),
            "x-kubernetes-list-map-keys: Required value",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "bag"}),
            "x-kubernetes-list-type: Unsupported value: \"bag\"",
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self."}]}),
            "x-kubernetes-validations[0].rule: Invalid value",
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"message": "m"}]}),
            "x-kubernetes-validations[0].rule: Required value",
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "true", "reason": "Why"}]}),
            "reason: Unsupported value: \"Why\"",
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "true", "fieldPath": "a"}]}),
            "fieldPath: must be a path",
        ),
        (json!("string"), "properties[spec]: must be a schema object"),
    ];
    for (spec, want) in cases {
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        let error = Schema::for_crd(&schema).unwrap_err().to_string();
        assert!(error.contains(want), "{error} lacks {want}");
    }
    assert!(Schema::for_crd(&json!({"type": "string"})).is_err());
}

#[test]
fn schemas_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Schema::for_builtin("", "Pod"));
}
