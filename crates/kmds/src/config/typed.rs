//! One setting, and the type that its value has in the code.
//!
//! Owns what a row of the table is, and the types that a shape of value can become. A row whose type does not fit its
//! shape does not compile.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use kmds_extract::Site;
use kmds_extract::choose::Accept;
use kmds_extract::search::SearchSite;

use super::OpusForm;
use super::value::{Kind, Shape, Value, network};
use super::variables::name_of;

/// One setting. `per_site` ones exist also below `youtube.`, `soundcloud.` and `bandcamp.`.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub key: &'static str,
    pub shape: Shape,
    /// As an operator would write it; empty for "none".
    pub default: &'static str,
    pub says: &'static str,
    pub per_site: bool,
}

/// A setting whose value is a `T`.
#[derive(Debug, Clone, Copy)]
pub struct Key<T> {
    pub setting: Setting,
    value: PhantomData<fn() -> T>,
}

impl<T: Typed> Key<T> {
    pub(super) const fn new(setting: Setting) -> Self {
        assert!(
            setting.shape.kind() as u8 == T::KIND as u8,
            "the type of a setting is another one than its shape gives"
        );
        assert!(
            T::MAY_BE_ABSENT || !setting.default.is_empty(),
            "a setting without a default needs a type that may be absent"
        );
        let value = PhantomData;
        Self { setting, value }
    }
}

/// A type that a setting may have.
pub trait Typed: Sized {
    const KIND: Kind;
    /// Whether the setting may have no value, from the operator or from the table.
    const MAY_BE_ABSENT: bool = false;
    /// `None` for a value of another kind.
    fn read(value: Option<Value>) -> Option<Self>;
}

/// Types that are made of one kind of value.
macro_rules! typed {
    ($($type:ty, $kind:ident: $pattern:pat => $made:expr;)*) => {
        $(impl Typed for $type {
            const KIND: Kind = Kind::$kind;
            fn read(value: Option<Value>) -> Option<Self> {
                match value? {
                    $pattern => $made,
                    _ => None,
                }
            }
        })*
    };
}

typed! {
    String, Text: Value::Text(text) => Some(text);
    PathBuf, Path: Value::Text(text) => Some(text.into());
    IpAddr, Address: Value::Text(text) => text.parse().ok();
    bool, Bool: Value::Bool(on) => Some(on);
    u64, Number: Value::Number(number) => Some(number);
    usize, Number: Value::Number(number) => usize::try_from(number).ok();
    Duration, Time: Value::Number(seconds) => Some(Duration::from_secs(seconds));
    SearchSite, Text: Value::Text(word) => Self::parse(&word);
    OpusForm, Text: Value::Text(word) => Self::parse(&word);
    Accept, List: Value::List(words) => Self::read(words.iter().map(String::as_str));
}

impl Typed for Vec<String> {
    const KIND: Kind = Kind::List;
    const MAY_BE_ABSENT: bool = true;
    fn read(value: Option<Value>) -> Option<Self> {
        match value {
            None => Some(Self::new()),
            Some(Value::List(list)) => Some(list),
            Some(_) => None,
        }
    }
}

impl Typed for Vec<IpNet> {
    const KIND: Kind = Kind::List;
    const MAY_BE_ABSENT: bool = true;
    fn read(value: Option<Value>) -> Option<Self> {
        let texts = Vec::<String>::read(value)?;
        texts.iter().map(|text| network(text)).collect()
    }
}

impl<T: Typed> Typed for Option<T> {
    const KIND: Kind = T::KIND;
    const MAY_BE_ABSENT: bool = true;
    fn read(value: Option<Value>) -> Option<Self> {
        match value {
            None => Some(None),
            some => T::read(some).map(Some),
        }
    }
}

impl Setting {
    /// The key, and for per-site settings the three sites' own.
    pub fn keys(&self) -> impl Iterator<Item = String> + '_ {
        let own = [Site::YouTube, Site::SoundCloud, Site::Bandcamp]
            .into_iter()
            .filter(|_| self.per_site)
            .map(|site| format!("{}.{}", site.as_str(), self.key));
        std::iter::once(self.key.to_owned()).chain(own)
    }

    /// The environment variable of the plain key.
    #[must_use]
    pub fn variable(&self) -> String {
        name_of(self.key)
    }

    /// The default as a value; `Ok(None)` where there is none.
    pub(super) fn default_value(&self) -> Result<Option<Value>, String> {
        if self.default.is_empty() {
            return Ok(None);
        }
        self.shape
            .read(&Value::Text(self.default.to_owned()))
            .map(Some)
    }
}
