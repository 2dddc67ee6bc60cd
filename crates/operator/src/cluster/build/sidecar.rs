//! The sidecar's container, in a broker's pod and in a client's.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, ConfigMapVolumeSource, Container, EmptyDirVolumeSource,
    EnvVar, EnvVarSource, ExecAction, KeyToPath, ObjectFieldSelector, Probe, ProjectedVolumeSource,
    SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tubeway_api::MeshProvider;
use tubeway_config::ClusterRef;

use crate::cluster::names;
use crate::config::{Config, TOKEN_AUDIENCE};
use crate::istio;

const TOKEN_VOLUME: &str = "tubeway-token";
const ROOTS_VOLUME: &str = "tubeway-roots";
const ISTIO_VOLUME: &str = "tubeway-istio";
const STATE_VOLUME: &str = "tubeway-state";
const TOKEN_DIR: &str = "/var/run/tubeway/token";
const ROOTS_DIR: &str = "/var/run/tubeway/roots";
const ISTIO_DIR: &str = "/var/run/tubeway/istio";
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
    /// Istio, where it is the cluster's issuer.
    pub issuer: Option<Issuer>,
}

/// The issuer of what other pods see, where that is not the operator.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// `host:port`.
    pub address: String,
    /// DNS name that its certificate carries.
    pub name: String,
    /// What it calls this Kubernetes.
    pub cluster_id: String,
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
    /// The sidecars of `cluster`, which is in this mesh, under the operator with
    /// these settings.
    pub fn new(
        config: &Config,
        operator_id: &str,
        cluster: &ClusterRef,
        mesh: MeshProvider,
    ) -> Self {
        let issuer = match mesh {
            MeshProvider::Builtin => None,
            MeshProvider::Istio => Some(Issuer {
                address: config.istio.address.clone(),
                name: config.istio.server_name.clone(),
                cluster_id: config.istio.cluster_id.clone(),
            }),
        };
        Self {
            image: config.images.proxy.clone(),
            trust_domain: config.trust_domain.clone(),
            control_plane: config.advertise.clone(),
            control_plane_name: config.service_name.clone(),
            control_plane_id: operator_id.to_owned(),
            cluster: cluster.clone(),
            issuer,
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
        if let Some(issuer) = &self.issuer {
            list.extend(issuer.env());
        }
        if let SidecarRole::Node { id, run } = role {
            list.push(env("TUBEWAY_RUN_DIR", run.path));
            list.push(env("TUBEWAY_NODE_ID", id.to_string()));
        }
        list
    }
}

// === impl Issuer ===

impl Issuer {
    fn env(&self) -> [EnvVar; 5] {
        [
            env("TUBEWAY_ISSUER", &self.address),
            env("TUBEWAY_ISSUER_NAME", &self.name),
            env("TUBEWAY_ISSUER_CLUSTER_ID", &self.cluster_id),
            env("TUBEWAY_ISSUER_TOKEN_FILE", format!("{ISTIO_DIR}/token")),
            env(
                "TUBEWAY_ISSUER_ROOTS_FILE",
                format!("{ISTIO_DIR}/{}", istio::ROOTS_KEY),
            ),
        ]
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
    if settings.issuer.is_some() {
        mounts.push(mount(ISTIO_VOLUME, ISTIO_DIR, true));
    }
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

/// The volumes that a sidecar has.
pub fn sidecar_volumes(settings: &SidecarSettings) -> Vec<Volume> {
    let roots = ConfigMapVolumeSource {
        name: names::ROOTS_CONFIG_MAP.to_owned(),
        items: Some(vec![whole(names::ROOTS_KEY)]),
        ..ConfigMapVolumeSource::default()
    };
    let mut volumes = vec![
        projected(TOKEN_VOLUME, vec![token(TOKEN_AUDIENCE)]),
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
    ];
    if settings.issuer.is_some() {
        let roots = VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name: istio::ROOTS_CONFIG_MAP.to_owned(),
                items: Some(vec![whole(istio::ROOTS_KEY)]),
                ..ConfigMapProjection::default()
            }),
            ..VolumeProjection::default()
        };
        volumes.push(projected(ISTIO_VOLUME, vec![token(istio::AUDIENCE), roots]));
    }
    volumes
}

/// The pod's own token for this audience, in the file `token`.
fn token(audience: &str) -> VolumeProjection {
    VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some(audience.to_owned()),
            expiration_seconds: Some(TOKEN_SECONDS),
            path: "token".to_owned(),
            ..ServiceAccountTokenProjection::default()
        }),
        ..VolumeProjection::default()
    }
}

fn projected(name: &str, sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A key under its own name.
fn whole(key: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: key.to_owned(),
        ..KeyToPath::default()
    }
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
