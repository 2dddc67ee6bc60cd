//! The API: from a request to an answer.
//!
//! A request passes through here once: who asks, may they, what do they ask; then one function a
//! verb answers. Refusals are [`status::Status`] values all the way up and become bytes here.

pub(crate) mod answer;
mod body;
mod delete;
pub(crate) use delete::key_of;
mod discovery;
mod form;
mod openapi;
mod options;
mod patch;
mod protobuf;
mod read;
pub(crate) mod request;
mod review;
pub(crate) mod status;
mod subresource;
mod watch;
mod write;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::auth::rules::{Rules, Snapshot};
use crate::auth::tokens::Tokens;
use crate::auth::{User, groups_of_service_account};
use crate::logs::LogSource;
use crate::pure::rbac::Attributes;
use crate::resource::{Registry, Resource};
use crate::store::{Store, StoreError};
use answer::{Accept, Answer, Body};
use request::{Query, Route, Target};
use status::{Reply, Status};

/// Everything that requests share.
pub(crate) struct Api {
    /// All objects.
    pub(crate) store: Arc<Store>,
    /// All kinds.
    pub(crate) registry: Registry,
    /// Signs and checks tokens.
    pub(crate) tokens: Tokens,
    /// The CA that signed the server's certificate, PEM.
    pub(crate) ca_pem: String,
    /// Ends watches when the server stops.
    pub(crate) stop: CancellationToken,
    rules: Rules,
    logs: RwLock<Option<Arc<dyn LogSource>>>,
    /// Held while a service gets its address, so that no two get the same.
    addresses: Mutex<()>,
    /// Held while an eviction is weighed and done.
    evictions: Mutex<()>,
}

/// A request to a resource, with all that is known about it but its body.
pub(crate) struct Call {
    /// Who asks.
    pub(crate) user: User,
    /// What for.
    pub(crate) target: Target,
    /// Description of that.
    pub(crate) resource: Arc<Resource>,
    /// Parameters.
    pub(crate) query: Query,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// In which form the answer is wanted.
    pub(crate) accept: Accept,
    /// Whether this is a patch, whose errors are about the patch.
    pub(crate) patch: bool,
}

// === impl Call ===

impl Call {
    /// Who writes, for `managedFields`: the parameter, or the program's name.
    pub(crate) fn manager(&self) -> String {
        let agent = self
            .headers
            .get(http::header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        let program = agent
            .unwrap_or("unknown")
            .split('/')
            .next()
            .unwrap_or_default();
        self.query.get("fieldManager").unwrap_or(program).to_owned()
    }

    /// Whether nothing is to be stored.
    pub(crate) fn dry_run(&self) -> bool {
        self.query.get("dryRun").is_some()
    }
}

// === impl Api ===

impl Api {
    /// An API over `store`.
    pub(crate) fn new(store: Arc<Store>, tokens: Tokens, ca_pem: String) -> Self {
        Self {
            registry: Registry::new(&store),
            store,
            tokens,
            ca_pem,
            stop: CancellationToken::new(),
            rules: Rules::default(),
            logs: RwLock::default(),
            addresses: Mutex::default(),
            evictions: Mutex::default(),
        }
    }

