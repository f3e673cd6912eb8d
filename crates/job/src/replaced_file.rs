//! A file that appears under its name when it is whole: until then it is written beside it. What is no regular file, such
//! as a device, a pipe or `/dev/stdout`, is written in place, as a shell's `>` does.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::{fd::AsFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// How many symbolic links a path may lead through: Linux's own limit.
const MAX_LINKS: usize = 40;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The path ends in `..` or `/`.
    #[error("{} has no file name; give the path of a file", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The path is that of a directory.
    #[error("{} is a directory; name a file", path.display())]
    IsDirectory {
        /// The path.
        path: PathBuf,
    },
}

/// A file that is being written. If it is dropped before [`ReplacedFile::replace`], what was there stays as it was.
#[derive(Debug)]
pub struct ReplacedFile {
    path: PathBuf,
    file: File,
    /// Where it is written until it is whole, and the file that it replaces then; none for what is written in place.
    beside: Option<(PathBuf, PathBuf)>,
}

impl ReplacedFile {
    /// Begins to write the file that will be at `path`.
    ///
    /// # Errors
    /// When `path` is a directory, names no file, or cannot be written.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        if path.is_dir() {
            return Err(FileError::IsDirectory { path: path.to_owned() });
        }
        let path = path.to_owned();
        match WriteMethod::of(&path).map_err(unwritable(&path))? {
            WriteMethod::InPlace(file) => Ok(Self { path, file, beside: None }),
            WriteMethod::Replaced(target) => {
                let Some(name) = target.file_name() else { return Err(FileError::NoName { path }) };
                // Each process has its own, so that two do not write into one another's.
                let beside = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
                let beside = target.with_file_name(beside);
                let file = File::create(&beside).map_err(unwritable(&path))?;
                Ok(Self { path, file, beside: Some((beside, target)) })
            }
        }
    }

    /// A handle that writes into it.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn writer(&self) -> Result<File, FileError> {
        self.file.try_clone().map_err(unwritable(&self.path))
    }

    /// Where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it will take the place of the file that `open` writes to, which then has no name any more.
    #[must_use]
    pub fn replaces(&self, open: impl AsFd) -> bool {
        let Some((_, target)) = &self.beside else { return false };
        let open = open.as_fd().try_clone_to_owned().and_then(|open| File::from(open).metadata());
        let place = |found: io::Result<fs::Metadata>| found.ok().map(|it| (it.dev(), it.ino()));
        let target = place(fs::metadata(target));
        target.is_some() && target == place(open)
    }

    /// Writes `text` to it.
    ///
    /// # Errors
    /// When the disk is full, for example.
    pub fn write(&self, text: &str) -> Result<(), FileError> {
        (&self.file).write_all(text.as_bytes()).map_err(unwritable(&self.path))
    }

    /// Makes it visible under its name, durably.
    ///
    /// # Errors
    /// When the system cannot sync or rename it.
    pub fn replace(mut self) -> Result<(), FileError> {
        let Some((beside, target)) = self.beside.take() else { return Ok(()) };
        let placed = self.file.sync_all().and_then(|()| fs::rename(&beside, &target));
        placed.map_err(unwritable(&self.path))
    }
}

/// Whether two paths name the same file, or would once it is created.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        // Two outputs may go to one device, pipe or terminal.
        (Ok(one), Ok(other)) => {
            one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
        }
        (Err(_), Err(_)) => {
            let place = |path: &Path| {
                let path = last_link(path);
                Some((parent(&path).canonicalize().ok()?, path.file_name()?.to_owned()))
            };
            place(one).is_some_and(|one| Some(one) == place(other))
        }
        _ => false,
    }
}

/// How a path is written.
enum WriteMethod {
    /// To this handle.
    InPlace(File),
    /// By a new file that takes the place of this one.
    Replaced(PathBuf),
}

impl WriteMethod {
    fn of(path: &Path) -> io::Result<Self> {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found?),
        };
        let target = last_link(path);
        if let Some(descriptor) = ProcessDescriptor::at(&target) {
            return descriptor.open(&target).map(Self::InPlace);
        }
        if found.is_some_and(|found| !found.is_file()) {
            return File::options().write(true).open(path).map(Self::InPlace);
        }
        Ok(Self::Replaced(target))
    }
}

