//! The sidecar's container, in a broker's pod and in a client's.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    ExecAction, KeyToPath, ObjectFieldSelector, Probe, ProjectedVolumeSource, SeccompProfile,
    SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tubeway_config::ClusterRef;

use crate::cluster::names;
use crate::config::{Config, TOKEN_AUDIENCE};

const TOKEN_VOLUME: &str = "tubeway-token";
const ROOTS_VOLUME: &str = "tubeway-roots";
const STATE_VOLUME: &str = "tubeway-state";
const TOKEN_DIR: &str = "/var/run/tubeway/token";
const ROOTS_DIR: &str = "/var/run/tubeway/roots";
const STATE_DIR: &str = "/var/run/tubeway/state";
/// A token is good for an hour; the kubelet replaces it long before.
const TOKEN_SECONDS: i64 = 3600;

/// What a sidecar must be told.
#[derive(Debug, Clone)]
pub struct SidecarSettings {
    /// Image of the sidecar.
    pub image: String,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// `host:port` of the operator.
    pub control_plane: String,
    /// DNS name that the operator's certificate carries.
    pub control_plane_name: String,
    /// SPIFFE id that the operator's certificate carries.
    pub control_plane_id: String,
    /// The Kafka cluster that the sidecar serves.
    pub cluster: ClusterRef,
}

/// What a sidecar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SidecarRole<'a> {
    /// Stands before the broker in the same pod.
    Node {
        /// Kafka's `node.id`.
        id: u32,
        /// Volume and folder that it shares with the broker.
        run: RunDir<'a>,
    },
    /// Stands before the Kafka clients in the same pod.
    Client,
}

/// A folder that two containers of a pod share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunDir<'a> {
    /// Name of the volume.
    pub volume: &'a str,
    /// Where it is mounted.
    pub path: &'a str,
}

// === impl SidecarSettings ===

impl SidecarSettings {
    /// The sidecars of `cluster` under the operator with these settings.
    pub fn new(config: &Config, operator_id: &str, cluster: &ClusterRef) -> Self {
        Self {
            image: config.images.proxy.clone(),
            trust_domain: config.trust_domain.clone(),
            control_plane: config.advertise.clone(),
            control_plane_name: config.service_name.clone(),
            control_plane_id: operator_id.to_owned(),
            cluster: cluster.clone(),
        }
    }

    fn env(&self, role: SidecarRole<'_>) -> Vec<EnvVar> {
        let mut list = vec![
            field_env("POD_NAME", "metadata.name"),
            field_env("POD_NAMESPACE", "metadata.namespace"),
            field_env("POD_IP", "status.podIP"),
            env("TUBEWAY_LOOPBACK", "127.0.0.1"),
            env("TUBEWAY_CLUSTER", self.cluster.to_string()),
            env("TUBEWAY_TRUST_DOMAIN", &self.trust_domain),
            env("TUBEWAY_CONTROL_PLANE", &self.control_plane),
            env("TUBEWAY_CONTROL_PLANE_NAME", &self.control_plane_name),
            env("TUBEWAY_CONTROL_PLANE_ID", &self.control_plane_id),
            env("TUBEWAY_TOKEN_FILE", format!("{TOKEN_DIR}/token")),
            env(
                "TUBEWAY_ROOTS_FILE",
                format!("{ROOTS_DIR}/{}", names::ROOTS_KEY),
            ),
            env("TUBEWAY_STATE_DIR", STATE_DIR),
        ];
        if let SidecarRole::Node { id, run } = role {
            list.push(env("TUBEWAY_RUN_DIR", run.path));
            list.push(env("TUBEWAY_NODE_ID", id.to_string()));
        }
        list
    }
}

/// The sidecar as a native sidecar: an init container that keeps running, so
/// that it is there before the pod's other containers and until after them.
pub fn sidecar_container(settings: &SidecarSettings, role: SidecarRole<'_>) -> Container {
    let command = match role {
        SidecarRole::Node { .. } => "node",
        SidecarRole::Client => "client",
    };
    let mut mounts = vec![
        mount(TOKEN_VOLUME, TOKEN_DIR, true),
        mount(ROOTS_VOLUME, ROOTS_DIR, true),
        mount(STATE_VOLUME, STATE_DIR, false),
    ];
    if let SidecarRole::Node { run, .. } = role {
        mounts.push(mount(run.volume, run.path, false));
    }
    Container {
        name: names::SIDECAR_CONTAINER.to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["tubeway-proxy".to_owned(), command.to_owned()]),
        env: Some(settings.env(role)),
        restart_policy: Some("Always".to_owned()),
        startup_probe: Some(probe("started", 1, 120)),
        readiness_probe: Some(probe("ready", 2, 3)),
        resources: Some(resources(&[("cpu", "50m"), ("memory", "64Mi")])),
        security_context: Some(restricted()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// The volumes that every sidecar has.
pub fn sidecar_volumes() -> Vec<Volume> {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some(TOKEN_AUDIENCE.to_owned()),
            expiration_seconds: Some(TOKEN_SECONDS),
            path: "token".to_owned(),
            ..ServiceAccountTokenProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let roots = ConfigMapVolumeSource {
        name: names::ROOTS_CONFIG_MAP.to_owned(),
        items: Some(vec![KeyToPath {
            key: names::ROOTS_KEY.to_owned(),
            path: names::ROOTS_KEY.to_owned(),
            ..KeyToPath::default()
        }]),
        ..ConfigMapVolumeSource::default()
    };
    vec![
        Volume {
            name: TOKEN_VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(vec![token]),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: ROOTS_VOLUME.to_owned(),
            config_map: Some(roots),
            ..Volume::default()
        },
        Volume {
            name: STATE_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ]
}

/// What Pod Security's level "restricted" asks of a container, and a root
/// filesystem that cannot be written.
pub fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..SecurityContext::default()
    }
}

/// A variable with a fixed value.
pub fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        ..EnvVar::default()
    }
}

/// A variable with the value of a field of the pod.
pub fn field_env(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

pub(super) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn probe(what: &str, period: i32, failures: i32) -> Probe {
    let command = ["tubeway-proxy", "probe", what];
    Probe {
        exec: Some(ExecAction {
            command: Some(command.map(str::to_owned).to_vec()),
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn resources(requests: &[(&str, &str)]) -> ResourceRequirements {
    let requests = requests.iter();
    ResourceRequirements {
        requests: Some(
            requests
                .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
                .collect(),
        ),
        ..ResourceRequirements::default()
    }
}
