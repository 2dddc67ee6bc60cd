//! What a look found, as status of the cluster and its pools.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tubeway_api::condition::{Wanted, reasons, set_condition, types};
use tubeway_api::{
    KafkaCluster, KafkaClusterStatus, KafkaNodePool, KafkaNodePoolStatus, NodeStatus, QuorumStatus,
    labels,
};
use tubeway_config::ClusterRef;

use crate::context::Context;
use crate::controllers::cluster::{Found, ReconcileError, is_ready};
use crate::validate::{Problem, ValidatedCluster};

/// How long the quorum may take to describe itself.
const ANSWER: Duration = Duration::from_secs(3);

/// How a look ended.
pub(crate) enum Outcome {
    /// The spec says what it may not say; nothing was touched.
    Invalid(Vec<Problem>),
    /// Nothing is to be touched.
    Paused,
    /// Everything that could be done was.
    Reached {
        cluster: ValidatedCluster,
        cluster_id: Option<String>,
        /// What the replacement of nodes waits for.
        rolling: Option<String>,
    },
}

/// Writes the status where it is another; says whether the cluster is settled.
pub(crate) async fn report(
    context: &Context,
    cluster: &KafkaCluster,
    found: &Found,
    outcome: &Outcome,
) -> Result<bool, ReconcileError> {
    let mut status = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation;
    status.observed_generation = generation;
    let now = Timestamp::now();
    let mut set = |type_, value: Option<bool>, reason: &str, message: String| {
        let wanted = Wanted {
            type_,
            status: value,
            reason,
            message,
            observed_generation: generation,
        };
        set_condition(&mut status.conditions, wanted, now);
    };
    let mut settled = false;
    match outcome {
        Outcome::Invalid(problems) => {
            let text: Vec<String> = problems.iter().map(Problem::to_string).collect();
            set(
                types::READY,
                Some(false),
                reasons::INVALID_SPEC,
                text.join("; "),
            );
            set(
                types::PROGRESSING,
                Some(false),
                reasons::INVALID_SPEC,
                "nothing was changed".to_owned(),
            );
        }
        Outcome::Paused => {
            let message = "spec.pause is set: nothing is changed until it is taken away".to_owned();
            set(types::PROGRESSING, Some(false), reasons::PAUSED, message);
        }
        Outcome::Reached {
            cluster: valid,
            rolling,
            ..
        } => {
            let waits = waits_for(valid, found);
            match &waits {
                None => set(
                    types::READY,
                    Some(true),
                    reasons::READY,
                    "all nodes serve".to_owned(),
                ),
                Some(why) => set(
                    types::READY,
                    Some(false),
                    reasons::WAITING_FOR_NODES,
                    why.clone(),
                ),
            }
            match (rolling, &waits) {
                (Some(why), _) => set(
                    types::PROGRESSING,
                    Some(true),
                    reasons::ROLLING,
                    why.clone(),
                ),
                (None, Some(why)) => set(
                    types::PROGRESSING,
                    Some(true),
                    reasons::CREATING,
                    why.clone(),
                ),
                (None, None) if !valid.shrinking.is_empty() => {
                    let pools = valid.shrinking.join(", ");
                    let message = format!(
                        "pool {pools} wants fewer nodes than it has; taking nodes away is not supported yet, so they stay"
                    );
                    set(
                        types::PROGRESSING,
                        Some(false),
                        "ScaleDownNotSupported",
                        message,
                    );
                }
                (None, None) => set(
                    types::PROGRESSING,
                    Some(false),
                    reasons::STABLE,
                    String::new(),
                ),
            }
            settled = waits.is_none() && rolling.is_none();
        }
    }
    if let Outcome::Reached {
        cluster: valid,
        cluster_id,
        ..
    } = outcome
    {
        fill(&mut status, valid, cluster_id.as_ref(), found);
        // A broker that starts would keep everything else waiting for its answer.
        if status.nodes.iter().any(|node| node.ready) {
            status.quorum = quorum(context, valid, status.quorum.take()).await;
        }
        settled &= status.quorum.is_some();
        pools(context, valid, found).await?;
    }
    if cluster.status.as_ref() != Some(&status) {
        write(context, cluster, &status).await?;
    }
    Ok(settled)
}

/// The first thing the cluster is not ready for.
fn waits_for(cluster: &ValidatedCluster, found: &Found) -> Option<String> {
    let waiting: Vec<&str> = cluster
        .nodes
        .values()
        .filter(|node| !found.pods.get(&node.pod).is_some_and(is_ready))
        .map(|node| node.pod.as_str())
        .collect();
    (!waiting.is_empty()).then(|| format!("waiting for {} to be ready", waiting.join(", ")))
}

