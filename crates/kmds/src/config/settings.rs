//! The table of settings: one row each, and all that is written about them comes from here.
//!
//! Owns keys, shapes, defaults and the sentence that explains each. Hides nothing. Never reads a value.

use super::value::Shape;

/// One setting. `per_site` ones exist also below `youtube.`, `soundcloud.` and `bandcamp.`.
#[derive(Debug)]
pub struct Setting {
    pub key: &'static str,
    pub shape: Shape,
    /// As one would write it; empty for "none".
    pub default: &'static str,
    pub says: &'static str,
    pub per_site: bool,
}

const fn row(
    key: &'static str,
    shape: Shape,
    default: &'static str,
    says: &'static str,
) -> Setting {
    Setting {
        key,
        shape,
        default,
        says,
        per_site: false,
    }
}

const fn egress(key: &'static str, shape: Shape, says: &'static str) -> Setting {
    Setting {
        key,
        shape,
        default: "",
        says,
        per_site: true,
    }
}

const FORMS: &[&str] = &kmds_extract::choose::PLAYABLE_WORDS;

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    row(
        "server.listen",
        Shape::Listen,
        "127.0.0.1:60071",
        "Address and port to listen on (port 0: any free one), or unix:/path.",
    ),
    row(
        "server.public_url",
        Shape::PublicUrl,
        "",
        "How clients reach this service, for the absolute URLs in replies; else the request's Host is used.",
    ),
    row(
        "server.base_path",
        Shape::BasePath,
        "",
        "Path below which a reverse proxy shows this service, like /kmds.",
    ),
    row(
        "server.tokens_file",
        Shape::Path,
        "",
        "File with one access token per line; with it, every request but /healthz needs one.",
    ),
    row(
        "server.names",
        Shape::Names,
        "",
        "Host names clients may use besides IP addresses and localhost.",
    ),
    row(
        "server.trusted_proxies",
        Shape::List,
        "",
        "Addresses or networks whose X-Forwarded-* headers are believed.",
    ),
    row(
        "server.max_connections",
        Shape::Number(1),
        "",
        "Connections at once; by default what the limit of open files allows, at most 4096.",
    ),
    row(
        "server.stop_within",
        Shape::Seconds,
        "10 s",
        "How long streams may finish after a stop was asked for, in seconds.",
    ),
    row(
        "cache.dir",
        Shape::Path,
        "",
        "Folder of finished songs, the shared drive; by default the user's cache folder, /kmds.",
    ),
    row(
        "cache.client_path",
        Shape::TheirPath,
        "",
        "The same folder as clients see it, for Cache_Path in replies.",
    ),
    row(
        "cache.max_bytes",
        Shape::Bytes,
        "10 GiB",
        "Size the cache is kept below, by evicting what was not read for longest.",
    ),
    row(
        "cache.max_age",
        Shape::Seconds,
        "",
        "Evict songs that nobody read for this long.",
    ),
    row(
        "cache.min_free_bytes",
        Shape::Bytes,
        "512 MiB",
        "Space left free on the drive.",
    ),
    row(
        "state.dir",
        Shape::Path,
        "",
        "Local folder of the catalog, never on the shared drive; by default the user's state folder, /kmds.",
    ),
    row(
        "queue.max_songs",
        Shape::Number(1),
        "10000",
        "Songs waiting at once; beyond that a fetch is refused.",
    ),
    row(
        "queue.max_downloads",
        Shape::Number(1),
        "8",
        "Downloads at once, over all sites.",
    ),
    row(
        "lists.max_songs",
        Shape::Number(1),
        "5000",
        "Songs taken from one list; the reply says when there were more.",
    ),
    row(
        "search.site",
        Shape::Word(&["youtube", "youtube_music", "soundcloud", "bandcamp"]),
        "youtube",
        "Where words are searched for when the client does not say where.",
    ),
    egress(
        "egress.proxy",
        Shape::Url,
        "Proxy for all requests to the sites: http:// or socks5://. Proxy variables of the environment are not read.",
    ),
    egress(
        "egress.ca_file",
        Shape::Path,
        "PEM file with certificates to trust beside the system's.",
    ),
    egress(
        "egress.source_address",
        Shape::Address,
        "Local address that requests to the sites leave from.",
    ),
    egress(
        "egress.forbid",
        Shape::List,
        "Addresses or networks this service must never be seen from; needs egress.check_url.",
    ),
    egress(
        "egress.check_url",
        Shape::Url,
        "URL that answers with the address a request came from, asked to enforce egress.forbid.",
    ),
    row(
        "egress.check_every",
        Shape::Seconds,
        "5 min",
        "How often egress.check_url is asked, in seconds.",
    ),
    row(
        "youtube.enabled",
        Shape::Bool,
        "true",
        "Take YouTube links.",
    ),
    row(
        "soundcloud.enabled",
        Shape::Bool,
        "true",
        "Take SoundCloud links.",
    ),
    row(
        "bandcamp.enabled",
        Shape::Bool,
        "true",
        "Take Bandcamp links.",
    ),
    row(
        "youtube.max_downloads",
        Shape::Number(1),
        "2",
        "Downloads at once from YouTube.",
    ),
    row(
        "soundcloud.max_downloads",
        Shape::Number(1),
        "3",
        "Downloads at once from SoundCloud.",
    ),
    row(
        "bandcamp.max_downloads",
        Shape::Number(1),
        "3",
        "Downloads at once from Bandcamp.",
    ),
    row(
        "engines.ytdlp.enabled",
        Shape::Bool,
        "true",
        "Ask yt-dlp when the native engine meets a changed page, a bot check or a login wall.",
    ),
    row(
        "engines.ytdlp.command",
        Shape::Program,
        "yt-dlp",
        "The yt-dlp program.",
    ),
    row(
        "engines.ytdlp.max",
        Shape::Number(1),
        "1",
        "yt-dlp processes at once.",
    ),
    row(
        "engines.ytdlp.sites",
        Shape::Word(&["three", "any"]),
        "three",
        "\"any\" also takes https links of other sites, through yt-dlp alone.",
    ),
    row(
        "engines.ytdlp.cookies_file",
        Shape::Path,
        "",
        "Netscape cookie file for yt-dlp; each run gets a copy.",
    ),
    row(
        "engines.ytdlp.extra_args",
        Shape::Arguments,
        "",
        "More arguments for yt-dlp, like --js-runtimes or --plugin-dirs with their values.",
    ),
    row(
        "engines.ytdlp.timeout",
        Shape::Seconds,
        "60 s",
        "Longest run of yt-dlp for metadata, in seconds.",
    ),
    row(
        "engines.ytdlp.max_memory",
        Shape::Bytes,
        "1 GiB",
        "Memory one yt-dlp run may use.",
    ),
    row(
        "recipes.file",
        Shape::Path,
        "",
        "File of site facts laid over the built-in ones; by default recipes.toml in the config folder, if there.",
    ),
    row(
        "ffmpeg.command",
        Shape::Program,
        "ffmpeg",
        "The ffmpeg program, for conversions only.",
    ),
    row("ffmpeg.max", Shape::Number(1), "1", "Conversions at once."),
    row(
        "audio.accept",
        Shape::Words(FORMS),
        "m4a,mp3,ogg",
        "What clients can play that do not say so themselves; ogg is Vorbis, opus is Opus in Ogg.",
    ),
    row(
        "audio.opus",
        Shape::Word(&["vorbis", "aac", "mp3", "keep"]),
        "vorbis",
        "What a song that exists as Opus only is converted to for clients that do not play Opus.",
    ),
    row(
        "webhook.url",
        Shape::Url,
        "",
        "URL that gets a POST when a song is ready or failed.",
    ),
    row(
        "webhook.secret_file",
        Shape::Path,
        "",
        "File with the secret that signs webhooks (HMAC-SHA256).",
    ),
];

