//! Watches: a stream of changes from a resource version on.
//!
//! A task a watch follows the store and renders what concerns its client. A client that reads
//! too slowly falls behind the history and is told to start again (410).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;

use super::answer::{Accept, Answer};
use super::read::{Selection, rendered};
use super::request::Query;
use super::status::{Reply, Status};
use super::{Api, Call, form};
use crate::resource::Resource;
use crate::store::{Change, ChangeKind, Stored};

/// How often a client that wants bookmarks gets one, as in the real server.
const BOOKMARK: Duration = Duration::from_secs(60);

/// Changes that wait for a slow client, beyond what the connection holds.
const BACKLOG: usize = 64;

/// One client's watch.
struct Watcher {
    api: Arc<Api>,
    resource: Arc<Resource>,
    namespace: Option<String>,
    selection: Selection,
    accept: Accept,
    query: Query,
    bookmarks: bool,
    /// Everything up to this version has been sent.
    cursor: u64,
    /// Whether the client has got a table's columns.
    columns_sent: bool,
    out: mpsc::Sender<Bytes>,
}

// === impl Api ===

impl Api {
    pub(super) async fn watch(self: &Arc<Self>, call: &Call) -> Reply<Answer> {
        let selection = Selection::parse(&call.resource, &call.query, &call.target.name)?;
        let initial = initial(call)?;
        let namespaced = call.resource.namespaced && !call.target.namespace.is_empty();
        let (out, lines) = mpsc::channel(BACKLOG);
        let mut watcher = Watcher {
            api: self.clone(),
            resource: call.resource.clone(),
            namespace: namespaced.then(|| call.target.namespace.clone()),
            selection,
            accept: call.accept,
            query: call.query.clone(),
            bookmarks: call.query.flag("allowWatchBookmarks"),
            cursor: 0,
            columns_sent: false,
            out,
        };
        let mut first = VecDeque::new();
        match initial {
            Initial::From(rv) => {
                // Asked for before the stream starts, so that a late client gets a plain 410 too.
                watcher.cursor = rv;
                if let Err(error) = self.store.changes(Some(&call.resource.storage), rv, rv) {
                    first.push_back(line("ERROR", &Status::expired(error.to_string()).body()));
                }
            }
            Initial::State { marked } => {
                let (rv, objects) = self
                    .store
                    .list(&call.resource.storage, watcher.namespace.as_deref());
                self.settle(rv).await?;
                watcher.cursor = rv;
                for object in &objects {
                    if watcher
                        .selection
                        .matches(&form::shown(&call.resource, &object.value))
                    {
                        first.push_back(watcher.event("ADDED", object));
                    }
                }
                if marked {
                    first.push_back(watcher.bookmark(true));
                }
            }
        }
        let end = Instant::now() + timeout(&call.query);
        tokio::spawn(watcher.run(first, end));
        Ok(Answer::stream(
            ReceiverStream::new(lines).map(Ok),
            "application/json",
        ))
    }
}

/// What a watch starts with.
enum Initial {
    /// The changes after a version.
    From(u64),
    /// The state as it is, with a bookmark at its end if wanted.
    State { marked: bool },
}

fn initial(call: &Call) -> Reply<Initial> {
    let query = &call.query;
    if query.get("sendInitialEvents").is_some() {
        let newer = query.get("resourceVersionMatch") == Some("NotOlderThan");
        if !newer || !query.flag("allowWatchBookmarks") {
            return Err(Status::new(
                http::StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires \
                 setting resourceVersionMatch to NotOlderThan, allowWatchBookmarks: Forbidden: sendInitialEvents \
                 requires allowWatchBookmarks]",
            ));
        }
        if query.flag("sendInitialEvents") {
            return Ok(Initial::State { marked: true });
        }
    }
    match query.get("resourceVersion") {
        None | Some("0") => Ok(Initial::State { marked: false }),
        Some(text) => match text.parse() {
            Ok(rv) => Ok(Initial::From(rv)),
            Err(_) => Err(Status::bad_request(format!(
                "invalid resource version: {text}"
            ))),
        },
    }
}

