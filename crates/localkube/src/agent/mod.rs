//! scratch
mod address;
mod backoff;
mod board;
mod downward;
mod env;
mod expand;
mod files;
mod images;
mod logs;
mod paths;
mod process;
mod quantity;
mod records;
mod status;
mod store;
use k8s_openapi::jiff::Timestamp;
/// Now, in whole seconds as the Kubernetes API keeps times.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}
