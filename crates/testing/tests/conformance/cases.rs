//! The cases, by what they are about. All that the operator and the command use of the API
//! is here.

mod access;
mod apply;
mod collection;
mod custom;
mod deleting;
mod events;
mod patching;
mod reading;
mod refusals;
mod rules;
mod tokens;
mod watching;
mod writing;

use crate::Case;

/// Every case.
pub fn all() -> Vec<Case> {
    let groups = [
        // The slowest first: they wait for controllers.
        collection::CASES,
        deleting::CASES,
        watching::CASES,
        rules::CASES,
        custom::CASES,
        apply::CASES,
        writing::CASES,
        patching::CASES,
        reading::CASES,
        refusals::CASES,
        events::CASES,
        tokens::CASES,
        access::CASES,
    ];
    groups.into_iter().flatten().map(copy).collect()
}

fn copy(case: &Case) -> Case {
    Case { ..*case }
}

/// The table of a module: a case has the name of its function.
macro_rules! cases {
    ($($name:ident,)*) => {
        pub const CASES: &[crate::Case] = &[$(crate::Case {
            name: stringify!($name),
            run: |trial| Box::pin($name(trial)),
        }),*];
    };
}
pub(crate) use cases;

/// Bodies that many cases need.
pub(crate) mod bodies {
    use serde_json::{Value, json};

    pub const TOPICS: &str = "kafka.tubeway.dev/v1alpha1/kafkatopics";
    pub const GADGETS: &str = "test.tubeway.dev/v1/gadgets";

    pub fn config_map(name: &str, data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
    }

    pub fn labelled(name: &str, labels: Value) -> Value {
        let mut map = config_map(name, json!({"a": "1"}));
        map["metadata"]["labels"] = labels;
        map
    }

    pub fn kafka(kind: &str, name: &str, spec: Value) -> Value {
        json!({"apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
    }

    pub fn topic(name: &str, mut spec: Value) -> Value {
        spec["cluster"] = json!({"name": "demo"});
        kafka("KafkaTopic", name, spec)
    }

    pub fn gadget(name: &str, spec: Value) -> Value {
        json!({"apiVersion": "test.tubeway.dev/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": spec})
    }

    pub fn pod(name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "main", "image": "x:1"}]},
        })
    }
}
