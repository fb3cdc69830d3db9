//! What holds for any text a client or a site may send. `cargo test fuzz_` reads the corpus, `./fuzz/run` more.

mod links;
mod origin;
mod sites;
mod texts;
