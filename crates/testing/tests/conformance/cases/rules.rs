//! What the schemas and the CEL rules of the definitions refuse.

use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, gadget, kafka, topic};
use crate::trial::Trial;

super::cases! {
    required_fields_are_missed,
    types_are_checked,
    bounds_and_patterns_are_checked,
    a_topic_keeps_its_name_its_cluster_and_its_partitions,
    names_of_clusters_and_pools_are_checked,
    a_pool_keeps_its_roles_cluster_and_storage_class,
    limits_that_do_not_go_together_are_refused,
    an_acl_names_one_principal_and_a_pattern_that_fits,
    rules_may_compute_their_message_reason_and_field,
    lists_are_sets_and_maps,
    rules_over_lists_and_functions,
    rules_are_checked_by_apply_and_dry_run_too,
    several_errors_come_at_once,
}

const POOLS: &str = "kafka.tubeway.dev/v1alpha1/kafkanodepools";
const CLUSTERS: &str = "kafka.tubeway.dev/v1alpha1/kafkaclusters";
const QUOTAS: &str = "kafka.tubeway.dev/v1alpha1/kafkaquotas";
const ACLS: &str = "kafka.tubeway.dev/v1alpha1/kafkaacls";

async fn required_fields_are_missed(t: &mut Trial<'_>) {
    t.create(422, TOPICS, kafka("KafkaTopic", "a", json!({})))
        .await;
    t.create(
        422,
        TOPICS,
        kafka("KafkaTopic", "a", json!({"cluster": {}})),
    )
    .await;
    t.create(422, TOPICS, kafka("KafkaTopic", "a", Value::Null))
        .await;
    let mut bare = kafka("KafkaTopic", "a", json!({}));
    bare.as_object_mut().unwrap().remove("spec");
    t.create(422, TOPICS, bare).await;
    t.create(
        422,
        QUOTAS,
        kafka("KafkaQuota", "a", json!({"cluster": {"name": "c"}})),
    )
    .await;
    t.create(
        422,
        ACLS,
        kafka(
            "KafkaAcl",
            "a",
            json!({"cluster": {"name": "c"}, "rules": [{}]}),
        ),
    )
    .await;
    t.create(422, GADGETS, gadget("a", json!({"ports": [{"name": "x"}]})))
        .await;
}

async fn types_are_checked(t: &mut Trial<'_>) {
    let wrong = [
        json!({"partitions": "3"}),
        json!({"partitions": 1.5}),
        json!({"partitions": true}),
        json!({"topicName": 3}),
        json!({"config": []}),
        json!({"partitions": {}}),
    ];
    for spec in wrong {
        t.create(422, TOPICS, topic("a", spec)).await;
    }
    t.create(422, TOPICS, kafka("KafkaTopic", "a", json!("text")))
        .await;
    t.create(422, TOPICS, kafka("KafkaTopic", "a", json!([1])))
        .await;
    t.create(422, GADGETS, gadget("a", json!({"size": true})))
        .await;
    t.create(422, GADGETS, gadget("a", json!({"options": {"a": 1}})))
        .await;
    t.create(422, GADGETS, gadget("a", json!({"tags": [1, "a"]})))
        .await;
    t.create(201, TOPICS, topic("whole", json!({"partitions": 3.0})))
        .await;
}