const SITES: [&str; 3] = ["youtube", "soundcloud", "bandcamp"];

impl Setting {
    /// The key, and for per-site settings the three sites' own.
    pub fn keys(&self) -> impl Iterator<Item = String> + '_ {
        let own = SITES
            .iter()
            .filter(|_| self.per_site)
            .map(|site| format!("{site}.{}", self.key));
        std::iter::once(self.key.to_owned()).chain(own)
    }

    /// The environment variable of the plain key.
    #[must_use]
    pub fn variable(&self) -> String {
        variable(self.key)
    }

    fn toml_value(&self) -> String {
        match self.shape {
            Shape::Bool | Shape::Number(_) if !self.default.is_empty() => self.default.to_owned(),
            Shape::Number(_) => "1000".to_owned(),
            Shape::List | Shape::Arguments | Shape::Names | Shape::Words(_) => {
                let quoted: Vec<String> = self
                    .default
                    .split(',')
                    .filter(|word| !word.is_empty())
                    .map(|word| format!("\"{word}\""))
                    .collect();
                format!("[{}]", quoted.join(", "))
            }
            _ => format!("\"{}\"", self.default),
        }
    }
}

fn variable(key: &str) -> String {
    format!("KMDS_{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// A sentence for each variable of this process that would be a setting with two underscores in the right place, for
/// each that should name a folder and names none, and for a config folder that cannot be looked into.
pub fn passed_over() -> impl Iterator<Item = String> {
    let nearly = std::env::vars_os().filter_map(|(name, _)| {
        let name = name.to_str()?;
        let meant = meant_by(name)?;
        Some(format!(
            "the variable {name} is no setting and is passed over; {meant} would be one"
        ))
    });
    let folders = super::folders::passed_over();
    let folders = folders
        .map(|name| format!("the variable {name} is not a path from / on and is passed over"));
    let closed = super::folders::config().and_then(|folder| {
        match std::fs::symlink_metadata(folder.join("kmds.toml")) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(format!(
                "the folder {} is closed to this user, and settings in it are passed over",
                folder.display()
            )),
            _ => None,
        }
    });
    nearly.chain(folders).chain(closed)
}

fn meant_by(name: &str) -> Option<String> {
    if !name.starts_with("KMDS_") || name.contains("__") {
        return None;
    }
    let known = SETTINGS
        .iter()
        .flat_map(|setting| setting.keys().collect::<Vec<_>>());
    known
        .map(|key| variable(&key))
        .find(|known| known.replace("__", "_") == name)
}

/// The commented example file: every setting with its sentence, variable and default. `kmds.example.toml` is this text.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of KMDS. Every line that is commented out shows the default; an empty one means none.\n\
         # Each can be given as an environment variable too, which wins over this file; flags win over both.\n",
    );
    let mut section = "";
    let mut rows: Vec<&Setting> = SETTINGS.iter().collect();
    rows.sort_by_key(|setting| {
        let table = table_of(setting.key);
        SETTINGS
            .iter()
            .position(|other| table_of(other.key) == table)
    });
    for setting in rows {
        let table = table_of(setting.key);
        if table != section {
            section = table;
            text.push_str(&format!("\n[{section}]\n"));
        }
        let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
        let per_site = if setting.per_site {
            " Also per site, like youtube."
        } else {
            ""
        };
        let own = if setting.per_site {
            format!("{}.", setting.key)
        } else {
            String::new()
        };
        let own = own.trim_end_matches('.');
        text.push_str(&format!(
            "# {}{per_site}{own} ({})\n",
            setting.says,
            setting.variable()
        ));
        text.push_str(&format!("# {name} = {}\n", setting.toml_value()));
    }
    text
}

fn table_of(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(table, _)| table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_with_one_underscore_too_few_is_known_for_what_was_meant() {
        assert_eq!(
            meant_by("KMDS_SERVER_LISTEN").as_deref(),
            Some("KMDS_SERVER__LISTEN")
        );
        assert_eq!(
            meant_by("KMDS_YOUTUBE_EGRESS_PROXY").as_deref(),
            Some("KMDS_YOUTUBE__EGRESS__PROXY")
        );
        for own in [
            "KMDS_LOG",
            "KMDS_TOKEN",
            "KMDS_SERVER__LISTEN",
            "KMDS_SERVER_PORT",
            "SERVER_LISTEN",
        ] {
            assert_eq!(meant_by(own), None, "{own}");
        }
    }
}
