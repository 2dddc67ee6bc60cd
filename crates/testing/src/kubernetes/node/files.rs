//! What each program of a node is told, and how it is started.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use super::inside::CGROUP;
use super::{ADDRESS, CNI_PLUGINS, NODE, write_certificate};
use crate::kubernetes::pki::Pki;
use crate::kubernetes::process::Process;
use crate::kubernetes::site::{KUBELET_CLIENT, Site};
use crate::kubernetes::{ControlPlaneError, failed};

/// Where the container runtime listens, within the node.
pub(super) const RUNTIME: &str = "/run/containerd/containerd.sock";
/// Addresses of pods.
const PODS: &str = "10.244.0.0/24";
/// The address of the service `kube-dns`.
const DNS: &str = "10.96.0.10";
/// How many volumes there are to be claimed.
const VOLUMES: usize = 16;
/// Whose they are: the user of every image of ours.
const VOLUME_OWNER: u32 = 10001;

/// Objects of the cluster itself, but for the volumes.
const OBJECTS: &str = include_str!("objects.yaml");

/// Writes what the programs read besides their kubeconfigs.
pub(super) fn write(site: &Site, pki: &Pki) -> Result<(), ControlPlaneError> {
    write_certificate(site, pki, "kubelet", ExtendedKeyUsagePurpose::ServerAuth)?;
    write_certificate(
        site,
        pki,
        KUBELET_CLIENT,
        ExtendedKeyUsagePurpose::ClientAuth,
    )?;
    fs::create_dir_all(site.file("cni")).map_err(failed("make the node's folder"))?;
    for (name, text) in [
        ("containerd.toml", containerd_toml(site)),
        ("cni/pods.conflist", pretty(&cni())),
        ("resolv.conf", format!("nameserver {DNS}\n")),
        ("kubelet.json", pretty(&kubelet_config(site))),
        ("proxy.json", pretty(&proxy_config(site))),
    ] {
        fs::write(site.file(name), text).map_err(failed("write the node's files"))?;
    }
    Ok(())
}

/// Writes the objects of the cluster itself, volumes among them; where they are.
pub(super) fn write_objects(site: &Site) -> Result<String, ControlPlaneError> {
    let mut text = OBJECTS.to_owned();
    for number in 0..VOLUMES {
        let path = site.file(&format!("volumes/{number}"));
        make_volume(Path::new(&path)).map_err(failed("make a volume"))?;
        text.push_str("---\n");
        text.push_str(&pretty(&volume(number, &path)));
    }
    let file = site.file("objects.yaml");
    fs::write(&file, text).map_err(failed("write the node's objects"))?;
    Ok(file)
}

/// Starts the container runtime.
pub(super) fn containerd(site: &Site) -> Result<Process, ControlPlaneError> {
    let arguments = [
        "--config",
        &site.file("containerd.toml"),
        "--log-level=warn",
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    site.start_path("containerd", Path::new("containerd"), arguments)
}

/// Starts the scheduler.
pub(super) fn scheduler(site: &Site, pki: &Pki) -> Result<Process, ControlPlaneError> {
    let name = "kube-scheduler";
    site.write_kubeconfig(pki, "scheduler", &format!("system:{name}"), None)?;
    let options = [
        ("kubeconfig", site.file("scheduler.kubeconfig")),
        ("secure-port", "0".into()),
        ("leader-elect", "false".into()),
    ];
    site.start(name, &options)
}

/// Starts the kubelet.
pub(super) fn kubelet(site: &Site, pki: &Pki) -> Result<Process, ControlPlaneError> {
    let user = format!("system:node:{NODE}");
    site.write_kubeconfig(pki, "kubelet", &user, Some("system:nodes"))?;
    let options = [
        ("config", site.file("kubelet.json")),
        ("kubeconfig", site.file("kubelet.kubeconfig")),
        ("root-dir", site.file("kubelet")),
        ("cert-dir", site.file("kubelet-certificates")),
        ("hostname-override", NODE.into()),
        ("node-ip", ADDRESS.to_string()),
        ("node-labels", "topology.kubernetes.io/zone=north".into()),
    ];
    site.start("kubelet", &options)
}

/// Starts what brings services' addresses to pods.
pub(super) fn kube_proxy(site: &Site, pki: &Pki) -> Result<Process, ControlPlaneError> {
    site.write_kubeconfig(pki, "proxy", "system:kube-proxy", None)?;
    site.start("kube-proxy", &[("config", site.file("proxy.json"))])
}

fn containerd_toml(site: &Site) -> String {
    let (root, cni) = (site.file("containerd"), site.file("cni"));
    // The oom score of a container cannot be lowered without a right that root
    // does not have everywhere.
    format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{RUNTIME}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "node.test/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{cni}"
"#
    )
}

fn cni() -> Value {
    let gateway = "10.244.0.1";
    json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [{
        "type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
        "ipam": {
            "type": "host-local", "dataDir": "/run/cni",
            "ranges": [[{"subnet": PODS, "gateway": gateway}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }]})
}

fn kubelet_config(site: &Site) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": site.file("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": site.file("kubelet.crt"),
        "tlsPrivateKeyFile": site.file("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{RUNTIME}"),
        "cgroupDriver": "cgroupfs",
        // Below this one it takes everything for its own.
        "cgroupRoot": format!("/{CGROUP}"),
        "failCgroupV1": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "resolvConf": site.file("resolv.conf"),
        "podLogsDir": site.file("pods"),
        "volumePluginDir": site.file("plugins"),
        // Records are counted by clients' logs: none may be rotated away.
        "containerLogMaxSize": "1Gi",
        "imageGCHighThresholdPercent": 100,
        // The disk is the machine's, and may be fuller than a node's should be.
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%",
            "nodefs.inodesFree": "1%", "imagefs.available": "1%",
        },
    })
}

fn proxy_config(site: &Site) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": site.file("proxy.kubeconfig")},
        "hostnameOverride": NODE,
        "clusterCIDR": PODS,
        "oomScoreAdj": 0,
        // Limits of the whole machine: as they are.
        "conntrack": {
            "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
        },
    })
}

/// A folder of the node as a volume that a claim can get.
fn volume(number: usize, path: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": format!("folder-{number}")},
        "spec": {
            "storageClassName": "folder",
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": path, "type": "Directory"},
        },
    })
}

fn make_volume(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    // The kubelet does not change whose such a folder is.
    chown(path, Some(VOLUME_OWNER), Some(VOLUME_OWNER))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
