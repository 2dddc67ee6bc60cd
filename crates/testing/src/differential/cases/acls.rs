//! DescribeAcls, CreateAcls, DeleteAcls.

use serde_json::{Value as Json, json};

use super::super::run::Run;
use super::super::side::api;

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        29 => describe(run).await,
        30 => create(run).await,
        _ => delete(run).await,
    }
}

/// The principal that the case's ACLs are about; it is nobody.
fn of(run: &Run<'_>) -> String {
    format!("User:of.{}.{}", run.scenario.name, run.name())
}

fn filter(principal: &Json) -> Json {
    json!({
        "ResourceTypeFilter": 1, "ResourceNameFilter": null, "PatternTypeFilter": 1,
        "PrincipalFilter": principal, "HostFilter": null, "Operation": 1, "PermissionType": 1,
    })
}

fn acl(principal: &str, kind: i8, name: &str) -> Json {
    json!({
        "ResourceType": kind, "ResourceName": name, "ResourcePatternType": 3,
        "Principal": principal, "Host": "*", "Operation": 3, "PermissionType": 3,
    })
}

async fn describe(run: &mut Run<'_>) {
    run.ask("of nobody", filter(&json!("User:nobody"))).await;
    run.ask("of everybody", filter(&json!("User:*"))).await;
    let mut matching = filter(&Json::Null);
    matching["ResourceTypeFilter"] = json!(2);
    matching["ResourceNameFilter"] = json!(run.of("good"));
    matching["PatternTypeFilter"] = json!(2);
    run.ask("that match a topic", matching).await;
}

async fn create(run: &mut Run<'_>) {
    let of = of(run);
    let good = [
        acl(&of, 2, &run.of("good")),
        acl(&of, 3, &run.of("bad")),
        acl(&of, 4, "kafka-cluster"),
    ];
    run.ask("right ones", json!({"Creations": good})).await;
    let mut wrong = vec![
        acl(&of, 4, "no-cluster"),
        acl(&of, 2, ""),
        acl("nobody", 2, "x"),
        acl(&of, 2, &run.of("gone")),
    ];
    wrong[3]["Operation"] = json!(13);
    for (i, wrong) in wrong.into_iter().enumerate() {
        run.ask(&format!("wrong one {i}"), json!({"Creations": [wrong]}))
            .await;
    }
    run.ask("none", json!({"Creations": []})).await;
}

async fn delete(run: &mut Run<'_>) {
    let of = of(run);
    let acls = [acl(&of, 2, &run.of("good")), acl(&of, 3, &run.of("bad"))];
    run.must(api("CreateAcls"), json!({"Creations": acls}))
        .await;
    let mut one = filter(&json!(of));
    one["ResourceTypeFilter"] = json!(3);
    run.ask("some", json!({"Filters": [one]})).await;
    run.ask(
        "none that is there",
        json!({"Filters": [filter(&json!("User:nobody"))]}),
    )
    .await;
    run.ask("the rest", json!({"Filters": [filter(&json!(of))]}))
        .await;
}
