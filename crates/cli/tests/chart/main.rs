//! The Helm chart: what it renders is what `tubeway render` prints, it refuses what
//! the command refuses, and on a real Kubernetes API its releases come, change and
//! go without a loss.

mod release;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use support::helm::{CHART, Helm};
use support::{contains, run, tubeway};

/// Each option of `tubeway install` that says what is installed, and the value of
/// the chart that means the same.
const OPTIONS: [(&str, &str); 8] = [
    ("--registry", "image.registry"),
    ("--tag", "image.tag"),
    ("--trust-domain", "trustDomain"),
    ("--cert-ttl", "certificates.ttl"),
    (WATCHED, "watchNamespaces"),
    ("--istio-address", "istio.address"),
    ("--istio-server-name", "istio.serverName"),
    ("--istio-cluster-id", "istio.clusterId"),
];
/// Its value is a list.
const WATCHED: &str = "--watch-namespaces";
/// That one is Helm's own.
const NAMESPACE: &str = "--namespace";
/// No cluster.
const NOWHERE: &str = "/nowhere";

/// An object's kind, namespace and name, and the object.
type Objects = BTreeMap<String, Value>;

#[test]
fn every_option_has_a_value() -> Result<()> {
    let help = run(tubeway().args(["render", "--help"]))?;
    let words = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.split_once(", ").map_or(line, |(_, long)| long);
        line.starts_with("--").then(|| line.split(' ').next())?
    });
    let found: Vec<_> = words
        .filter(|word| !["--state-dir", "--output", "--help"].contains(word))
        .collect();
    let known = OPTIONS.iter().map(|(option, _)| *option);
    let wanted: Vec<_> = [NAMESPACE].into_iter().chain(known).collect();
    assert_eq!(found, wanted, "{help}");
    Ok(())
}

#[test]
fn the_chart_renders_what_the_command_renders() -> Result<()> {
    let helm = Helm::new()?;
    let other = "registry.example:5000/team/tubeway";
    let cases: [(&str, &[&str]); 10] = [
        ("tubeway-system", &[]),
        ("kafka-mesh", &[]),
        ("123", &["--tag", "1.10"]),
        ("tubeway-system", &["--registry", other]),
        ("tubeway-system", &["--tag", "0001"]),
        ("tubeway-system", &["--trust-domain", "1e3"]),
        ("tubeway-system", &[WATCHED, "kafka"]),
        // The operator's own may be among them, and another's that is called so.
        ("kafka-mesh", &[WATCHED, "tubeway-system,a-9,kafka-mesh"]),
        (
            "tubeway-system",
            &[
                "--istio-address",
                "istiod.istio-system.svc:15012",
                "--istio-server-name",
                "istiod.istio-system.svc",
                "--istio-cluster-id",
                "Kubernetes",
            ],
        ),
        (
            "all",
            &[
                "--registry",
                other,
                "--tag",
                "v1.2.3-rc.1",
                "--trust-domain",
                "mesh.example",
                "--cert-ttl",
                "90m",
                WATCHED,
                "shop,kafka",
                "--istio-address",
                "istiod-1-30.mesh.svc:443",
                "--istio-server-name",
                "istiod-1-30.mesh.svc",
                "--istio-cluster-id",
                "east:1/a@b",
            ],
        ),
    ];
    for (namespace, options) in cases {
        let rendered = rendered(namespace, options)?;
        let set = values(options)?;
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        let with = [&set[..], &["namespace.create=true"]].concat();
        same(&rendered, helm.template(namespace, &with)?, &[])
            .with_context(|| format!("{namespace} {options:?}"))?;
        // Helm makes its release's namespace, or the user did.
        same(&rendered, helm.template(namespace, &set)?, &["Namespace"])
            .with_context(|| format!("{namespace} {options:?}, without its namespace"))?;
    }
    let without = helm.template("tubeway-system", &["crds.install=false"])?;
    let left_out = ["Namespace", "CustomResourceDefinition"];
    same(&rendered("tubeway-system", &[])?, without, &left_out)
}

