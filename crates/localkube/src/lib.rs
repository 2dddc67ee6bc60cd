//! The Kubernetes API and a node agent on one machine.
//!
//! [`Server`] serves the API over HTTPS from a folder. Clients are `kubectl`, kube-rs and
//! whatever else speaks to a kube-apiserver; what it answers is what a kube-apiserver would.
//! [`agent`] runs pods as processes; to the API it is an ordinary client.

pub mod agent;
mod api;
mod auth;
mod controllers;
pub mod fault;
pub mod logs;
mod objects;
pub mod pure;
mod resource;
mod server;
mod store;
mod strategy;
mod table;

pub use auth::tokens::KeyError;
pub use server::{Config, PkiError, Server, StartError};
pub use store::{Durability, StoreError};
