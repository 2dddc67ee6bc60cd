//! What users have asked for, and how it is doing. Pure.

use std::collections::BTreeSet;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use tubeway_operator::watched::Watched;

use super::facts::{Facts, Found};
use super::report::{Outcome, Report};

const GROUP: &str = "resources";
/// So many that are not well are named for each kind.
const NAMED: usize = 5;
/// The conditions that should be true, where an object has them.
const GOOD: [&str; 3] = ["Ready", "AccessApplied", "SidecarsInSync"];

/// Whether each object is as it was asked for.
pub fn check(facts: &Facts, report: &mut Report) {
    for (kind, objects) in &facts.objects {
        let objects = match objects {
            Ok(objects) => objects,
            Err(error) => {
                let outcome = Outcome::failed(error, format!("you need the right to list {kind}"));
                report.add(GROUP, format!("each {kind} is ready"), outcome);
                continue;
            }
        };
        // Nobody looks at the others.
        let objects: Vec<_> = objects
            .iter()
            .filter(|object| is_watched(facts, object))
            .collect();
        let name = match objects.len() {
            0 => continue,
            1 => format!("the one {kind} is ready"),
            n => format!("all {n} {kind}s are ready"),
        };
        report.add(GROUP, name, judge(kind, &objects));
    }
    unwatched(facts, report);
    namespaces(facts, report);
}

fn is_watched(facts: &Facts, object: &DynamicObject) -> bool {
    facts
        .watched()
        .contains(&object.namespace().unwrap_or_default())
}

/// Where only some namespaces are looked after, there is nothing in others.
fn unwatched(facts: &Facts, report: &mut Report) {
    let watched = facts.watched();
    if *watched != Watched::All {
        let name = format!("all are in namespaces that are looked after ({watched})");
        report.add(GROUP, name, judge_places(watched, &facts.objects));
    }
}

fn judge_places(watched: &Watched, all: &[Found]) -> Outcome {
    let mut outside = Vec::new();
    let mut wanted: BTreeSet<_> = watched.names().map(str::to_owned).collect();
    for (kind, objects) in all {
        for object in objects.iter().flatten() {
            let namespace = object.namespace().unwrap_or_default();
            if !watched.contains(&namespace) {
                outside.push(format!("{kind} {}", named(object)));
                wanted.insert(namespace);
            }
        }
    }
    if outside.is_empty() {
        return Outcome::Well;
    }
    let more = outside.len().saturating_sub(NAMED);
    outside.truncate(NAMED);
    if more > 0 {
        outside.push(format!("and {more} more"));
    }
    let wanted: Vec<_> = wanted.into_iter().collect();
    Outcome::failed(
        outside.join("\n    "),
        format!(
            "`tubeway upgrade --watch-namespaces {}`, or the chart's value watchNamespaces, has \
             the operator look after them; or delete them",
            wanted.join(",")
        ),
    )
}

fn named(object: &DynamicObject) -> String {
    let namespace = object.namespace().unwrap_or_default();
    format!("{namespace}/{}", object.name_any())
}

fn judge(kind: &str, objects: &[&DynamicObject]) -> Outcome {
    let wrong: Vec<_> = objects
        .iter()
        .filter_map(|object| complaint(object).map(|why| (named(object), why)))
        .collect();
    let Some((first, _)) = wrong.first() else {
        return Outcome::Well;
    };
    let shown = wrong.iter().take(NAMED);
    let mut found: Vec<_> = shown.map(|(name, why)| format!("{name}: {why}")).collect();
    if wrong.len() > NAMED {
        found.push(format!("and {} more", wrong.len() - NAMED));
    }
    let (namespace, name) = first.split_once('/').unwrap_or_default();
    let kind = kind.to_lowercase();
    Outcome::failed(
        found.join("\n    "),
        format!("`kubectl describe {kind} -n {namespace} {name}` has its conditions and events"),
    )
}

