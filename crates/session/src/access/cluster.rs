//! DescribeCluster, and what only brokers say to each other.

use tubeway_policy::acl::Operation;

use super::{Access, Amend, Case, Verdict};
use tubeway_protocol::value::Struct;

/// Needs no right; what the caller may do on the cluster is ours to say.
pub(super) fn describe(case: &Case<'_>) -> Verdict {
    if case.request.int("IncludeClusterAuthorizedOperations") == 0 {
        return Verdict::Pass;
    }
    Verdict::Amend(Amend::rule(operations))
}

fn operations(access: &Access<'_>, response: &mut Struct) {
    if response.int("ErrorCode") == 0 {
        response.set("ClusterAuthorizedOperations", access.cluster_operations());
    }
}

/// A broker of Kafka 3.9 with ZooKeeper serves these to other brokers; one of
/// Kafka 4 does not know them, and closes.
pub(super) fn brokers_only(case: &Case<'_>) -> Verdict {
    if case.access.cluster(Operation::ClusterAction) {
        Verdict::Pass
    } else {
        Verdict::Close("the API is for brokers")
    }
}
