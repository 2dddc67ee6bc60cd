//! A request on its way to the API, past the faults.

use std::future::pending;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use super::{Asked, Fault, Faults, blind, stale};
use crate::api::Api;
use crate::api::answer::{Answer, Body};
use crate::api::request::Query;
use crate::api::status::Status;
use crate::auth::User;

/// The connection is cut in place of an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault on purpose cuts the connection")]
pub(crate) struct Cut;

/// One request of a client that has a plan.
struct Passing<'a> {
    faults: &'a Arc<Faults>,
    api: Arc<Api>,
    peer: Option<User>,
    client: String,
    number: usize,
}

// === impl Faults ===

impl Faults {
    /// Answers a request, unless its client's plan says otherwise.
    pub(crate) async fn pass(
        self: &Arc<Self>,
        api: Arc<Api>,
        request: Request<Incoming>,
        peer: Option<User>,
    ) -> Result<Response<Body>, Cut> {
        let query = Query::parse(request.uri());
        let Some(client) = self.client(request.headers(), &query) else {
            return Ok(api.handle(request, peer).await);
        };
        let asked = Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            watch: query.flag("watch"),
        };
        let Some((number, fault)) = self.meet(&client, asked) else {
            return Ok(api.handle(request, peer).await);
        };
        let passing = Passing {
            faults: self,
            api,
            peer,
            client,
            number,
        };
        match fault {
            None => Ok(passing.answer(request).await),
            Some(fault) => passing.through(fault, request).await,
        }
    }

    fn client(&self, headers: &HeaderMap, query: &Query) -> Option<String> {
        let agent = headers
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        let agent = agent.and_then(|agent| agent.split('/').next());
        let names = [agent, query.get("fieldManager")];
        let known = names.into_iter().flatten().find(|name| self.knows(name))?;
        Some(known.to_owned())
    }
}

// === impl Passing ===

impl Passing<'_> {
    async fn through(
        self,
        fault: Fault,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        match fault {
            Fault::CrashBefore => {
                self.faults.crash(&self.client);
                pending().await
            }
            Fault::CrashAfter => {
                self.answer(request).await;
                self.faults.crash(&self.client);
                pending().await
            }
            Fault::LostRequest => Err(Cut),
            Fault::LostAnswer => {
                self.answer(request).await;
                Err(Cut)
            }
            Fault::Conflict => {
                let why = "the object has been modified; please apply your changes to the latest version and try again";
                let status = Status::new(StatusCode::CONFLICT, "Conflict", why);
                Ok(Answer::refusal(&status).into_response())
            }
            Fault::Error { code, retry_after } => Ok(refused(code, retry_after)),
            Fault::Hold => {
                self.faults.released(&self.client).await;
                Ok(self.answer(request).await)
            }
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(self.answer(request).await)
            }
            Fault::Stale(version) => Ok(self.stale(version, request).await),
            Fault::WatchGone => {
                let status = Status::expired("too old resource version: a fault on purpose");
                Ok(Answer::refusal(&status).into_response())
            }
            Fault::WatchCut => {
                let nothing = futures::stream::empty();
                Ok(Answer::stream(nothing, "application/json").into_response())
            }
            Fault::WatchBlind => {
                let (faults, client) = (Arc::clone(self.faults), self.client.clone());
                Ok(blind::watch(self.answer(request).await, faults, client))
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let response = Arc::clone(&self.api)
            .handle(request, self.peer.clone())
            .await;
        let status = response.status().as_u16();
        let version = self.api.store.rv();
        self.faults
            .answered(&self.client, self.number, status, version);
        response
    }

    /// Answers as of a resource version. What is no read of objects is answered as ever.
    async fn stale(&self, version: u64, request: Request<Incoming>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let target = crate::api::request::Route::parse(parts.uri.path());
        let is_list = match target {
            crate::api::request::Route::Resource(target) => target.name.is_empty(),
            crate::api::request::Route::Other => {
                return self.answer(Request::from_parts(parts, body)).await;
            }
        };
        let Some(rewritten) = stale::rewrite(&parts.uri, is_list, version) else {
            return self.answer(Request::from_parts(parts, body)).await;
        };
        parts.uri = rewritten.uri;
        let response = self.answer(Request::from_parts(parts, body)).await;
        let Some(name) = rewritten.name.filter(|_| response.status().is_success()) else {
            return response;
        };
        let collected = response.into_body().collect().await;
        let bytes = collected.map(http_body_util::Collected::to_bytes);
        let list = bytes.ok().and_then(|b| serde_json::from_slice(&b).ok());
        if let Some(object) = list.and_then(stale::only_item) {
            return Answer::json(&object).into_response();
        }
        let message = format!("{name:?} not found");
        let status = Status::new(StatusCode::NOT_FOUND, "NotFound", message);
        Answer::refusal(&status).into_response()
    }
}

fn refused(code: u16, retry_after: Option<u64>) -> Response<Body> {
    let (code, reason) = match code {
        429 => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        503 => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        504 => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
        code => (
            StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "InternalError",
        ),
    };
    let mut status = Status::new(code, reason, "a fault on purpose");
    if let Some(seconds) = retry_after {
        status.details = json!({"retryAfterSeconds": seconds});
    }
    Answer::refusal(&status).into_response()
}
