//! The keys of a JSON body.
//!
//! Owns how a key is read that several requests of both faces have, and what is said of a body or a value that cannot
//! be read. `null` is as if the key was not given.

use kmds_extract::choose::Accept;
use serde_json::{Map, Value};

use super::body;
use super::error::Refusal;
use super::query::{accept_list, unknown_parameter};

/// An object's keys, each taken once.
pub(super) struct Fields {
    object: Map<String, Value>,
    /// What is said of a value that is not what the key wants.
    wrong: fn(&str, &str) -> Refusal,
}

impl Fields {
    /// Those of a body of v1, which holds only `known` keys. `example` says what would do.
    /// # Errors
    /// It is no JSON object, or has another key.
    pub(super) fn of(body: &[u8], known: &[&str], example: &str) -> Result<Self, Refusal> {
        let value = parse(body, example)?;
        let fields = Self::of_value(value, example, has_to_be)?;
        match fields
            .object
            .keys()
            .find(|key| !known.contains(&key.as_str()))
        {
            Some(key) => Err(unknown_parameter(key, known)),
            None => Ok(fields),
        }
    }

    /// # Errors
    /// It is no object.
    pub(super) fn of_value(
        value: Value,
        example: &str,
        wrong: fn(&str, &str) -> Refusal,
    ) -> Result<Self, Refusal> {
        match value {
            Value::Object(object) => Ok(Self { object, wrong }),
            _ => {
                let sentence = format!("the body is JSON, but no object; {example}");
                Err(Refusal::bad_request(sentence))
            }
        }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.object.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err((self.wrong)(key, "a string")),
        }
    }

    /// False where it is not given.
    pub(super) fn flag(&mut self, key: &str) -> Result<bool, Refusal> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err((self.wrong)(key, "true or false")),
        }
    }

    /// What the client can play.
    pub(super) fn accept(&mut self, key: &str) -> Result<Option<Accept>, Refusal> {
        let Some(words) = self.take(key) else {
            return Ok(None);
        };
        let accept = accept_list(&words);
        let accept = accept.ok_or_else(|| (self.wrong)(key, "an array of strings"))?;
        accept.map(Some)
    }
}

/// A body, or a text inside one, as JSON.
/// # Errors
/// It is none.
pub(super) fn parse(text: &[u8], example: &str) -> Result<Value, Refusal> {
    body::parse_json(text)
        .map_err(|error| Refusal::bad_request(format!("the body is no JSON ({error}); {example}")))
}

/// What v1 says of a value that is not what its key wants.
pub(super) fn has_to_be(key: &str, wanted: &str) -> Refusal {
    Refusal::bad_request(format!("\"{key}\" has to be {wanted}"))
}
