//! YouTube links. STUB, replaced by its owner.
use super::{LinkError, Parts};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum YouTubeLink {
    Video { id: String, list: Option<String> },
}
impl YouTubeLink {
    #[must_use]
    pub fn canonical(&self) -> String {
        String::new()
    }
    #[must_use]
    pub fn whole_list(self) -> Self {
        self
    }
    #[must_use]
    pub const fn is_list(&self) -> bool {
        false
    }
}
pub(super) fn owns(_host: &str) -> bool {
    false
}
pub(super) fn parse(_parts: &Parts) -> Result<YouTubeLink, LinkError> {
    Err(LinkError::NotOurs)
}
