//! The agent's logs, as the API server asks for them.

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use super::logs::{LogOptions, LogReader};
use crate::logs::{LogError, LogRequest, LogSource, LogStream};

impl LogSource for LogReader {
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogError>> {
        let reader = self.clone();
        async move {
            let options = LogOptions {
                follow: request.follow,
                tail: request
                    .tail_lines
                    .and_then(|lines| usize::try_from(lines).ok()),
                previous: request.previous,
            };
            let LogRequest {
                namespace,
                pod,
                uid,
                container,
                ..
            } = &request;
            let lines = reader.open(namespace, pod, uid, container, options).await;
            let lines = lines.map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => LogError::NotYet(error.to_string()),
                _ => LogError::Io(error),
            })?;
            Ok(lines.boxed())
        }
        .boxed()
    }
}
