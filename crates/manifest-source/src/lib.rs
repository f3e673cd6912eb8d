//! Promotion manifests from the disk and from the history of a git repository, and the selection of the
//! edges that a command works on.
//!
//! It reads; it changes no file and no repository, and it sends no request to a registry. What the manifests mean is decided in
//! `promotion-manifest`, which is the only crate of ours that it builds on, beside `oci` and `wording`.

mod disk;
mod error;
mod files;
mod found;
mod git;
mod glob;
mod load;
mod options;
mod read;
mod time;

pub use error::LoadError;
pub use glob::{ProjectGlob, ProjectGlobError};
pub use load::{LoadedManifests, load};
pub use options::{ChangeRange, LoadOptions, ManifestSource};
