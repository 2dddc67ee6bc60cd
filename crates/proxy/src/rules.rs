//! The access rules in force in this sidecar.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tubeway_policy::rules::{AccessRules, Authorizer};

/// The rules that all connections decide by. Clones share them; reading takes
/// no lock.
#[derive(Clone, Default)]
pub struct RulesInForce {
    current: Arc<ArcSwapOption<Authorizer>>,
    /// What the current ones were made of; only who replaces them looks here.
    last: Arc<Mutex<Option<AccessRules>>>,
}

// === impl RulesInForce ===

impl RulesInForce {
    /// The rules; none as long as none are known.
    pub fn current(&self) -> Option<Arc<Authorizer>> {
        self.current.load_full()
    }

    /// The rules, if they are others than these.
    pub fn newer(&self, than: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        let current = self.current.load();
        let same = current.as_ref().is_none_or(|now| Arc::ptr_eq(now, than));
        if same { None } else { self.current() }
    }

    /// From now on these count; whether they are others than before.
    pub fn replace(&self, rules: AccessRules) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(&rules) {
            return false;
        }
        let authorizer = Authorizer::new(rules.clone());
        self.current.store(Some(Arc::new(authorizer)));
        *last = Some(rules);
        true
    }
}
