//! A stream as chunks of bytes in order, from any point at which a download can resume.
//!
//! Owns the requests that make a site send the whole file ([`ranged`]), how HLS segments become one file ([`hls`]),
//! when to try again ([`retry`]), and the checks: the length, the container of the first bytes, and that the file did
//! not change between two tries. It writes no file, resolves no link again, and does not wait for a site's limit: an
//! error says what helps ([`DownloadError::remedy`]), and the job does it. No task is spawned: dropping a [`Download`]
//! ends its connections.

mod error;
mod hls;
mod kept;
mod range_size;
mod ranged;
mod retry;
mod speed;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use kmds_extract::{Container, Delivery, Recipes, Site, Stream};

use crate::media::{SNIFF_BYTES, Sniffed, sniff};
use crate::origin::Client;

pub use error::{DownloadError, Remedy};
pub use kept::Kept;

use hls::Hls;
use ranged::Ranged;

/// The largest chunk handed out (ARCHITECTURE.md, "Where memory goes").
pub const CHUNK_BYTES: usize = 256 << 10;

/// A download under way. Nothing happens unless [`Download::next`] is awaited; dropping it ends the connection.
#[derive(Debug)]
pub struct Download {
    transfer: Transfer,
    site: Site,
    /// Received, checked, not handed out yet.
    ready: VecDeque<Bytes>,
    /// The error that came after the bytes that are ready.
    failed: Option<DownloadError>,
}

#[derive(Debug)]
enum Transfer {
    Ranged(Box<Ranged>),
    Hls(Box<Hls>),
}

/// Starts or continues the download of a located stream. Waits for the first answer of the site, and at the beginning
/// of a file for its first bytes, which must be of the stream's container.
///
/// Kept bytes that cannot be used (the file changed, the server does not resume) are not an error: see
/// [`Download::start`].
/// # Errors
/// See [`DownloadError`]; [`Delivery::Asked`] must be located first.
pub async fn open(
    stream: &Stream,
    kept: Option<Kept>,
    client: &Client,
    recipes: &Recipes,
) -> Result<Download, DownloadError> {
    let kept = kept.filter(|kept| kept.bytes > 0);
    match begin(stream, kept.as_ref(), client, recipes).await {
        Err(DownloadError::Changed { .. }) if kept.is_some() => {
            begin(stream, None, client, recipes).await
        }
        begun => begun,
    }
}

async fn begin(
    stream: &Stream,
    kept: Option<&Kept>,
    client: &Client,
    recipes: &Recipes,
) -> Result<Download, DownloadError> {
    let site = stream.site;
    let transfer = match &stream.delivery {
        Delivery::File { url } => Transfer::Ranged(Box::new(
            Ranged::open(stream, url, kept, client, recipes).await?,
        )),
        Delivery::Hls { url } => Transfer::Hls(Box::new(
            Hls::open(stream, url, kept, client, recipes).await?,
        )),
        Delivery::Asked { .. } => {
            return Err(DownloadError::Failed {
                site,
                reason: "its URL was not requested yet".to_owned(),
            });
        }
    };
    let mut download = Download {
        transfer,
        site,
        ready: VecDeque::new(),
        failed: None,
    };
    if download.start() == 0 {
        download.check_first_bytes(stream.container).await?;
    }
    Ok(download)
}

impl Download {
    /// Offset of the first byte that [`Download::next`] gives: the end of the kept bytes, or less, or 0. The file must
    /// be cut there.
    #[must_use]
    pub fn start(&self) -> u64 {
        match &self.transfer {
            Transfer::Ranged(ranged) => ranged.start(),
            Transfer::Hls(hls) => hls.start(),
        }
    }

    /// Length of the whole file, if the site states it. For HLS it is unknown before the end.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match &self.transfer {
            Transfer::Ranged(ranged) => ranged.total(),
            Transfer::Hls(hls) => hls.total(),
        }
    }

    /// The site's name for the version of the file: a strong `ETag`, else the date. `None` if the URL or the validator
    /// names it already, and if the file is joined here.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        match &self.transfer {
            Transfer::Ranged(ranged) => ranged.version(),
            Transfer::Hls(_) => None,
        }
    }

    #[must_use]
    pub const fn site(&self) -> Site {
        self.site
    }

    /// The mark to store beside the bytes, so that a later [`open`] can use as many of them as possible. It may cover
    /// more bytes than were handed out. It changes with every HLS segment.
    #[must_use]
    pub fn progress_mark(&self) -> String {
        match &self.transfer {
            Transfer::Ranged(ranged) => ranged.mark(),
            Transfer::Hls(hls) => hls.mark(),
        }
    }

    /// Whether the site throttles this URL: two ranges in a row came hardly faster than they play. A fresh URL may be
    /// faster; if it is not, keep it.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        match &self.transfer {
            Transfer::Ranged(ranged) => ranged.is_slow(),
            Transfer::Hls(_) => false,
        }
    }

    /// The next bytes in order, at most [`CHUNK_BYTES`]; `None` when the file is whole: its length is right.
    ///
    /// Safe to drop and call again. After [`Remedy::Wait`] it may be called again too, and continues at the same byte.
    /// # Errors
    /// See [`DownloadError`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, DownloadError> {
        loop {
            if let Some(chunk) = self.ready.front_mut() {
                if chunk.len() > CHUNK_BYTES {
                    return Ok(Some(chunk.split_to(CHUNK_BYTES)));
                }
                return Ok(self.ready.pop_front());
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            match self.receive().await? {
                Some(chunk) => self.ready.push_back(chunk),
                None => return Ok(None),
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, DownloadError> {
        match &mut self.transfer {
            Transfer::Ranged(ranged) => ranged.next().await,
            Transfer::Hls(hls) => hls.next().await,
        }
    }

    /// Gathers enough bytes to tell audio from an error page, and keeps them ready. No more: a listener may be waiting.
    async fn check_first_bytes(&mut self, container: Container) -> Result<(), DownloadError> {
        let mut head = BytesMut::new();
        while head.len() < SNIFF_BYTES && fits(self.site, container, &head).is_err() {
            match self.receive().await {
                Ok(Some(chunk)) => head.extend_from_slice(&chunk),
                Ok(None) => break,
                // The bytes before the failure are good.
                Err(error) if !head.is_empty() => {
                    self.failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let head = head.freeze();
        fits(self.site, container, &head)?;
        self.ready.push_back(head);
        Ok(())
    }
}

fn fits(site: Site, container: Container, head: &[u8]) -> Result<(), DownloadError> {
    match sniff(head.get(..SNIFF_BYTES).unwrap_or(head)) {
        Sniffed::Empty => Err(DownloadError::Empty { site }),
        found if found == Sniffed::from(container) => Ok(()),
        // An MP3 may begin with padding or the tail of a frame; the walk before publishing tells.
        Sniffed::Unknown if container == Container::Mp3 => Ok(()),
        found => Err(DownloadError::no_audio(site, found)),
    }
}
