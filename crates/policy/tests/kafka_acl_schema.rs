//! The schema of KafkaAcl refuses what the compiler could only report, and
//! takes the examples of the documentation.

use definition::{broken, examples, with};
use serde_json::{Value, json};

#[test]
fn the_documentations_examples_are_taken() {
    let examples = examples(include_str!("../../../docs/access.md"));
    assert_eq!(examples.len(), 5);
    for example in examples {
        assert_eq!(broken(&example), [""; 0], "{example}");
    }
}

#[test]
fn principals_have_exactly_one_form() {
    let account = json!({"serviceAccount": {"name": "a"}});
    let forms = [
        account,
        json!({"spiffeId": "spiffe://td/a"}),
        json!({"user": "User:a"}),
        json!({"any": true}),
    ];
    let message = ["a principal is exactly one of serviceAccount, spiffeId, user and any"];
    for (i, one) in forms.iter().enumerate() {
        assert_eq!(broken(&with("principals", &json!([one]))), [""; 0]);
        let mut two = one.clone();
        let next = forms[(i + 1) % forms.len()].as_object().unwrap().clone();
        two.as_object_mut().unwrap().extend(next);
        assert_eq!(broken(&with("principals", &json!([two]))), message);
    }
    assert_eq!(broken(&with("principals", &json!([{}]))), message);
}

#[test]
fn words_that_are_none_are_refused() {
    for (field, value, message) in [
        ("effect", json!("Permit"), "\"Permit\" is not allowed"),
        ("operations", json!(["READ"]), "\"READ\" is not allowed"),
        (
            "principals",
            json!([{"any": false}]),
            "false is not allowed",
        ),
        ("host", json!("10.0.0.1"), "there is no host"),
    ] {
        assert_eq!(broken(&with(field, &value)), [message]);
    }
}

#[test]
fn resources_have_the_names_that_their_patterns_need() {
    for (resource, message) in [
        (
            json!({"type": "Topic", "name": "a.b_c-1", "pattern": "Literal"}),
            "",
        ),
        (
            json!({"type": "Group", "name": "any thing", "pattern": "Prefixed"}),
            "",
        ),
        (
            json!({"type": "Group", "name": "*", "pattern": "Prefixed"}),
            "",
        ),
        (json!({"type": "User", "pattern": "Any"}), ""),
        (json!({"type": "Cluster", "pattern": "Literal"}), ""),
        (json!({"type": "Cluster", "pattern": "Any"}), ""),
        (
            json!({"type": "Topic", "name": "t", "pattern": "Literal", "partitions": "0"}),
            "",
        ),
        (
            json!({"type": "Topic", "pattern": "Literal"}),
            "pattern Any has no name",
        ),
        (
            json!({"type": "Topic", "pattern": "Prefixed"}),
            "pattern Any has no name",
        ),
        (
            json!({"type": "Group", "name": "g", "pattern": "Any"}),
            "pattern Any has no name",
        ),
        (
            json!({"type": "Cluster", "name": "main", "pattern": "Literal"}),
            "type Cluster has no name",
        ),
        (
            json!({"type": "Cluster", "pattern": "Prefixed"}),
            "type Cluster has no name",
        ),
        (
            json!({"type": "Topic", "name": "a b", "pattern": "Literal"}),
            "a topic's name has",
        ),
        (
            json!({"type": "Group", "name": "*", "pattern": "Literal"}),
            "for all resources",
        ),
        (
            json!({"type": "Group", "name": "g", "pattern": "Literal", "partitions": "0"}),
            "only topics",
        ),
    ] {
        let broken = broken(&with("resource", &resource));
        match broken.as_slice() {
            [] => assert_eq!(message, "", "{resource}"),
            [one] => assert!(
                !message.is_empty() && one.starts_with(message),
                "{resource}: {one}"
            ),
            more => panic!("{resource}: {more:?}"),
        }
    }
}

/// The definition as it is installed; another test keeps it what the types say.
mod definition {
    use cel::{Context, Program};

    use super::{Value, json};

    /// The messages of all CEL rules that a new object breaks, each evaluated
    /// where it stands, and what is no field or no word of the kind.
    pub(super) fn broken(object: &Value) -> Vec<String> {
        let text = include_str!("../../../deploy/crds/kafkaacls.yaml");
        let crd: Value = serde_saphyr::from_str(text).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut messages = Vec::new();
        visit(schema, &mut object.clone(), &mut messages);
        messages
    }

    fn visit(schema: &Value, value: &mut Value, messages: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                let properties = schema["properties"].as_object();
                for name in fields.keys() {
                    let standard = ["apiVersion", "kind", "metadata"].contains(&name.as_str());
                    let known = properties.is_some_and(|p| p.contains_key(name));
                    if !known && !standard && schema["type"] == "object" {
                        messages.push(format!("there is no {name}"));
                    }
                }
                for (name, schema) in properties.into_iter().flatten() {
                    if let Some(default) = schema.get("default") {
                        fields.entry(name).or_insert_with(|| default.clone());
                    }
                    if let Some(field) = fields.get_mut(name) {
                        visit(schema, field, messages);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    visit(&schema["items"], item, messages);
                }
            }
            ref word => {
                let words = schema["enum"].as_array();
                if words.is_some_and(|words| !words.contains(word)) {
                    messages.push(format!("{word} is not allowed"));
                }
            }
        }
        let rules = schema["x-kubernetes-validations"].as_array();
        for rule in rules.into_iter().flatten() {
            let source = rule["rule"].as_str().unwrap();
            if source.contains("oldSelf") {
                continue;
            }
            let mut context = Context::default();
            context.add_variable("self", value.clone()).unwrap();
            let program = Program::compile(source).unwrap();
            if program.execute(&context) != Ok(true.into()) {
                messages.push(rule["message"].as_str().unwrap().to_owned());
            }
        }
    }

    /// An object that is right but for one field of its one rule.
    pub(super) fn with(field: &str, value: &Value) -> Value {
        let mut rule = json!({
            "principals": [{"any": true}],
            "resource": {"type": "Topic", "name": "t"},
            "operations": ["Read"],
        });
        rule[field] = value.clone();
        json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaAcl",
            "metadata": {"name": "a", "namespace": "shop"},
            "spec": {"cluster": {"name": "main"}, "rules": [rule]},
        })
    }

    /// The KafkaAcl objects in a document's blocks of YAML.
    pub(super) fn examples(document: &str) -> Vec<Value> {
        let blocks = document.split("```yaml\n").skip(1);
        blocks
            .map(|block| block.split("```").next().unwrap())
            .map(|yaml| serde_saphyr::from_str::<Value>(yaml).unwrap())
            .filter(|object| object["kind"] == "KafkaAcl")
            .collect()
    }
}
