//! SoundCloud. STUB, replaced by its owner.
use crate::{ExtractError, Origin, Recipes, Resolved, Track, link::SoundCloudLink};

pub async fn resolve(
    _at: &SoundCloudLink,
    _origin: &impl Origin,
    _recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    Err(ExtractError::UnsupportedLink { reason: "not built yet".to_owned() })
}
pub async fn refresh(
    _id: u64,
    _secret: Option<&str>,
    _origin: &impl Origin,
    _recipes: &Recipes,
) -> Result<Track, ExtractError> {
    Err(ExtractError::UnsupportedLink { reason: "not built yet".to_owned() })
}
pub async fn locate(
    stream: &crate::Stream,
    _origin: &impl Origin,
    _recipes: &Recipes,
) -> Result<crate::Stream, ExtractError> {
    Ok(stream.clone())
}
