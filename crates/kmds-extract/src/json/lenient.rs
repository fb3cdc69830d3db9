//! Values whose type may differ from what we expect.
//!
//! Owns reading texts in their three spellings, numbers that are strings, and objects or lists that are of another type
//! today. It fails only on broken JSON: a value of a wrong type reads as nothing, so that one odd field does not lose
//! the page. Unknown fields are skipped while reading, never kept.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
    value::MapAccessDeserializer,
};
use serde_json::Value;

/// Consumes all values that a visitor does not need.
macro_rules! nothing_else {
    (@ $($name:ident($kind:ty)),*) => {
        $(fn $name<E>(self, _: $kind) -> Result<Self::Value, E> { Ok(Self::Value::default()) })*
    };
    (scalars) => {
        nothing_else!(@ visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
    };
    (unit) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("anything") }
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Self::Value::default()) }
    };
    (seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
    (map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

/// `"text"`, `{"simpleText": …}`, `{"runs": [{"text": …}]}` or `{"content": …}`; empty for anything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(pub String);

impl Text {
    /// `None` when there is nothing to read.
    pub fn get(&self) -> Option<&str> {
        Some(self.0.trim()).filter(|text| !text.is_empty())
    }

    /// As the site wrote it, with its spaces, unless it has only spaces.
    pub fn unchanged(&self) -> Option<String> {
        self.get().map(|_| self.0.clone())
    }

    pub fn owned(&self) -> Option<String> {
        self.get().map(str::to_owned)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text;
            nothing_else!(unit);
            nothing_else!(seq);
            nothing_else!(@ visit_bool(bool));
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                let mut text = String::new();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "simpleText" | "content" | "text" => {
                            let part = map.next_value::<Text>()?.0;
                            if text.is_empty() {
                                text = part;
                            }
                        }
                        "runs" => {
                            text = map
                                .next_value::<Seq<Text>>()?
                                .iter()
                                .map(|run| run.0.as_str())
                                .collect()
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Text(text))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A whole number, as a number or a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Number(pub Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Number;
            nothing_else!(unit);
            nothing_else!(seq);
            nothing_else!(map);
            nothing_else!(@ visit_bool(bool));
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.trim().parse().ok()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(u64::try_from(number).ok()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                // Saturating, and far above any length or bitrate.
                Ok(Number((number >= 0.0).then_some(number as u64)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// `true`, `false`, or nothing; a number other than 0 is `true`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub Option<bool>);

impl Flag {
    pub fn is_set(self) -> bool {
        self.0 == Some(true)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Flag;
            nothing_else!(unit);
            nothing_else!(seq);
            nothing_else!(map);
            fn visit_bool<E>(self, set: bool) -> Result<Flag, E> {
                Ok(Flag(Some(set)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Flag, E> {
                Ok(Flag(Some(number != 0)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Flag, E> {
                Ok(Flag(Some(number != 0)))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Flag, E> {
                Ok(Flag(Some(number != 0.0)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Flag, E> {
                Ok(Flag(text.parse().ok()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Whether a key is there at all, with anything but `null`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Present(pub bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<IgnoredAny>::deserialize(deserializer).map(|value| Self(value.is_some()))
    }
}

/// An object, or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Obj<T>(pub Option<T>);

impl<T> Default for Obj<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Obj<T> {
    type Target = Option<T>;
    fn deref(&self) -> &Option<T> {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Obj<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Obj<T>;
            nothing_else!(unit);
            nothing_else!(seq);
            nothing_else!(scalars);
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Obj<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Obj(Some(value)))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// A list, or an empty one.
#[derive(Debug, Clone)]
pub(crate) struct Seq<T>(pub Vec<T>);

impl<T> Default for Seq<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Seq<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Seq<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Seq<T>;
            nothing_else!(unit);
            nothing_else!(map);
            nothing_else!(scalars);
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seq<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Seq(items))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// A list whose elements may have another type: such a one is an empty element in its place. `None` for what is no
/// list.
#[derive(Debug, Clone)]
pub(crate) struct List<T>(pub Option<Vec<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned + Default> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned + Default> Visitor<'de> for Reader<T> {
            type Value = List<T>;
            nothing_else!(unit);
            nothing_else!(map);
            nothing_else!(scalars);
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<Value>()? {
                    items.push(serde_json::from_value(item).unwrap_or_default());
                }
                Ok(List(Some(items)))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// The texts of an object by their keys, in the site's order; empty for anything else.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Pairs(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;
            nothing_else!(unit);
            nothing_else!(seq);
            nothing_else!(scalars);
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if let Value::String(text) = value {
                        pairs.push((key, text));
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
