//! KMDS: a media downloading service. A link goes in; metadata comes out at once, the audio lands whole on a drive.

pub mod download;
pub mod media;
pub mod origin;
pub mod store;