/// An open file of a process, which Linux shows as a link: `/dev/stdout` leads to `/proc/self/fd/1`. The link must not be
/// followed, since what is written goes where the descriptor stands.
enum ProcessDescriptor {
    StandardOutput,
    StandardError,
    Other,
}

impl ProcessDescriptor {
    /// The one that a path names.
    fn at(path: &Path) -> Option<Self> {
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let directory = parent(path).canonicalize().ok()?;
        if !directory.starts_with("/proc") || directory.file_name()? != "fd" {
            return None;
        }
        let is_own = directory.starts_with(format!("/proc/{}", std::process::id()));
        Some(match number {
            1 if is_own => Self::StandardOutput,
            2 if is_own => Self::StandardError,
            _ => Self::Other,
        })
    }

    fn open(self, path: &Path) -> io::Result<File> {
        match self {
            Self::StandardOutput => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Self::StandardError => io::stderr().as_fd().try_clone_to_owned().map(File::from),
            // It has an offset of its own then, so it must not write over what the process writes.
            Self::Other => File::options().append(true).open(path),
        }
    }
}

/// Where the links of a path lead: to a file, to nothing yet, or to a descriptor.
fn last_link(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if ProcessDescriptor::at(&path).is_some() {
            break;
        }
        let Ok(link) = fs::read_link(&path) else { break };
        path = parent(&path).join(link);
    }
    path
}

/// The directory that a path is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Unwritable { path, source }
}

impl Drop for ReplacedFile {
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn it_appears_when_it_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.json");
        fs::write(&path, "old").expect("a file");
        let read = || fs::read_to_string(&path).expect("a file");
        let given_up = ReplacedFile::create(&path).expect("a file");
        given_up.write("half").expect("written");
        assert_eq!(read(), "old");
        drop(given_up);
        let whole = ReplacedFile::create(&path).expect("a file");
        whole.write("new").expect("written");
        whole.replace().expect("placed");
        assert_eq!(read(), "new");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        let error = ReplacedFile::create(&directory.path().join("no/where")).expect_err("nowhere");
        assert!(error.to_string().contains("cannot write "), "{error}");
        assert!(error.to_string().ends_with("no/where"), "{error}");
    }
    #[test]
    fn a_link_stays_and_what_it_links_to_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("there")).expect("a directory");
        for (target, link) in [("there/old", "one"), ("there/new", "two")] {
            symlink(target, at(link)).expect("a link");
            symlink(at(link), at("chain")).expect("a link");
            let file = ReplacedFile::create(&at("chain")).expect("a file");
            assert!(!at(target).exists(), "it is not whole");
            file.write("text").expect("written");
            file.replace().expect("placed");
            assert!(at(link).is_symlink() && at("chain").is_symlink());
            assert_eq!(fs::read_to_string(at(target)).expect("a file"), "text");
            fs::remove_file(at("chain")).expect("removed");
        }
        assert_eq!(fs::read_dir(at("there")).expect("a directory").count(), 2);
        symlink("loop", at("loop")).expect("a link");
        ReplacedFile::create(&at("loop")).expect_err("it leads nowhere");
        assert!(at("loop").is_symlink());
    }

    #[test]
    fn an_open_file_is_written_in_place() {
        use std::os::fd::AsRawFd as _;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("open");
        let mut open = File::create(&path).expect("a file");
        open.write_all(b"before ").expect("written");
        let link = directory.path().join("link");
        symlink(format!("/dev/fd/{}", open.as_raw_fd()), &link).expect("a link");
        let file = ReplacedFile::create(&link).expect("a file");
        file.write("after").expect("written");
        file.replace().expect("nothing to do");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).expect("a file"), "before after");
    }

    #[test]
    fn one_file_has_many_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").expect("a file");
        fs::hard_link(at("file"), at("hard")).expect("a link");
        symlink("file", at("soft")).expect("a link");
        symlink("absent", at("dangling")).expect("a link");
        for (one, other, same) in [
            ("file", "file", true),
            ("file", "hard", true),
            ("soft", "hard", true),
            ("dangling", "absent", true),
            ("absent", "absent", true),
            ("file", "absent", false),
            ("absent", "missing", false),
        ] {
            assert_eq!(is_same_file(&at(one), &at(other)), same, "{one} {other}");
        }
        assert!(!is_same_file(Path::new("/dev/null"), Path::new("/dev/null")));
    }
}
