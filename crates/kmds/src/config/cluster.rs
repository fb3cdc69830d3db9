//! What a node needs to work with others: `cluster.*`.
//!
//! Owns which of these settings cannot work together. Without `cluster.nats` none of them is read.

use std::net::IpAddr;
use std::path::PathBuf;

use url::{Host, Url};

use super::ConfigError;
use super::raw::RawConfig;
use super::settings as keys;
use super::typed::Key;

/// A node among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// `nats://HOST:PORT` or `tls://HOST:PORT`.
    pub servers: Vec<String>,
    /// Prefix of all names that KMDS uses in NATS.
    pub name: String,
    pub node: String,
    /// Where the other nodes reach this one's HTTP.
    pub address: NodeAddress,
    pub credentials_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// All nodes have one cache folder.
    pub shared_drive: bool,
}

/// Where the other nodes reach this one's HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeAddress {
    /// `http://HOST:PORT`.
    Given(String),
    /// The one that is listened on: all nodes are on this machine, or it is routable.
    Bound,
    /// It fetches from no site, so it has nothing that another node reads there.
    None,
}

impl ClusterConfig {
    /// Hosts and ports of the servers, without what opens them.
    #[must_use]
    pub fn server_names(&self) -> String {
        let names = self.servers.iter().map(|server| without_login(server));
        names.collect::<Vec<_>>().join(",")
    }
}

/// The address of a server without user and password.
fn without_login(server: &str) -> String {
    let scheme = server.find("://").map_or(0, |at| at + "://".len());
    let host = server.rfind('@').map_or(scheme, |at| at + 1);
    format!("{}{}", &server[..scheme.min(host)], &server[host..])
}

impl RawConfig {
    /// `fetches`: whether a site is switched on here.
    pub(super) fn cluster(&self, fetches: bool) -> Result<Option<ClusterConfig>, ConfigError> {
        let servers = self.get(&keys::CLUSTER_NATS)?;
        if servers.is_empty() {
            return Ok(None);
        }
        let hosts = self.hosts(&servers)?;
        let all_here = hosts.iter().all(is_loopback);
        let address = self.node_address(fetches, all_here)?;
        let token_file = self.get(&keys::CLUSTER_TOKEN_FILE)?;
        let is_routable = match &address {
            NodeAddress::Given(url) => !host_of(url).is_some_and(|host| is_loopback(&host)),
            NodeAddress::Bound => !is_loopback_text(&self.get(&keys::LISTEN)?),
            NodeAddress::None => false,
        };
        let has_tokens = self.get(&keys::TOKENS_FILE)?.is_some();
        if has_tokens && token_file.is_none() && address != NodeAddress::None {
            let wanted = "set cluster.token_file too: server.tokens_file keeps the other nodes out";
            return Err(self.unusable(&keys::CLUSTER_NATS, &servers.join(","), wanted));
        }
        if is_routable && token_file.is_none() {
            let wanted = "set cluster.token_file too, to a file with a secret that all nodes have: the address can be \
                          reached from other machines";
            return Err(self.unusable(&keys::CLUSTER_NATS, &servers.join(","), wanted));
        }
        if !all_here && token_file.is_none() {
            let wanted = "set cluster.token_file too, to a file with a secret that all nodes have: other machines reach this \
                          NATS, and without the secret each of them can act as a node";
            return Err(self.unusable(&keys::CLUSTER_NATS, &servers.join(","), wanted));
        }
        Ok(Some(ClusterConfig {
            servers,
            name: self.word(&keys::CLUSTER_NAME)?,
            node: self.node()?,
            address,
            credentials_file: self.get(&keys::CLUSTER_CREDENTIALS_FILE)?,
            ca_file: self.get(&keys::CLUSTER_CA_FILE)?,
            token_file,
            shared_drive: self.get(&keys::CLUSTER_SHARED_DRIVE)?,
        }))
    }

    /// Without `cluster.nats` no node is admitted.
    pub(super) fn nodes_token_file(&self) -> Result<Option<PathBuf>, ConfigError> {
        let is_one_of_many = !self.get(&keys::CLUSTER_NATS)?.is_empty();
        let file = self.get(&keys::CLUSTER_TOKEN_FILE)?;
        Ok(file.filter(|_| is_one_of_many))
    }