/// How long a watch lasts: as wanted, or half an hour to an hour.
fn timeout(query: &Query) -> Duration {
    let seconds = query
        .number("timeoutSeconds")
        .filter(|&seconds| seconds > 0);
    Duration::from_secs(seconds.unwrap_or_else(|| rand::rng().random_range(1800..3600)))
}

// === impl Watcher ===

impl Watcher {
    async fn run(mut self, mut first: VecDeque<Bytes>, end: Instant) {
        while let Some(line) = first.pop_front() {
            if self.out.send(line).await.is_err() {
                return;
            }
        }
        let mut bookmark = Instant::now() + BOOKMARK;
        loop {
            tokio::select! {
                reached = self.api.store.beyond(self.cursor) => {
                    if !self.advance(reached).await {
                        return;
                    }
                }
                () = sleep_until(bookmark), if self.bookmarks => {
                    bookmark = Instant::now() + BOOKMARK;
                    if self.out.send(self.bookmark(false)).await.is_err() {
                        return;
                    }
                }
                () = sleep_until(end) => {
                    if self.bookmarks {
                        // The client is leaving anyway if this does not reach it.
                        let _ = self.out.send(self.bookmark(false)).await;
                    }
                    return;
                }
                () = self.api.stop.cancelled() => return,
                () = self.out.closed() => return,
            }
        }
    }

    /// Sends what happened up to `reached`; false if the watch is over.
    async fn advance(&mut self, reached: u64) -> bool {
        match self
            .api
            .store
            .changes(Some(&self.resource.storage), self.cursor, reached)
        {
            Ok(changes) => {
                for change in changes {
                    if let Some(line) = self.render(&change)
                        && self.out.send(line).await.is_err()
                    {
                        return false;
                    }
                }
                self.cursor = self.cursor.max(reached);
                true
            }
            Err(error) => {
                let status = Status::expired(error.to_string());
                let _ = self.out.send(line("ERROR", &status.body())).await;
                false
            }
        }
    }

    /// What a change looks like from here: an object that no longer matches is gone.
    fn render(&mut self, change: &Change) -> Option<Bytes> {
        if self
            .namespace
            .as_ref()
            .is_some_and(|namespace| change.key.namespace != *namespace)
        {
            return None;
        }
        let matches = |object: &Stored| {
            self.selection
                .matches(&form::shown(&self.resource, &object.value))
        };
        let before = change.previous.as_deref().is_some_and(matches);
        let after = change.kind != ChangeKind::Deleted && matches(&change.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.object)),
            (true, true) => Some(self.event("MODIFIED", &change.object)),
            (true, false) if change.kind == ChangeKind::Deleted => {
                Some(self.event("DELETED", &change.object))
            }
            (true, false) => {
                // The last state that did match, at the version at which it stopped to.
                let mut value = change.previous.as_deref()?.value.clone();
                value["metadata"]["resourceVersion"] = change.rv.to_string().into();
                let json = Bytes::from(value.to_string());
                Some(self.event(
                    "DELETED",
                    &Stored {
                        value,
                        json,
                        rv: change.rv,
                    },
                ))
            }
        }
    }

    fn event(&mut self, kind: &str, object: &Stored) -> Bytes {
        if self.accept == Accept::Object {
            return raw_line(kind, &form::shown_json(&self.resource, object));
        }
        let columns = !std::mem::replace(&mut self.columns_sent, true);
        line(
            kind,
            &rendered(&self.resource, self.accept, &self.query, object, columns),
        )
    }

    fn bookmark(&self, initial_end: bool) -> Bytes {
        let mut metadata =
            json!({"resourceVersion": self.cursor.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.accept {
            Accept::Object => {
                json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata})
            }
            Accept::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Accept::Table => {
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": [], "rows": []})
            }
        };
        line("BOOKMARK", &object)
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    raw_line(kind, object.to_string().as_bytes())
}

fn raw_line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}
