//! Which ACLs of principals outside of the trust domain are the operator's.
//!
//! ACLs of the trust domain's principals are all the operator's: whoever is not
//! in the rules has none. Those of others (`User:CN=…`, `User:*`) may have been
//! written by people as well, and must stay theirs. So what the operator makes
//! for them is written down *before* it is made, in a ConfigMap of the
//! cluster's namespace, and only what is written down there is ever deleted:
//!
//! - An ACL that was there before the operator wanted it is not written down,
//!   and stays when no KafkaAcl wants it any more.
//! - After a crash between the two writes, the next round makes what is written
//!   down and wanted, and passes over what is written down and not there.
//! - What is written down, not wanted and not there is struck out, once nothing
//!   has been changed for a while: a broker tells of an ACL a moment after it
//!   was made, and until then "not there" means nothing.
//!
//! The ConfigMap has no owner, as the volumes with the ACLs in them have none:
//! a cluster that is made again over its volumes finds both.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tubeway_api::labels;
use tubeway_config::ClusterRef;
use tubeway_policy::acl::{AclBinding, AclDiff, Managed, Permission};

use crate::apply::Writer;
use crate::cluster::names;
use crate::error::{Error, Result};

/// Key of the ConfigMap's data: a digest a line.
const KEY: &str = "acls";
/// Most ACLs that are written down; a ConfigMap holds 1 MiB.
pub const MAX_ENTRIES: usize = 25_000;
/// Hexadecimal digits of a digest: 128 bits.
const DIGITS: usize = 32;

/// The digests of the ACLs that are the operator's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: BTreeSet<String>,
}

/// Whose ACLs are whose.
#[derive(Debug, Clone)]
pub struct Ownership {
    /// All of the trust domain.
    domain: Managed,
    /// Those of them that are not set apart.
    managed: Managed,
}

/// What to do, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be written down first, if it is another than before.
    pub ledger: Option<Ledger>,
    /// To create after that; denials first, so that nothing is allowed for a
    /// moment that is denied in the end.
    pub create: Vec<AclBinding>,
    /// To delete then; allowances first.
    pub delete: Vec<AclBinding>,
}

/// More ACLs of others than can be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "KafkaAcl objects make {0} ACLs for principals outside of the trust domain; {MAX_ENTRIES} are allowed: use prefixes, or leave some of them to the sidecars"
)]
pub struct TooMany(pub usize);

// === impl Ownership ===

impl Ownership {
    /// Of a trust domain, without the principals that are set `apart`.
    pub fn new(trust_domain: &str, apart: impl IntoIterator<Item = String>) -> Self {
        let domain = Managed::trust_domain(trust_domain);
        Self {
            managed: apart.into_iter().fold(domain.clone(), Managed::except),
            domain,
        }
    }

    /// Compares what should be with what is. `settled`: nothing was changed for
    /// so long that every broker tells of it.
    pub fn plan(
        &self,
        wanted: &BTreeSet<AclBinding>,
        actual: &[AclBinding],
        ledger: &Ledger,
        settled: bool,
    ) -> Result<Plan, TooMany> {
        let AclDiff {
            mut create,
            mut delete,
        } = AclDiff::between(&self.managed, wanted, actual);
        let others = |acl: &&AclBinding| !self.domain.covers(&acl.principal);
        let actual: BTreeSet<_> = actual.iter().filter(others).collect();
        let wanted: BTreeSet<_> = wanted.iter().filter(others).collect();
        let mut next = ledger.clone();
        for acl in wanted.difference(&actual) {
            next.entries.insert(digest(acl));
            create.push((*acl).clone());
        }
        let over = actual.difference(&wanted);
        delete.extend(over.filter(|a| ledger.has(a)).map(|a| (*a).clone()));
        if settled {
            let known: BTreeSet<_> = wanted.union(&actual).map(|acl| digest(acl)).collect();
            next.entries.retain(|entry| known.contains(entry));
        }
        if next.entries.len() > MAX_ENTRIES {
            return Err(TooMany(wanted.len()));
        }
        create.sort_by_key(|acl| acl.permission != Permission::Deny);
        delete.sort_by_key(|acl| acl.permission == Permission::Deny);
        Ok(Plan {
            ledger: (next != *ledger).then_some(next),
            create,
            delete,
        })
    }
}

// === impl Ledger ===

impl Ledger {
    /// What was written down for a cluster; nothing if nothing was.
    pub async fn read(client: &Client, cluster: &ClusterRef) -> Result<Self> {
        let name = names::acls_config_map(&cluster.name);
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &cluster.namespace);
        let what = format!("read ConfigMap {}/{name}", cluster.namespace);
        let found = api.get_opt(&name).await.map_err(Error::kubernetes(what))?;
        let Some(map) = found else {
            return Ok(Self::default());
        };
        let text = map.data.as_ref().and_then(|data| data.get(KEY));
        Self::parse(text.map_or("", String::as_str)).ok_or_else(|| Error::Damaged {
            object: format!("ConfigMap {}/{name}", cluster.namespace),
            problem: format!("its key {KEY} is not a list of digests"),
            remedy: "take out the lines that are not 32 hexadecimal digits; ACLs that are not in the list are not deleted by the operator",
        })
    }

    /// Writes it down.
    pub async fn write(&self, writer: &Writer<'_>, cluster: &ClusterRef) -> Result<()> {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(names::acls_config_map(&cluster.name));
        map.metadata.namespace = Some(cluster.namespace.clone());
        map.metadata.labels = Some(
            [
                (labels::APP_NAME, labels::APP_NAME_KAFKA),
                (labels::APP_INSTANCE, cluster.name.as_str()),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        );
        map.data = Some([(KEY.to_owned(), self.text())].into());
        writer.apply(&map, None).await?;
        Ok(())
    }

    fn has(&self, acl: &AclBinding) -> bool {
        self.entries.contains(&digest(acl))
    }

    fn text(&self) -> String {
        let mut text = String::with_capacity(self.entries.len() * (DIGITS + 1));
        for entry in &self.entries {
            text.push_str(entry);
            text.push('\n');
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let entry = |line: &str| {
            let good = line.len() == DIGITS && line.bytes().all(|b| b.is_ascii_hexdigit());
            good.then(|| line.to_owned())
        };
        let entries = text.lines().map(entry).collect::<Option<_>>()?;
        Some(Self { entries })
    }
}

/// By Kafka's own numbers, so that it stays the same whatever the types become.
fn digest(acl: &AclBinding) -> String {
    let mut hash = Sha256::new();
    hash.update(
        [
            acl.resource_type.code().to_be_bytes(),
            acl.pattern.code().to_be_bytes(),
            acl.operation.code().to_be_bytes(),
            acl.permission.code().to_be_bytes(),
        ]
        .concat(),
    );
    for text in [&acl.name, &acl.principal, &acl.host] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let mut digits = String::with_capacity(DIGITS);
    for byte in hash.finalize().iter().take(DIGITS / 2) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests;
