//! The one writer of a pod's status.

use super::board::PodBoard;
use super::node::Node;
use super::status::pod_status;
use super::store::{PodId, StoreError};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Writes a pod's status whenever it differs from what was written last.
pub(crate) struct Reporter {
    node: Arc<Node>,
    id: PodId,
    object: watch::Receiver<Arc<Pod>>,
    board: watch::Receiver<PodBoard>,
    written: Option<PodStatus>,
}

const RETRY: Duration = Duration::from_secs(1);
/// Attempts to write the last status of a pod whose containers are gone.
const LAST_ATTEMPTS: u32 = 5;

// === impl Reporter ===

impl Reporter {
    pub(crate) fn new(
        node: &Arc<Node>,
        id: &PodId,
        object: watch::Receiver<Arc<Pod>>,
        board: watch::Receiver<PodBoard>,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            id: id.clone(),
            object,
            board,
            written: None,
        }
    }

    /// Writes until the board is closed and its last state is written, or the pod is gone.
    pub(crate) async fn run(mut self) {
        let mut attempts = 0;
        loop {
            let status = self.status();
            if self.written.as_ref() != Some(&status) {
                match self.node.store.write_status(&self.id, &status).await {
                    Ok(()) => {
                        attempts = 0;
                        self.written = Some(status);
                    }
                    Err(StoreError::Gone { .. }) => return,
                    Err(error) => {
                        attempts += 1;
                        let closed = self.board.has_changed().is_err();
                        tracing::warn!(pod = %self.id, %error, "pod status not written");
                        if closed && attempts >= LAST_ATTEMPTS {
                            return;
                        }
                        sleep(RETRY).await;
                        continue;
                    }
                }
            }
            tokio::select! {
                biased;
                changed = self.board.changed() => if changed.is_err() { return },
                Ok(()) = self.object.changed() => {}
            }
        }
    }

    /// The present status. Conditions keep their times from what was written last, which the
    /// object may not show yet; those of others come from the object.
    fn status(&mut self) -> PodStatus {
        let mut pod = Pod::clone(&self.object.borrow_and_update());
        if let Some(written) = &self.written {
            let own = written.conditions.iter().flatten();
            let own: Vec<_> = own.cloned().collect();
            let status = pod.status.get_or_insert_default();
            let others = status.conditions.take().unwrap_or_default();
            let mut conditions = own;
            for other in others {
                if conditions.iter().all(|known| known.type_ != other.type_) {
                    conditions.push(other);
                }
            }
            status.conditions = Some(conditions);
        }
        let host_ip = self.node.host_ip.to_string();
        pod_status(
            &pod,
            &self.board.borrow_and_update(),
            &host_ip,
            super::now(),
        )
    }
}
