//! The controllers.

pub mod apply;
pub mod cluster;
mod cluster_status;