async fn bounds_and_patterns_are_checked(t: &mut Trial<'_>) {
    let wrong = [
        json!({"partitions": 0}),
        json!({"partitions": 100_001}),
        json!({"partitions": 5_000_000_000_i64}),
        json!({"replicas": -1}),
        json!({"topicName": "no spaces"}),
        json!({"topicName": "a".repeat(250)}),
        json!({"deletionPolicy": "Perhaps"}),
        json!({"config": {}, "topicName": ""}),
    ];
    for spec in wrong {
        t.create(422, TOPICS, topic("a", spec)).await;
    }
    t.create(
        422,
        TOPICS,
        kafka("KafkaTopic", "a", json!({"cluster": {"name": ""}})),
    )
    .await;
    t.create(
        422,
        TOPICS,
        kafka(
            "KafkaTopic",
            "a",
            json!({"cluster": {"name": "n".repeat(33)}}),
        ),
    )
    .await;
    t.create(
        422,
        GADGETS,
        gadget(
            "a",
            json!({"options": {"a": "1", "b": "2", "c": "3", "d": "4"}}),
        ),
    )
    .await;
    t.create(
        422,
        GADGETS,
        gadget("a", json!({"tags": ["a", "b", "c", "d", "e"]})),
    )
    .await;
    t.create(422, GADGETS, gadget("a", json!({"from": "yesterday"})))
        .await;
    t.create(
        201,
        GADGETS,
        gadget("a", json!({"from": "2026-01-01T00:00:00Z"})),
    )
    .await;
    let limits = |value: Value| {
        kafka(
            "KafkaQuota",
            "a",
            json!({"cluster": {"name": "c"}, "limits": {"producedBytesPerSecond": value}}),
        )
    };
    t.create(422, QUOTAS, limits(json!("much"))).await;
    t.create(201, QUOTAS, limits(json!(5))).await;
    t.create(
        422,
        QUOTAS,
        kafka(
            "KafkaQuota",
            "b",
            json!({"cluster": {"name": "c"}, "limits": {}}),
        ),
    )
    .await;
}

async fn a_topic_keeps_its_name_its_cluster_and_its_partitions(t: &mut Trial<'_>) {
    let a = format!("{TOPICS}/a");
    t.create(
        201,
        TOPICS,
        topic("a", json!({"topicName": "orders", "partitions": 3})),
    )
    .await;
    t.merge(422, &a, json!({"spec": {"topicName": "other"}}))
        .await;
    t.merge(422, &a, json!({"spec": {"topicName": null}})).await;
    t.merge(422, &a, json!({"spec": {"partitions": 2}})).await;
    t.merge(422, &a, json!({"spec": {"cluster": {"name": "other"}}}))
        .await;
    t.merge(
        422,
        &a,
        json!({"spec": {"cluster": {"namespace": "other"}}}),
    )
    .await;
    t.merge(
        422,
        &a,
        json!({"spec": {"topicName": "other", "partitions": 2, "cluster": {"name": "other"}}}),
    )
    .await;
    t.merge(200, &a, json!({"spec": {"partitions": null}}))
        .await;
    t.merge(200, &a, json!({"spec": {"partitions": 1}})).await;
    t.create(201, TOPICS, topic("b", json!({}))).await;
    t.merge(
        422,
        &format!("{TOPICS}/b"),
        json!({"spec": {"topicName": "b"}}),
    )
    .await;
}

async fn names_of_clusters_and_pools_are_checked(t: &mut Trial<'_>) {
    let name = "c".repeat(33);
    t.create(
        422,
        CLUSTERS,
        kafka("KafkaCluster", &name, json!({"version": "4.3.1"})),
    )
    .await;
    t.create(
        422,
        CLUSTERS,
        kafka("KafkaCluster", "1st", json!({"version": "4.3.1"})),
    )
    .await;
    t.create(
        422,
        CLUSTERS,
        kafka("KafkaCluster", "with.dot", json!({"version": "4.3.1"})),
    )
    .await;
    t.create(
        201,
        CLUSTERS,
        kafka("KafkaCluster", &name[1..], json!({"version": "4.3.1"})),
    )
    .await;
    let spec =
        json!({"cluster": "demo", "replicas": 1, "roles": ["broker"], "storage": {"size": "1Gi"}});
    t.create(
        422,
        POOLS,
        kafka("KafkaNodePool", &name[..25], spec.clone()),
    )
    .await;
    t.create(201, POOLS, kafka("KafkaNodePool", &name[..24], spec))
        .await;
    let selector = |from: &str, selector: Value| {
        kafka(
            "KafkaCluster",
            "demo",
            json!({"version": "4.3.1", "allowedNamespaces": {"from": from, "selector": selector}}),
        )
    };
    t.create(422, CLUSTERS, selector("Selector", Value::Null))
        .await;
    t.create(
        422,
        CLUSTERS,
        selector("All", json!({"matchLabels": {"a": "b"}})),
    )
    .await;
}

