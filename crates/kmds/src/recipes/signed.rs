//! Recipes from the network, used only with a valid signature.
//!
//! Owns the address and the public key of `recipes.url`, what makes a file from there acceptable (signed, whole, newer,
//! usable), and the copy in the state folder, for a restart without network. The copy is verified each time, since the
//! state folder is trusted no more than the network. This module does not decide whether recipes come into force.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kmds_extract::{Kind, Recipes};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::config::SignedRecipes;
use crate::origin::url::PublicLink;
use crate::origin::{Client, FileError};

/// The built-in file has 14 KB.
const MOST_BYTES: usize = 256 << 10;
/// 64 bytes, or the same in base64 with an end of line.
const MOST_SIGNATURE_BYTES: usize = 256;
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// What stands before the 32 bytes of a key in the form that `openssl pkey -pubout` prints (RFC 8410,
/// SubjectPublicKeyInfo).
const KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Where signed recipes come from.
pub struct Source {
    url: PublicLink,
    signature_url: PublicLink,
    key: UnparsedPublicKey<[u8; KEY_BYTES]>,
    copy: PathBuf,
}

/// Recipes that are signed with the operator's key.
#[derive(Debug)]
pub struct Signed {
    pub text: String,
    pub date: String,
    /// Their address, without its query.
    pub from: String,
    signature: [u8; SIGNATURE_BYTES],
}

/// A setting that cannot be used, in a sentence.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettingError {
    #[error("recipes.url: {0}; name a file as https://HOST/PATH")]
    Url(&'static str),
    #[error(
        "recipes.key is not an Ed25519 public key in base64; use the middle line of the output of `openssl pkey -pubout`"
    )]
    Key,
}

/// Why a file from the network is not taken. `at` is an address without its query, which may be secret.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    #[error("recipes.url: {at} is not fetched: {error}")]
    Fetch { at: String, error: FileError },
    #[error("recipes.url: {at} is not an Ed25519 signature, of 64 bytes or in base64")]
    NoSignature { at: String },
    #[error(
        "recipes.url: {at} is not what recipes.key has signed: it was changed, is not whole, or another key signed it"
    )]
    WrongSignature { at: String },
    #[error("recipes.url: {at} has no date like 2026-12-01, or 2026-12-01T18:30")]
    Undated { at: String },
    #[error("recipes.url: {at} cannot be used: {why}")]
    Unusable { at: String, why: String },
    #[error("recipes.url: {at} is dated {date}, but only recipes newer than {newest} are taken")]
    NotNewer {
        at: String,
        date: String,
        newest: String,
    },
}

impl OfferError {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Fetch { error, .. } => match error {
                FileError::Timeout => Kind::Timeout,
                FileError::TooLarge(_) => Kind::TooLarge,
                FileError::Cut => Kind::Truncated,
                FileError::Redirected => Kind::Forbidden,
                FileError::Status(_) | FileError::NotAllowed(_) | FileError::Failed(_) => {
                    Kind::OriginFailed
                }
            },
            Self::NoSignature { .. } | Self::WrongSignature { .. } | Self::NotNewer { .. } => {
                Kind::Forbidden
            }
            Self::Undated { .. } | Self::Unusable { .. } => Kind::BadRequest,
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Source").field(&self.shown()).finish()
    }
}

