//! Who may do what: one principal with its rules for each scenario.
//!
//! Every resource has a role in its name, `<scenario>.<role>.<what>`:
//!
//! | role | exists | the scenario's principal may |
//! |---|---|---|
//! | `good` | yes | do everything |
//! | `seen` | yes | describe it |
//! | `blind` | yes | read and write, and not describe it |
//! | `bad` | yes | do nothing |
//! | `gone` | no | do everything |
//! | `ghost` | no | do nothing |
//!
//! That is how it is in the scenarios `partly`, `prefix` and `deny`, which say
//! it with literal, prefixed and denying rules.

use std::net::Ipv4Addr;

use tubeway_policy::acl::{
    AclBinding, CLUSTER_RESOURCE, Operation, PatternType, Permission, ResourceType, WILDCARD,
};
use tubeway_policy::rules::EVERY_PRINCIPAL;

/// The roles, in the order in which requests name them.
pub const ROLES: [&str; 6] = ["good", "seen", "blind", "bad", "gone", "ghost"];
/// Those whose resources exist.
pub const EXISTING: [&str; 4] = ["good", "seen", "blind", "bad"];
/// Another host than the usual one.
pub const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What rules by name are about.
pub const NAMED: [ResourceType; 3] = [
    ResourceType::Topic,
    ResourceType::Group,
    ResourceType::TransactionalId,
];

/// A principal, its rules, and where it comes from.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name, with which the names of its resources begin.
    pub name: String,
    /// `User:spiffe://…`.
    pub principal: String,
    /// Where its client connects from.
    pub from: Ipv4Addr,
    /// Its rules. Those of other scenarios are in force too, and are about
    /// other principals or other names.
    pub rules: Vec<AclBinding>,
    /// Whether it is run with the newest version of each API only.
    pub newest_only: bool,
}

/// Writes rules for one principal.
struct Rules {
    principal: String,
    host: String,
    written: Vec<AclBinding>,
}

/// All scenarios. `names` are those of literal rules: kinds, and what comes
/// after the role.
pub fn scenarios(names: &[(ResourceType, String)]) -> Vec<Scenario> {
    let mut all = vec![
        allowed(names),
        Scenario::new("denied", |_| {}),
        partly(names),
        Scenario::new("prefix", prefix),
        Scenario::new("wildcard", wildcard),
        Scenario::new("deny", deny),
    ];
    let of_host = |name: &str, from| {
        let mut scenario = Scenario::new(name, |rules| {
            OTHER_HOST.to_string().clone_into(&mut rules.host);
            rules.everything(Permission::Allow, Operation::All);
        });
        scenario.from = from;
        scenario
    };
    all.push(of_host("other-host", Ipv4Addr::LOCALHOST));
    all.push(of_host("right-host", OTHER_HOST));
    for operation in Operation::ALL {
        let name = format!("{operation:?}").to_lowercase();
        if operation == Operation::All {
            continue;
        }
        let mut only = Scenario::new(&format!("only-{name}"), |rules| {
            rules.everything(Permission::Allow, operation);
        });
        only.newest_only = true;
        let mut but = Scenario::new(&format!("all-but-{name}"), |rules| {
            rules.everything(Permission::Allow, Operation::All);
            rules.everything(Permission::Deny, operation);
        });
        but.newest_only = true;
        all.extend([only, but]);
    }
    all
}

/// Every operation is allowed on everything by its name.
fn allowed(names: &[(ResourceType, String)]) -> Scenario {
    Scenario::new("allowed", |rules| {
        for (kind, role, name) in named(names) {
            let name = format!("allowed.{role}.{name}");
            rules.add(Permission::Allow, Operation::All, kind, &name);
        }
        for operation in ResourceType::Cluster.operations() {
            rules.cluster(Permission::Allow, *operation);
        }
        // DELETE on the cluster deletes every topic (4.3.1), though it is not
        // among the operations that a cluster shows.
        rules.cluster(Permission::Allow, Operation::Delete);
    })
}

/// By literal rules. Of the cluster, nothing.
fn partly(names: &[(ResourceType, String)]) -> Scenario {
    use Operation::{All, Describe, Read, Write};
    Scenario::new("partly", |rules| {
        for (kind, role, name) in named(names) {
            let name = format!("partly.{role}.{name}");
            let mut allow = |operation| rules.add(Permission::Allow, operation, kind, &name);
            match role {
                "good" | "gone" => allow(All),
                "seen" => allow(Describe),
                "blind" => {
                    allow(Read);
                    allow(Write);
                    rules.add(Permission::Deny, Describe, kind, &name);
                }
                _ => {}
            }
        }
    })
}

