//! What the nodes' sidecars have counted, added up over a cluster.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use tubeway_config::{Flow, ports};

/// Flows of all clusters by principal and topic.
pub type Flows = BTreeMap<(String, String), Flow>;

/// What changed between two looks, a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// Principal and topic.
    pub key: (String, String),
    /// Records produced a second.
    pub produced_records: f64,
    /// Bytes produced a second.
    pub produced_bytes: f64,
    /// Records consumed a second.
    pub consumed_records: f64,
    /// Bytes consumed a second.
    pub consumed_bytes: f64,
    /// Refusals in all.
    pub denied: u64,
}

/// Asks each node's sidecar; one that does not answer is left out this time.
pub async fn collect(client: &Client) -> Result<Flows> {
    let pods: Api<Pod> = Api::all(client.clone());
    let nodes = pods
        .list(&ListParams::default().labels("kafka.tubeway.dev/node-id"))
        .await?;
    let asked = nodes.iter().filter_map(admin_address).map(ask);
    let mut sum = Flows::new();
    for flow in futures::future::join_all(asked)
        .await
        .into_iter()
        .flatten()
        .flatten()
    {
        let key = (flow.principal.clone(), flow.topic.clone());
        sum.entry(key)
            .and_modify(|known| known.add(&flow))
            .or_insert(flow);
    }
    Ok(sum)
}

/// Rates between two looks `elapsed` apart. A counter that went back, because
/// its sidecar started anew, counts from zero.
pub fn rates(before: &Flows, after: &Flows, elapsed: Duration) -> Vec<Rate> {
    let zero = Flow::default();
    let seconds = elapsed.as_secs_f64().max(0.001);
    after
        .iter()
        .map(|(key, now)| {
            let then = before.get(key).unwrap_or(&zero);
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
            Rate {
                key: key.clone(),
                produced_records: rate(now.produced_records, then.produced_records),
                produced_bytes: rate(now.produced_bytes, then.produced_bytes),
                consumed_records: rate(now.consumed_records, then.consumed_records),
                consumed_bytes: rate(now.consumed_bytes, then.consumed_bytes),
                denied: now.denied,
            }
        })
        .collect()
}

/// The admin port of a pod that runs as processes of this machine: on the
/// second address of the pod's range (docs/pods.md).
fn admin_address(pod: &Pod) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    let IpAddr::V4(ip) = ip else { return None };
    let [a, b, c, _] = ip.octets();
    ip.is_loopback()
        .then(|| SocketAddr::from((Ipv4Addr::new(a, b, c, 2), ports::ADMIN)))
}

async fn ask(address: SocketAddr) -> Result<Vec<Flow>> {
    tokio::time::timeout(Duration::from_millis(500), async move {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::get("/flows")
            .header("host", address.to_string())
            .body(Empty::<bytes::Bytes>::new())?;
        let body = sender
            .send_request(request)
            .await?
            .into_body()
            .collect()
            .await?;
        driver.abort();
        Ok(serde_json::from_slice(&body.to_bytes())?)
    })
    .await
    .context("no answer")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_differences_and_survive_a_restart_of_the_sidecar() {
        let flows = |records| {
            let flow = Flow {
                produced_records: records,
                ..Flow::default()
            };
            Flows::from([(("p".to_owned(), "t".to_owned()), flow)])
        };
        let rate = |before: &Flows, after: &Flows| {
            let rates = rates(before, after, Duration::from_secs(2));
            format!("{:.1}", rates[0].produced_records)
        };
        assert_eq!(rate(&flows(100), &flows(300)), "100.0");
        assert_eq!(rate(&flows(300), &flows(10)), "0.0");
        assert_eq!(rate(&Flows::new(), &flows(10)), "5.0");
    }
}
