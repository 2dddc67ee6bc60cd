//! The stream of configuration from the operator to the sidecars.
//!
//! [`Documents`] holds the newest document of each cluster and hears what the
//! sidecars made of it, once for each concern; [`UsageReports`] what they say
//! was used of limits of the whole cluster; [`ConfigService`] carries all of it
//! over gRPC.

mod hub;
mod plan;
mod service;
mod usage;

pub use hub::{
    AccessDocuments, Document, Documents, QuotaPlans, Subscription, Topologies, Versioned,
    ZoneDocuments,
};
pub use plan::{Bucket, MIN_PARTS, QuotaPlan, Shares};
pub use service::{ConfigService, Hubs};
pub use usage::UsageReports;