async fn a_pool_keeps_its_roles_cluster_and_storage_class(t: &mut Trial<'_>) {
    let spec = json!({"cluster": "demo", "replicas": 1, "roles": ["broker"], "storage": {"size": "1Gi", "class": "fast"}});
    t.create(201, POOLS, kafka("KafkaNodePool", "a", spec))
        .await;
    let a = format!("{POOLS}/a");
    t.merge(422, &a, json!({"spec": {"roles": ["controller"]}}))
        .await;
    t.merge(422, &a, json!({"spec": {"cluster": "other"}}))
        .await;
    t.merge(422, &a, json!({"spec": {"storage": {"class": "slow"}}}))
        .await;
    t.merge(422, &a, json!({"spec": {"storage": {"class": null}}}))
        .await;
    t.merge(422, &a, json!({"spec": {"replicas": -1}})).await;
    t.merge(
        200,
        &a,
        json!({"spec": {"storage": {"size": "2Gi"}, "replicas": 2}}),
    )
    .await;
}

async fn limits_that_do_not_go_together_are_refused(t: &mut Trial<'_>) {
    let quota = |mut spec: Value| {
        spec["cluster"] = json!({"name": "c"});
        kafka("KafkaQuota", "a", spec)
    };
    let topics = json!({"names": ["a"]});
    t.create(
        422,
        QUOTAS,
        quota(json!({"topics": topics, "limits": {"connections": 1}})),
    )
    .await;
    t.create(
        422,
        QUOTAS,
        quota(json!({"clientIds": {}, "limits": {"connectionAttemptsPerSecond": 1}})),
    )
    .await;
    t.create(
        422,
        QUOTAS,
        quota(
            json!({"topics": topics, "apis": {"names": ["Produce"]}, "limits": {"connections": 1}}),
        ),
    )
    .await;
    t.create(
        422,
        QUOTAS,
        quota(json!({"apis": {"names": ["produce"]}, "limits": {"requestsPerSecond": 1}})),
    )
    .await;
    t.create(
        201,
        QUOTAS,
        quota(json!({"topics": topics, "limits": {"producedBytesPerSecond": 1}})),
    )
    .await;
}

async fn an_acl_names_one_principal_and_a_pattern_that_fits(t: &mut Trial<'_>) {
    let acl = |principals: Value, resource: Value| {
        let rule = json!({"principals": principals, "resource": resource, "operations": ["Read"]});
        kafka(
            "KafkaAcl",
            "a",
            json!({"cluster": {"name": "c"}, "rules": [rule]}),
        )
    };
    let (user, topic) = (
        json!([{"user": "User:u"}]),
        json!({"type": "Topic", "name": "t"}),
    );
    t.create(422, ACLS, acl(json!([{}]), topic.clone())).await;
    t.create(
        422,
        ACLS,
        acl(
            json!([{"user": "User:u", "spiffeId": "spiffe://a/b"}]),
            topic.clone(),
        ),
    )
    .await;
    t.create(422, ACLS, acl(json!([]), topic.clone())).await;
    t.create(422, ACLS, acl(user.clone(), json!({"type": "Topic"})))
        .await;
    t.create(
        422,
        ACLS,
        acl(
            user.clone(),
            json!({"type": "Topic", "pattern": "Any", "name": "t"}),
        ),
    )
    .await;
    t.create(
        422,
        ACLS,
        acl(user.clone(), json!({"type": "Cluster", "name": "t"})),
    )
    .await;
    t.create(
        422,
        ACLS,
        acl(user.clone(), json!({"type": "Topic", "name": "no spaces"})),
    )
    .await;
    t.create(201, ACLS, acl(user, topic)).await;
}