/// What the command knows no option for reaches the Deployment.
#[test]
fn the_pod_s_fields_reach_it() -> Result<()> {
    let set = [
        "image.pullPolicy=Always",
        "operator.nodeSelector.disk=ssd",
        "operator.tolerations[0].key=infra",
        "operator.tolerations[0].operator=Exists",
        "operator.affinity.podAntiAffinity.a=b",
        "operator.priorityClassName=system-cluster-critical",
        "operator.imagePullSecrets[0].name=registry",
        "operator.resources.limits.cpu=1",
    ];
    let objects = Helm::new()?.template("tubeway-system", &set)?;
    let deployment = objects.iter().find(|one| one["kind"] == "Deployment");
    let pod = &deployment.context("no Deployment")?["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for (at, wanted) in [
        ("/nodeSelector/disk", "ssd"),
        ("/tolerations/0/key", "infra"),
        ("/affinity/podAntiAffinity/a", "b"),
        ("/priorityClassName", "system-cluster-critical"),
        ("/imagePullSecrets/0/name", "registry"),
    ] {
        assert_eq!(pod.pointer(at).and_then(Value::as_str), Some(wanted));
    }
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["resources"]["limits"]["cpu"], 1);
    assert_eq!(container["resources"]["requests"]["memory"], "64Mi");
    Ok(())
}

#[test]
fn the_chart_takes_and_refuses_what_the_command_takes_and_refuses() -> Result<()> {
    let helm = Helm::new()?;
    let long = "a".repeat(256);
    let (domain, tag, label) = (&long[..255], &long[..128], &long[..63]);
    let cases: [(&str, &[&str], &[&str]); 8] = [
        (
            "--registry",
            &["a", "localhost:5000", "R.example/team/tube_way.x"],
            &[
                "/a",
                "a/",
                "a//b",
                "https://a",
                "a:b",
                "a:123456",
                "a b",
                "-a",
                "a/B",
                "a/_b",
            ],
        ),
        (
            "--tag",
            &["1.0.0", "_x", "A-b.c", tag],
            &[".x", "-x", "a/b", "a:b", "ä", &long[..129]],
        ),
        (
            "--trust-domain",
            &["a", "mesh_1.example-x", domain],
            &["A.example", "a/b", "a b", "ä", &long],
        ),
        (
            "--cert-ttl",
            &["60s", "99s", "86400s", "1m", "1440m", "1h", "19h", "24h"],
            &[
                "59s", "0s", "86401s", "0m", "1441m", "0h", "25h", "1d", "h", "60", "-1h", "1h1m",
            ],
        ),
        (
            WATCHED,
            &["a", "kafka,shop", label],
            &["A", "a.b", "-a", "a-", "a,a", "a b", "ä", &long[..64]],
        ),
        (
            "--istio-address",
            &["a:1", "istiod.istio-system.svc:15012", "10.0.0.1:65535"],
            &[
                "a",
                "a:",
                ":1",
                "a:0",
                "a:01",
                "a:65536",
                "a..b:1",
                "a-:1",
                "https://a:1",
                "a:1/b",
            ],
        ),
        (
            "--istio-server-name",
            &["a", "istiod.istio-system.svc"],
            &["a:1", "a..b", ".a", "a.", "-a", "a_b", "ä"],
        ),
        (
            "--istio-cluster-id",
            &[
                "a",
                "Kubernetes",
                "arn:aws:eks:eu:1:cluster/x_y",
                &long[..253],
            ],
            &["a b", "$(A)", "ä", "a,b", &long[..254]],
        ),
    ];
    for (option, good, bad) in cases {
        for value in good {
            rendered("a", &[option, value])?;
            let set = values(&[option, value])?;
            helm.template("a", &[&set[0]])?;
        }
        for value in bad {
            let both = format!("{option}={value}");
            let by_command = run(tubeway().args(["render", &both]));
            ensure!(by_command.is_err(), "the command takes {both}");
            let set = values(&[option, value])?;
            let by_chart = helm.template("a", &[&set[0]]);
            ensure!(by_chart.is_err(), "the chart takes {}", set[0]);
        }
    }
    Ok(())
}

