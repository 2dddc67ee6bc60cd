//! The Kubernetes cluster itself. Pure.

use super::facts::{Facts, Looked, RIGHTS};
use super::report::{Outcome, Report};

const GROUP: &str = "kubernetes";
const RIGHTS_GROUP: &str = "rights to install";
/// From this version on containers that start first may go on running (native
/// sidecars), without asking for it.
const OLDEST: (u32, u32) = (1, 29);

/// Whether there is a cluster, and one that is new enough.
pub fn check(facts: &Facts, report: &mut Report) {
    let reached = match &facts.version {
        Ok(_) => Outcome::Well,
        Err(error) => Outcome::failed(
            error,
            "is the address right, does the cluster run, and are your credentials still good? \
             `kubectl version` asks the same",
        ),
    };
    report.add(GROUP, format!("the API at {} answers", facts.url), reached);
    if let Ok((major, minor, name)) = &facts.version {
        let outcome = if (*major, *minor) >= OLDEST {
            Outcome::Well
        } else {
            Outcome::failed(
                format!("it is {name}"),
                "upgrade it: sidecars are init containers that keep running, which older ones do \
                 not have",
            )
        };
        let (major, minor) = OLDEST;
        report.add(GROUP, format!("it is v{major}.{minor} or newer"), outcome);
    }
}

/// Whether an installation may be begun.
pub fn check_rights(facts: &Facts, report: &mut Report) {
    for ((_, resource, verb), right) in RIGHTS.iter().zip(&facts.rights) {
        report.add(
            RIGHTS_GROUP,
            format!("you may {verb} {resource}"),
            judge(right),
        );
    }
    let free = match &facts.existing {
        Ok(None) => Outcome::Well,
        Ok(Some(existing)) => Outcome::doubtful(
            format!(
                "one is in namespace {}, of version {}",
                existing.choices.namespace, existing.choices.tag
            ),
            "`tubeway upgrade` brings it to this version, `tubeway check` looks at it",
        ),
        Err(error) => Outcome::failed(error, "you need the right to read it"),
    };
    report.add(RIGHTS_GROUP, "there is no other installation", free);
}

fn judge(right: &Looked<bool>) -> Outcome {
    match right {
        Ok(true) => Outcome::Well,
        Ok(false) => Outcome::failed(
            "the cluster says no",
            "ask its administrator to install, or for the role cluster-admin while you do",
        ),
        Err(error) => Outcome::failed(error, "the cluster has to answer access reviews"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(minor: u32) -> Facts {
        Facts {
            rights: vec![Ok(true); RIGHTS.len()],
            ..Facts::new(
                "https://k8s.example".to_owned(),
                Ok((1, minor, format!("v1.{minor}.0"))),
            )
        }
    }

    #[test]
    fn a_cluster_without_native_sidecars_is_too_old() {
        for (minor, well) in [(28, false), (29, true), (37, true)] {
            let mut report = Report::default();
            check(&facts(minor), &mut report);
            assert_eq!(report.is_well(), well, "{minor}: {report}");
        }
    }

    #[test]
    fn a_right_that_is_missing_is_named() {
        let mut facts = facts(37);
        facts.rights[1] = Ok(false);
        let mut report = Report::default();
        check_rights(&facts, &mut report);
        let text = report.to_string();
        assert!(text.contains("× you may create clusterroles"), "{text}");
        assert_eq!(report.count(|o| *o != Outcome::Well), 1);
    }
}