async fn rules_may_compute_their_message_reason_and_field(t: &mut Trial<'_>) {
    t.create(422, GADGETS, gadget("a", json!({"window": "2h"})))
        .await;
    t.create(201, GADGETS, gadget("a", json!({"window": "30m"})))
        .await;
    t.create(422, GADGETS, gadget("b", json!({"address": "nowhere"})))
        .await;
    t.create(
        201,
        GADGETS,
        gadget("b", json!({"address": "https://a/b", "color": "red"})),
    )
    .await;
    t.merge(
        422,
        &format!("{GADGETS}/b"),
        json!({"spec": {"color": null}}),
    )
    .await;
}

async fn lists_are_sets_and_maps(t: &mut Trial<'_>) {
    t.create(422, GADGETS, gadget("a", json!({"tags": ["x", "y", "x"]})))
        .await;
    t.create(
        422,
        GADGETS,
        gadget("a", json!({"ports": [{"number": 1}, {"number": 1}]})),
    )
    .await;
    t.create(
        422,
        GADGETS,
        gadget(
            "a",
            json!({"ports": [{"number": 1, "protocol": "TCP"}, {"number": 2}, {"number": 1}]}),
        ),
    )
    .await;
    t.create(422, GADGETS, gadget("a", json!({"ports": [{"number": 0}]})))
        .await;
    t.create(422, POOLS, kafka("KafkaNodePool", "a", json!({"cluster": "d", "replicas": 1, "roles": ["broker", "broker"], "storage": {"size": "1Gi"}}))).await;
}

async fn rules_over_lists_and_functions(t: &mut Trial<'_>) {
    t.create(422, GADGETS, gadget("a", json!({"tags": ["ok", "NOT"]})))
        .await;
    let ports =
        |numbers: [i64; 3]| json!({"ports": numbers.map(|number| json!({"number": number}))});
    t.create(422, GADGETS, gadget("a", ports([1, 2, 3]))).await;
    t.create(201, GADGETS, gadget("a", ports([1, 80, 3]))).await;
}

async fn rules_are_checked_by_apply_and_dry_run_too(t: &mut Trial<'_>) {
    t.create(
        422,
        &format!("{TOPICS}?dryRun=All"),
        topic("a", json!({"partitions": 0})),
    )
    .await;
    let applied = |spec: Value| topic("a", spec);
    let a = format!("{TOPICS}/a?fieldManager=m");
    t.apply(422, &a, applied(json!({"partitions": 0}))).await;
    t.apply(201, &a, applied(json!({"partitions": 3}))).await;
    t.apply(422, &a, applied(json!({"partitions": 2}))).await;
    t.apply(
        422,
        &format!("{a}&dryRun=All"),
        applied(json!({"topicName": "b"})),
    )
    .await;
    t.json_patch(
        422,
        &a,
        json!([{"op": "replace", "path": "/spec/partitions", "value": 1}]),
    )
    .await;
    let mut now = t.get(200, &a).await;
    now["spec"]["partitions"] = 1.into();
    t.replace(422, &a, now).await;
}

async fn several_errors_come_at_once(t: &mut Trial<'_>) {
    let spec =
        json!({"partitions": 0, "replicas": 0, "topicName": "no spaces", "deletionPolicy": "x"});
    t.create(422, TOPICS, topic("a", spec)).await;
    let mut body = topic("UPPER", json!({"partitions": 0}));
    body["metadata"]["labels"] = json!({"bad key!": "v"});
    t.create(422, TOPICS, body).await;
    t.create(
        422,
        GADGETS,
        gadget(
            "a",
            json!({"window": "2h", "tags": ["NO"], "color": "pink"}),
        ),
    )
    .await;
    t.create(
        422,
        GADGETS,
        gadget("a", json!({"window": "2h", "tags": ["NO"], "address": "x"})),
    )
    .await;
}
