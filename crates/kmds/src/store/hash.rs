//! How a file is distinguished from another: by its hash and its time.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::error::{StoreError, io};
use crate::hex;

/// Lower-case hex of the whole file.
pub(super) fn sha256(file: &File) -> Result<String, StoreError> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let (mut buffer, mut at) = (vec![0; 64 << 10], 0);
    loop {
        let read = file
            .read_at(&mut buffer, at)
            .map_err(io("read a file back"))?;
        if read == 0 {
            break;
        }
        context.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(hex::encode(context.finish().as_ref()))
}

/// Modification time in nanoseconds since 1970, from the drive.
pub(super) fn mtime_ns(metadata: &Metadata) -> i64 {
    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}