impl Source {
    /// Checks the settings; contacts nothing.
    pub fn new(config: &SignedRecipes, state_dir: &Path) -> Result<Self, SettingError> {
        let parse = |text: &str| PublicLink::parse(text).map_err(SettingError::Url);
        let (path, query) = match config.url.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (config.url.as_str(), String::new()),
        };
        let key = read_key(&config.key).ok_or(SettingError::Key)?;
        Ok(Self {
            url: parse(&config.url)?,
            signature_url: parse(&format!("{path}.sig{query}"))?,
            key: UnparsedPublicKey::new(&ED25519, key),
            copy: state_dir.join("recipes.signed"),
        })
    }

    /// The address without its query.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Fetches the file and its signature. `None` if the copy is the same already.
    pub async fn offer(
        &self,
        client: &Client,
        kept: Option<&Signed>,
    ) -> Result<Option<Signed>, OfferError> {
        let signature = fetch(client, &self.signature_url, MOST_SIGNATURE_BYTES).await?;
        let text = fetch(client, &self.url, MOST_BYTES).await?;
        let at = self.shown();
        let signature = read_signature(&signature).ok_or_else(|| OfferError::NoSignature {
            at: shown(&self.signature_url),
        })?;
        let signed = self
            .verified(text, signature)
            .ok_or_else(|| OfferError::WrongSignature { at: at.clone() })?;
        let unusable = |why: String| OfferError::Unusable {
            at: at.clone(),
            why,
        };
        let text = String::from_utf8(signed).map_err(|_| unusable("it is not UTF-8".to_owned()))?;
        Recipes::over_built_in(&text).map_err(|error| unusable(error.to_string()))?;
        let date = date_of(&text).ok_or_else(|| OfferError::Undated { at: at.clone() })?;
        if kept.is_some_and(|kept| kept.text == text) {
            return Ok(None);
        }
        let built_in = Recipes::built_in().date;
        let newest = kept
            .map_or(&built_in, |kept| &kept.date)
            .max(&built_in)
            .clone();
        if date <= newest {
            return Err(OfferError::NotNewer { at, date, newest });
        }
        Ok(Some(Signed {
            text,
            date,
            from: self.shown(),
            signature,
        }))
    }

    /// The copy of the last accepted recipes, if it is newer than the built-in ones.
    pub fn kept(&self) -> Option<Signed> {
        let mut copy = Vec::new();
        let most = MOST_BYTES + MOST_SIGNATURE_BYTES;
        std::fs::File::open(&self.copy)
            .ok()?
            .take(most as u64)
            .read_to_end(&mut copy)
            .ok()?;
        let read = || {
            let end = copy.iter().position(|byte| *byte == b'\n')?;
            let (signature, text) = copy.split_at_checked(end)?;
            let signature = read_signature(signature)?;
            let text = self.verified(text.get(1..)?.to_vec(), signature)?;
            let text = String::from_utf8(text).ok()?;
            let date = date_of(&text)?;
            Some(Signed {
                text,
                date,
                from: self.shown(),
                signature,
            })
        };
        let signed = read();
        if signed.is_none() {
            tracing::warn!(
                file = %self.copy.display(),
                "the kept copy of signed recipes is not used: recipes.key did not sign it"
            );
        }
        signed.filter(|signed| {
            signed.date > Recipes::built_in().date && self.can_be_used(&signed.text)
        })
    }

    /// Another version of KMDS may have taken it.
    fn can_be_used(&self, text: &str) -> bool {
        let layered = Recipes::layered(&[text]);
        if let Err(error) = &layered {
            tracing::warn!(
                file = %self.copy.display(),
                %error,
                "the kept copy of signed recipes is not used: this version cannot use it"
            );
        }
        layered.is_ok()
    }

    /// Keeps the recipes in force for the next start.
    pub fn keep(&self, signed: &Signed) {
        let temporary = self.copy.with_extension("signed.tmp");
        let kept = std::fs::File::create(&temporary)
            .and_then(|mut file| {
                writeln!(file, "{}", STANDARD.encode(signed.signature))?;
                file.write_all(signed.text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&temporary, &self.copy));
        if let Err(error) = kept {
            tracing::warn!(
                file = %self.copy.display(), %error,
                "the signed recipes could not be stored: a restart returns to the earlier ones"
            );
        }
    }

    fn verified(&self, text: Vec<u8>, signature: [u8; SIGNATURE_BYTES]) -> Option<Vec<u8>> {
        self.key.verify(&text, &signature).ok().map(|()| text)
    }
}

async fn fetch(client: &Client, from: &PublicLink, most: usize) -> Result<Vec<u8>, OfferError> {
    client
        .file(from, most)
        .await
        .map_err(|error| OfferError::Fetch {
            at: shown(from),
            error,
        })
}

fn shown(link: &PublicLink) -> String {
    let text = link.as_str();
    text.split(['?', '#']).next().unwrap_or(text).to_owned()
}

fn read_key(text: &str) -> Option<[u8; KEY_BYTES]> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let key = bytes.strip_prefix(&KEY_PREFIX).unwrap_or(&bytes);
    key.try_into().ok()
}

fn read_signature(bytes: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let decoded = STANDARD.decode(bytes.trim_ascii()).ok()?;
    decoded.try_into().ok()
}

/// A day, or a day and a minute: their order as text is their order in time.
fn date_of(text: &str) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    let date = table.get("date")?.as_str()?;
    let (day, minute) = match date.split_once('T') {
        Some((day, minute)) => (day, Some(minute)),
        None => (date, None),
    };
    let has_form = |text: &str, form: &str| {
        text.len() == form.len()
            && text
                .bytes()
                .zip(form.bytes())
                .all(|(byte, wanted)| byte == wanted || (wanted == b'0' && byte.is_ascii_digit()))
    };
    let is_date =
        has_form(day, "0000-00-00") && minute.is_none_or(|minute| has_form(minute, "00:00"));
    is_date.then(|| date.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_openssl_prints_it_and_bare() {
        let printed = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let bare = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert!(read_key(printed).is_some());
        assert_eq!(read_key(printed), read_key(bare));
        for bad in [
            "",
            "x",
            "MCowBQYDK2VwAyEA11qY",
            "-----BEGIN PUBLIC KEY-----",
        ] {
            assert_eq!(read_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_signature_is_read_raw_and_in_base64() {
        let raw = [7; SIGNATURE_BYTES];
        assert_eq!(read_signature(&raw), Some(raw));
        let text = format!("{}\n", STANDARD.encode(raw));
        assert_eq!(read_signature(text.as_bytes()), Some(raw));
        assert_eq!(read_signature(&raw[..63]), None);
        assert_eq!(read_signature(b"<html>"), None);
    }

    #[test]
    fn dates_are_ordered_as_in_time_or_refused() {
        let date = |text: &str| date_of(&format!("date = \"{text}\""));
        let ordered = [
            "2026-12-01",
            "2026-12-01T08:30",
            "2026-12-01T18:00",
            "2026-12-02",
        ];
        let read: Vec<_> = ordered.iter().filter_map(|text| date(text)).collect();
        assert_eq!(read, ordered);
        assert!(read.is_sorted());
        for bad in [
            "",
            "2026",
            "2026-12-1",
            "2026-12-01 08:30",
            "2026-12-01T8:30",
            "soon",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
        assert_eq!(date_of("[time]\n"), None);
    }
}
