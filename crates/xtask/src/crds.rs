//! The kinds' definitions as files, from the Rust types.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub(crate) const HEADER: &str =
    "# Made from crates/api by `cargo run -p tubeway-xtask -- crds`; change it there.\n";

/// Writes one file a kind.
pub(crate) fn run() -> anyhow::Result<()> {
    fs::create_dir_all(folder())?;
    for (path, text) in files()? {
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Each kind's file and what is in it.
pub(crate) fn files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    tubeway_api::crds()
        .into_iter()
        .map(|crd| {
            let path = folder().join(format!("{}.yaml", crd.spec.names.plural));
            let mut json = serde_json::to_value(&crd)?;
            drop_nulls(&mut json);
            Ok((path, format!("{HEADER}{}", serde_saphyr::to_string(&json)?)))
        })
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds")
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_what_the_types_say() {
        for (path, text) in files().unwrap() {
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == text,
                "{} is out of date: run `cargo run -p tubeway-xtask -- crds`",
                path.display()
            );
        }
    }

    #[test]
    fn every_kind_has_a_file_and_no_file_is_left_over() {
        let wanted = files().unwrap().len();
        assert_eq!(fs::read_dir(folder()).unwrap().count(), wanted);
    }
}
