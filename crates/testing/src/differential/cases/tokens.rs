//! Delegation tokens.

use std::time::Instant;

use serde_json::{Value as Json, json};
use tubeway_protocol::value::{Struct, Value};

use super::super::run::Run;
use super::super::side::{AGAIN, SETTLE, Side, api};

/// Whose tokens a case asks for that are not its principal's.
const OTHER: &str = "spiffe://cluster.local/ns/differential/sa/other";

pub(super) async fn perform(run: &mut Run<'_>) {
    match run.api.0 {
        38 => create(run).await,
        41 => describe(run).await,
        _ => renew_or_expire(run).await,
    }
}

fn created(owner: Option<&str>) -> Json {
    json!({
        "OwnerPrincipalType": owner.map(|_| "User"), "OwnerPrincipalName": owner,
        "Renewers": [{"PrincipalType": "User", "PrincipalName": "renewer"}], "MaxLifetimeMs": 86_400_000,
    })
}

fn hmac(answer: &Struct) -> Json {
    let bytes = answer.get("Hmac").and_then(Value::as_bytes);
    bytes.map(|bytes| bytes.to_vec()).unwrap_or_default().into()
}

async fn create(run: &mut Run<'_>) {
    run.ask("for oneself", created(None)).await;
    if run.version >= 3 {
        run.ask("for another", created(Some(OTHER))).await;
    }
}

async fn describe(run: &mut Run<'_>) {
    make_own(run).await;
    run.ask("all", json!({"Owners": null})).await;
    run.ask("of nobody", json!({"Owners": []})).await;
    let owners = [run.scenario.spiffe_id(), OTHER]
        .map(|name| json!({"PrincipalType": "User", "PrincipalName": name}));
    run.ask("of two", json!({"Owners": owners})).await;
}

async fn renew_or_expire(run: &mut Run<'_>) {
    let fields = |hmac: Json| json!({"Hmac": hmac, "RenewPeriodMs": 3_600_000, "ExpiryTimePeriodMs": 1_800_000});
    run.ask("one that is not", fields(json!("no token's")))
        .await;
    run.ask("another's", fields(json!("$other token"))).await;
    if make_own(run).await {
        run.ask("one's own", fields(json!("$own token"))).await;
    }
}

/// Makes a token of the principal's own and keeps it, if it may have one.
async fn make_own(run: &mut Run<'_>) -> bool {
    let step = "one's own, made first";
    let made = run
        .ask_as(api("CreateDelegationToken"), 3, step, created(None))
        .await;
    let Some(made) = made else {
        return false;
    };
    run.keep("own token", &made, hmac);
    for (side, made) in run.sides.iter_mut().zip(&made) {
        if made.int("ErrorCode") != 0 {
            return false;
        }
        wait_for(side, made.str("TokenId")).await;
    }
    true
}

/// The broker knows a token a moment after the controller has made it.
async fn wait_for(side: &mut Side, id: Option<&str>) {
    let all = side.request(api("DescribeDelegationToken"), 3, &json!({"Owners": null}));
    let deadline = Instant::now() + SETTLE;
    while let Ok(answer) = side.ask(&all).await {
        assert!(
            Instant::now() < deadline,
            "{}: {id:?} never shows",
            side.name
        );
        let mut tokens = answer.body.structs("Tokens");
        if tokens.any(|token| token.str("TokenId") == id) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
