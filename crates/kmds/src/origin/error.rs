//! Reads the errors of the HTTP library: what failed, in a sentence without the URL.

use std::error::Error;

use super::resolver::AddressRefused;

/// An error of the HTTP library, in the kinds that this service distinguishes.
#[derive(Debug)]
pub(super) enum RequestError {
    Timeout,
    /// The resolver refused the address.
    Refused(String),
    Broken(String),
}

/// Why a request failed, without its URL.
pub(super) fn reason(error: &reqwest::Error) -> String {
    match read(error) {
        RequestError::Timeout => "no answer in time".to_owned(),
        RequestError::Refused(reason) | RequestError::Broken(reason) => reason,
    }
}

/// Reads the innermost cause only: the outer ones repeat the URL.
pub(super) fn read(error: &reqwest::Error) -> RequestError {
    let mut innermost = None;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<AddressRefused>() {
            return RequestError::Refused(refused.to_string());
        }
        innermost = Some(inner);
        cause = inner.source();
    }
    if error.is_timeout() {
        return RequestError::Timeout;
    }
    let why = innermost.map_or_else(
        || "no reason given".to_owned(),
        |why| without_manual(&why.to_string()).to_owned(),
    );
    RequestError::Broken(if error.is_connect() {
        format!("no connection: {why}")
    } else {
        format!("the connection broke: {why}")
    })
}

/// A reason of rustls without the address of its manual.
fn without_manual(why: &str) -> &str {
    why.split(": https://").next().unwrap_or(why)
}

/// The innermost reason of any error: the outer ones say only that there is one.
pub(super) fn innermost(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_ends_before_the_address_of_a_manual() {
        let why = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/#unexpected-eof";
        assert_eq!(
            without_manual(why),
            "peer closed connection without sending TLS close_notify"
        );
        assert_eq!(without_manual("connection refused"), "connection refused");
    }
}
