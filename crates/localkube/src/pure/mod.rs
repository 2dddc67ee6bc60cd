//! Stand-in for the pure functions, to be replaced whole.
#![allow(missing_docs)]

pub mod patch {
    use serde_json::Value;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    pub struct PatchError(pub String);

    pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
        let patch: json_patch::Patch =
            serde_json::from_value(patch.clone()).map_err(|e| PatchError(e.to_string()))?;
        let mut out = target.clone();
        json_patch::patch(&mut out, &patch).map_err(|e| PatchError(e.to_string()))?;
        Ok(out)
    }

    pub fn merge_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
        let mut out = target.clone();
        json_patch::merge(&mut out, patch);
        Ok(out)
    }

    pub fn strategic_merge_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
        merge_patch(target, patch)
    }
}

pub mod apply {
    use serde_json::Value;

    use super::schema::Schema;

    #[derive(Debug)]
    pub struct Conflict {
        pub manager: String,
        pub field: String,
    }

    #[derive(Debug, thiserror::Error)]
    pub enum ApplyError {
        #[error("conflict")]
        Conflict(Vec<Conflict>),
        #[error("{0}")]
        Invalid(String),
    }

    pub fn server_side_apply(
        live: Option<&Value>,
        applied: &Value,
        _manager: &str,
        _force: bool,
        _subresource: &str,
        _now: &str,
        _schema: &Schema,
    ) -> Result<Value, ApplyError> {
        let mut out = live.cloned().unwrap_or_default();
        json_patch::merge(&mut out, applied);
        Ok(out)
    }

    pub fn track_update(
        _old: Option<&Value>,
        _new: &mut Value,
        _manager: &str,
        _subresource: &str,
        _now: &str,
        _schema: &Schema,
    ) {
    }
}

pub mod schema {
    use serde_json::Value;

    #[derive(Debug, Clone)]
    pub struct Schema;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    pub struct SchemaError(pub String);

    #[derive(Debug, Clone)]
    pub struct FieldError {
        pub path: String,
        pub reason: &'static str,
        pub message: String,
    }

    impl Schema {
        pub fn for_builtin(_group: &str, _kind: &str) -> Self {
            Self
        }
        pub fn for_crd(_schema: &Value) -> Result<Self, SchemaError> {
            Ok(Self)
        }
        pub fn prune(&self, _value: &mut Value) -> Vec<String> {
            Vec::new()
        }
        pub fn default(&self, _value: &mut Value) {}
        pub fn validate(&self, _value: &Value) -> Vec<FieldError> {
            Vec::new()
        }
        pub fn validate_cel(&self, _new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
            Vec::new()
        }
    }
}

pub mod selector {
    use serde_json::Value;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    pub struct SelectorError(pub String);

    #[derive(Debug, Clone)]
    pub struct LabelSelector(Vec<(String, String)>);
    #[derive(Debug, Clone)]
    pub struct FieldSelector(Vec<(String, String)>);

    fn pairs(text: &str) -> Vec<(String, String)> {
        text.split(',')
            .filter_map(|p| p.split_once('='))
            .map(|(k, v)| (k.into(), v.trim_start_matches('=').into()))
            .collect()
    }

    impl LabelSelector {
        pub fn parse(text: &str) -> Result<Self, SelectorError> {
            Ok(Self(pairs(text)))
        }
        pub fn matches(&self, object: &Value) -> bool {
            self.0
                .iter()
                .all(|(k, v)| object["metadata"]["labels"][k].as_str() == Some(v))
        }
    }

    impl FieldSelector {
        pub fn parse(text: &str) -> Result<Self, SelectorError> {
            Ok(Self(pairs(text)))
        }
        pub fn matches(&self, object: &Value) -> bool {
            self.0.iter().all(|(k, v)| {
                let pointer = format!("/{}", k.replace('.', "/"));
                object
                    .pointer(&pointer)
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    == v
            })
        }
    }
}

pub mod rbac {
    use serde_json::Value;

    #[derive(Debug, Clone, Default)]
    pub struct Attributes {
        pub user: String,
        pub groups: Vec<String>,
        pub verb: String,
        pub group: String,
        pub resource: String,
        pub subresource: String,
        pub name: String,
        pub namespace: String,
        pub non_resource_path: Option<String>,
    }

    #[derive(Debug, Clone, Default)]
    pub struct RbacObjects<'a> {
        pub roles: Vec<&'a Value>,
        pub role_bindings: Vec<&'a Value>,
        pub cluster_roles: Vec<&'a Value>,
        pub cluster_role_bindings: Vec<&'a Value>,
    }

    #[derive(Debug, Clone)]
    pub struct Decision {
        pub allowed: bool,
        pub reason: String,
    }

    pub fn authorize(_objects: &RbacObjects, attributes: &Attributes) -> Decision {
        let allowed = attributes.groups.iter().any(|g| g == "system:masters");
        Decision {
            allowed,
            reason: String::new(),
        }
    }

    pub fn rules_for(
        _o: &RbacObjects,
        _user: &str,
        _groups: &[String],
        _ns: &str,
    ) -> (Vec<Value>, Vec<Value>) {
        (Vec::new(), Vec::new())
    }
}
