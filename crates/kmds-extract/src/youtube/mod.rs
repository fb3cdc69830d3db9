//! YouTube. STUB, replaced by its owner.
use crate::{ExtractError, Origin, Recipes, Resolved, Track, link::YouTubeLink};

pub async fn resolve(_at: &YouTubeLink, _origin: &impl Origin, _recipes: &Recipes) -> Result<Resolved, ExtractError> {
    Err(ExtractError::UnsupportedLink { reason: "not built yet".to_owned() })
}
pub async fn refresh(_video: &str, _origin: &impl Origin, _recipes: &Recipes) -> Result<Track, ExtractError> {
    Err(ExtractError::UnsupportedLink { reason: "not built yet".to_owned() })
}
