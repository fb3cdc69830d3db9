//! JSON as sites send it: read although a value in it is broken, or of another type than it was.
//!
//! | module | its secret |
//! | --- | --- |
//! | [`mend`] | a text that is no JSON but for a few broken values |
//! | [`lenient`] | types that read as nothing where a value has another type |
//! | [`fields`] | the same for fields that are plain options |
//!
//! Owns what one odd value costs: that value, never the page. Never knows a site.

pub(crate) mod fields;
pub(crate) mod lenient;
mod mend;

pub use fields::{number_of, text_of};
pub(crate) use mend::first;
pub use mend::read;