/// By prefixes. The cluster may be described.
fn prefix(rules: &mut Rules) {
    use Operation::{All, Describe, Read, Write};
    for kind in NAMED {
        for (role, operations) in [
            ("good", &[All][..]),
            ("gone", &[All]),
            ("seen", &[Describe]),
            ("blind", &[Read, Write]),
        ] {
            for operation in operations {
                rules.prefixed(Permission::Allow, *operation, kind, role);
            }
        }
        rules.prefixed(Permission::Deny, Describe, kind, "blind");
    }
    rules.cluster(Permission::Allow, Operation::Describe);
}

/// Topics are all allowed, groups may be read, transactional ids be written;
/// of the cluster everything. What everybody is denied, or may see, counts too.
fn wildcard(rules: &mut Rules) {
    let allow = Permission::Allow;
    rules.add(allow, Operation::All, ResourceType::Topic, WILDCARD);
    rules.add(allow, Operation::Read, ResourceType::Group, WILDCARD);
    rules.add(
        allow,
        Operation::Write,
        ResourceType::TransactionalId,
        WILDCARD,
    );
    rules.cluster(allow, Operation::All);
    EVERY_PRINCIPAL.clone_into(&mut rules.principal);
    for kind in NAMED {
        rules.prefixed(Permission::Deny, Operation::All, kind, "bad");
        rules.prefixed(Permission::Deny, Operation::Write, kind, "seen");
    }
    rules.prefixed(allow, Operation::Delete, ResourceType::Group, "good");
}

/// Everything is allowed, and denials take it away again.
fn deny(rules: &mut Rules) {
    use Operation::{
        All, Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read, Write,
    };
    rules.everything(Permission::Allow, All);
    for kind in NAMED {
        for role in ["bad", "ghost"] {
            rules.prefixed(Permission::Deny, All, kind, role);
        }
        rules.prefixed(Permission::Deny, Describe, kind, "blind");
        for operation in [
            Read,
            Write,
            Create,
            Delete,
            Alter,
            DescribeConfigs,
            AlterConfigs,
        ] {
            rules.prefixed(Permission::Deny, operation, kind, "seen");
        }
    }
    for operation in [Create, Delete, Alter] {
        rules.cluster(Permission::Deny, operation);
    }
}

/// All resources that rules by literal name are about.
fn named(
    names: &[(ResourceType, String)],
) -> impl Iterator<Item = (ResourceType, &'static str, &String)> {
    names
        .iter()
        .flat_map(|(kind, name)| ROLES.into_iter().map(move |role| (*kind, role, name)))
}

// === impl Scenario ===

impl Scenario {
    fn new(name: &str, write: impl FnOnce(&mut Rules)) -> Self {
        let principal = format!("User:spiffe://cluster.local/ns/differential/sa/{name}");
        let mut rules = Rules {
            principal: principal.clone(),
            host: WILDCARD.to_owned(),
            written: Vec::new(),
        };
        write(&mut rules);
        // Prefixes are within the scenario's own names.
        for rule in &mut rules.written {
            if rule.pattern == PatternType::Prefixed {
                rule.name = format!("{name}.{}", rule.name);
            }
        }
        Self {
            name: name.to_owned(),
            principal,
            from: Ipv4Addr::LOCALHOST,
            rules: rules.written,
            newest_only: false,
        }
    }

    /// The SPIFFE id of the principal.
    pub fn spiffe_id(&self) -> &str {
        self.principal.trim_start_matches("User:")
    }
}

// === impl Rules ===

impl Rules {
    fn add(
        &mut self,
        permission: Permission,
        operation: Operation,
        kind: ResourceType,
        name: &str,
    ) {
        self.written.push(AclBinding {
            resource_type: kind,
            name: name.to_owned(),
            pattern: PatternType::Literal,
            principal: self.principal.clone(),
            host: self.host.clone(),
            operation,
            permission,
        });
    }

    fn prefixed(
        &mut self,
        permission: Permission,
        operation: Operation,
        kind: ResourceType,
        role: &str,
    ) {
        self.add(permission, operation, kind, &format!("{role}."));
        if let Some(rule) = self.written.last_mut() {
            rule.pattern = PatternType::Prefixed;
        }
    }

    fn cluster(&mut self, permission: Permission, operation: Operation) {
        self.add(
            permission,
            operation,
            ResourceType::Cluster,
            CLUSTER_RESOURCE,
        );
    }

    /// On every resource of every kind.
    fn everything(&mut self, permission: Permission, operation: Operation) {
        for kind in ResourceType::ALL {
            self.add(permission, operation, kind, kind.every());
        }
    }
}
