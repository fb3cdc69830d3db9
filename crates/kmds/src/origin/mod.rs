//! The origin client: the one way out of this service to the sites.
//!
//! No type of the HTTP library appears outside. This module does not interpret a page or an audio byte, writes no
//! audio, and prints no signed URL.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `client` | [`Client`]: the ways out, paces and memory that all requests share |
//! | `pages`, `media` | requests for pages (with retries), for audio and covers |
//! | `file` | a file that the operator named |
//! | [`relay`] | yt-dlp's way out, held to the same rules |
//! | [`egress`], `proxy`, `roots` | one way out: its source address, its proxy, its trusted roots |
//! | `address_check` | the outside address, and closing a way out that uses a forbidden one |
//! | `preconnect` | the next host's connection, opened while another host is asked |
//! | [`url`], [`resolver`] | allowed hosts; allowed addresses |
//! | `pace`, `retry`, `request`, `page`, `error` | pauses between requests, retries, what requests share, size limits, errors |
//! | `memory`, `recipes`, `counters` | values kept between resolves; the recipes in force; counts of requests |

mod address_check;
mod client;
mod counters;
pub mod egress;
mod error;
mod file;
mod media;
mod memory;
mod pace;
mod page;
mod pages;
mod preconnect;
mod proxy;
mod recipes;
pub mod relay;
mod request;
pub mod resolver;
mod retry;
mod roots;
pub mod url;

pub use client::{Client, ClientConfig};
pub use counters::{Counters, SiteCounters};
pub use egress::{EgressConfig, EgressError};
pub use file::FileError;
pub use media::{ByteRange, ContentRange, Cover, MediaAnswer, MediaAsk, MediaBody, MediaError};
pub use recipes::SharedRecipes;
pub use relay::Relay;
pub use resolver::Family;
pub(crate) use retry::pause_before_retry;
pub use url::MediaUrl;
