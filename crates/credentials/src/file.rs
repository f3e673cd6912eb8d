//! Reads files of credentials.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{fs::File, io::AsyncReadExt as _};

use crate::{CredentialError, FileProblem};

/// How long such a file may be, in bytes: thousands of entries.
const MAX_FILE: u64 = 1 << 20;
/// A byte order mark (Unicode §23.8), with which editors begin files; JSON has none (RFC 8259 §8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of a text without the byte order mark at the beginning, if there is one.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// A file, and whether it has to exist.
#[derive(Clone, Debug)]
pub(crate) enum CredentialFile {
    /// The user named it: it must exist.
    Named(PathBuf),
    /// It is in the usual place, and need not exist.
    Usual(PathBuf),
}

impl CredentialFile {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Usual(path) => path,
        }
    }

    /// The bytes of the file; none if it does not exist and need not.
    pub(crate) async fn read(&self) -> Result<Option<Vec<u8>>, CredentialError> {
        let bytes = match read(self.path()).await {
            Ok(bytes) => bytes,
            Err(cause) if matches!(self, Self::Usual(_)) && is_missing(&cause) => return Ok(None),
            Err(cause) => {
                let (file, cause) = (self.path().to_owned(), Arc::new(cause));
                return Err(CredentialError::Unreadable { file, cause });
            }
        };
        if bytes.len() as u64 > MAX_FILE {
            let what = format!("it is longer than {MAX_FILE} bytes; is it the right file?");
            return Err(self.malformed(FileProblem::new(what)));
        }
        Ok(Some(without_mark(&bytes).to_vec()))
    }

    pub(crate) fn malformed(&self, problem: FileProblem) -> CredentialError {
        CredentialError::Malformed { file: self.path().to_owned(), problem }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).await?.take(MAX_FILE + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
