//! A store that is a directory. Content is written by `partial_file`, and is visible under its digest once it is whole.
//!
//! Blocking calls run on tokio's blocking threads, a batch of pieces at a time.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use oci::Digest;
use url::Url;

use crate::{
    Error, ErrorKind, LIST_PAGE, ListedObject, ObjectHead, Part, Put, key,
    location::{self, check_directories, metadata_of, path_text, size_of},
    object::{corrupt, not_found},
    partial_file::{PartialFile, PartialFiles, WRITE_BATCH},
};

/// A directory as a store.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryStore(Arc<DirectoryStoreState>);

#[derive(Debug)]
struct DirectoryStoreState {
    url: Url,
    root: PathBuf,
    partial_files: PartialFiles,
}

impl DirectoryStore {
    pub(crate) fn new(url: Url, root: PathBuf) -> Self {
        let partial_files = PartialFiles::new(root.clone());
        Self(Arc::new(DirectoryStoreState { url, root, partial_files }))
    }

    pub(crate) async fn check_location(&self) -> Result<(), Error> {
        let this = self.clone();
        blocking(move || {
            location::check(&this.0.root)?;
            location::check_content(&this.0.root)
        })
        .await
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        location::resolve(&self.0.root) == location::resolve(&other.0.root)
    }

    pub(crate) async fn head(&self, digest: &Digest) -> Result<ObjectHead, Error> {
        let (this, path) = (self.clone(), self.path(digest));
        blocking(move || {
            check_directories(&this.0.root)?;
            let length = size_of(&path)?;
            length.map(|length| ObjectHead { length }).ok_or_else(|| not_found(&path_text(&path)))
        })
        .await
    }

    pub(crate) async fn get(&self, digest: &Digest, part: Part, max: u64) -> Result<Bytes, Error> {
        let (this, digest) = (self.clone(), *digest);
        blocking(move || {
            let path = this.path(&digest);
            match open_file(&this.0.root, &digest)? {
                Some((file, length)) => read(&digest, &path, (file, length), &part, max),
                None => Err(not_found(&path_text(&path))),
            }
        })
        .await
    }

    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&Digest>,
    ) -> Result<Vec<ListedObject>, Error> {
        let (this, prefix, after) =
            (self.clone(), prefix.to_owned(), after.map(ToString::to_string));
        blocking(move || {
            check_directories(&this.0.root)?;
            list(&this.0.root.join(key::PREFIX), &prefix, after.as_deref())
        })
        .await
    }

    pub(crate) async fn writer(&self, digest: &Digest, length: u64) -> Result<FileWriter, Error> {
        let (this, digest) = (self.clone(), *digest);
        let partial =
            blocking(move || this.0.partial_files.create(&digest, length).map(Box::new)).await?;
        Ok(FileWriter { digest, partial: Some(partial), gathered: Vec::new(), gathered_len: 0 })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.root.join(key(digest))
    }
}

impl fmt::Display for DirectoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.url.as_str())
    }
}

/// Opens the regular file that the store in directory `root` has under this digest, and gives its length; none if it
/// has none. Blocks.
///
/// # Errors
/// When something else has the digest's name ([`Error::is_wrong_file_type`]), or it cannot be read.
pub fn open_file(root: &Path, digest: &Digest) -> Result<Option<(File, u64)>, Error> {
    let path = root.join(key(digest));
    check_directories(root)?;
    if size_of(&path)?.is_none() {
        return Ok(None);
    }
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let size = file.metadata().map_err(Error::io("look at", &path))?.len();
    Ok(Some((file, size)))
}

fn read(
    digest: &Digest,
    path: &Path,
    (mut file, length): (File, u64),
    part: &Part,
    max: u64,
) -> Result<Bytes, Error> {
    let range = part.of(&path_text(path), length, max)?;
    file.seek(SeekFrom::Start(range.start)).map_err(Error::io("read", path))?;
    let mut content = Vec::new();
    let wanted = range.end - range.start;
    file.take(wanted).read_to_end(&mut content).map_err(Error::io("read", path))?;
    if *part == Part::Whole && !digest.matches(&content) {
        return Err(corrupt(&path_text(path)));
    }
    Ok(content.into())
}

/// The first objects behind `after`. Keeps one page in memory, whatever the directory holds.
fn list(images: &Path, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>, Error> {
    let entries = match fs::read_dir(images) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("list", images))?,
    };
    let mut page = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", images))?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) else { continue };
        if after.is_none_or(|after| name > after) && name.parse::<Digest>().is_ok() {
            page.insert(name.to_owned());
        }
        if page.len() > LIST_PAGE {
            page.pop_last();
        }
    }
    let listed = page.iter().map(|name| {
        let path = images.join(name);
        // Something that is not a regular file is not an object.
        let metadata = metadata_of(&path)?.filter(Metadata::is_file);
        let listed = metadata.zip(name.parse().ok());
        Ok(listed.map(|(metadata, digest)| ListedObject { digest, length: metadata.len() }))
    });
    listed.filter_map(Result::transpose).collect()
}

/// Content on its way into the directory.
#[derive(Debug)]
pub(crate) struct FileWriter {
    digest: Digest,
    /// None while a blocking thread has it, and for good once that failed or its future was dropped.
    partial: Option<Box<PartialFile>>,
    gathered: Vec<Bytes>,
    gathered_len: usize,
}

impl FileWriter {
    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        self.gathered_len += piece.len();
        self.gathered.push(piece);
        if self.gathered_len < WRITE_BATCH {
            return Ok(());
        }
        let (mut partial, pieces) = (self.take()?, mem::take(&mut self.gathered));
        self.gathered_len = 0;
        let work = move || partial.append(&pieces).map(|()| partial);
        self.partial = Some(blocking(work).await?);
        Ok(())
    }

    pub(crate) async fn commit(mut self) -> Result<Put, Error> {
        let (mut partial, pieces) = (self.take()?, self.gathered);
        blocking(move || {
            partial.append(&pieces)?;
            partial.link()
        })
        .await
    }

    fn take(&mut self) -> Result<Box<PartialFile>, Error> {
        self.partial.take().ok_or_else(|| {
            let message = format!("the writer of {} failed before; nothing was kept", self.digest);
            Error::new(ErrorKind::Other, self.digest.to_string(), message)
        })
    }
}

/// Runs `work` where it may block.
async fn blocking<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // The runtime is being shut down, and no task waits for the result.
        Err(stopped) => {
            Err(Error::io("finish the work on", "the store")(io::Error::other(stopped)))
        }
    }
}
