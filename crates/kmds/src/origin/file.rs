//! Fetches a file that the operator named, by the way out of all sites, under its rules.
//!
//! Owns how such a file is requested: https, a public host, once, without redirects, with limits of size and time. It
//! does not interpret the content.

use std::time::Duration;

use kmds_extract::Site;

use super::client::Client;
use super::counters::count;
use super::error::{self, RequestError};
use super::page::{BodyError, Collector};
use super::request::is_redirect;
use super::url::{MediaUrl, PublicLink, Purpose, site_hosts};

/// From the connection to the last byte.
const WITHIN: Duration = Duration::from_secs(20);

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("no answer within {} s", WITHIN.as_secs())]
    Timeout,
    #[error("it answered HTTP {0}")]
    Status(u16),
    #[error("it redirects to another address, which KMDS does not follow; use that address")]
    Redirected,
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    #[error("it was cut before its end")]
    Cut,
    /// The way out is closed, or the address is not allowed.
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0}")]
    Failed(String),
}

impl From<reqwest::Error> for FileError {
    fn from(error: reqwest::Error) -> Self {
        match error::read(&error) {
            RequestError::Timeout => Self::Timeout,
            RequestError::Refused(reason) => Self::NotAllowed(reason),
            RequestError::Broken(reason) => Self::Failed(reason),
        }
    }
}

impl Client {
    /// The file behind `link`, whole, of at most `most_bytes`.
    /// # Errors
    /// See [`FileError`]; a status other than 200 is one.
    pub async fn file(&self, link: &PublicLink, most_bytes: usize) -> Result<Vec<u8>, FileError> {
        tokio::time::timeout(WITHIN, self.ask_for_file(link, most_bytes))
            .await
            .unwrap_or(Err(FileError::Timeout))
    }

    async fn ask_for_file(
        &self,
        link: &PublicLink,
        most_bytes: usize,
    ) -> Result<Vec<u8>, FileError> {
        let recipes = self.recipes();
        let hosts = site_hosts(&recipes, Site::Other).map_err(FileError::NotAllowed)?;
        let url = MediaUrl::parse(link.as_str(), hosts, Purpose::Media)
            .map_err(|error| FileError::NotAllowed(error.to_string()))?;
        let way = self
            .way_out(Site::Other)
            .await
            .map_err(FileError::NotAllowed)?;
        count(&self.counters().site(Site::Other).page_requests, 1);
        let request = way
            .asking
            .get(url.clone().into_url())
            .header("accept-encoding", "identity")
            .header("user-agent", concat!("kmds/", env!("CARGO_PKG_VERSION")));
        let mut response = way.send(request, &url, None).await?;
        let status = response.status().as_u16();
        if is_redirect(status) {
            return Err(FileError::Redirected);
        }
        if status != 200 {
            return Err(FileError::Status(status));
        }
        let refused = |error: BodyError| match error {
            BodyError::TooLarge => FileError::TooLarge(most_bytes),
            BodyError::Broken(reason) => FileError::Failed(reason),
        };
        let mut body = Collector::new(response.headers(), most_bytes).map_err(refused)?;
        while let Some(chunk) = response.chunk().await.map_err(|_| FileError::Cut)? {
            body.add(&chunk).map_err(refused)?;
        }
        body.finish().map_err(refused)
    }
}
