//! Where a caller is: the host of a rule, read once.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::acl::WILDCARD;

/// The host of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Host {
    /// `*`.
    Any,
    /// An address, which is a network of one, or a network.
    In(Network),
}

/// A network, whose address has no bit set beyond its prefix.
///
/// IPv4 addresses that come inside IPv6 ones (`::ffff:10.0.0.1`, what a socket
/// for both gives) are IPv4 addresses here, as they are in Java.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no host of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum HostError {
    /// Neither `*`, an address nor a network.
    #[error(
        "host {0:?} is not allowed: write * for any, an address such as 10.1.2.3 or fd00::1, or a network such as 10.1.0.0/16"
    )]
    Unreadable(String),
    /// The network's address has bits beyond the prefix: the two disagree.
    #[error(
        "host {text:?} is not allowed: {text} is an address in {network}; write {network} for the network, or the address alone"
    )]
    HostBits {
        /// What was written.
        text: String,
        /// The network that it is in.
        network: String,
    },
}

// === impl Host ===

impl Host {
    /// Whether a caller at this address is meant; `address` is canonical.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::In(network) => Network::around(address, network.bits) == Some(network),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == WILDCARD {
            return Ok(Self::Any);
        }
        let unreadable = || HostError::Unreadable(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(prefix_length(bits).ok_or_else(unreadable)?)),
        };
        let address: IpAddr = address.parse().map_err(|_| unreadable())?;
        let bits = bits.unwrap_or(width(address));
        if bits > width(address) {
            return Err(unreadable());
        }
        let (address, bits) = match address.to_canonical() {
            // `::ffff:0.0.0.0/96` is all of IPv4; a wider one is no network of it.
            v4 @ IpAddr::V4(_) if address.is_ipv6() && bits >= 96 => (v4, bits - 96),
            IpAddr::V4(_) if address.is_ipv6() => (address, bits),
            canonical => (canonical, bits),
        };
        let network = Network::around(address, bits).ok_or_else(unreadable)?;
        if network.address == address {
            Ok(Self::In(network))
        } else {
            Err(HostError::HostBits {
                text: text.to_owned(),
                network: network.to_string(),
            })
        }
    }
}

/// The one written form, without a prefix for a single address.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(WILDCARD),
            Self::In(network) => network.fmt(f),
        }
    }
}

// === impl Network ===

impl Network {
    /// The network of this prefix length that an address is in; none if its
    /// kind of address has no such length.
    pub(crate) fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) => {
                let low = 32u32.checked_sub(bits.into())?;
                let mask = u32::MAX.checked_shl(low).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let low = 128u32.checked_sub(bits.into())?;
                let mask = u128::MAX.checked_shl(low).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(Self { address, bits })
    }

    /// Length of the prefix.
    pub(crate) fn bits(self) -> u8 {
        self.bits
    }

    /// Whether it is of IPv6.
    pub(crate) fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Plain digits, as the standard library's number reader also takes a sign.
fn prefix_length(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_read_and_written_in_one_form() {
        for (text, written, inside, outside) in [
            ("*", "*", "fd00::1", None),
            ("10.1.2.3", "10.1.2.3", "10.1.2.3", Some("10.1.2.4")),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.3", Some("10.1.2.2")),
            ("10.1.0.0/16", "10.1.0.0/16", "10.1.9.9", Some("10.2.0.0")),
            ("10.1.2.2/31", "10.1.2.2/31", "10.1.2.3", Some("10.1.2.4")),
            ("0.0.0.0/0", "0.0.0.0/0", "1.2.3.4", Some("::1")),
            ("::/0", "::/0", "::1", Some("1.2.3.4")),
            ("fd00:0::1", "fd00::1", "fd00::1", Some("fd00::2")),
            ("fd00::/8", "fd00::/8", "fdff::9", Some("fe00::")),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1", Some("10.0.0.2")),
            (
                "::ffff:10.0.0.0/104",
                "10.0.0.0/8",
                "10.9.9.9",
                Some("11.0.0.0"),
            ),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(host), "{text}");
            assert!(host.contains(inside.parse().unwrap()), "{text}");
            if let Some(outside) = outside {
                assert!(!host.contains(outside.parse().unwrap()), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            " ",
            "10.1.2",
            "10.1.2.3 ",
            "010.1.2.3",
            "host.example",
            "**",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            "fd00::/129",
            "fe80::1%eth0",
            "[::1]",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/-1",
            "10.0.0.0/999",
        ] {
            let error = text.parse::<Host>().unwrap_err();
            assert_eq!(error, HostError::Unreadable(text.to_owned()));
        }
    }

    #[test]
    fn a_network_with_bits_of_a_host_is_told_the_right_one() {
        for (text, right) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/31", "10.1.2.2/31"),
            ("fd00::1/64", "fd00::/64"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            // Wider than all of IPv4, so a network of IPv6.
            ("::ffff:10.0.0.0/90", "::ffc0:0:0/90"),
        ] {
            let error = text.parse::<Host>().unwrap_err();
            let HostError::HostBits { network, .. } = &error else {
                panic!("{text}: {error}");
            };
            assert_eq!(network, right, "{text}");
            assert!(error.to_string().contains(right));
        }
    }
}
