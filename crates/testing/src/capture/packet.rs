//! From a packet's bytes to its TCP segment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;

/// What comes before the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    /// Linux "cooked", as of the interface `any`.
    Cooked,
    Cooked2,
}

/// One TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) payload: &'a [u8],
}

// === impl Link ===

impl Link {
    /// By its number in a capture file.
    pub(super) fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }

    /// The protocol behind the link's header, and its bytes.
    fn strip(self, packet: &[u8]) -> Option<(u16, &[u8])> {
        let (kind_at, len) = match self {
            Self::Ethernet => (12, 14),
            Self::Cooked => (14, 16),
            Self::Cooked2 => (0, 20),
        };
        Some((u16_at(packet, kind_at)?, packet.get(len..)?))
    }
}

// === impl Segment ===

impl<'a> Segment<'a> {
    /// The segment in a packet, if it is whole and there is one.
    pub(super) fn parse(link: Link, packet: &'a [u8]) -> Option<Self> {
        let (kind, packet) = link.strip(packet)?;
        match kind {
            IPV4 => Self::parse_v4(packet),
            IPV6 => Self::parse_v6(packet),
            _ => None,
        }
    }

    fn parse_v4(packet: &'a [u8]) -> Option<Self> {
        let header = usize::from(packet.first()? & 0xf) * 4;
        // A length of 0 is that of a packet too big for the field.
        let end = match u16_at(packet, 2)? {
            0 => packet.len(),
            total => usize::from(total),
        };
        if *packet.get(9)? != TCP {
            return None;
        }
        let address = |at| Some(IpAddr::from(Ipv4Addr::from(*array::<4>(packet, at)?)));
        Self::parse_tcp(address(12)?, address(16)?, packet.get(header..end)?)
    }

    fn parse_v6(packet: &'a [u8]) -> Option<Self> {
        const HEADER: usize = 40;
        let end = match u16_at(packet, 4)? {
            0 => packet.len(),
            payload => HEADER + usize::from(payload),
        };
        if *packet.get(6)? != TCP {
            return None;
        }
        let address = |at| Some(IpAddr::from(Ipv6Addr::from(*array::<16>(packet, at)?)));
        Self::parse_tcp(address(8)?, address(24)?, packet.get(HEADER..end)?)
    }

    fn parse_tcp(from: IpAddr, to: IpAddr, tcp: &'a [u8]) -> Option<Self> {
        let header = usize::from(tcp.get(12)? >> 4) * 4;
        let flags = tcp.get(13)?;
        Some(Self {
            from: (from, u16_at(tcp, 0)?).into(),
            to: (to, u16_at(tcp, 2)?).into(),
            seq: u32::from_be_bytes(*array(tcp, 4)?),
            syn: flags & 0x02 != 0,
            ack: flags & 0x10 != 0,
            payload: tcp.get(header..)?,
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*array(bytes, at)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100), kind in 0..3,
        ) {
            let link = [Link::Ethernet, Link::Cooked, Link::Cooked2][kind as usize];
            let mut bytes = bytes;
            let _ = Segment::parse(link, &bytes);
            // Most random bytes are no IP packet; these are.
            if bytes.len() > 30 {
                bytes[12..14].copy_from_slice(&[8, 0]);
                bytes[14] = 0x45;
                bytes[23] = TCP;
                let _ = Segment::parse(Link::Ethernet, &bytes);
            }
        }
    }
}
