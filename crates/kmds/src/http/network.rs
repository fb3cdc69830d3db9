//! Addresses of clients: which are near, which are trusted proxies, and what `X-Forwarded-For` says.
//!
//! IPv4-mapped IPv6 addresses count as the IPv4 addresses that they are. The guard decides what follows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Address(IpAddr),
    /// A process of this machine that has the right to open the Unix socket.
    Local,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Local => f.write_str("unix"),
        }
    }
}

impl Peer {
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }

    /// Loopback, private (RFC 1918, RFC 4193) or link-local.
    pub(super) fn is_near(self) -> bool {
        match self {
            Self::Local => true,
            Self::Address(IpAddr::V4(v4)) => {
                v4.is_loopback() || v4.is_private() || v4.is_link_local()
            }
            Self::Address(IpAddr::V6(v6)) => {
                v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        }
    }

    /// An IPv4 address is in the IPv6 networks that hold its mapped address.
    pub(super) fn is_in(self, network: &IpNet) -> bool {
        match (network, self) {
            (_, Self::Local) => false,
            (IpNet::V6(_), Self::Address(IpAddr::V4(v4))) => {
                network.contains(&IpAddr::V6(v4.to_ipv6_mapped()))
            }
            (_, Self::Address(address)) => network.contains(&address),
        }
    }
}

/// An entry of `server.trusted_proxies`: an address, a network, or `unix` for all clients of the Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trusted {
    Network(IpNet),
    Unix,
}

impl Trusted {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "unix" {
            return Some(Self::Unix);
        }
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.ok().map(Self::Network)
    }

    pub(super) fn covers(&self, peer: Peer) -> bool {
        match (self, peer) {
            (Self::Unix, Peer::Local) => true,
            (Self::Network(network), peer) => peer.is_in(network),
            _ => false,
        }
    }
}

/// An entry of `X-Forwarded-For`: an address, maybe in quotes, in brackets, with a port or a zone. `None` for any other
/// text, also for an empty entry: then the client is unknown.
pub(super) fn forwarded(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let entry = entry
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(entry);
    if let Ok(address) = entry.parse() {
        return Some(address);
    }
    if let Some((address, port)) = entry
        .split_once(':')
        .filter(|(_, port)| !port.contains(':'))
    {
        return Some(
            address
                .parse::<Ipv4Addr>()
                .ok()
                .filter(|_| is_port(port))?
                .into(),
        );
    }
    let inside = match entry.strip_prefix('[') {
        Some(rest) => {
            rest.split_once(']')
                .filter(|(_, port)| port.is_empty() || port.strip_prefix(':').is_some_and(is_port))?
                .0
        }
        None => entry,
    };
    // A zone names an interface of the proxy.
    let address = inside
        .split_once('%')
        .filter(|(_, zone)| !zone.is_empty())
        .map_or(inside, |(address, _)| address);
    Some(address.parse::<Ipv6Addr>().ok()?.into())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::at(text.parse().expect("an address"))
    }

    #[test]
    fn near_is_loopback_private_and_link_local_only() {
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.9",
            "169.254.3.4",
            "::1",
        ] {
            assert!(peer(near).is_near(), "{near}");
        }
        for near in ["fe80::1", "fd12::1", "::ffff:192.168.0.1"] {
            assert!(peer(near).is_near(), "{near}");
        }
        for far in [
            "8.8.8.8",
            "172.32.0.1",
            "100.64.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(!peer(far).is_near(), "{far}");
        }
    }

    #[test]
    fn networks_cover_what_lies_in_them() {
        for (network, address, covered) in [
            ("10.0.0.0/8", "10.200.3.4", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("0.0.0.0/0", "9.9.9.9", true),
            ("fd00::/8", "fd12::1", true),
            ("::1", "127.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.9.9.9/8", "10.1.1.1", true),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true),
            ("::/0", "10.1.1.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
        ] {
            assert_eq!(
                Trusted::parse(network)
                    .expect(network)
                    .covers(peer(address)),
                covered,
                "{network} {address}"
            );
        }
        assert!(Trusted::parse("unix").expect("unix").covers(Peer::Local));
        for bad in ["", "10.0.0.0/33", "::/129", "example.org", "10.0.0.0/-1"] {
            assert_eq!(Trusted::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn forwarded_addresses_come_with_and_without_a_port() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            (" \t192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:99", "192.0.2.1"),
            ("\"192.0.2.1:99\"", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:99", "2001:db8::1"),
            ("\"[2001:db8::1]:99\"", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ] {
            assert_eq!(forwarded(text.as_bytes()), address.parse().ok(), "{text}");
        }
    }

    #[test]
    fn a_forwarded_entry_that_is_no_address_is_refused() {
        for text in [
            "",
            " ",
            "unknown",
            "_hidden",
            "_hidden:80",
            "localhost",
            "127.1",
            "0x7f.1",
            "2130706433",
            "010.0.0.1",
            "10.0.0.1%eth0",
            "10.0.0.1:",
            "10.0.0.1:80:",
            "10.0.0.1:99999",
            "10.0.0.1:+80",
            "[10.0.0.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:x",
            "::1%",
            "\"10.0.0.1",
            "10.0.0.1 10.0.0.2",
            "for=10.0.0.1",
            "unix:",
            "١٠.0.0.1",
        ] {
            assert_eq!(forwarded(text.as_bytes()), None, "{text}");
        }
        assert_eq!(forwarded(b"\xff"), None);
        assert_eq!(forwarded(b"10.0.0.1\xff"), None);
    }
}