    /// Where logs of pods come from, from now on.
    pub(crate) fn set_log_source(&self, source: Arc<dyn LogSource>) {
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Answers one request; `peer` is the user of the connection's client certificate.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Option<User>,
    ) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = match self.answer(request, peer).await {
            Ok(answer) => answer.into_response(),
            Err(status) => Answer::refusal(&status).into_response(),
        };
        tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
        response
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Option<User>,
    ) -> Reply<Answer> {
        let (parts, body) = request.into_parts();
        let query = Query::parse(&parts.uri);
        let path = parts.uri.path();
        if let Some(answer) = self.open_path(path) {
            return Ok(answer);
        }
        let user = self.authenticate(&parts.headers, peer)?;
        let user = self.impersonate(&parts.headers, user)?;
        let accept = Accept::parse(&parts.headers)?;
        let target = match Route::parse(path) {
            Route::Resource(target) => target,
            Route::Other => {
                self.check_path(&user, path, &parts.method)?;
                return self.other(path, &parts.method, &parts.headers);
            }
        };
        let verb = target.verb(&parts.method, &query);
        self.check_target(&user, &target, verb)?;
        let catalog = self.registry.catalog();
        let resource = catalog
            .find(&target.group, &target.version, &target.resource)
            .ok_or_else(|| {
                let known = crate::resource::BUILTIN
                    .iter()
                    .any(|resource| resource.group == target.group);
                if known {
                    Status::no_such_resource()
                } else {
                    Status::no_such_path()
                }
            })?;
        // Names of all namespaces can be asked for, but nothing can be in "no namespace".
        let misplaced =
            !resource.namespaced && !target.namespace.is_empty() && !resource.is_core("namespaces");
        let homeless =
            resource.namespaced && target.namespace.is_empty() && !target.name.is_empty();
        if misplaced || homeless {
            return Err(Status::no_such_path());
        }
        let call = Call {
            user,
            target,
            resource,
            query,
            headers: parts.headers,
            accept,
            patch: verb == "patch",
        };
        self.serve(&call, verb, body).await
    }

