//! What the cluster as a whole is allowed to use (KIP-584).

use std::collections::BTreeMap;

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{ApiVersionsRequest, UpdateFeaturesRequest};

use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::text;

/// The feature that says in which form metadata is written.
pub const METADATA_VERSION: &str = "metadata.version";
const UPGRADE: i8 = 1;
/// Only where nothing is lost by it.
const SAFE_DOWNGRADE: i8 = 2;

/// One feature's levels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Feature {
    /// The level in force, for all nodes; 0 where the feature is off.
    pub finalized: i16,
    /// The newest level that the broker that answered knows.
    pub supported: i16,
}

// === impl Admin ===

impl Admin {
    /// The cluster's features, by name.
    pub async fn describe_features(&self) -> Result<BTreeMap<String, Feature>, AdminError> {
        let request = |_| {
            ApiVersionsRequest::default()
                .with_client_software_name(text("tubeway-operator"))
                .with_client_software_version(text(env!("CARGO_PKG_VERSION")))
        };
        let response = self
            .call(request, |r| Refusal::check(r.error_code, None))
            .await?;
        let mut features: BTreeMap<String, Feature> = BTreeMap::new();
        for feature in &response.supported_features {
            features
                .entry(feature.name.to_string())
                .or_default()
                .supported = feature.max_version;
        }
        for feature in &response.finalized_features {
            features
                .entry(feature.name.to_string())
                .or_default()
                .finalized = feature.max_version_level;
        }
        Ok(features)
    }

    /// Moves a feature to this level. Down only where Kafka loses nothing by it.
    pub async fn update_feature(
        &self,
        name: &str,
        level: i16,
        down: bool,
    ) -> Result<(), AdminError> {
        let request = |version| {
            let mut update = FeatureUpdateKey::default()
                .with_feature(text(name))
                .with_max_version_level(level);
            // Version 0 knows no kinds of downgrade.
            if version == 0 {
                update = update.with_allow_downgrade(down);
            } else {
                update = update.with_upgrade_type(if down { SAFE_DOWNGRADE } else { UPGRADE });
            }
            UpdateFeaturesRequest::default()
                .with_timeout_ms(self.broker_timeout_ms())
                .with_feature_updates(vec![update])
        };
        let response = self.call(request, |r| {
            Refusal::check(r.error_code, r.error_message.as_ref())?;
            let mut results = r.results.iter();
            results.try_for_each(|r| Refusal::check(r.error_code, r.error_message.as_ref()))
        });
        response.await.map(|_| ())
    }
}
