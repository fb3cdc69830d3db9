//! How a setting's value is read.
//!
//! Owns the shapes of values, how each is read from text or TOML, and units. It knows no keys.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::path;

/// A value from a file, a variable or a flag.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(u64),
    Bool(bool),
    List(Vec<String>),
    /// A TOML value that no setting takes, as text for the error.
    Strange(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Strange(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(on) => write!(f, "{on}"),
            Self::List(list) => f.write_str(&list.join(",")),
        }
    }
}

impl Value {
    pub fn from_toml(value: &toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Self::Text(text.clone()),
            toml::Value::Integer(number) => u64::try_from(*number)
                .map_or_else(|_| Self::Strange(number.to_string()), Self::Number),
            toml::Value::Boolean(on) => Self::Bool(*on),
            toml::Value::Array(items) => {
                let texts: Option<Vec<String>> = items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect();
                texts.map_or_else(|| Self::Strange(as_written(value)), Self::List)
            }
            other => Self::Strange(as_written(other)),
        }
    }
}

/// A TOML value as an operator wrote it, nearly.
fn as_written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("\"{text}\""),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(on) => on.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(as_written).collect();
            format!("[{}]", items.join(", "))
        }
        toml::Value::Table(_) => "{…}".to_owned(),
    }
}

/// The shape of one setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    /// A file or folder of this machine. Reading makes it absolute: `~` is the home folder, a relative path begins at
    /// the working folder.
    Path,
    /// A program: a name to be found in `PATH`, or a path.
    Program,
    /// A folder as other machines write it.
    TheirPath,
    /// A list of arguments, in which `~/` begins a path of this machine.
    Arguments,
    /// `ADDRESS:PORT`, `[ADDRESS]:PORT` or `unix:/path`.
    Listen,
    /// An IP address.
    Address,
    /// `http://…`, `https://…`; for proxies also `socks5://…`.
    Url,
    /// A web address that paths can be put behind.
    PublicUrl,
    /// `/a/path`, with or without its outer slashes.
    BasePath,
    Bool,
    /// A whole number of at least this.
    Number(u64),
    Bytes,
    Seconds,
    /// Comma-separated in variables and flags, an array in the file.
    List,
    /// A list of host names.
    Names,
    /// A list of networks and addresses.
    Networks,
    /// A list of words out of these.
    Words(&'static [&'static str]),
    /// One word out of these.
    Word(&'static [&'static str]),
}

/// The kind of value that a shape gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Path,
    Address,
    Bool,
    Number,
    Time,
    List,
}

impl Shape {
    pub const fn kind(self) -> Kind {
        match self {
            Self::Path => Kind::Path,
            Self::Address => Kind::Address,
            Self::Bool => Kind::Bool,
            Self::Number(_) | Self::Bytes => Kind::Number,
            Self::Seconds => Kind::Time,
            Self::Arguments | Self::List | Self::Names | Self::Networks | Self::Words(_) => {
                Kind::List
            }
            Self::Text
            | Self::Program
            | Self::TheirPath
            | Self::Listen
            | Self::Url
            | Self::PublicUrl
            | Self::BasePath
            | Self::Word(_) => Kind::Text,
        }
    }