    async fn serve(self: &Arc<Self>, call: &Call, verb: &str, body: Incoming) -> Reply<Answer> {
        if call.resource.review {
            return if verb == "create" {
                self.review(call, body).await
            } else {
                Err(Status::method_not_allowed())
            };
        }
        if !matches!(&*call.target.subresource, "" | "status")
            || (!call.resource.status && !call.target.subresource.is_empty())
        {
            return self.subresource(call, verb, body).await;
        }
        options::check(call, verb)?;
        // All of a namespace may go at once, never all of all namespaces, nor all namespaces.
        let everywhere = call.target.namespace.is_empty()
            && (call.resource.namespaced || call.resource.is_core("namespaces"));
        match verb {
            "get" => self.get(call).await,
            "list" => self.list(call).await,
            "watch" => self.watch(call).await,
            // Without its namespace the path of a custom resource takes nothing new.
            "create" if everywhere && call.resource.crd.is_some() => Err(Status::no_such_path()),
            "create" if everywhere && call.resource.namespaced => Err(Status::method_not_allowed()),
            "create" if call.target.name.is_empty() => self.create(call, body).await,
            "update" if !call.target.name.is_empty() => self.update(call, body).await,
            "patch" if !call.target.name.is_empty() => self.patch(call, body).await,
            "delete" if call.target.subresource.is_empty() => self.delete(call, body).await,
            "deletecollection" if !everywhere => self.delete_collection(call, body).await,
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// What everybody may know without saying who they are.
    fn open_path(&self, path: &str) -> Option<Answer> {
        match path.trim_end_matches('/') {
            "/version" => Some(Answer::json(&discovery::version())),
            "/healthz" | "/livez" => Some(Answer::text("ok")),
            "/readyz" => Some(match self.store.health() {
                Ok(()) => Answer::text("ok"),
                Err(error) => Answer::refusal(&Status::internal(error)),
            }),
            _ => None,
        }
    }

    fn authenticate(&self, headers: &HeaderMap, peer: Option<User>) -> Reply<User> {
        let header = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
            return peer.ok_or_else(Status::unauthorized);
        };
        let audience = [self.tokens.issuer().to_owned()];
        let now = Timestamp::now().as_second();
        match self
            .tokens
            .verify(token.trim(), &audience, now, &self.store)
        {
            Ok((user, _)) => Ok(user),
            Err(reason) => {
                tracing::info!(%reason, "refused a token");
                Err(Status::unauthorized())
            }
        }
    }

    /// The user whom an allowed user wants to be.
    fn impersonate(&self, headers: &HeaderMap, user: User) -> Reply<User> {
        let all = |name: &str| -> Vec<String> {
            headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .map(str::to_owned)
                .collect()
        };
        let (names, groups, uids) = (
            all("impersonate-user"),
            all("impersonate-group"),
            all("impersonate-uid"),
        );
        let Some(name) = names.into_iter().next() else {
            let lonely = !groups.is_empty() || !uids.is_empty();
            let message = "requested impersonation without impersonating a user";
            return if lonely {
                Err(Status::internal(message))
            } else {
                Ok(user)
            };
        };
        self.check_impersonation(&user, "users", &name)?;
        for group in &groups {
            self.check_impersonation(&user, "groups", group)?;
        }
        for uid in &uids {
            self.check_impersonation(&user, "uids", uid)?;
        }
        let mut groups = groups;
        if groups.is_empty() {
            groups.extend(groups_of_service_account(&name).into_iter().flatten());
        }
        let everybody = crate::auth::AUTHENTICATED.to_owned();
        if name != "system:anonymous" && !groups.contains(&everybody) {
            groups.push(everybody);
        }
        let uid = uids.into_iter().next().unwrap_or_default();
        Ok(User {
            name,
            uid,
            groups,
            extra: std::collections::BTreeMap::default(),
        })
    }

    fn check_impersonation(&self, user: &User, resource: &str, name: &str) -> Reply<()> {
        let account = name
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'));
        let target = match account {
            Some((namespace, name)) if resource == "users" => Target {
                namespace: namespace.into(),
                resource: "serviceaccounts".into(),
                name: name.into(),
                ..Target::default()
            },
            _ => {
                let group = if resource == "uids" {
                    "authentication.k8s.io"
                } else {
                    ""
                };
                Target {
                    group: group.into(),
                    resource: resource.into(),
                    name: name.into(),
                    ..Target::default()
                }
            }
        };
        self.check_target(user, &target, "impersonate")
    }

    /// Roles and bindings as they are now.
    fn rules(&self) -> Arc<Snapshot> {
        self.rules.snapshot(&self.store)
    }

    fn check_target(&self, user: &User, target: &Target, verb: &str) -> Reply<()> {
        let attributes = Attributes {
            user: user.name.clone(),
            groups: user.groups.clone(),
            verb: verb.into(),
            group: target.group.clone(),
            resource: target.resource.clone(),
            subresource: target.subresource.clone(),
            name: target.name.clone(),
            namespace: target.namespace.clone(),
            non_resource_path: None,
        };
        let decision = self.rules().decide(&attributes);
        if decision.allowed {
            Ok(())
        } else {
            Err(refusal(&attributes))
        }
    }

    fn check_path(&self, user: &User, path: &str, method: &Method) -> Reply<()> {
        let attributes = Attributes {
            user: user.name.clone(),
            groups: user.groups.clone(),
            verb: method.as_str().to_lowercase(),
            non_resource_path: Some(path.into()),
            ..Attributes::default()
        };
        let decision = self.rules().decide(&attributes);
        if decision.allowed {
            Ok(())
        } else {
            Err(refusal(&attributes))
        }
    }

    /// Waits until what an answer tells is on disk.
    async fn settle(&self, rv: u64) -> Reply<()> {
        self.store
            .settled(rv)
            .await
            .map_err(|error: StoreError| Status::internal(error))
    }
}

/// The time as objects carry it.
pub(crate) fn now() -> String {
    let seconds = Timestamp::now().as_second();
    Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

/// A refusal in the words of the real server.
fn refusal(a: &Attributes) -> Status {
    let mut status = Status::new(http::StatusCode::FORBIDDEN, "Forbidden", String::new());
    status.details = serde_json::json!({});
    if let Some(path) = &a.non_resource_path {
        status.message = format!(
            "forbidden: User \"{}\" cannot {} path \"{path}\"",
            a.user, a.verb
        );
        return status;
    }
    let resource = match &*a.subresource {
        "" => a.resource.clone(),
        subresource => format!("{}/{subresource}", a.resource),
    };
    let place = match &*a.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let qualified = crate::resource::qualified(&a.group, &a.resource);
    let subject = if a.name.is_empty() {
        qualified
    } else {
        format!("{qualified} \"{}\"", a.name)
    };
    status.message = format!(
        "{subject} is forbidden: User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" {place}",
        a.user, a.verb, a.group
    );
    status.details = serde_json::json!({"kind": a.resource});
    if !a.name.is_empty() {
        status.details["name"] = a.name.clone().into();
    }
    if !a.group.is_empty() {
        status.details["group"] = a.group.clone().into();
    }
    status
}
