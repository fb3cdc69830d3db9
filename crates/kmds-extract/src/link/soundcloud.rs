//! SoundCloud links. STUB, replaced by its owner.
use super::{LinkError, Parts};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SoundCloudLink {
    Track { user: String, slug: String, token: Option<String> },
}
impl SoundCloudLink {
    #[must_use]
    pub fn canonical(&self) -> String {
        String::new()
    }
    #[must_use]
    pub const fn is_list(&self) -> bool {
        false
    }
}
pub(super) fn owns(_host: &str) -> bool {
    false
}
pub(super) fn parse(_parts: &Parts) -> Result<SoundCloudLink, LinkError> {
    Err(LinkError::NotOurs)
}
pub(super) fn parse_urn(_text: &str) -> Option<Result<SoundCloudLink, LinkError>> {
    None
}
