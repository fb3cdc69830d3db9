//! Fields that are plain options: for serde's `deserialize_with`, and for reading a [`Value`].
//!
//! Owns the rule that a value of another type counts as none (identity and a playable stream are required, the rest is
//! optional). A wrong type is never an error.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

use super::lenient::{Flag, List, Number};

/// The value if it has the wanted type. If a field stands there twice, the last one counts.
pub(crate) fn value<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// The elements of a list, in their places; one of another type is an empty one.
pub(crate) fn list<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    from: D,
) -> Result<Option<Vec<T>>, D::Error> {
    List::deserialize(from).map(|list| list.0)
}

/// Text that is not empty, unchanged.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(value::<D, String>(from)?.filter(|text| !text.trim().is_empty()))
}

/// Text that is not empty, without the blanks around it.
pub(crate) fn trimmed<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(text(from)?.map(|text| text.trim().to_owned()))
}

/// An id or a position: a whole number above 0, or its digits as text.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Number::deserialize(from).map(|number| number.0.filter(|number| *number > 0))
}

/// `true`, or a number other than 0; anything else is `false`.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Flag::deserialize(from).map(Flag::is_set)
}

/// A number, with a fraction or without, or its digits as text; neither negative nor too large.
pub(crate) fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Ok(amount_of(&Value::deserialize(from)?))
}

/// A field as text that is not empty; numbers are written out.
#[must_use]
pub fn text_of(fields: &Value, name: &str) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A field as a number that is neither negative nor too large, or its digits as text.
#[must_use]
pub fn number_of(fields: &Value, name: &str) -> Option<f64> {
    amount_of(fields.get(name)?)
}

fn amount_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite() && *number >= 0.0)
}
