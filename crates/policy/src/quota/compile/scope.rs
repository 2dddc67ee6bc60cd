//! Whom and what a KafkaQuota is about, and whether it may be.

use std::collections::BTreeSet;

use super::{Finding, Inputs, KafkaQuota, Subject, Values, owned};
use crate::quota::{Match, Selector};
use crate::spiffe::SpiffeId;

/// What decides who may limit what.
pub(super) struct World<'a> {
    pub(super) inputs: Inputs<'a>,
    /// Namespace and topic.
    owned: BTreeSet<(&'a str, &'a str)>,
}

// === impl World ===

impl<'a> World<'a> {
    pub(super) fn new(inputs: Inputs<'a>) -> Self {
        Self {
            owned: owned(&inputs),
            inputs,
        }
    }

    /// What the quota counts, if it may.
    pub(super) fn scope(&self, quota: &KafkaQuota) -> Result<Match, Finding> {
        let named = quota.apis.iter().flat_map(|apis| &apis.names);
        for api in named {
            if !self.inputs.apis.contains(api.as_str()) {
                return Err(Finding::Api(api.clone()));
            }
        }
        let everybody = self.may_limit_everybody(quota);
        Ok(Match {
            principals: self.principals(quota, everybody)?,
            client_ids: selector(quota.client_ids.as_ref()),
            topics: selector(quota.topics.as_ref()),
            apis: selector(quota.apis.as_ref()),
        })
    }

    /// In the cluster's own namespace, and on topics of one's own.
    fn may_limit_everybody(&self, quota: &KafkaQuota) -> bool {
        let namespace = quota.object.namespace.as_str();
        let topics = quota
            .topics
            .as_ref()
            .map_or(&[][..], |topics| &topics.names);
        namespace == self.inputs.cluster.object.namespace
            || !topics.is_empty()
                && topics
                    .iter()
                    .all(|topic| self.owned.contains(&(namespace, topic.as_str())))
    }

    fn principals(&self, quota: &KafkaQuota, everybody: bool) -> Result<Selector, Finding> {
        let each = quota.subjects.as_ref().is_some_and(|s| !s.together);
        let subjects = quota.subjects.as_ref().map_or(&[][..], |s| &s.names);
        if !subjects.is_empty() {
            let names = subjects.iter().map(|s| self.principal(quota, s, everybody));
            let names = names.collect::<Result<_, _>>()?;
            return Ok(Selector::Named { names, each });
        }
        match (everybody, each) {
            (true, true) => Ok(Selector::Each),
            (true, false) => Ok(Selector::Any),
            (false, _) => {
                let any = self.account(&quota.object.namespace, "x")?;
                let prefix = any.as_str().strip_suffix('x').unwrap_or_default();
                Ok(Selector::Prefixed {
                    prefix: format!("User:{prefix}"),
                    each,
                })
            }
        }
    }

    fn principal(
        &self,
        quota: &KafkaQuota,
        subject: &Subject,
        everybody: bool,
    ) -> Result<String, Finding> {
        let own = quota.object.namespace.as_str();
        let (id, is_own) = match subject {
            Subject::ServiceAccount { namespace, name } => {
                let namespace = namespace.as_deref().unwrap_or(own);
                let id = self.account(namespace, name)?;
                (id.as_str().to_owned(), namespace == own)
            }
            Subject::SpiffeId(id) => {
                let parsed: SpiffeId = id.parse().map_err(|error| identity(id, error))?;
                let is_own = parsed.trust_domain() == self.inputs.trust_domain
                    && parsed
                        .service_account()
                        .is_some_and(|(namespace, _)| namespace == own);
                (id.clone(), is_own)
            }
            Subject::User(name) => (name.clone(), false),
        };
        if !is_own && !everybody {
            return Err(Finding::NotOwn(id, own.to_owned()));
        }
        Ok(format!("User:{id}"))
    }

    fn account(&self, namespace: &str, name: &str) -> Result<SpiffeId, Finding> {
        SpiffeId::of_service_account(self.inputs.trust_domain, namespace, name)
            .map_err(|error| identity(&format!("{namespace}/{name}"), error))
    }
}

fn identity(name: &str, error: crate::SpiffeError) -> Finding {
    Finding::Identity(name.to_owned(), error.to_string())
}

fn selector(values: Option<&Values<String>>) -> Selector {
    match values {
        None => Selector::Any,
        Some(values) if values.names.is_empty() && values.together => Selector::Any,
        Some(values) if values.names.is_empty() => Selector::Each,
        Some(values) => Selector::Named {
            names: values.names.iter().cloned().collect(),
            each: !values.together,
        },
    }
}
