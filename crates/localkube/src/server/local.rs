//! Clients in the server's own process, without a network in between.

use http::header::{HeaderValue, USER_AGENT};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tower::ServiceExt;

use super::{Front, Server};
use crate::auth::{MASTERS, User};

/// Bytes on their way between such a client and the server.
const BUFFER: usize = 1 << 18;

// === impl Server ===

impl Server {
    /// A client that may do everything, whose requests say that `agent` makes them. HTTP as
    /// over the network, but no port, no TLS, and no real time that passes on the way.
    pub async fn local_client(&self, agent: &str) -> Result<kube::Client, hyper::Error> {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let front = Front {
            api: self.api.clone(),
            faults: self.faults.clone(),
        };
        let user = User::from_certificate("kubernetes-admin".into(), vec![MASTERS.into()]);
        let stop = self.api.stop.clone();
        let served = front.connection(theirs, Some(user));
        self.local.spawn(async move {
            tokio::select! {
                ended = served => if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                },
                () = stop.cancelled() => {}
            }
        });
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(ours));
        let (sender, connection) = handshake.await?;
        tokio::spawn(connection);
        let agent = HeaderValue::from_str(agent).unwrap_or(HeaderValue::from_static("local"));
        let service = tower::service_fn(move |mut request: http::Request<kube::client::Body>| {
            let (mut sender, agent) = (sender.clone(), agent.clone());
            request.headers_mut().insert(USER_AGENT, agent);
            async move {
                sender.ready().await?;
                sender.send_request(request).await
            }
        });
        Ok(kube::Client::new(service.boxed_clone(), "default"))
    }
}
