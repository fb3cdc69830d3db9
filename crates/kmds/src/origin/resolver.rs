//! The addresses to which KMDS may connect.
//!
//! Owns the table of addresses that never belong to a site, and the resolver that refuses a name if one of its
//! addresses is in that table, for every connection, also after redirects. Behind a proxy it is not used: the proxy
//! resolves names. [`super::url`] decides which names are allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The address family of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// A block of addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block(IpNet);

/// The value of a setting that is no block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address and no block of addresses such as 192.0.2.0/24")]
pub struct BlockError(String);

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let plain: String = text.split_whitespace().collect();
        let block = plain
            .parse()
            .or_else(|_| plain.parse::<IpAddr>().map(IpNet::from));
        block.map(Self).map_err(|_| BlockError(text.to_owned()))
    }
}

impl Block {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// Blocks that are never on the public internet, or mean something else there (IANA special-purpose registries).
const NEVER_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// The only public block of IPv6.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);
/// Blocks inside it that are not public.
const NEVER_V6: [Ipv6Net; 3] = [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x3fff, 0, 20)];

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// Whether a public site can have this address. An IPv4 address inside an IPv6 address counts as that IPv4 address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NEVER_V4.iter().any(|block| block.contains(&v4)),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(inner) => is_public(inner.into()),
            None => PUBLIC_V6.contains(&v6) && !NEVER_V6.iter().any(|block| block.contains(&v6)),
        },
    }
}

/// The IPv4 address that an IPv6 one leads to: mapped (`::ffff:0:0/96`), NAT64 (`64:ff9b::/96`), 6to4 (`2002::/16`).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(g, h)),
        (0x2002, high, low, ..) => Some(join(high, low)),
        _ => None,
    }
}

/// Why a connection was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to {address}, which is {why}; no connection was made")]
pub struct AddressRefused {
    host: String,
    address: IpAddr,
    why: &'static str,
}

/// Resolves names and refuses addresses. One for each way out.
#[derive(Debug, Clone)]
pub(super) struct FilteringResolver(Arc<AddressRules>);

#[derive(Debug)]
struct AddressRules {
    forbid: Vec<Block>,
    family: Option<Family>,
    /// The family whose outside address was checked; then no other family is used.
    checked: OnceLock<Family>,
}

impl FilteringResolver {
    pub(super) fn new(forbid: Vec<Block>, family: Option<Family>) -> Self {
        Self(Arc::new(AddressRules {
            forbid,
            family,
            checked: OnceLock::new(),
        }))
    }

    /// Allows connections of this family only, from now on; the first call counts.
    pub(super) fn pin(&self, family: Family) {
        let _ = self.0.checked.set(family);
    }

    /// The addresses of this name, of the allowed family.
    /// # Errors
    /// If one of them is forbidden, the whole name is refused.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, String> {
        let found = addresses_of(host.to_owned())
            .await
            .map_err(|error| format!("{host} cannot be found: {error}"))?;
        self.0
            .admit(host, found)
            .map_err(|refused| refused.to_string())
    }

    /// Checks that this address is allowed.
    pub(super) fn admits(&self, address: IpAddr) -> Result<(), String> {
        let at = vec![SocketAddr::new(address, 0)];
        self.0
            .admit(&address.to_string(), at)
            .map(drop)
            .map_err(|refused| refused.to_string())
    }
}

