//! The operator and what it needs. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use tubeway_operator::watched::Watched;

use super::facts::Facts;
use super::report::{Outcome, Report};
use crate::status;

const GROUP: &str = "operator";
const UPGRADE: &str = "`tubeway upgrade` brings it to this version";

/// Whether the kinds are known, and the operator runs.
pub fn check(facts: &Facts, report: &mut Report) {
    kinds(facts, report);
    operator(facts, report);
    rights(facts, report);
    let key = match &facts.authority {
        Ok(Some(true)) => Outcome::Well,
        Ok(Some(false)) => Outcome::failed(
            "its Secret tubeway-ca is empty",
            "the operator fills it when it starts; its log says why it has not",
        ),
        Ok(None) => Outcome::failed(
            "there is no Secret tubeway-ca",
            "`tubeway install` makes it, empty, for the operator to fill",
        ),
        // Who may not read Secrets may still have a good installation.
        Err(error) => Outcome::doubtful(error, "give yourself `get` on that Secret to see it"),
    };
    report.add(GROUP, "the certificate authority has its key", key);
}

fn kinds(facts: &Facts, report: &mut Report) {
    let found = match &facts.definitions {
        Ok(found) => found,
        Err(error) => {
            let outcome = Outcome::failed(error, "you need the right to list definitions");
            return report.add(GROUP, "the kinds are defined", outcome);
        }
    };
    for wanted in tubeway_api::crds() {
        let name = wanted.name_any();
        let outcome = match found.iter().find(|crd| crd.name_any() == name) {
            None => Outcome::failed("it is not there", "`tubeway install` defines it"),
            Some(found) if !is_established(found) => Outcome::failed(
                "the API server does not serve it",
                format!("`kubectl describe crd {name}` says why"),
            ),
            Some(found) if !is_same(found, &wanted) => {
                Outcome::doubtful("it is of another version of Tubeway", UPGRADE)
            }
            Some(_) => Outcome::Well,
        };
        let kind = &wanted.spec.names.kind;
        report.add(GROUP, format!("the kind {kind} is defined"), outcome);
    }
}

fn operator(facts: &Facts, report: &mut Report) {
    let runs = "the operator runs";
    match (&facts.existing, &facts.bare) {
        (Ok(Some(existing)), _) => {
            let namespace = &existing.choices.namespace;
            let outcome = match &existing.runs {
                Ok(()) => Outcome::Well,
                Err(why) => Outcome::failed(
                    why,
                    format!(
                        "`kubectl describe deployment,pods -n {namespace}` and \
                         `kubectl logs -n {namespace} deployment/tubeway-operator` say why"
                    ),
                ),
            };
            report.add(GROUP, runs, outcome);
            let (own, its) = (env!("CARGO_PKG_VERSION"), &existing.choices.tag);
            let outcome = if own == its {
                Outcome::Well
            } else {
                Outcome::doubtful(format!("it is {its}, this command is {own}"), UPGRADE)
            };
            report.add(GROUP, "it is of this command's version", outcome);
        }
        (Ok(None), Some(pod)) => {
            let outcome = if status::is_ready(pod) {
                Outcome::Well
            } else {
                Outcome::failed(
                    "its pod is not ready",
                    "`kubectl logs -n tubeway-system tubeway-operator` says why",
                )
            };
            report.add(GROUP, runs, outcome);
        }
        (Ok(None), None) => {
            let outcome = Outcome::failed("it is not installed", "`tubeway install` installs it");
            report.add(GROUP, runs, outcome);
        }
        (Err(error), _) => {
            report.add(
                GROUP,
                runs,
                Outcome::failed(error, "you need the right to read it"),
            );
        }
    }
}

/// Where only some namespaces are looked after, the rights are in each of them.
fn rights(facts: &Facts, report: &mut Report) {
    if *facts.watched() == Watched::All {
        return;
    }
    let outcome = match &facts.bound {
        Ok(bound) => {
            let names = facts.watched().names();
            let without: Vec<_> = names
                .filter(|name| !bound.iter().any(|b| b == name))
                .collect();
            if without.is_empty() {
                Outcome::Well
            } else {
                Outcome::failed(
                    format!("namespaces without them: {}", without.join(", ")),
                    "`tubeway upgrade` gives them again; name the namespaces that are there by \
                     --watch-namespaces if one of these is gone",
                )
            }
        }
        Err(error) => Outcome::doubtful(error, "you need the right to list RoleBindings"),
    };
    let name = format!("it has its rights in {}", facts.watched());
    report.add(GROUP, name, outcome);
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let status = crd.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c.type_ == "Established" && c.status == "True")
}

