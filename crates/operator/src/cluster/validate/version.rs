//! Which Kafka, and whose metadata.

use tubeway_api::KafkaCluster;

use super::Problems;
use crate::cluster::features::{OLDEST, Release};

/// The release whose features the cluster is to use. A version is refused that
/// could not read the metadata that there is.
pub(super) fn check(problems: &mut Problems, cluster: &KafkaCluster) -> Release {
    let spec = &cluster.spec;
    let version = Release::of_version(&spec.version).filter(|version| *version >= OLDEST);
    let Some(version) = version else {
        problems.add(
            "spec.version",
            &spec.version,
            "a Kafka version from 3.9.0 on",
        );
        return OLDEST;
    };
    let written = cluster
        .status
        .as_ref()
        .and_then(|s| s.metadata_version.as_ref());
    let written: Option<Release> = written.and_then(|text| text.parse().ok());
    if let Some(written) = written.filter(|written| *written > version) {
        problems.add(
            "spec.version",
            &spec.version,
            format!(
                "{written}.0 and newer, because the cluster's metadata is that of {written}; to go \
                 back set spec.metadataVersion to \"{version}\" first, and wait until \
                 status.metadataVersion says so"
            ),
        );
    }
    let Some(text) = &spec.metadata_version else {
        return version;
    };
    match text.parse::<Release>() {
        Ok(release) if (OLDEST..=version).contains(&release) => release,
        _ => {
            problems.add(
                "spec.metadataVersion",
                text,
                format!("a release from {OLDEST} to {version}, which spec.version runs"),
            );
            version
        }
    }
}
