//! Watches whose events come late, and fewer of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Faults;
use crate::api::answer::{Answer, Body};

/// Of the events of a watch, those that somebody learns who was not there: the last of each
/// object, in the order in which they came. Pure.
fn coalesce(events: Vec<Bytes>) -> Vec<Bytes> {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        last.insert(subject(event), at);
    }
    let mut kept: Vec<usize> = last.into_values().collect();
    kept.sort_unstable();
    let mut events: Vec<Option<Bytes>> = events.into_iter().map(Some).collect();
    kept.into_iter()
        .filter_map(|at| events[at].take())
        .collect()
}

/// Which object an event is about; bookmarks are all about one.
fn subject(event: &[u8]) -> String {
    let event: Value = serde_json::from_slice(event).unwrap_or_default();
    let metadata = &event["object"]["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

/// The same watch, blind until the client's requests are let go on.
pub(super) fn watch(
    response: Response<Body>,
    faults: Arc<Faults>,
    client: String,
) -> Response<Body> {
    let (out, lines) = mpsc::channel(64);
    let mut body = response.into_body();
    tokio::spawn(async move {
        let mut held = Vec::new();
        let released = faults.released(&client);
        tokio::pin!(released);
        loop {
            tokio::select! {
                () = &mut released => break,
                frame = body.frame() => match frame {
                    Some(Ok(frame)) => held.extend(frame.into_data().ok()),
                    _ => return,
                },
            }
        }
        for event in coalesce(held) {
            if out.send(Ok(event)).await.is_err() {
                return;
            }
        }
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data()
                && out.send(Ok(data)).await.is_err()
            {
                return;
            }
        }
    });
    Answer::stream(ReceiverStream::new(lines), "application/json").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_event_of_each_object_is_left() {
        let event = |kind: &str, name: &str| {
            Bytes::from(format!(
                r#"{{"type":"{kind}","object":{{"metadata":{{"name":"{name}"}}}}}}"#
            ))
        };
        let events = vec![
            event("ADDED", "a"),
            event("ADDED", "b"),
            event("MODIFIED", "a"),
            event("DELETED", "b"),
            event("MODIFIED", "a"),
        ];
        assert_eq!(
            coalesce(events),
            [event("DELETED", "b"), event("MODIFIED", "a")]
        );
    }
}
