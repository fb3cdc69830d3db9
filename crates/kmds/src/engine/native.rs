//! The native engine: `kmds-extract` with the origin client.

use std::time::Instant;

use kmds_extract::search::{Hit, SearchSite};
use kmds_extract::{
    Collection, ExtractError, Lack, Link, Refreshed, Resolved, Site, Source, Stream,
};

use crate::origin::{Client, SharedRecipes};

#[derive(Clone)]
pub struct Native {
    client: Client,
    recipes: SharedRecipes,
}

impl Native {
    pub const fn new(client: Client, recipes: SharedRecipes) -> Self {
        Self { client, recipes }
    }

    pub const fn client(&self) -> &Client {
        &self.client
    }

    pub async fn resolve(
        &self,
        link: &Link,
        until: Option<Instant>,
    ) -> Result<Resolved, ExtractError> {
        kmds_extract::resolve(link, &self.client.until(until), &self.recipes.current()).await
    }

    pub async fn resume(
        &self,
        link: &Link,
        so_far: Collection,
        until: Option<Instant>,
    ) -> Result<Option<Collection>, ExtractError> {
        kmds_extract::resume(
            link,
            so_far,
            &self.client.until(until),
            &self.recipes.current(),
        )
        .await
    }

    pub async fn search(&self, at: SearchSite, words: &str) -> Result<Vec<Hit>, ExtractError> {
        kmds_extract::search(at, words, &self.client, &self.recipes.current()).await
    }

    pub async fn refresh(&self, source: &Source, lack: Lack) -> Result<Refreshed, ExtractError> {
        kmds_extract::refresh(source, lack, &self.client, &self.recipes.current()).await
    }

    /// The client that asked for the stream gets no audio beyond a certain byte. Returns whether the site can be asked
    /// as another client.
    pub fn walled(&self, stream: &Stream) -> bool {
        stream.site == Site::YouTube
            && kmds_extract::youtube::walled(&stream.client, &self.client, &self.recipes.current())
    }

    pub async fn locate(&self, stream: &Stream) -> Result<Stream, ExtractError> {
        kmds_extract::locate(stream, &self.client, &self.recipes.current()).await
    }
}
