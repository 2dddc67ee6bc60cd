use super::escape;
use crate::pure::schema::Schema;
use serde_json::{Value, json};

/// A schema whose spec has fields of all kinds and the given rules.
fn schema(rules: &Value) -> Schema {
    let parsed = Schema::for_crd(&json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "x-kubernetes-validations": rules,
        "properties": {
            "replicas": {"type": "integer"},
            "ratio": {"type": "number"},
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "max-size": {"type": "integer"},
            "port": {"x-kubernetes-int-or-string": true},
            "roles": {"type": "array", "items": {"type": "string"}},
            "listeners": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}},
            "config": {"type": "object", "additionalProperties": {"type": "string"}},
            "storage": {"type": "object", "properties": {"size": {"type": "string"}}},
        },
    }}}));
    parsed.unwrap()
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec})
}

/// The errors of a spec under one rule.
fn check(rule: &Value, new: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema(&json!([rule]));
    let old = old.map(object);
    let found = schema.validate_cel(&object(new), old.as_ref());
    found.iter().map(ToString::to_string).collect()
}

fn holds(rule: &str, spec: &Value) -> bool {
    let found = check(&json!({"rule": rule}), spec, None);
    if let Some(error) = found.first() {
        assert!(error.contains("failed rule"), "{rule}: {error}");
    }
    found.is_empty()
}

#[test]
fn the_language_as_crds_use_it() {
    let spec = json!({
        "replicas": 3, "ratio": 2, "name": "kafka-1", "namespace": "ns", "max-size": 4, "port": "10%",
        "roles": ["broker", "controller"],
        "listeners": [{"name": "a", "port": 9092}, {"name": "b", "port": 9093}],
        "config": {"log.dirs": "/x", "min-isr": "2"},
        "storage": {"size": "1Gi"},
    });
    let yes = [
        "self.replicas > 0 && self.replicas % 2 == 1",
        "self.ratio > 1.5",
        "self.ratio == 2.0",
        "size(self.roles) == 2",
        "self.roles.size() == 2",
        "has(self.storage)",
        "!has(self.storage.class)",
        "has(self.storage) && has(self.storage.size) ? self.storage.size == '1Gi' : true",
        "self.name.matches('^[a-z]+-[0-9]+$')",
        "self.name.startsWith('kafka') && self.name.endsWith('1') && self.name.contains('-')",
        "'broker' in self.roles",
        "self.roles.all(r, r in ['broker', 'controller'])",
        "self.roles.exists(r, r == 'broker')",
        "self.roles.exists_one(r, r == 'broker')",
        "self.listeners.map(l, l.port).all(p, p > 9000)",
        "self.listeners.filter(l, l.name == 'a').size() == 1",
        "self.listeners.all(x, self.listeners.exists_one(y, y.name == x.name))",
        "'log.dirs' in self.config",
        "self.config['log.dirs'] == '/x'",
        "self.config.all(k, k.matches('^[a-z.-]+$'))",
        "self.__namespace__ == 'ns'",
        "self.max__dash__size == 4",
        "type(self.port) == string",
        "int(self.config['min-isr']) <= self.replicas",
        "self.replicas >= 1 || self.missing",
        "self.?storage.?class.orValue('x') == 'x'",
        "self.name.split('-')[1] == '1'",
        "self.name.lowerAscii() == self.name",
        "!(self.replicas > 3)",
    ];
    for rule in yes {
        assert!(holds(rule, &spec), "{rule}");
    }
    let no = [
        "self.replicas > 3",
        "self.roles.all(r, r == 'broker')",
        "has(self.storage.class)",
        "self.storage == {'size': '2Gi'}",
    ];
    for rule in no {
        assert!(!holds(rule, &spec), "{rule}");
    }
}

#[test]
fn messages_are_the_servers() {
    let spec = json!({"replicas": 1});
    let cases = [
        (
            json!({"rule": "self.replicas > 1"}),
            "spec: Invalid value: failed rule: self.replicas > 1",
        ),
        (
            json!({"rule": "self.replicas > 1", "message": "be more "}),
            "spec: Invalid value: be more",
        ),
        (
            json!({"rule": "self.replicas > 1", "message": "m", "messageExpression": "'want more than ' + string(self.replicas)"}),
            "spec: Invalid value: want more than 1",
        ),
        (
            json!({"rule": "self.replicas > 1", "message": "m", "messageExpression": "self.nope"}),
            "spec: Invalid value: m",
        ),
        (
            json!({"rule": "self.replicas > 1", "message": "m", "fieldPath": ".replicas"}),
            "spec.replicas: Invalid value: m",
        ),
        (
            json!({"rule": "self.replicas > 1", "message": "m", "reason": "FieldValueForbidden"}),
            "spec: Forbidden: m",
        ),
        (
            json!({"rule": "self.replicas > 1", "message": "m", "reason": "FieldValueRequired", "fieldPath": ".storage['size']"}),
            "spec.storage.size: Required value: m",
        ),
    ];
    for (rule, want) in cases {
        assert_eq!(check(&rule, &spec, None), [want], "{rule}");
    }
}

