use super::*;
use serde_json::json;

fn labelled(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}})
}

#[test]
fn label_selectors_match() {
    let object = labelled(&json!({"app": "kafka", "tier": "", "n": "5", "x.io/y": "z"}));
    let yes = [
        "",
        " ",
        "app",
        "app=kafka",
        "app==kafka",
        "app = kafka , n=5",
        "app!=other",
        "none!=x",
        "!none",
        "app in (kafka, other)",
        "app notin (other)",
        "none notin (a,b)",
        "tier=",
        "tier in ()",
        "tier in (,a)",
        "x.io/y=z",
        "n>4,n<6",
        "app in (kafka),n,!none",
    ];
    let no = [
        "none",
        "app=other",
        "app!=kafka",
        "!app",
        "app in (a,b)",
        "none in (a)",
        "app notin (kafka)",
        "n>5",
        "app>1",
        "app=kafka,none",
        "in",
    ];
    for text in yes {
        assert!(
            LabelSelector::parse(text).unwrap().matches(&object),
            "{text}"
        );
    }
    for text in no {
        assert!(
            !LabelSelector::parse(text).unwrap().matches(&object),
            "{text}"
        );
    }
}

#[test]
fn objects_without_labels_match_negations_only() {
    let bare = json!({"metadata": {}});
    assert!(LabelSelector::parse("!a,b!=c").unwrap().matches(&bare));
    assert!(!LabelSelector::parse("a").unwrap().matches(&bare));
}

#[test]
fn bad_label_selectors_are_refused() {
    let bad = [
        "=",
        "a=b c",
        "a in b",
        "a in (b",
        "a in (b c)",
        ",a",
        "a,",
        "a=,=",
        "!a=b",
        "a b",
        "-a",
        "a=-b",
        "a/b/c=d",
        "UP.io/a",
        "/a",
        "a>b",
        "a=b,,c",
    ];
    for text in bad {
        let parsed = LabelSelector::parse(text);
        assert!(parsed.is_err(), "{text}: {parsed:?}");
    }
    let long = "x".repeat(64);
    assert!(LabelSelector::parse(&format!("a={long}")).is_err());
}

#[test]
fn selector_objects_match() {
    let object = labelled(&json!({"a": "1", "b": "2"}));
    let cases = [
        (json!({}), Some(true)),
        (Value::Null, None),
        (json!({"matchLabels": {"a": "1"}}), Some(true)),
        (json!({"matchLabels": {"a": "2"}}), Some(false)),
        (
            json!({"matchExpressions": [{"key": "b", "operator": "In", "values": ["2"]}]}),
            Some(true),
        ),
        (
            json!({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["2"]}]}),
            Some(false),
        ),
        (
            json!({"matchExpressions": [{"key": "c", "operator": "DoesNotExist"}, {"key": "a", "operator": "Exists"}]}),
            Some(true),
        ),
        (
            json!({"matchExpressions": [{"key": "c", "operator": "Like"}]}),
            None,
        ),
    ];
    for (selector, want) in cases {
        let got = LabelSelector::from_object(&selector).map(|one| one.matches(&object));
        assert_eq!(got, want, "{selector}");
    }
}

#[test]
fn field_selectors_match() {
    let object = json!({"metadata": {"name": "a,b", "namespace": "n"}, "spec": {"unschedulable": true}, "status": {"phase": "Running"}});
    let yes = [
        "",
        "metadata.namespace=n",
        "metadata.name=a\\,b",
        "metadata.namespace==n,status.phase!=Pending",
        "spec.nodeName=",
        "spec.unschedulable=true",
    ];
    let no = [
        "metadata.namespace=m",
        "status.phase!=Running",
        "spec.nodeName!=",
    ];
    for text in yes {
        assert!(
            FieldSelector::parse(text).unwrap().matches(&object),
            "{text}"
        );
    }
    for text in no {
        assert!(
            !FieldSelector::parse(text).unwrap().matches(&object),
            "{text}"
        );
    }
}

#[test]
fn field_selectors_tell_what_they_look_at() {
    let selector = FieldSelector::parse("metadata.name=a,status.phase!=b").unwrap();
    let fields: Vec<String> = selector.fields().collect();
    assert_eq!(fields, ["metadata.name", "status.phase"]);
    assert_eq!(selector.required("metadata.name"), Some("a"));
    assert_eq!(selector.required("status.phase"), None);
}

#[test]
fn bad_field_selectors_are_refused() {
    for text in ["metadata.name", "a!b", "a=b=c", "a=b\\x", "a=\\"] {
        assert!(FieldSelector::parse(text).is_err(), "{text}");
    }
}
