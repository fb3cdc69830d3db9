//! The origin client: the one way out of this service to the sites.
//!
//! It hides the HTTP library: no type of it appears outside. It never interprets a page or an audio byte, never writes
//! audio, and never prints a signed URL.
//!
//! | module | its secret |
//! | --- | --- |
//! | `client` | [`Client`]: the ways out, paces and memory that all requests share |
//! | `pages`, `media` | requests for pages (with retries), for audio and covers |
//! | `file` | a file that the operator named |
//! | [`relay`] | yt-dlp's way out, held to the same rules |
//! | [`egress`], `proxy`, `roots` | one way out: from which address, through which proxy, trusting which roots |
//! | `address_check` | the address that the outside sees, and closing a way out that leads from a forbidden one |
//! | `preconnect` | the next host's connection, opened while one is asked |
//! | [`url`], [`resolver`] | which hosts may be asked; which addresses may be connected to |
//! | `pace`, `retry`, `request`, `page`, `error` | how fast, how often again, what requests share, how large, why not |
//! | `memory`, `recipes`, `counters` | what is kept between resolves; the facts in force; what was asked |

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