    fn hosts(&self, servers: &[String]) -> Result<Vec<Host<String>>, ConfigError> {
        let host = |server: &String| {
            let url = Url::parse(server).ok();
            let url = url.filter(|url| matches!(url.scheme(), "nats" | "tls"));
            url.and_then(|url| read_host(url.host_str()?))
                .ok_or_else(|| {
                    let wanted = "use nats://HOST:4222 or tls://HOST:4222, several with commas";
                    self.unusable(&keys::CLUSTER_NATS, server, wanted)
                })
        };
        servers.iter().map(host).collect()
    }

    fn node_address(&self, fetches: bool, all_here: bool) -> Result<NodeAddress, ConfigError> {
        if let Some(given) = self.get(&keys::CLUSTER_ADDRESS)? {
            let url = given.trim_end_matches('/').to_owned();
            let host = host_of(&url).filter(|host| !is_unspecified(host));
            if !url.starts_with("http://") || host.is_none() {
                let wanted = "use http://HOST:PORT, as the other nodes reach it";
                return Err(self.unusable(&keys::CLUSTER_ADDRESS, &given, wanted));
            }
            return Ok(NodeAddress::Given(url));
        }
        if !fetches {
            return Ok(NodeAddress::None);
        }
        let listen = self.get(&keys::LISTEN)?;
        let is_routable = listen
            .parse::<std::net::SocketAddr>()
            .is_ok_and(|at| !at.ip().is_loopback() && !at.ip().is_unspecified());
        if is_routable || (all_here && is_loopback_text(&listen)) {
            return Ok(NodeAddress::Bound);
        }
        let wanted = "set cluster.address, to http://HOST:PORT: the other nodes do not reach this node there";
        Err(self.unusable(&keys::LISTEN, &listen, wanted))
    }

    /// The name of this node: the one that is given, else the machine's.
    fn node(&self) -> Result<String, ConfigError> {
        if self.get(&keys::CLUSTER_NODE)?.is_some() {
            return self.word_of(
                keys::CLUSTER_NODE.setting.key,
                self.get(&keys::CLUSTER_NODE)?,
            );
        }
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine = machine.trim().replace('.', "-");
        if is_word(&machine) {
            return Ok(machine);
        }
        let wanted = "set it: this machine has no name that can be used";
        Err(self.unusable(&keys::CLUSTER_NODE, &machine, wanted))
    }

    fn word(&self, key: &Key<String>) -> Result<String, ConfigError> {
        self.word_of(key.setting.key, Some(self.get(key)?))
    }

    fn word_of(&self, key: &str, given: Option<String>) -> Result<String, ConfigError> {
        let given = given.unwrap_or_default();
        if is_word(&given) {
            return Ok(given);
        }
        Err(ConfigError::Value {
            key: key.to_owned(),
            wanted: "use letters, digits, - and _".to_owned(),
            from: self.origin_of(key),
            value: given,
        })
    }

    fn unusable<T>(&self, key: &Key<T>, value: &str, wanted: &str) -> ConfigError {
        let key = key.setting.key;
        let value = if key == keys::CLUSTER_NATS.setting.key {
            let servers: Vec<String> = value.split(',').map(without_login).collect();
            servers.join(",")
        } else {
            value.to_owned()
        };
        ConfigError::Value {
            key: key.to_owned(),
            value,
            wanted: wanted.to_owned(),
            from: self.origin_of(key),
        }
    }

    fn origin_of(&self, key: &str) -> String {
        let from = self.values.get(key).map(|(_, from)| from.clone());
        from.unwrap_or_else(|| "defaults".to_owned())
    }
}

/// It becomes a part of subjects and keys in NATS.
fn is_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= 64 && text.chars().all(fits)
}

fn host_of(url: &str) -> Option<Host<String>> {
    let url = Url::parse(url).ok()?;
    read_host(url.host_str()?)
}