impl AddressRules {
    /// All addresses must pass: a name with one public and one private address is a trick, not a site.
    fn admit(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, AddressRefused> {
        for at in &found {
            let refused = |why| AddressRefused {
                host: host.to_owned(),
                address: at.ip(),
                why,
            };
            if !is_public(at.ip()) {
                return Err(refused("not a public address"));
            }
            if self.forbid.iter().any(|block| block.contains(at.ip())) {
                return Err(refused("forbidden by `egress.forbid`"));
            }
        }
        let of_family = |at: &SocketAddr| {
            [self.family, self.checked.get().copied()]
                .iter()
                .flatten()
                .all(|family| *family == Family::of(at.ip()))
        };
        Ok(found.into_iter().filter(of_family).collect())
    }
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = addresses_of(host.clone())
                .await
                .map_err(|error| format!("cannot resolve {host}: {error}"))?;
            let admitted = rules.admit(&host, found)?;
            if admitted.is_empty() {
                return Err(format!("{host} has no address of the wanted family").into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Asks the system's resolver, on a blocking thread. Port 0 stands for the scheme's own; the client sets it.
async fn addresses_of(host: String) -> std::io::Result<Vec<SocketAddr>> {
    let found = tokio::task::spawn_blocking(move || {
        (host.as_str(), 0).to_socket_addrs().map(Iterator::collect)
    });
    found.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_connected_to() {
        for (text, public) in [
            ("142.250.74.110", true),
            ("8.8.8.8", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("2a00:1450:4001:80b::200e", true),
            ("2002:8efa:4a6e::1", true),
            ("64:ff9b::8efa:4a6e", true),
            ("::ffff:142.250.74.110", true),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("198.18.0.1", false),
            ("198.51.100.1", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("239.255.255.250", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("3fff::1", false),
            ("100::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:10.0.0.1", false),
            ("2002:7f00:1::", false),
            ("2002:a9fe:a9fe::1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b:1::1", false),
        ] {
            assert_eq!(is_public(text.parse().expect("address")), public, "{text}");
        }
    }

    #[test]
    fn blocks_are_read_and_compared_by_prefix() {
        for (block, address, inside) in [
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "fe80::1", true),
        ] {
            let parsed: Block = block.parse().expect("block");
            assert_eq!(
                parsed.contains(address.parse().expect("address")),
                inside,
                "{address} in {block}"
            );
        }
        for bad in [
            "",
            "192.0.2",
            "192.0.2.0/33",
            "::/129",
            "192.0.2.0/-1",
            "example.com",
        ] {
            assert!(bad.parse::<Block>().is_err(), "{bad}");
        }
    }

    fn rules(forbid: &[&str], family: Option<Family>) -> AddressRules {
        AddressRules {
            forbid: forbid
                .iter()
                .map(|block| block.parse().expect("block"))
                .collect(),
            family,
            checked: OnceLock::new(),
        }
    }

    fn found(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses
            .iter()
            .map(|text| SocketAddr::new(text.parse().expect("address"), 0))
            .collect()
    }

    #[test]
    fn one_bad_address_refuses_the_whole_name() {
        assert!(
            rules(&[], None)
                .admit("a.example", found(&["8.8.8.8", "10.0.0.1"]))
                .is_err()
        );
        let forbidden = rules(&["8.8.8.0/24"], None)
            .admit("a.example", found(&["8.8.8.8"]))
            .expect_err("forbidden");
        assert!(
            forbidden.to_string().contains("egress.forbid"),
            "{forbidden}"
        );
    }

    #[test]
    fn a_pinned_family_leaves_out_the_other() {
        let both = found(&["8.8.8.8", "2a00:1450:4001:80b::200e"]);
        assert_eq!(
            rules(&[], Some(Family::V4))
                .admit("a.example", both.clone())
                .expect("public"),
            both[..1]
        );
        assert_eq!(
            rules(&[], None)
                .admit("a.example", both.clone())
                .expect("public"),
            both
        );
    }

    #[test]
    fn only_the_family_whose_outside_address_was_checked_is_used() {
        let both = found(&["8.8.8.8", "2a00:1450:4001:80b::200e"]);
        let resolver = FilteringResolver::new(Vec::new(), None);
        resolver.pin(Family::V6);
        assert_eq!(
            resolver.0.admit("a.example", both.clone()).expect("public"),
            both[1..]
        );
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused() {
        let name = "localhost".parse().expect("name");
        let refused = FilteringResolver::new(Vec::new(), None)
            .resolve(name)
            .await
            .err()
            .expect("refused");
        assert!(
            refused.downcast_ref::<AddressRefused>().is_some(),
            "{refused}"
        );
    }
}
