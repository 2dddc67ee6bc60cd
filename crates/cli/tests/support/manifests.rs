//! What several test programs apply.

/// Where the cluster is; Pod Security's strictest level is enforced.
pub const KAFKA: &str = "
apiVersion: v1
kind: Namespace
metadata:
  name: kafka
  labels: {pod-security.kubernetes.io/enforce: restricted}
";

/// Where its clients are: their pods get sidecars, and Pod Security as above.
pub const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {kafka.tubeway.dev/inject: enabled, pod-security.kubernetes.io/enforce: restricted}
  annotations: {kafka.tubeway.dev/cluster: kafka/demo}
";

/// A cluster of three nodes, with what its spec and its pool's have besides: lines,
/// indented by two.
pub fn cluster(spec: &str, pool: &str) -> String {
    format!(
        "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaCluster
metadata: {{name: demo, namespace: kafka}}
spec:
  version: 4.3.1
{spec}
---
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaNodePool
metadata: {{name: combined, namespace: kafka}}
spec:
  cluster: demo
  replicas: 3
  roles: [broker, controller]
  storage: {{size: 1Gi}}
{pool}
"
    )
}
