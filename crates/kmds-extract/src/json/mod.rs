//! JSON as sites send it: read even if a value in it is broken, or of another type than before.
//!
//! | module | what it reads |
//! | --- | --- |
//! | [`mend`] | a text that is JSON except for a few broken values |
//! | [`lenient`] | types that read as nothing where a value has another type |
//! | [`fields`] | the same for fields that are plain options |
//!
//! One odd value loses only that value, never the page. This module knows no site.

pub(crate) mod fields;
pub(crate) mod lenient;
mod mend;

pub use fields::{number_of, text_of};
pub(crate) use mend::first;
pub use mend::read;
