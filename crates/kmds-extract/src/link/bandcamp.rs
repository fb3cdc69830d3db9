//! Bandcamp links. STUB, replaced by its owner.
use super::{LinkError, Parts};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BandcampLink {
    Track { band: String, slug: String },
}
impl BandcampLink {
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
pub(super) fn parse(_parts: &Parts) -> Result<BandcampLink, LinkError> {
    Err(LinkError::NotOurs)
}