/// The library leaves the address as a name if it does not know the scheme.
fn read_host(text: &str) -> Option<Host<String>> {
    Host::parse(text).ok()
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// `0.0.0.0` and `::` are listened on, and lead nowhere.
fn is_unspecified(host: &Host<String>) -> bool {
    match host {
        Host::Domain(_) => false,
        Host::Ipv4(address) => address.is_unspecified(),
        Host::Ipv6(address) => address.is_unspecified(),
    }
}

/// Whether the address in `ADDRESS:PORT` is a loopback one.
fn is_loopback_text(listen: &str) -> bool {
    let Some((host, _)) = listen.rsplit_once(':') else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|at| at.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn read(given: &[(&str, &str)]) -> Result<Config, String> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let folders = [("cache.dir", "/c"), ("state.dir", "/s")];
        let raw = RawConfig::read(&Sources {
            flags: folders.iter().chain(given).map(own).collect(),
            ..Sources::default()
        });
        raw.and_then(RawConfig::check)
            .map_err(|error| error.to_string())
    }

    const HERE: (&str, &str) = ("cluster.nats", "nats://127.0.0.1:4222");
    const THERE: (&str, &str) = ("cluster.nats", "nats://10.0.0.1:4222,tls://nats.lan");
    const DOOR: [(&str, &str); 3] = [
        ("youtube.enabled", "false"),
        ("soundcloud.enabled", "false"),
        ("bandcamp.enabled", "false"),
    ];

    #[test]
    fn without_nats_there_is_no_cluster() {
        let config = read(&[("cluster.name", "x y")]).expect("nothing of it is read");
        assert_eq!(config.cluster, None);
    }

    #[test]
    fn a_node_says_where_the_others_reach_it_unless_it_has_nothing_for_them() {
        let address = |given: &[(&str, &str)]| {
            read(given).map(|config| config.cluster.expect("a cluster").address)
        };
        assert_eq!(address(&[HERE]), Ok(NodeAddress::Bound));
        let alone = address(&[THERE]).expect_err("loopback is reached from here alone");
        assert!(alone.contains("cluster.address"), "{alone}");
        let token = ("cluster.token_file", "/t");
        let door = [&[THERE, token][..], &DOOR].concat();
        assert_eq!(address(&door), Ok(NodeAddress::None));
        let given = [THERE, token, ("cluster.address", "http://10.0.0.2:60071/")];
        let expected = NodeAddress::Given("http://10.0.0.2:60071".to_owned());
        assert_eq!(address(&given), Ok(expected));
        let listens = [THERE, token, ("server.listen", "10.0.0.2:60071")];
        assert_eq!(address(&listens), Ok(NodeAddress::Bound));
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        let guarded = read(&[HERE, ("server.tokens_file", "/t")]).expect_err("no token");
        assert!(guarded.contains("cluster.token_file"), "{guarded}");
        for open in [
            ("cluster.address", "http://10.0.0.2:60071"),
            ("server.listen", "10.0.0.2:60071"),
        ] {
            let refused = read(&[THERE, open]).expect_err("no token");
            assert!(refused.contains("cluster.token_file"), "{refused}");
        }
    }

    #[test]
    fn a_nats_that_other_machines_reach_needs_a_token_at_a_door_too() {
        let door = |nats| read(&[&[nats][..], &DOOR].concat());
        let refused = door(THERE).expect_err("no token");
        assert!(refused.contains("cluster.token_file"), "{refused}");
        assert!(door(HERE).is_ok());
        let mixed = "nats://127.0.0.1:4222,nats://10.0.0.1:4222";
        assert!(door(("cluster.nats", mixed)).is_err());
        let local = ("cluster.address", "http://127.0.0.1:60071");
        let refused = read(&[THERE, local]).expect_err("no token");
        assert!(refused.contains("cluster.token_file"), "{refused}");
    }

    #[test]
    fn what_cannot_be_a_server_a_name_or_an_address_is_refused_with_its_key() {
        for (key, value) in [
            ("cluster.nats", "http://127.0.0.1:4222"),
            ("cluster.nats", "127.0.0.1"),
            ("cluster.name", "a.b"),
            ("cluster.name", "a*"),
            ("cluster.node", "a b"),
            ("cluster.address", "https://10.0.0.2"),
            ("cluster.address", "http://"),
            ("cluster.address", "http://0.0.0.0:60071"),
            ("cluster.address", "http://[::]:60071"),
        ] {
            let refused = read(&[HERE, (key, value)]).expect_err(value);
            assert!(refused.contains(key), "{refused}");
        }
        for address in [
            "http://me:geheim@10.0.0.1",
            "nats://me:geheim@",
            "nats://me:geheim@10.0.0.1",
        ] {
            let listens = ("server.listen", "10.0.0.2:60071");
            let refused = read(&[("cluster.nats", address), listens]).expect_err(address);
            assert!(!refused.contains("geheim"), "{refused}");
        }
        let config = read(&[HERE, ("cluster.node", "left-1")]).expect("valid");
        assert_eq!(config.cluster.expect("a cluster").node, "left-1");
    }
}
