//! Bandcamp. STUB, replaced by its owner.
use crate::{ExtractError, Origin, Recipes, Resolved, Track, link::BandcampLink};

pub async fn resolve(_at: &BandcampLink, _origin: &impl Origin, _recipes: &Recipes) -> Result<Resolved, ExtractError> {
    Err(ExtractError::UnsupportedLink { reason: "not built yet".to_owned() })
}
pub async fn refresh(
    _at: &crate::track::BandcampSource,
    _origin: &impl Origin,
    _recipes: &Recipes,
) -> Result<Track, ExtractError> {
    Err(ExtractError::UnsupportedLink { reason: "not built yet".to_owned() })
}
