//! Serves the API from a folder until interrupted: `serve FOLDER [ADDRESS]`.
//!
//! Writes `FOLDER/admin.kubeconfig`; then `kubectl --kubeconfig FOLDER/admin.kubeconfig get ns`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tubeway_localkube::{Config, Server};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("usage: serve FOLDER [ADDRESS]")?);
    let address: SocketAddr = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:16443".into())
        .parse()?;
    let server = Server::start(Config::new(&folder, address)).await?;
    let kubeconfig = folder.join("admin.kubeconfig");
    std::fs::write(&kubeconfig, server.admin_kubeconfig()?)?;
    println!("{} {}", server.url(), kubeconfig.display());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