#[test]
fn values_that_the_chart_does_not_have_are_refused() -> Result<()> {
    let helm = Helm::new()?;
    for (set, part) in [
        ("trustdomain=a", "'trustdomain' not allowed"),
        ("image.version=1", "'version' not allowed"),
        ("image.pullPolicy=Sometimes", "one of 'Always'"),
        ("certificates.cattl=1h", "'cattl' not allowed"),
        ("crds.install=always", "want boolean"),
        ("namespace.create=1", "want boolean"),
        ("operator.replicas=3", "'replicas' not allowed"),
        ("operator.resources.limit.cpu=1", "'limit' not allowed"),
        ("operator.tolerations=a", "want array"),
        ("watchNamespaces=kafka", "want array"),
        ("istio.clusterID=a", "'clusterID' not allowed"),
        (
            "operator.imagePullSecrets[0].secret=a",
            "missing property 'name'",
        ),
    ] {
        match helm.template("a", &[set]) {
            Ok(_) => bail!("the chart takes {set}"),
            Err(error) => contains(&error.to_string(), &[part])?,
        }
    }
    Ok(())
}

#[test]
fn helm_finds_nothing_to_complain_of() -> Result<()> {
    let helm = Helm::new()?;
    let all = "namespace.create=true,crds.install=false,operator.nodeSelector.a=b";
    for set in ["", all] {
        helm.run(
            &["lint", "--strict", CHART, "--set", set],
            Path::new(NOWHERE),
        )?;
    }
    Ok(())
}

/// What the command renders.
fn rendered(namespace: &str, options: &[&str]) -> Result<Objects> {
    let text = run(tubeway()
        .args(["render", "--output", "json", NAMESPACE, namespace])
        .args(options))?;
    let list: Value = serde_json::from_str(&text)?;
    let items = list["items"].as_array().context("it is no list")?;
    Ok(items.iter().map(|one| (name(one), one.clone())).collect())
}

/// The chart's values for options of the command.
fn values(options: &[&str]) -> Result<Vec<String>> {
    let set = options.chunks(2).map(|pair| {
        let known = OPTIONS.iter().find(|(option, _)| *option == pair[0]);
        let (_, value) = known.with_context(|| format!("{} has no value", pair[0]))?;
        if pair[0] == WATCHED {
            return Ok(format!("{value}={{{}}}", pair[1]));
        }
        Ok(format!("{value}={}", pair[1]))
    });
    set.collect()
}

/// Whether a chart's objects are those of the command, but for the kinds that the
/// chart was to leave out. The one difference is Helm's mark on what stays when
/// the release goes.
fn same(command: &Objects, chart: Vec<Value>, left_out: &[&str]) -> Result<()> {
    let mut found = Objects::new();
    for mut object in chart {
        let marked = unmark(&mut object);
        let stays = object["kind"] == "CustomResourceDefinition" || object["kind"] == "Secret";
        ensure!(marked == stays, "{} is marked: {marked}", name(&object));
        let before = found.insert(name(&object), object);
        ensure!(before.is_none(), "twice: {before:?}");
    }
    for (name, wanted) in command {
        let found = found.remove(name);
        if left_out.iter().any(|kind| wanted["kind"] == *kind) {
            ensure!(found.is_none(), "{name} is not left out");
            continue;
        }
        let found = found.with_context(|| format!("the chart has no {name}"))?;
        ensure!(found == *wanted, "{name}: {found:#}\n\nand not {wanted:#}");
    }
    ensure!(found.is_empty(), "only the chart has {:?}", found.keys());
    Ok(())
}

/// Takes the mark away; whether there was one.
fn unmark(object: &mut Value) -> bool {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return false;
    };
    let mark = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
        .and_then(|all| all.remove("helm.sh/resource-policy"));
    if metadata
        .get("annotations")
        .is_some_and(|all| *all == json!({}))
    {
        metadata.remove("annotations");
    }
    mark.is_some_and(|mark| mark == "keep")
}

fn name(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!(
        "{} {} {}",
        object["kind"], metadata["namespace"], metadata["name"]
    )
}
