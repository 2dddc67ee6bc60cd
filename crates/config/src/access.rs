//! Who may do what on a Kafka cluster, as its sidecars enforce it.

use serde::{Deserialize, Serialize};
use tubeway_policy::rules::AccessRules;

use crate::error::{ConfigError, Problem};
use crate::topology::ClusterRef;

/// The access rules of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// Which cluster this is.
    pub cluster: ClusterRef,
    /// The rules, all of them.
    pub access: AccessRules,
}

// === impl Access ===

impl Access {
    /// Reads and checks a document; every problem in it is reported at once.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let access: Self =
            serde_json::from_slice(bytes).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        access.access.check().map_err(|errors| {
            let problems = errors
                .into_iter()
                .map(|e| Problem::new(format!("access.{}", e.path), e.problem.to_string()));
            ConfigError::Invalid(problems.collect())
        })?;
        Ok(access)
    }

    /// The document's one written form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("rules are always JSON"))
    }
}

#[cfg(test)]
mod tests {
    use tubeway_policy::acl::{AclBinding, Operation, ResourceType};
    use tubeway_policy::rules::Rule;

    use super::*;

    fn document(host: &str) -> Access {
        let acl = AclBinding::allow("User:a", Operation::Read, ResourceType::Topic, "t");
        let rule = Rule::from(AclBinding {
            host: host.to_owned(),
            ..acl
        });
        Access {
            cluster: "kafka/demo".parse().unwrap(),
            access: AccessRules {
                rules: vec![rule],
                ..AccessRules::default()
            },
        }
    }

    #[test]
    fn survives_its_own_json() {
        let good = document("10.1.0.0/16");
        assert_eq!(Access::from_json(&good.to_json()), Ok(good));
    }

    #[test]
    fn a_rule_that_cannot_count_is_refused_with_its_path() {
        let bad = document("nowhere").to_json();
        let Err(ConfigError::Invalid(problems)) = Access::from_json(&bad) else {
            panic!("accepted a host that is none");
        };
        assert_eq!(problems[0].path, "access.rules[0].acl.host");
    }
}
