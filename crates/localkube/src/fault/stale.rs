//! Reads as of an earlier resource version. Pure.
//!
//! Lists can be asked for as they were; a get becomes the list of one.

use http::Uri;
use serde_json::{Value, json};

/// Parameters that say which version of a list is meant, or where it goes on.
const ABOUT_VERSIONS: [&str; 3] = ["resourceVersion", "resourceVersionMatch", "continue"];

/// A read as of a version, in the words of the API.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// What to ask for.
    pub(super) uri: Uri,
    /// The object that is wanted of the list; none for the list itself.
    pub(super) name: Option<String>,
}

/// Asks the same as of `version`; none for what is no read of objects.
pub(super) fn rewrite(uri: &Uri, is_list: bool, version: u64) -> Option<Rewritten> {
    let exact = format!("resourceVersion={version}&resourceVersionMatch=Exact");
    if is_list {
        let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
            let key = pair.split('=').next().unwrap_or_default();
            !key.is_empty() && !ABOUT_VERSIONS.contains(&key)
        });
        let query = kept.chain([exact.as_str()]).collect::<Vec<_>>().join("&");
        let uri = format!("{}?{query}", uri.path()).parse().ok()?;
        return Some(Rewritten { uri, name: None });
    }
    let (collection, name) = uri.path().rsplit_once('/')?;
    let query = format!("fieldSelector=metadata.name%3D{name}&{exact}");
    Some(Rewritten {
        uri: format!("{collection}?{query}").parse().ok()?,
        name: Some(name.to_owned()),
    })
}

/// The one object of a list, as a get would have answered.
pub(super) fn only_item(mut list: Value) -> Option<Value> {
    let kind = list["kind"].as_str()?.strip_suffix("List")?.to_owned();
    let version = list["apiVersion"].take();
    let mut item = list["items"].as_array_mut()?.pop()?;
    // Items of built-in kinds do not say what they are.
    item["kind"] = json!(kind);
    item["apiVersion"] = version;
    Some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_asked_for_as_of_a_version() {
        let rewritten = |uri: &str, is_list| {
            let rewritten = rewrite(&uri.parse().unwrap(), is_list, 7).unwrap();
            (rewritten.uri.to_string(), rewritten.name)
        };
        assert_eq!(
            rewritten("/api/v1/pods?labelSelector=a%3Db&resourceVersion=0&limit=5", true),
            (
                "/api/v1/pods?labelSelector=a%3Db&limit=5&resourceVersion=7&resourceVersionMatch=Exact".to_owned(),
                None
            )
        );
        assert_eq!(
            rewritten("/api/v1/namespaces/a/pods/b", false),
            (
                "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Db&resourceVersion=7&resourceVersionMatch=Exact".to_owned(),
                Some("b".to_owned())
            )
        );
    }

    #[test]
    fn the_only_item_says_what_it_is() {
        let list = json!({ "kind": "PodList", "apiVersion": "v1", "items": [{ "metadata": { "name": "b" } }] });
        let item = only_item(list).unwrap();
        assert_eq!(
            (&item["kind"], &item["apiVersion"]),
            (&json!("Pod"), &json!("v1"))
        );
        assert!(only_item(json!({ "kind": "PodList", "items": [] })).is_none());
    }
}
