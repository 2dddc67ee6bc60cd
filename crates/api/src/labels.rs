//! Labels, annotations and finalizers that the operator writes and reads.

/// Label: name of the KafkaCluster an object belongs to.
pub const CLUSTER: &str = "kafka.tubeway.dev/cluster";
/// Label: name of the KafkaNodePool a pod or claim belongs to.
pub const POOL: &str = "kafka.tubeway.dev/pool";
/// Label: Kafka's `node.id` of a pod or claim.
pub const NODE_ID: &str = "kafka.tubeway.dev/node-id";
/// Label: number of a node's disk, on claims other than that of its first.
pub const DISK: &str = "kafka.tubeway.dev/disk";
/// Label with the value `"true"` on pods that serve clients.
pub const BROKER: &str = "kafka.tubeway.dev/broker";
/// Label with the value `"true"` on pods that vote in the metadata quorum.
pub const CONTROLLER: &str = "kafka.tubeway.dev/controller";
/// Label on a namespace: [`INJECT_ENABLED`] gives its pods client sidecars.
pub const INJECT: &str = "kafka.tubeway.dev/inject";
/// The value of [`INJECT`] that switches injection on.
pub const INJECT_ENABLED: &str = "enabled";
/// Value of the annotation [`INJECT`] of a pod that gets no sidecar.
pub const INJECT_DISABLED: &str = "disabled";

/// The common label for an application's name; ours is [`APP_NAME_KAFKA`].
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// The common label for one instance of an application: the KafkaCluster.
pub const APP_INSTANCE: &str = "app.kubernetes.io/instance";
/// The common label for a part of an application.
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";
/// The common label for the tool that looks after an object.
pub const APP_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`APP_NAME`] on what makes up a Kafka cluster.
pub const APP_NAME_KAFKA: &str = "kafka";
/// The value of [`APP_MANAGED_BY`], and the operator's field manager.
pub const MANAGER: &str = "tubeway-operator";

/// Annotation on pods: digest of everything the pod was built from. A pod whose
/// digest is not the wanted one is replaced when its cluster can spare it.
pub const SPEC_HASH: &str = "kafka.tubeway.dev/spec-hash";
/// Annotation on pods: the KafkaCluster a client sidecar belongs to, as
/// `<namespace>/<name>` or `<name>`.
pub const CLIENT_OF: &str = "kafka.tubeway.dev/cluster";

/// Finalizer on a KafkaTopic whose deletion deletes the topic in Kafka.
pub const TOPIC_FINALIZER: &str = "kafka.tubeway.dev/topic";

/// Annotation on claims: how far the node is on its way into the cluster or out
/// of it; see [`STANDING_MEMBER`], [`STANDING_LEAVING`], [`STANDING_LEFT`] and
/// [`STANDING_EMPTY`]. A claim without it is a new node's.
pub const STANDING: &str = "kafka.tubeway.dev/standing";
/// Value of [`STANDING`]: the node takes part.
pub const STANDING_MEMBER: &str = "member";
/// Value of [`STANDING`]: the node is to go, and is being emptied.
pub const STANDING_LEAVING: &str = "leaving";
/// Value of [`STANDING`]: the node is gone, and what it had was moved away.
pub const STANDING_LEFT: &str = "left";
/// Value of [`STANDING`]: the node is gone, and said itself that nothing was on
/// its volume.
pub const STANDING_EMPTY: &str = "left-empty";
/// Annotation on the claim of a disk beside a node's first: how far the disk is on
/// its way out; see [`DISK_LEAVING`], [`DISK_EMPTIED`] and [`DISK_LEFT`]. A claim
/// without it is of a disk that stays.
pub const DISK_STANDING: &str = "kafka.tubeway.dev/disk-standing";
/// Value of [`DISK_STANDING`]: the disk is to go, and is being emptied.
pub const DISK_LEAVING: &str = "leaving";
/// Value of [`DISK_STANDING`]: the broker has said that nothing is on the disk,
/// and its pod is made anew without it.
pub const DISK_EMPTIED: &str = "emptied";
/// Value of [`DISK_STANDING`]: the node does without the disk.
pub const DISK_LEFT: &str = "left";
/// Annotation on the ConfigMap that says how a cluster begins, once it has: from
/// then on a controller with an empty volume joins it, and founds nothing.
pub const FOUNDED: &str = "kafka.tubeway.dev/founded";
/// Annotation on a pod, with any value: the pod is replaced when its cluster can
/// spare it. On a KafkaCluster or KafkaNodePool: all of its pods are, whenever
/// the value is another.
pub const RESTART: &str = "kafka.tubeway.dev/restart";

/// Annotation on claims: Kafka's id of the cluster whose data they hold. A
/// cluster that is made again over claims that stayed takes this id.
pub const CLUSTER_ID: &str = "kafka.tubeway.dev/cluster-id";
