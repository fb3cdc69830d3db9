//! How long the site believes that advertisements run before a video (field notes, 2.11).
//!
//! Owns their places in a player answer and the length of each. It does not wait.

use serde_json::Value;

use super::answer::Answer;

/// A longer advertisement is nonsense, and counts as this, in milliseconds.
const LONGEST_MS: u64 = 3_600_000;

/// When the advertisements before the video are over, in seconds since 1970; `None` if there are none. Rounded up, and
/// one second later, since our clock has whole seconds only.
pub(super) fn end(answer: &Answer, now_unix: u64) -> Option<u64> {
    let before = |placement: &&Value| {
        let kind = placement.pointer("/adPlacementRenderer/config/adPlacementConfig/kind");
        kind.and_then(Value::as_str) == Some("AD_PLACEMENT_KIND_START")
    };
    let at_start = |slot: &&Value| {
        let event = slot.pointer("/adSlotRenderer/adSlotMetadata/triggerEvent");
        event.and_then(Value::as_str) == Some("SLOT_TRIGGER_EVENT_BEFORE_CONTENT")
    };
    let placements = answer
        .ad_placements
        .as_array()
        .into_iter()
        .flatten()
        .filter(before);
    let slots = answer
        .ad_slots
        .as_array()
        .into_iter()
        .flatten()
        .filter(at_start);
    let took: u64 = placements
        .chain(slots)
        .map(milliseconds)
        .fold(0, u64::saturating_add);
    (took > 0).then(|| {
        now_unix
            .saturating_add(took.min(LONGEST_MS).div_ceil(1000))
            .saturating_add(1)
    })
}

/// The sum of all advertisements inside, in any layout.
fn milliseconds(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(milliseconds).fold(0, u64::saturating_add),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| {
                if name == "instreamVideoAdRenderer" {
                    one(field)
                } else {
                    milliseconds(field)
                }
            })
            .fold(0, u64::saturating_add),
        _ => 0,
    }
}

/// The time until it can be skipped, else its length.
fn one(advertisement: &Value) -> u64 {
    let number = |value: &Value| {
        value
            .as_u64()
            .or_else(|| value.as_str()?.trim().parse().ok())
    };
    let skip = advertisement.get("skipOffsetMilliseconds").and_then(number);
    let length = || {
        let vars = advertisement.get("playerVars")?.as_str()?;
        let mut pairs = url::form_urlencoded::parse(vars.as_bytes());
        let seconds: f64 = pairs
            .find_map(|(name, value)| (name == "length_seconds").then(|| value.parse().ok()))??;
        Some((seconds.max(0.0) * 1000.0) as u64)
    };
    skip.or_else(length).unwrap_or(0).min(LONGEST_MS)
}
