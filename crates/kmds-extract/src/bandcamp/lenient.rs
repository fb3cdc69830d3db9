//! Reading JSON without falling over what is not needed.
//!
//! Owns the deserializers that turn a value of an unexpected type into "not there": a lost cover or length is no
//! failure (identity and a playable stream are required, the rest is optional). Never fails on a type.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(untagged)]
enum Either<T> {
    Wanted(T),
    Other(Value),
}

impl<T: DeserializeOwned> Either<T> {
    /// An object in which a field stands twice is no `T` at first; of a value, the last one counts.
    fn wanted(self) -> Option<T> {
        match self {
            Self::Wanted(value) => Some(value),
            Self::Other(value) => serde_json::from_value(value).ok(),
        }
    }
}

/// The value if it has the wanted type.
pub(super) fn value<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(Either::deserialize(from)?.wanted())
}

/// The things of a list, in their places; what has another type is a thing that says nothing.
pub(super) fn list<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    from: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let items = Option::<Vec<Either<T>>>::deserialize(from)?;
    Ok(items.map(|items| {
        items
            .into_iter()
            .map(|item| item.wanted().unwrap_or_default())
            .collect()
    }))
}

/// Text with something in it.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(value::<D, String>(from)?.filter(|text| !text.trim().is_empty()))
}

/// An id or a position: a whole number above 0, or its digits as text.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(u64),
        Digits(String),
    }
    Ok(match value(from)? {
        Some(Number::Plain(number)) => Some(number),
        Some(Number::Digits(text)) => text.parse().ok(),
        None => None,
    }
    .filter(|number| *number > 0))
}

/// `true`, or a number other than 0; anything else is `false`.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Plain(bool),
        Number(f64),
    }
    Ok(match value(from)? {
        Some(Flag::Plain(flag)) => flag,
        Some(Flag::Number(number)) => number != 0.0,
        None => false,
    })
}

/// The encodings of a song by key, in the site's order; anything but an object has none.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Files(pub Vec<(String, String)>);

/// Only the keys: the URLs are signed.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(key, _)| key))
            .finish()
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FilesVisitor)
    }
}

struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = Files;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("encodings and their URLs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Files, A::Error> {
        let mut files = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if let Either::Wanted(url) = map.next_value::<Either<String>>()? {
                files.push((key, url));
            }
        }
        Ok(Files(files))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Files, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Files::default())
    }

    fn visit_unit<E>(self) -> Result<Files, E> {
        Ok(Files::default())
    }

    fn visit_none<E>(self) -> Result<Files, E> {
        Ok(Files::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Files, E> {
        Ok(Files::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Files, E> {
        Ok(Files::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Files, E> {
        Ok(Files::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Files, E> {
        Ok(Files::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Files, E> {
        Ok(Files::default())
    }
}
