//! What goes wrong between the operator and Kubernetes.

use kube::core::response::Status;

/// A step that could not be taken. It is taken again later; nothing that was
/// done before it has to be undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API refused or did not answer.
    #[error("{what} failed")]
    Kubernetes {
        /// What was tried, as in `apply Service kafka/demo-nodes`.
        what: String,
        /// What the API, or the way to it, said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of the name that is needed belongs to another cluster.
    #[error(
        "{object} belongs to KafkaCluster {owner}: names of clusters and pools must not lead to the \
         same names of objects; give the pool or the cluster another name"
    )]
    Taken {
        /// Kind, namespace and name.
        object: String,
        /// Name of the cluster that it belongs to.
        owner: String,
    },
    /// An object says something that the operator did not write.
    #[error("{object} is damaged: {problem}; {remedy}")]
    Damaged {
        /// Kind, namespace and name.
        object: String,
        /// What is wrong with it.
        problem: String,
        /// What somebody should do.
        remedy: &'static str,
    },
}

/// The answer of a step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

// === impl Error ===

impl Error {
    /// A failed call, with what it was for.
    pub fn kubernetes(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Kubernetes {
            what,
            source: Box::new(source),
        }
    }

    /// What the API answered, where it did.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Kubernetes { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Damaged { .. } | Self::Taken { .. } => None,
        }
    }

    /// Whether somebody else was faster: look again rather than complain.
    pub fn is_race(&self) -> bool {
        self.status()
            .is_some_and(|s| s.is_conflict() || s.is_not_found() || s.is_already_exists())
    }

    /// Whether the API has understood and does not do it: that will be so until
    /// somebody changes something.
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|s| matches!(s.code, 403 | 422))
    }

    /// The error with its causes, in one line.
    pub fn full(&self) -> String {
        match self {
            Self::Kubernetes { what, source } => format!("{what} failed: {source}"),
            other => other.to_string(),
        }
    }
}
