//! What zones do to a real client.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::mesh::apply;
use super::{Installation, eventually};

const LABEL: &str = "topology.kubernetes.io/zone";
/// A change is there within a second; a client that is held takes longer.
const SOON: Duration = Duration::from_secs(60);

/// The demonstration's producer may write where it is said to be, and nowhere
/// else; it moves with its node's label and then with its own.
pub fn a_client_may_write_in_its_zone_only(on: &Installation) -> Result<()> {
    apply(on, NEAR)?;
    for what in ["kafkatopic/near", "kafkaacl/near"] {
        let args = ["wait", "-n", "shop", what, "--for=condition=Ready"];
        on.kubectl(&args)?;
    }
    let [a, b, c, _] = on.pod_ip("shop", "checkout")?.octets();
    let sidecar = format!("{a}.{b}.{c}.2:9092");
    let refused = || write(&sidecar, false);
    let allowed = || write(&sidecar, true);
    let node = |zone: &str| {
        let label = format!("{LABEL}{zone}");
        on.kubectl(&["label", "node", "--all", "--overwrite", &label])
    };
    eventually(SOON, "a refusal without a zone", refused)?;
    node("=eu-1a")?;
    eventually(SOON, "writing in the zone", allowed)?;
    node("=eu-1b")?;
    eventually(SOON, "a refusal in another zone", refused)?;
    let own = |zone: &str| {
        let label = format!("{LABEL}{zone}");
        on.kubectl(&["label", "-n", "shop", "pod/checkout", &label])
    };
    own("=eu-1a")?;
    eventually(SOON, "writing where the pod says it is", allowed)?;
    own("-")?;
    node("-")?;
    on.kubectl(&["delete", "-n", "shop", "kafkaacl/near", "kafkatopic/near"])
        .map(drop)
}

/// Writes one record, and checks whether that is allowed.
fn write(sidecar: &str, allowed: bool) -> Result<()> {
    let script =
        format!("echo record | kcat -b {sidecar} -P -t near -p 0 -X message.timeout.ms=15000");
    let output = Command::new("sh").args(["-c", &script]).output();
    let output = output.context("kcat; scripts/setup-test-tools installs it")?;
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    let denied = !output.status.success() && said.contains("authorization failed");
    let as_expected = if allowed {
        output.status.success()
    } else {
        denied
    };
    ensure!(as_expected, "allowed should be {allowed}: {output:?}");
    Ok(())
}

const NEAR: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: near, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  partitions: 1
  replicas: 3
---
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaAcl
metadata: {name: near, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  rules:
  - principals: [{serviceAccount: {name: checkout}}]
    resource: {type: Topic, name: near}
    operations: [Write]
    zones: [eu-1a]
";
