//! A node's pod.

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, EmptyDirVolumeSource,
    PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, TopologySpreadConstraint, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use tubeway_api::{MeshProvider, NodeRole, labels};

use super::sidecar::{
    RunDir, SidecarRole, SidecarSettings, env, field_env, mount, restricted, sidecar_container,
    sidecar_volumes,
};
use super::{NodeInputs, PROPERTIES_KEY, meta};
use crate::cluster::names;

const RUN: RunDir<'static> = RunDir {
    volume: "run",
    path: "/var/run/tubeway/node",
};
const CONFIG_DIR: &str = "/etc/tubeway";
const DATA_DIR: &str = "/var/lib/kafka";
/// User and group of everything in the pod; any that is not root will do.
const USER: i64 = 10001;
/// A broker hands over its partitions before it stops, for which Kafka itself
/// takes up to five minutes; what is not handed over by then is recovered at the
/// next start.
const GRACE_SECONDS: i64 = 330;

/// Istio's own words for pods that it leaves alone.
const NOT_INTERCEPTED: [(&str, &str); 2] = [
    ("istio.io/dataplane-mode", "none"),
    ("sidecar.istio.io/inject", "false"),
];

/// The pod, marked with a digest of all that it is made from.
pub(super) fn build(node: NodeInputs<'_>, config: &ConfigMap) -> Pod {
    let name = node.pod_name();
    let spec = spec(node, &name);
    let mut metadata = node.meta(name);
    let labels = metadata.labels.get_or_insert_default();
    for (role, label) in [
        (NodeRole::Broker, labels::BROKER),
        (NodeRole::Controller, labels::CONTROLLER),
    ] {
        if node.has(role) {
            labels.insert(label.to_owned(), "true".to_owned());
        }
    }
    if node.all.cluster.mesh == MeshProvider::Istio {
        // Only the issuer is Istio's: what its own sidecars or its node proxies
        // put in between would not reach the mesh's ports.
        for (label, value) in NOT_INTERCEPTED {
            labels.insert(label.to_owned(), value.to_owned());
        }
    }
    // How an empty volume would be formatted is no reason for a restart.
    let properties = config
        .data
        .as_ref()
        .and_then(|data| data.get(PROPERTIES_KEY));
    let mut digest = meta::digest(&[&spec, &*labels, &properties]);
    if !node.pool.restart.is_empty() {
        digest = meta::digest(&[&digest, &node.pool.restart]);
    }
    metadata.annotations = Some([(labels::SPEC_HASH.to_owned(), digest)].into());
    metadata.owner_references = Some(vec![node.owner()]);
    Pod {
        metadata,
        spec: Some(spec),
        ..Pod::default()
    }
}

fn spec(node: NodeInputs<'_>, name: &str) -> PodSpec {
    let cluster = node.all.cluster;
    let settings = SidecarSettings::new(
        node.all.config,
        cluster.operator.as_str(),
        &cluster.key,
        cluster.mesh,
    );
    let role = SidecarRole::Node {
        id: node.id,
        run: RUN,
    };
    PodSpec {
        init_containers: Some(vec![sidecar_container(&settings, role)]),
        containers: vec![kafka_container(node)],
        volumes: Some(volumes(name, &settings)),
        service_account_name: Some(names::service_account(&cluster.key.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        hostname: Some(name.to_owned()),
        subdomain: Some(names::nodes_service(&cluster.key.name)),
        restart_policy: Some("Always".to_owned()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
                .map(|key| spread(&cluster.key.name, key))
                .to_vec(),
        ),
        ..PodSpec::default()
    }
}

fn kafka_container(node: NodeInputs<'_>) -> Container {
    let resources = &node.pool.resources;
    let image = format!(
        "{}:{}",
        node.all.config.images.kafka, node.all.cluster.version
    );
    Container {
        name: names::KAFKA_CONTAINER.to_owned(),
        image: Some(image),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["tubeway-launcher".to_owned(), "run".to_owned()]),
        env: Some(vec![
            field_env("POD_IP", "status.podIP"),
            env("TUBEWAY_LOOPBACK", "127.0.0.1"),
            env("TUBEWAY_CONFIG_DIR", CONFIG_DIR),
            env("TUBEWAY_RUN_DIR", RUN.path),
            env("TUBEWAY_DATA_DIR", DATA_DIR),
            env("KAFKA_LIBS", "/opt/kafka/libs"),
            env("KAFKA_JVM_OPTS", node.pool.jvm_flags.join(" ")),
            env("KAFKA_LOG_LEVELS", node.pool.loggers.join(",")),
        ]),
        resources: Some(ResourceRequirements {
            requests: (!resources.requests.is_empty()).then(|| resources.requests.clone()),
            limits: (!resources.limits.is_empty()).then(|| resources.limits.clone()),
            ..ResourceRequirements::default()
        }),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![
            mount("config", CONFIG_DIR, true),
            mount("data", DATA_DIR, false),
            mount(RUN.volume, RUN.path, false),
            mount("tmp", "/tmp", false),
        ]),
        ..Container::default()
    }
}

fn volumes(pod: &str, sidecar: &SidecarSettings) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names::pod_config(pod),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "data".to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: names::claim(pod),
                ..PersistentVolumeClaimVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: RUN.volume.to_owned(),
            // Secrets of the pod: never on a disk.
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ];
    volumes.extend(sidecar_volumes(sidecar));
    volumes
}

/// Keeps nodes apart where that is possible, and starts them where it is not.
fn spread(cluster: &str, key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(meta::selector(cluster)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}
