//! The files of one state of the manifests: on the disk, or in a git commit.

use std::{io, path::Path};

use crate::{LoadError, disk, found::FileList, git::Revision};

/// Where files are read from.
pub(crate) enum ManifestFiles {
    Disk,
    Revision(Box<Revision>),
}

impl ManifestFiles {
    /// What lies below a directory.
    pub(crate) fn list(&self, directory: &Path) -> Result<FileList, LoadError> {
        match self {
            Self::Disk if directory.is_file() => {
                Err(LoadError::IsFile(directory.display().to_string()))
            }
            Self::Disk => disk::list(directory),
            Self::Revision(revision) => revision.list(),
        }
    }

    /// What follows the name of a directory or file that is not found here.
    pub(crate) fn suffix(&self) -> &str {
        match self {
            Self::Disk => "",
            Self::Revision(revision) => revision.suffix(),
        }
    }

    /// A file by its path below a directory.
    pub(crate) fn read(&self, directory: &Path, file: &Path) -> io::Result<String> {
        match self {
            Self::Disk => disk::read(&directory.join(file)),
            Self::Revision(revision) => revision.read(file),
        }
    }
}