fn fill(
    status: &mut KafkaClusterStatus,
    cluster: &ValidatedCluster,
    id: Option<&String>,
    found: &Found,
) {
    status.cluster_id = id.cloned();
    status.kafka_version = Some(cluster.version.clone());
    status.bootstrap = Some(cluster.names.bootstrap());
    status.nodes = cluster
        .nodes
        .values()
        .map(|node| NodeStatus {
            id: node.id,
            pool: node.pool.name_any(),
            pod: node.pod.clone(),
            ready: found.pods.get(&node.pod).is_some_and(is_ready),
        })
        .collect();
    let ready = status.nodes.iter().filter(|node| node.ready).count();
    status.ready_nodes = Some(format!("{ready}/{}", status.nodes.len()));
}

/// The quorum as its leader describes it; as it was, where nobody answers.
async fn quorum(
    context: &Context,
    cluster: &ValidatedCluster,
    last: Option<QuorumStatus>,
) -> Option<QuorumStatus> {
    let reference = ClusterRef {
        namespace: cluster.names.namespace.clone(),
        name: cluster.names.cluster.clone(),
    };
    let Some(entry) = context.admins.get(&reference) else {
        return last;
    };
    match tokio::time::timeout(ANSWER, entry.admin.describe_quorum()).await {
        Err(_) => last,
        Ok(Ok(quorum)) => Some(QuorumStatus {
            leader: u32::try_from(quorum.leader).unwrap_or_default(),
            epoch: u32::try_from(quorum.leader_epoch).unwrap_or_default(),
            voters: quorum
                .voters
                .iter()
                .filter_map(|v| u32::try_from(v.id).ok())
                .collect(),
        }),
        Ok(Err(error)) => {
            tracing::debug!(%error, cluster = %reference, "quorum not described");
            last
        }
    }
}

async fn write(
    context: &Context,
    cluster: &KafkaCluster,
    status: &KafkaClusterStatus,
) -> Result<(), kube::Error> {
    let api: Api<KafkaCluster> = Api::namespaced(
        context.client.clone(),
        &cluster.namespace().unwrap_or_default(),
    );
    // With the version that was read: a condition that somebody else has set
    // since is not overwritten, but read first.
    let patch = json!({
        "metadata": {"resourceVersion": cluster.resource_version()},
        "status": status,
    });
    match api
        .patch_status(
            &cluster.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await
    {
        Err(kube::Error::Api(answer)) if answer.code == 409 => Ok(()),
        result => {
            context.metrics.wrote("cluster");
            result.map(drop)
        }
    }
}

async fn pools(
    context: &Context,
    cluster: &ValidatedCluster,
    found: &Found,
) -> Result<(), kube::Error> {
    for pool in &found.pools {
        let name = pool.name_any();
        let nodes: Vec<_> = cluster
            .nodes
            .values()
            .filter(|node| node.pool.name_any() == name)
            .collect();
        let pods = nodes.iter().filter_map(|node| found.pods.get(&node.pod));
        let ready = pods.clone().filter(|pod| is_ready(pod)).count();
        let mut status = pool.status.clone().unwrap_or_default();
        status.observed_generation = pool.metadata.generation;
        status.node_ids = nodes.iter().map(|node| node.id).collect();
        status.replicas = pods.count() as i32;
        status.ready_replicas = ready as i32;
        status.selector = Some(format!(
            "{}={},{}={name}",
            labels::CLUSTER,
            cluster.names.cluster,
            labels::POOL
        ));
        let all = ready == nodes.len();
        let wanted = Wanted {
            type_: types::READY,
            status: Some(all),
            reason: if all {
                reasons::READY
            } else {
                reasons::WAITING_FOR_NODES
            },
            message: format!("{ready} of {} nodes are ready", nodes.len()),
            observed_generation: pool.metadata.generation,
        };
        set_condition(&mut status.conditions, wanted, Timestamp::now());
        if pool.status.as_ref() != Some(&status) {
            write_pool(context, pool, &status).await?;
        }
    }
    Ok(())
}

async fn write_pool(
    context: &Context,
    pool: &KafkaNodePool,
    status: &KafkaNodePoolStatus,
) -> Result<(), kube::Error> {
    let api: Api<KafkaNodePool> = Api::namespaced(
        context.client.clone(),
        &pool.namespace().unwrap_or_default(),
    );
    let patch = json!({"status": status});
    api.patch_status(
        &pool.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await?;
    context.metrics.wrote("cluster");
    Ok(())
}