    /// Reads a value; the error says what would do.
    pub fn read(self, value: &Value) -> Result<Value, String> {
        match self {
            Self::Text => self.text(value, |_| true, "use a text"),
            Self::Path => self
                .text(value, |_| true, "use a path")
                .and_then(|value| path::whole(&value.to_string()))
                .map(Value::Text),
            Self::Program => self.text(value, |_| true, "use the name or path of a program").and_then(|value| {
                match value.to_string() {
                    name if name.contains('/') || name.starts_with('~') => path::whole(&name).map(Value::Text),
                    _ => Ok(value),
                }
            }),
            Self::TheirPath => self.text(
                value,
                |text| !text.starts_with('~') && !path::has_variable(text),
                "write the folder out as the clients see it: `~` and variables would be this machine's",
            ),
            Self::Arguments => list(value)
                .ok_or_else(|| "use a list of texts".to_owned())?
                .iter()
                .map(|word| path::argument(word))
                .collect::<Result<_, _>>()
                .map(Value::List),
            Self::Listen => self.text(value, is_listen, "use ADDRESS:PORT like 127.0.0.1:60071, or unix:/path"),
            Self::Address => self.text(value, |text| text.parse::<IpAddr>().is_ok(), "use an IP address"),
            Self::Url => self.text(value, is_url, "use a URL like http://127.0.0.1:3128"),
            Self::PublicUrl => {
                self.text(value, is_public_url, "use a URL without ? and #, like https://music.example.org/kmds")
            }
            Self::BasePath => self.text(value, is_base_path, "use a path of letters, digits and - . _ ~, like /kmds"),
            Self::Word(words) => {
                self.text(value, |text| words.contains(&text), &format!("use one of {}", words.join(", ")))
            }
            Self::Bool => match value {
                Value::Bool(_) => Ok(value.clone()),
                Value::Text(text) if matches!(text.as_str(), "true" | "1" | "yes" | "on") => Ok(Value::Bool(true)),
                Value::Text(text) if matches!(text.as_str(), "false" | "0" | "no" | "off") => Ok(Value::Bool(false)),
                _ => Err("use true or false".to_owned()),
            },
            Self::Number(least) => number(value, |text| text.replace('_', "").parse().ok())
                .filter(|number| *number >= least)
                .map(Value::Number)
                .ok_or_else(|| format!("use a whole number from {least}")),
            Self::Bytes => number(value, bytes)
                .map(Value::Number)
                .ok_or_else(|| "use bytes, or a size like 512 MiB or 10 GiB".to_owned()),
            Self::Seconds => number(value, seconds)
                .map(Value::Number)
                .ok_or_else(|| "use seconds, or a time like 90 s, 15 min, 6 h, 30 d".to_owned()),
            Self::List => list(value).map(Value::List).ok_or_else(|| "use a list of texts".to_owned()),
            Self::Names => list(value)
                .filter(|list| list.iter().all(|name| is_host_name(name)))
                .map(Value::List)
                .ok_or_else(|| "use host names without scheme and port, like music.lan; * is none".to_owned()),
            Self::Networks => list(value)
                .filter(|list| list.iter().all(|text| network(text).is_some()))
                .map(Value::List)
                .ok_or_else(|| "use networks like 100.64.0.0/10 and fd7a:115c:a1e0::/48, or addresses".to_owned()),
            Self::Words(words) => list(value)
                .filter(|list| !list.is_empty() && list.iter().all(|word| words.contains(&word.as_str())))
                .map(Value::List)
                .ok_or_else(|| format!("use a list out of {}", words.join(", "))),
        }
    }

    fn text(
        self,
        value: &Value,
        fits: impl Fn(&str) -> bool,
        wanted: &str,
    ) -> Result<Value, String> {
        let text = match value {
            Value::Text(text) => text.clone(),
            Value::Number(_) | Value::Bool(_)
                if matches!(
                    self,
                    Self::Text | Self::Path | Self::Program | Self::TheirPath
                ) =>
            {
                value.to_string()
            }
            _ => return Err(wanted.to_owned()),
        };
        if fits(&text) {
            Ok(Value::Text(text))
        } else {
            Err(wanted.to_owned())
        }
    }
}

fn number(value: &Value, read: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => read(text.trim()),
        _ => None,
    }
}

fn list(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::List(list) => Some(list.clone()),
        Value::Text(text) => {
            // A variable may also hold a TOML or JSON array.
            let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
            let words = inner
                .split(',')
                .map(|word| word.trim().trim_matches(['"', '\'']).to_owned());
            Some(words.filter(|word| !word.is_empty()).collect())
        }
        _ => None,
    }
}

/// A network, or an address as the network that holds nothing else.
pub fn network(text: &str) -> Option<IpNet> {
    let network = text.parse();
    network
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()
}

fn is_listen(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/');
    }
    text.parse::<std::net::SocketAddr>().is_ok()
        || text
            .rsplit_once(':')
            .is_some_and(|(host, port)| host == "localhost" && port.parse::<u16>().is_ok())
}

