//! What the trials apply.

#[path = "../support/manifests.rs"]
mod shared;

pub use shared::{KAFKA, SHOP};

/// Which ports of the nodes may be reached. Nothing enforces it on this node; the
/// API takes it.
pub const POLICY: &str = include_str!("../../../../deploy/kafka-network-policy.yaml");

/// The Kafka that the cluster begins with.
pub const OLD: &str = "3.9.1";
/// The one that it comes to.
pub const NEW: &str = "4.3.1";

/// The cluster, small: on a machine where all brokers share two cores, a second
/// compiler costs more than it brings.
pub fn cluster(version: &str) -> String {
    let pool = "  jvm: {heap: 256m, options: ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']}";
    let spec = "  allowedNamespaces: {from: All}";
    shared::cluster(spec, pool).replace(NEW, version)
}

/// A pool of controllers, and no brokers.
pub const VOTERS: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaNodePool
metadata: {name: voters, namespace: kafka}
spec:
  cluster: demo
  replicas: 2
  roles: [controller]
  storage: {size: 1Gi}
  jvm: {heap: 128m, options: ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']}
";

/// Topics, and who may use them.
pub const ACCESS: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: orders, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  partitions: 6
  replicas: 3
  config: {retention.ms: 3600000, min.insync.replicas: 2}
---
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: copies, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  partitions: 6
  replicas: 3
  config: {retention.ms: 3600000, min.insync.replicas: 2}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: writer, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: copier, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: outsider, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writers, namespace: shop}
rules:
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatopics], resourceNames: [orders], verbs: [produce]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: readers, namespace: shop}
rules:
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatopics], resourceNames: [orders], verbs: [consume]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkagroups], resourceNames: [readers], verbs: [join]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: copiers, namespace: shop}
rules:
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatopics], resourceNames: [orders], verbs: [consume]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatopics], resourceNames: [copies], verbs: [produce, consume]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkagroups], resourceNames: [copiers, auditor, returned], verbs: [join]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatransactionalids], resourceNames: [copier], verbs: [use]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: copiers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: copiers}
subjects: [{kind: ServiceAccount, name: copier, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writers}
subjects: [{kind: ServiceAccount, name: writer, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: readers}
subjects: [{kind: ServiceAccount, name: reader, namespace: shop}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: client, namespace: shop}
data:
  # Left to itself the tool turns retries off, and idempotence with them.
  producer.properties: |
    enable.idempotence=true
    retries=2147483647
    # Batches, and not a request a record: on a small machine the brokers would
    # have no time left for anything else.
    linger.ms=50
  committed.properties: |
    isolation.level=read_committed
";

/// What a pod's container has for the address of its bootstrap.
pub const BOOTSTRAP: &str = "$(KAFKA_BOOTSTRAP_SERVERS)";

/// A pod that runs one of Kafka's tools as `account`, once.
pub fn client(name: &str, account: &str, tool: &str, arguments: &[&str]) -> String {
    let arguments: Vec<_> = arguments.iter().map(|one| format!("'{one}'")).collect();
    let arguments = arguments.join(", ");
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec:
  serviceAccountName: {account}
  automountServiceAccountToken: false
  restartPolicy: Never
  terminationGracePeriodSeconds: 20
  securityContext: {{runAsNonRoot: true, runAsUser: 10001, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: app
    image: tubeway.dev/kafka:{NEW}
    command: [java, -Xmx96m, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', -cp, '/opt/kafka/libs/*', org.apache.kafka.tools.{tool}]
    args: [{arguments}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {{drop: [ALL]}}
    volumeMounts:
    - {{name: client, mountPath: /etc/client}}
    - {{name: tmp, mountPath: /tmp}}
  volumes:
  - name: client
    configMap: {{name: client}}
  - name: tmp
    emptyDir: {{}}
"
    )
}