/// Whether the versions and their schemas are the same. Servers add defaults to
/// the rest.
fn is_same(found: &CustomResourceDefinition, wanted: &CustomResourceDefinition) -> bool {
    let schemas = |crd: &CustomResourceDefinition| {
        let versions = crd.spec.versions.iter();
        let schemas = versions.map(|version| (version.name.clone(), version.schema.clone()));
        schemas.collect::<Vec<_>>()
    };
    schemas(found) == schemas(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::install::{Choices, Existing, Istio};

    fn established(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
        let status = json!({"acceptedNames": {"kind": "", "plural": ""}, "storedVersions": [], "conditions": [
            {"type": "Established", "status": "True", "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]});
        crd.status = serde_json::from_value(status).unwrap();
        crd
    }

    fn facts() -> Facts {
        Facts {
            existing: Ok(Some(Existing {
                choices: Choices {
                    namespace: "tubeway-system".to_owned(),
                    registry: "r".to_owned(),
                    tag: env!("CARGO_PKG_VERSION").to_owned(),
                    trust_domain: "cluster.local".to_owned(),
                    cert_ttl: "24h".to_owned(),
                    watch_namespaces: Watched::All,
                    istio: Istio::default(),
                },
                release: None,
                runs: Ok(()),
            })),
            definitions: Ok(tubeway_api::crds().into_iter().map(established).collect()),
            authority: Ok(Some(true)),
            ..Facts::new(
                "https://k8s.example".to_owned(),
                Ok((1, 37, "v1.37.2".to_owned())),
            )
        }
    }

    /// What is said of facts that were changed like this; all else is well.
    fn said(change: impl FnOnce(&mut Facts)) -> String {
        let mut facts = facts();
        change(&mut facts);
        let mut report = Report::default();
        check(&facts, &mut report);
        let wrong = report.count(|outcome| *outcome != Outcome::Well);
        format!("{wrong}\n{report}")
    }

    #[test]
    fn a_namespace_without_rights_is_named() {
        for (bound, wrong) in [(&["kafka", "shop"][..], "0\n"), (&["kafka", "old"], "1\n")] {
            let said = said(|facts| {
                if let Ok(Some(existing)) = &mut facts.existing {
                    existing.choices.watch_namespaces = "kafka,shop".parse().unwrap();
                }
                facts.bound = Ok(bound.iter().map(|&name| name.to_owned()).collect());
            });
            assert!(said.starts_with(wrong), "{said}");
            assert_eq!(
                said.contains("without them: shop\n"),
                wrong == "1\n",
                "{said}"
            );
        }
    }

    #[test]
    fn a_good_installation_is_well() {
        let said = said(|_| {});
        assert!(said.starts_with("0\n"), "{said}");
    }

    #[test]
    fn each_thing_that_is_wrong_is_said_alone() {
        type Change = fn(&mut Facts);
        let cases: [(Change, &str); 7] = [
            (
                |f| drop(f.definitions.as_mut().unwrap().pop()),
                "it is not there",
            ),
            (
                |f| f.definitions.as_mut().unwrap()[0].status = None,
                "does not serve it",
            ),
            (
                |f| f.definitions.as_mut().unwrap()[0].spec.versions[0].schema = None,
                "of another version",
            ),
            (|f| f.existing = Ok(None), "`tubeway install` installs it"),
            (
                |f| {
                    if let Ok(Some(existing)) = &mut f.existing {
                        existing.runs = Err("0 of 1".to_owned());
                    }
                },
                "deployment/tubeway-operator",
            ),
            (|f| f.authority = Ok(Some(false)), "is empty"),
            (|f| f.authority = Ok(None), "no Secret"),
        ];
        for (change, part) in cases {
            let said = said(change);
            assert!(
                said.starts_with("1\n") && said.contains(part),
                "{part}: {said}"
            );
        }
    }
}