fn is_url(text: &str) -> bool {
    ["http://", "https://", "socks5://", "socks5h://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
        && url::Url::parse(text).is_ok_and(|url| url.has_host())
}

fn is_public_url(text: &str) -> bool {
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.is_some_and(|url| {
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
    })
}

fn is_base_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let fits =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
    let inner = text.trim_matches('/');
    inner.is_empty() || inner.split('/').all(fits)
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-._".contains(c))
}

fn split_unit(text: &str) -> (f64, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    let amount = text[..end].replace('_', "").parse().unwrap_or(f64::NAN);
    (amount, text[end..].trim())
}

fn scaled(amount: f64, unit: f64) -> Option<u64> {
    let product = amount * unit;
    (product.is_finite() && (0.0..1e18).contains(&product)).then_some(product.round() as u64)
}

fn bytes(text: &str) -> Option<u64> {
    let (amount, unit) = split_unit(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    scaled(amount, unit)
}

fn seconds(text: &str) -> Option<u64> {
    let (amount, unit) = split_unit(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    scaled(amount, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        for (text, want) in [
            ("1024", 1024),
            ("512 MiB", 512 << 20),
            ("10GiB", 10 << 30),
            ("1.5 kB", 1500),
        ] {
            assert_eq!(bytes(text), Some(want), "{text}");
        }
        for (text, want) in [
            ("90", 90),
            ("15 min", 900),
            ("6h", 21_600),
            ("30 d", 2_592_000),
        ] {
            assert_eq!(seconds(text), Some(want), "{text}");
        }
        assert_eq!(bytes("ten"), None);
        assert_eq!(seconds("3 moons"), None);
    }

    #[test]
    fn a_value_that_no_setting_takes_is_named_as_it_was_written() {
        for written in ["1.5", "-1", "2026-12-01", "[1, \"a\", true]", "[[2], {…}]"] {
            let file = written.replace('…', " x = 1 ");
            let table: toml::Table = format!("key = {file}").parse().expect(written);
            assert_eq!(Value::from_toml(&table["key"]).to_string(), written);
        }
    }

    #[test]
    fn names_and_paths_are_only_that() {
        for url in ["https://music.example.org", "http://10.0.0.1:8080/kmds/"] {
            assert!(is_public_url(url), "{url}");
        }
        for url in [
            "music.example.org",
            "socks5://x",
            "https://x/?a=b",
            "https://x/#a",
            "https://me:pw@x/",
            "https://",
        ] {
            assert!(!is_public_url(url), "{url}");
        }
        for path in ["/kmds", "kmds/", "/a/b.c", "/"] {
            assert!(is_base_path(path), "{path}");
        }
        for path in ["http://x", "/a b", "/a?b", "/a/../b", "/a//b", "/ü"] {
            assert!(!is_base_path(path), "{path}");
        }
        assert!(
            Shape::Names
                .read(&Value::Text("nas.lan, Music_2,bücher.example".to_owned()))
                .is_ok()
        );
        for names in ["*", "http://nas.lan", "nas.lan:60071", "a b", "*.lan"] {
            assert!(
                Shape::Names.read(&Value::Text(names.to_owned())).is_err(),
                "{names}"
            );
        }
    }

    #[test]
    fn networks_are_networks_or_addresses() {
        let read = |text: &str| Shape::Networks.read(&Value::Text(text.to_owned()));
        assert!(read("[\"100.64.0.0/10\", 'fd7a:115c:a1e0::/48', 10.9.8.7]").is_ok());
        for bad in ["100.64.0.0/33", "tailnet", "100.64.0.0/10 10.0.0.1", "*"] {
            assert!(
                read(bad).is_err_and(|wanted| wanted.contains("100.64.0.0/10")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_listen_address_needs_a_port() {
        assert!(
            is_listen("127.0.0.1:0") && is_listen("[::1]:80") && is_listen("unix:/run/kmds.sock")
        );
        assert!(
            !is_listen("127.0.0.1") && !is_listen("unix:kmds.sock") && !is_listen("example.org:80")
        );
    }
}
