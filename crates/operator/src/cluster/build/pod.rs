//! A node's pod.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    Affinity, ConfigMap, ConfigMapVolumeSource, Container, EmptyDirVolumeSource,
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
/// Before the number of a disk beside the first: in the name of its volume, and
/// in that of the variable that says where it is.
const DISK: &str = "disk-";
const DISK_VARIABLE: &str = "TUBEWAY_DISK_";
/// User and group of everything in the pod; any that is not root will do.
const USER: i64 = 10001;
/// What a pod has to stop that others delete, or that goes with its cluster:
/// brokers that all go wait for each other, and could save nothing by it. The
/// operator gives more to those that it deletes itself (`pods::GRACE`), because
/// it cannot give less: a kubelet whose pods have sidecars does not hear of a time
/// that is shortened while they stop.
const GRACE_SECONDS: i64 = 60;

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
    labels.extend(node.pool.pod.labels.clone());
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
    let mut annotations = node.pool.pod.annotations.clone();
    if !annotations.is_empty() {
        digest = meta::digest(&[&digest, &annotations]);
    }
    annotations.insert(labels::SPEC_HASH.to_owned(), digest);
    metadata.annotations = Some(annotations);
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
    let place = &node.pool.pod;
    PodSpec {
        node_selector: (!place.node_selector.is_empty()).then(|| place.node_selector.clone()),
        tolerations: (!place.tolerations.is_empty()).then(|| place.tolerations.clone()),
        affinity: place.node_affinity.clone().map(|node_affinity| Affinity {
            node_affinity: Some(node_affinity),
            ..Affinity::default()
        }),
        priority_class_name: place.priority_class_name.clone(),
        init_containers: Some(vec![sidecar_container(&settings, role)]),
        containers: vec![kafka_container(node)],
        volumes: Some(volumes(node, name, &settings)),
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
    let mut env = vec![
        field_env("POD_IP", "status.podIP"),
        env("TUBEWAY_LOOPBACK", "127.0.0.1"),
        env("TUBEWAY_CONFIG_DIR", CONFIG_DIR),
        env("TUBEWAY_RUN_DIR", RUN.path),
        env("TUBEWAY_DATA_DIR", DATA_DIR),
        env("KAFKA_LIBS", "/opt/kafka/libs"),
        env("KAFKA_JVM_OPTS", node.pool.jvm_flags.join(" ")),
        env("KAFKA_LOG_LEVELS", node.pool.loggers.join(",")),
    ];
    let mut mounts = vec![
        mount("config", CONFIG_DIR, true),
        mount("data", DATA_DIR, false),
        mount(RUN.volume, RUN.path, false),
        mount("tmp", "/tmp", false),
    ];
    for disk in node.disks() {
        env.push(self::env(&disk_variable(disk), disk_dir(disk)));
        mounts.push(mount(&disk_volume(disk), &disk_dir(disk), false));
    }
    Container {
        name: names::KAFKA_CONTAINER.to_owned(),
        image: Some(image),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["tubeway-launcher".to_owned(), "run".to_owned()]),
        env: Some(env),
        resources: Some(ResourceRequirements {
            requests: (!resources.requests.is_empty()).then(|| resources.requests.clone()),
            limits: (!resources.limits.is_empty()).then(|| resources.limits.clone()),
            ..ResourceRequirements::default()
        }),
        security_context: Some(restricted()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// The variable that says where a disk beside the first is.
pub(super) fn disk_variable(disk: u32) -> String {
    format!("{DISK_VARIABLE}{disk}")
}

/// Disks beside the first that a pod has.
pub fn disks_of(pod: &Pod) -> BTreeSet<u32> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let disks = volumes.filter_map(|volume| volume.name.strip_prefix(DISK)?.parse().ok());
    disks.collect()
}

fn disk_volume(disk: u32) -> String {
    format!("{DISK}{disk}")
}

fn disk_dir(disk: u32) -> String {
    format!("{DATA_DIR}-{disk}")
}

fn claim_volume(name: String, claim_name: String) -> Volume {
    Volume {
        name,
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name,
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn volumes(node: NodeInputs<'_>, pod: &str, sidecar: &SidecarSettings) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names::pod_config(pod),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        claim_volume("data".to_owned(), names::claim(pod)),
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
    let disks = node.disks().into_iter();
    volumes.extend(disks.map(|disk| claim_volume(disk_volume(disk), names::disk_claim(pod, disk))));
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
