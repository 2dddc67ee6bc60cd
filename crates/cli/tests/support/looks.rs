//! What `tubeway check` says of a running installation.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::mesh::apply;
use super::{Installation, eventually};

const WITHIN: Duration = Duration::from_secs(60);
/// Of a cluster that is not there.
const TOPIC: &str = r"
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: misplaced, namespace: shop}
spec:
  cluster: {name: nowhere, namespace: kafka}
  partitions: 1
  replicas: 1
";

/// All is well; a topic that is not is named, with its reason and what to do;
/// without it all is well again.
pub fn check_says_what_is_wrong(on: &Installation) -> Result<()> {
    let well = || on.tubeway(&["check", "--local"]);
    let said = eventually(WITHIN, "tubeway check", well)?;
    for part in [
        "√ the operator runs",
        "√ the one KafkaCluster is ready",
        "the kind KafkaQuota",
    ] {
        ensure!(said.contains(part), "{part:?} is not in: {said}");
    }
    apply(on, TOPIC)?;
    eventually(WITHIN, "the complaint", || match well() {
        Ok(said) => bail!("all is well: {said}"),
        Err(error) => {
            let said = error.to_string();
            for part in [
                "shop/misplaced: not Ready (",
                "kubectl describe kafkatopic -n shop misplaced",
                "error: 1 check failed",
            ] {
                ensure!(said.contains(part), "{part:?} is not in: {said}");
            }
            Ok(())
        }
    })?;
    on.kubectl(&["delete", "kafkatopic", "-n", "shop", "misplaced"])?;
    eventually(WITHIN, "tubeway check", well).map(drop)
}