#[test]
fn transitions_compare_with_the_old_value() {
    let rule = json!({"rule": "self.name == oldSelf.name", "message": "name is immutable"});
    let (a, b) = (json!({"name": "a"}), json!({"name": "b"}));
    assert_eq!(check(&rule, &a, None), [""; 0]);
    assert_eq!(check(&rule, &a, Some(&a)), [""; 0]);
    assert_eq!(
        check(&rule, &b, Some(&a)),
        ["spec: Invalid value: name is immutable"]
    );
}

#[test]
fn an_optional_old_value_is_asked_for() {
    let rule = json!({"rule": "!oldSelf.hasValue() || oldSelf.value().name == self.name", "optionalOldSelf": true});
    let (a, b) = (json!({"name": "a"}), json!({"name": "b"}));
    assert_eq!(check(&rule, &a, None), [""; 0]);
    assert_eq!(check(&rule, &b, Some(&b)), [""; 0]);
    assert_eq!(check(&rule, &b, Some(&a)).len(), 1);
}

#[test]
fn what_cannot_be_evaluated_is_broken() {
    let spec = json!({"replicas": 1, "name": "x"});
    let rules = [
        "self.missing == 1",
        "self.replicas.nope()",
        "unknown(self.replicas)",
        "self.replicas",
        "self.name > self.replicas",
        "1 / (self.replicas - 1) > 0",
        "other == 1",
        "self.name.matches('(')",
    ];
    for rule in rules {
        let found = check(&json!({"rule": rule}), &spec, None);
        assert_eq!(found.len(), 1, "{rule}");
        assert!(
            found[0].ends_with(&format!("evaluating rule: {rule}")),
            "{}",
            found[0]
        );
    }
}

#[test]
fn rules_stand_at_any_depth_and_items_are_matched_by_key() {
    let item = json!({"type": "object", "properties": {"n": {"type": "string"}, "v": {
        "type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "no shrinking"}],
    }}});
    let list = |kind: &str| {
        let mut list = json!({"type": "array", "items": item, "x-kubernetes-list-type": kind});
        if kind == "map" {
            list["x-kubernetes-list-map-keys"] = json!(["n"]);
        }
        list
    };
    let schema = Schema::for_crd(&json!({"type": "object", "properties": {
        "map": list("map"), "atomic": list("atomic"),
        "by": {"type": "object", "additionalProperties": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self != ''", "message": "empty"}]}},
    }}))
    .unwrap();
    let old = json!([{"n": "a", "v": 5}]);
    let new = json!([{"n": "b", "v": 1}, {"n": "a", "v": 4}]);
    let found = schema.validate_cel(
        &json!({"map": new, "atomic": new, "by": {"k": ""}}),
        Some(&json!({"map": old, "atomic": old})),
    );
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "by[k]: Invalid value: \"\": empty",
            "map[1].v: Invalid value: 4: no shrinking",
        ]
    );
}

#[test]
fn rules_on_the_root_see_the_whole_object() {
    let schema = Schema::for_crd(&json!({"type": "object",
        "x-kubernetes-validations": [{"rule": "self.metadata.name.size() <= 3 && self.kind == 'K'", "message": "too long a name"}],
        "properties": {"spec": {"type": "object"}}}))
    .unwrap();
    let mut object = object(&json!({}));
    assert_eq!(schema.validate_cel(&object, None), []);
    object["metadata"]["name"] = json!("long");
    let found = schema.validate_cel(&object, None);
    assert_eq!(
        found[0].to_string(),
        "<nil>: Invalid value: too long a name"
    );
}

#[test]
fn unchanged_values_are_not_held_against_an_update() {
    let rule = json!({"rule": "self.replicas > 1"});
    let spec = json!({"replicas": 1});
    assert_eq!(check(&rule, &spec, Some(&spec)), [""; 0]);
    assert_eq!(check(&rule, &spec, Some(&json!({"replicas": 0}))).len(), 1);
}

#[test]
fn field_names_are_escaped() {
    let cases = [
        ("plain", "plain"),
        ("in", "__in__"),
        ("a-b", "a__dash__b"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
        ("a_b", "a_b"),
    ];
    for (name, want) in cases {
        assert_eq!(escape(name), want);
    }
}
