//! What a request asks for, read from its method, path and query.

use std::collections::BTreeMap;

use http::{Method, Uri};

/// A request to a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// API group; empty for the core.
    pub(crate) group: String,
    /// Version.
    pub(crate) version: String,
    /// Namespace; empty for none or all.
    pub(crate) namespace: String,
    /// Plural name of the resource.
    pub(crate) resource: String,
    /// Name of the object; empty for the collection.
    pub(crate) name: String,
    /// Subresource; empty for the object itself.
    pub(crate) subresource: String,
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Objects.
    Resource(Target),
    /// Anything else: discovery, health, version.
    Other,
}

/// The query of a request, decoded. Of repeated keys the first counts, as in the real server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(BTreeMap<String, String>);

// === impl Route ===

impl Route {
    /// Reads a path.
    pub(crate) fn parse(path: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match &parts[..] {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Self::Other,
        };
        if rest.is_empty() {
            return Self::Other;
        }
        let mut target = Target {
            group: group.into(),
            version: version.into(),
            ..Target::default()
        };
        let rest = match rest {
            // `namespaces/x/status` and `/finalize` are about the namespace itself.
            ["namespaces", _, "status" | "finalize"] => rest,
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                target.namespace = decode(namespace, false);
                rest
            }
            rest => rest,
        };
        let mut rest = rest.iter();
        target.resource = rest
            .next()
            .map(|part| decode(part, false))
            .unwrap_or_default();
        target.name = rest
            .next()
            .map(|part| decode(part, false))
            .unwrap_or_default();
        target.subresource = rest
            .map(|part| decode(part, false))
            .collect::<Vec<_>>()
            .join("/");
        // A namespace lies in itself: that is what role bindings in it are asked about.
        if target.group.is_empty() && target.resource == "namespaces" {
            target.namespace.clone_from(&target.name);
        }
        Self::Resource(target)
    }
}

// === impl Target ===

impl Target {
    /// The verb that roles know this request by.
    pub(crate) fn verb(&self, method: &Method, query: &Query) -> &'static str {
        match *method {
            Method::GET | Method::HEAD if query.flag("watch") => "watch",
            Method::GET | Method::HEAD if self.name.is_empty() => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if self.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => "",
        }
    }
}

// === impl Query ===

impl Query {
    /// Reads the query of `uri`.
    pub(crate) fn parse(uri: &Uri) -> Self {
        let mut values = BTreeMap::new();
        for pair in uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            values
                .entry(decode(key, true))
                .or_insert_with(|| decode(value, true));
        }
        Self(values)
    }

    /// The value of `key`; empty values count as none.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether `key` is there and not `false` or `0`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0
            .get(key)
            .is_some_and(|value| value != "false" && value != "0")
    }

    /// The number under `key`, if it is one.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

/// Undoes percent encoding (and `+`, in queries). What is no valid encoding stays as it is.
fn decode(text: &str, plus: bool) -> String {
    let hex = |at: usize| {
        text.get(at..at + 2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
    };
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' if let Some(byte) = hex(at + 1) => {
                out.push(byte);
                at += 3;
                continue;
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Vec<String> {
        match Route::parse(path) {
            Route::Resource(t) => vec![
                t.group,
                t.version,
                t.namespace,
                t.resource,
                t.name,
                t.subresource,
            ],
            Route::Other => Vec::new(),
        }
    }

    #[test]
    fn paths_are_read_as_the_real_server_reads_them() {
        for (path, want) in [
            ("/api/v1/pods", ["", "v1", "", "pods", "", ""]),
            (
                "/api/v1/namespaces/a/pods/b/log",
                ["", "v1", "a", "pods", "b", "log"],
            ),
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            (
                "/api/v1/namespaces/a",
                ["", "v1", "a", "namespaces", "a", ""],
            ),
            (
                "/api/v1/namespaces/a/status",
                ["", "v1", "a", "namespaces", "a", "status"],
            ),
            (
                "/apis/k.t.dev/v1/namespaces/a/kafkatopics/b",
                ["k.t.dev", "v1", "a", "kafkatopics", "b", ""],
            ),
            (
                "/apis/rbac/v1/clusterroles/system%3Amasters",
                ["rbac", "v1", "", "clusterroles", "system:masters", ""],
            ),
        ] {
            assert_eq!(target(path), want, "{path}");
        }
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/g",
            "/apis/g/v1",
            "/version",
            "/openapi/v3/api/v1",
        ] {
            assert_eq!(Route::parse(path), Route::Other, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse(
            &"/x?labelSelector=a%3Db,c+in+(d)&watch=1&force=false&limit=5&a=%zz"
                .parse()
                .unwrap(),
        );
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.flag("watch") && !query.flag("force") && !query.flag("absent"));
        assert_eq!(query.number("limit"), Some(5));
        assert_eq!(query.get("a"), Some("%zz"));
    }
}
