//! Ports that stay ours until a program listens on them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// A loopback port of the system's choice. As long as this is held, the system gives the
/// port to nobody; a program of the same user that shares ports can listen on it all the
/// same, and gets all connections, because this does not listen.
#[derive(Debug)]
pub(super) struct Reserved {
    port: u16,
    _socket: OwnedFd,
}

// === impl Reserved ===

impl Reserved {
    /// Reserves one.
    pub(super) fn new() -> io::Result<Self> {
        // Not for children: the port would stay reserved as long as they live.
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        set_socket_reuseport(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddrV4::try_from(getsockname(&socket)?)?;
        Ok(Self {
            port: address.port(),
            _socket: socket,
        })
    }

    /// Which.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn nobody_else_gets_a_reserved_port() {
        let reserved = Reserved::new().unwrap();
        let address = (Ipv4Addr::LOCALHOST, reserved.port());
        assert!(TcpListener::bind(address).is_err());
        drop(reserved);
        assert!(TcpListener::bind(address).is_ok());
    }
}