/// What an object's conditions complain of.
fn complaint(object: &DynamicObject) -> Option<String> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = &object.data["status"];
    let conditions = status["conditions"].as_array();
    let Some(conditions) = conditions.filter(|all| !all.is_empty()) else {
        return Some("the operator has not looked at it".to_owned());
    };
    let generation = object.metadata.generation.unwrap_or_default();
    let observed = status["observedGeneration"].as_i64();
    if observed.is_some_and(|observed| observed < generation) {
        return Some("the operator has not looked at its newest spec".to_owned());
    }
    let text =
        |condition: &Value, key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    let bad = conditions.iter().find(|condition| {
        GOOD.contains(&condition["type"].as_str().unwrap_or_default())
            && condition["status"] != "True"
    })?;
    let (kind, reason) = (text(bad, "type"), text(bad, "reason"));
    let message = text(bad, "message");
    Some(format!("not {kind} ({reason}): {message}"))
}

/// Sidecars need the mesh's roots where they run.
fn namespaces(facts: &Facts, report: &mut Report) {
    let clusters = facts
        .objects
        .iter()
        .find(|(kind, _)| *kind == "KafkaCluster");
    let Some((_, Ok(clusters))) = clusters else {
        return;
    };
    let roots = match &facts.roots {
        Ok(roots) => roots,
        Err(error) => {
            let outcome = Outcome::doubtful(error, "you need the right to list ConfigMaps");
            return report.add(GROUP, "the mesh's roots are where clusters are", outcome);
        }
    };
    let clusters = clusters.iter().filter(|cluster| is_watched(facts, cluster));
    let mut without: Vec<_> = clusters.filter_map(ResourceExt::namespace).collect();
    without.sort();
    without.dedup();
    without.retain(|namespace| !roots.contains(namespace));
    let outcome = if without.is_empty() {
        Outcome::Well
    } else {
        Outcome::failed(
            format!("namespaces without them: {}", without.join(", ")),
            "the operator puts them there; its log says why it has not",
        )
    };
    report.add(GROUP, "the mesh's roots are where clusters are", outcome);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, status: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1",
            "kind": "KafkaTopic",
            "metadata": {"name": name, "namespace": "shop", "generation": 2},
            "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn ready(status: &str, observed: i64) -> Value {
        json!({"observedGeneration": observed, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "Stable", "message": ""},
            {"type": "Ready", "status": status, "reason": "KafkaError", "message": "it said no"},
        ]})
    }

    #[test]
    fn what_is_not_ready_is_named_with_its_reason() {
        let good = object("good", &ready("True", 2));
        assert_eq!(judge("KafkaTopic", &[&good]), Outcome::Well);
        let bad = object("bad", &ready("False", 2));
        let expected = Outcome::failed(
            "shop/bad: not Ready (KafkaError): it said no",
            "`kubectl describe kafkatopic -n shop bad` has its conditions and events",
        );
        assert_eq!(judge("KafkaTopic", &[&good, &bad]), expected);
    }

    #[test]
    fn a_condition_about_an_older_spec_says_nothing() {
        let stale = object("a", &ready("True", 1));
        assert!(complaint(&stale).unwrap().contains("newest spec"));
        let new = object("a", &Value::Null);
        assert!(complaint(&new).unwrap().contains("not looked at it"));
    }

    #[test]
    fn what_is_where_nobody_looks_is_named_with_what_to_do() {
        let objects = || vec![("KafkaTopic", Ok(vec![object("a", &Value::Null)]))];
        let watched = "kafka,shop".parse().unwrap();
        assert_eq!(judge_places(&watched, &objects()), Outcome::Well);
        let Outcome::Failed { found, remedy } = judge_places(&"kafka".parse().unwrap(), &objects())
        else {
            panic!("it is not well");
        };
        assert_eq!(found, "KafkaTopic shop/a");
        assert!(
            remedy.contains("--watch-namespaces kafka,shop`"),
            "{remedy}"
        );
    }

    #[test]
    fn many_are_counted_rather_than_listed() {
        let many: Vec<_> = (0..9)
            .map(|i| object(&format!("t{i}"), &ready("False", 2)))
            .collect();
        let many: Vec<_> = many.iter().collect();
        let Outcome::Failed { found, .. } = judge("KafkaTopic", &many) else {
            panic!("they are not well");
        };
        assert!(found.ends_with("and 4 more"), "{found}");
    }
}
