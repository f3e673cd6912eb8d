//! Promotion manifests from the disk and from the history of a git repository, and the choice of the edges
//! that a command works on.
//!
//! It reads; it changes no file and no repository, and it sends no request to a registry. What the manifests mean is decided in
//! `promotion-manifest`, which is the only crate of ours that it builds on, beside `oci` and `wording`.

mod choice;
mod disk;
mod error;
mod files;
mod found;
mod git;
mod glob;
mod load;
mod read;
mod time;

pub use choice::{Changes, Choice, ManifestSource};
pub use error::LoadError;
pub use glob::{ProjectGlob, ProjectGlobError};
pub use load::{Loaded, load};
