//! The description of both faces, `/openapi.json`.
//!
//! Owns the document as it is sent: `docs/openapi.json`, embedded. Hides that the service may be mounted below a path.
//! Never made while the service runs: `describe` makes it from the types that answer, and a test compares the two.

#[cfg(test)]
pub(super) mod bodies;
#[cfg(test)]
pub(super) mod describe;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

const DESCRIPTION: &str = include_str!("../../../../docs/openapi.json");

/// The document, for a service below `base_path`.
pub(super) fn description(base_path: &str) -> Cow<'static, str> {
    if base_path.is_empty() {
        return Cow::Borrowed(DESCRIPTION);
    }
    let servers = serde_json::json!([{ "url": base_path }]);
    Cow::Owned(DESCRIPTION.replacen('{', &format!("{{\n\"servers\": {servers},"), 1))
}
