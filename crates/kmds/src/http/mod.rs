//! HTTP: both faces of the service (`docs/api.md`), from the accepted connection to the last byte.
//!
//! Owns every wire shape and every status; no other module uses axum or hyper. It knows no engine, download or store:
//! it asks the [`App`](crate::app::App).
//!
//! A request passes, in this order:
//!
//! | module | what is in it |
//! | --- | --- |
//! | `server`, `listener` | start and graceful stop; the listening socket |
//! | `connections`, `write_timeout` | how many connections are open, and which ends first; clients that do not read |
//! | `middleware`, `request_id`, `access_log` | the steps that every request passes; one log line each |
//! | `guard`, `access`, `network`, `tokens`, `signatures`, `rates` | which requests are admitted |
//! | `routes` | which handler answers which path |
//! | `classic`, `play`, `v1` | the two faces |
//! | `ops`, `openapi`, `ui`, `login`, `embedded` | health and metrics; the description; the page, and who may see it; files in the program |
//! | `audio`, `sendfile` | ranges, conditions, bodies that still grow; file bytes that the kernel sends itself |
//! | `body`, `fields`, `query`, `links`, `reply`, `error`, `event_streams`, `state` | what handlers share |

mod access;
mod access_log;
#[cfg(test)]
mod answers;
mod audio;
mod body;
mod classic;
mod connections;
mod crowd;
mod embedded;
mod error;
mod event_streams;
mod fields;
mod guard;
mod links;
mod listener;
mod login;
mod middleware;
mod network;
mod openapi;
mod ops;
mod play;
mod prefetch;
mod query;
mod rates;
mod reply;
mod request_id;
mod routes;
#[cfg(test)]
mod schemas;
mod sendfile;
mod server;
mod signatures;
mod state;
mod tokens;
mod ui;
mod v1;
mod write_timeout;

pub use self::crowd::Crowd;
pub use self::guard::SettingError;
pub use self::server::{Door, ServeError, Server};
pub use self::tokens::NewToken;
