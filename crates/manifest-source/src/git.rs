//! Promotion manifests in git's history, read by the program `git`: nothing is checked out, and nothing in the
//! repository is changed.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::SystemTime,
};

use promotion_manifest::Rule;

use crate::{
    LoadError, ManifestSource, disk,
    found::{FOLDERS, FileList, LINKED_DIRECTORY, MAX_FILES, SUBMODULE, linked_file},
    options::directory_and_name,
    time::Time,
};

/// The message of git about a name that is not a revision.
const NO_REVISION: &str = "Needed a single revision";

/// The variables that name the repository, and a directory in it, to a git that runs in a hook.
const REPOSITORY_VARIABLES: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"];

/// The directory of the manifests, in a git repository.
pub(crate) struct GitRepository {
    directory: PathBuf,
}

impl GitRepository {
    /// The repository that `source` lies in.
    pub(crate) fn of(source: &ManifestSource) -> Result<Self, LoadError> {
        let directory = match source {
            ManifestSource::File(path) => directory_and_name(path).0.to_owned(),
            ManifestSource::ThinDirectory(directory) => directory.clone(),
            ManifestSource::StandardInput => return Err(LoadError::NoHistory),
        };
        let repository = Self { directory };
        repository.run("find a repository", &["rev-parse", "--is-inside-work-tree"])?;
        Ok(repository)
    }

    /// What a name of a revision means.
    pub(crate) fn revision(&self, name: &str) -> Result<Revision, LoadError> {
        if is_time_in_reflog(name) {
            return Err(LoadError::ReflogTime(name.to_owned()));
        }
        let commit = format!("{name}^{{commit}}");
        let what = format!(
            "find the revision `{name}` (in a clone that is not whole, `git fetch --unshallow` brings it)"
        );
        let found = self.run(&what, &["rev-parse", "--verify", "--end-of-options", &commit]);
        let found = found.map_err(|error| match error {
            LoadError::Git { said, directory, .. } if said == NO_REVISION => {
                LoadError::NoRevision { name: name.to_owned(), directory }
            }
            other => other,
        })?;
        Revision::open(&self.directory, found.trim())
    }

    /// The last commit on the first-parent line of HEAD that is older than `time`; none if all are younger.
    pub(crate) fn before(&self, time: &str) -> Result<Option<Revision>, LoadError> {
        let no_time = || LoadError::NoTime(time.to_owned());
        let parsed = Time::parse(time).ok_or_else(no_time)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        if parsed.is_in_future(now) {
            return Err(LoadError::Future(time.to_owned()));
        }
        let before = format!("--before={}", parsed.for_git());
        let limit = self.run("read a time", &["rev-parse", &before])?;
        let limit = limit.trim();
        let seconds = limit.strip_prefix("--min-age=").and_then(|it| it.parse::<u64>().ok());
        let seconds = seconds.filter(|it| parsed.may_be(*it)).ok_or_else(no_time)?;
        if seconds > now {
            return Err(LoadError::Future(time.to_owned()));
        }
        let arguments = ["rev-list", "-1", "--first-parent", limit, "HEAD"];
        let found = self.run("look through the history", &arguments)?;
        let commit = found.trim();
        if commit.is_empty() { Ok(None) } else { Revision::open(&self.directory, commit).map(Some) }
    }

    fn run(&self, what: &str, arguments: &[&str]) -> Result<String, LoadError> {
        let output = run(&self.directory, what, arguments)?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }
}

/// Whether a revision is named by a time in the reflog, such as `HEAD@{2026-10-01}`. Git takes the nearest entry for
/// a time that the log does not cover, and the newest for text that it cannot read.
fn is_time_in_reflog(name: &str) -> bool {
    name.split("@{").skip(1).any(|rest| {
        let selector = rest.split('}').next().unwrap_or(rest);
        let number = selector.strip_prefix('-').unwrap_or(selector);
        // Git reads a longer number as a time.
        let is_number =
            (1..=8).contains(&number.len()) && number.bytes().all(|it| it.is_ascii_digit());
        let is_branch =
            ["u", "upstream", "push"].iter().any(|it| selector.eq_ignore_ascii_case(it));
        !is_number && !is_branch
    })
}

/// `git` in a directory, with nothing of the user's settings that changes what it prints or where it looks.
fn git(directory: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).args(["--no-pager", "--no-optional-locks"]).args(arguments);
    git.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    for variable in REPOSITORY_VARIABLES {
        git.env_remove(variable);
    }
    git
}

fn run(directory: &Path, what: &str, arguments: &[&str]) -> Result<Vec<u8>, LoadError> {
    let output = git(directory, arguments).output().map_err(LoadError::NoGit)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it does not say why");
    Err(LoadError::Git {
        what: what.to_owned(),
        directory: directory.display().to_string(),
        said: wording::one_line(said.trim_start_matches("fatal: ")),
    })
}

/// The directory as it was at a commit.
pub(crate) struct Revision {
    directory: PathBuf,
    commit: String,
    /// What its directory and files are called in messages: ` at commit <object>`.
    suffix: String,
    /// What is below the directory, by its path.
    objects: HashMap<PathBuf, GitObject>,
    reader: RefCell<GitObjectReader>,
}

impl Revision {
    fn open(directory: &Path, commit: &str) -> Result<Self, LoadError> {
        let what = format!("list the files of commit {commit}");
        let listed = run(directory, &what, &["ls-tree", "-r", "-z", commit])?;
        let mut objects = HashMap::new();
        // Each is `<mode> <type> <object>\t<path>`, the path being relative to the directory.
        for entry in listed.split(|byte| *byte == 0) {
            let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else { continue };
            let (about, path) = (String::from_utf8_lossy(&entry[..tab]), &entry[tab + 1..]);
            let object = match about.split(' ').collect::<Vec<_>>()[..] {
                ["120000", "blob", _] => GitObject::Link,
                ["160000", "commit", _] => GitObject::Submodule,
                [_, "blob", object] => GitObject::File(object.to_owned()),
                _ => continue,
            };
            objects.insert(OsStr::from_bytes(path).into(), object);
        }
        let reader = RefCell::new(
            GitObjectReader::start(directory, &["cat-file", "--batch"])
                .map_err(LoadError::NoGit)?,
        );
        let suffix = format!(" at commit {commit}");
        let commit = commit.to_owned();
        Ok(Self { directory: directory.to_owned(), commit, suffix, objects, reader })
    }

    /// What follows the name of a directory or file that is not found here: ` at commit <object>`.
    pub(crate) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The files below the folders that projects are in; what is hidden is tools' own.
    pub(crate) fn list(&self) -> Result<FileList, LoadError> {
        let is_in_folder = |path: &PathBuf| FOLDERS.iter().any(|folder| path.starts_with(folder));
        let mut found = FileList::default();
        let mut not_utf8 = BTreeSet::new();
        for (path, object) in self.objects.iter().filter(|(path, _)| is_in_folder(path)) {
            let shown = readable(path);
            let is_hidden = shown.iter().any(|part| part.as_bytes().starts_with(b"."));
            match shown.to_str() {
                _ if is_hidden => {}
                None => drop(not_utf8.insert(shown)),
                Some(_) if matches!(object, GitObject::Submodule) => {
                    found.problem(path, Rule::UnreadableFile, SUBMODULE.to_owned());
                }
                Some(shown) => found.files.push(shown.to_owned()),
            }
        }
        not_utf8.into_iter().for_each(|path| found.not_utf8(path));
        if found.len() >= MAX_FILES {
            return Err(LoadError::TooMany(self.directory.display().to_string()));
        }
        for path in self.linked_directories(&found.files)? {
            found.problem(Path::new(&path), Rule::LinkedDirectory, LINKED_DIRECTORY.to_owned());
            found.files.retain(|file| *file != path);
        }
        Ok(found)
    }

    /// Those of `files` that are links to a directory, or lead out of the repository and may be ones.
    fn linked_directories(&self, files: &[String]) -> Result<Vec<String>, LoadError> {
        let is_link = |path: &&String| {
            let is_yaml = [".yaml", ".yml"].iter().any(|end| path.ends_with(end));
            // Git's protocol has one name a line. A link with the name of a manifest is reported when it is read.
            !is_yaml
                && !path.contains('\n')
                && matches!(self.objects.get(Path::new(path)), Some(GitObject::Link))
        };
        let links: Vec<_> = files.iter().filter(is_link).collect();
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = ["cat-file", "--batch-check", "--follow-symlinks"];
        let mut reader =
            GitObjectReader::start(&self.directory, &arguments).map_err(LoadError::NoGit)?;
        let mut directories = Vec::new();
        for path in links {
            let kind =
                reader.kind(&format!("{}:./{path}", self.commit)).map_err(LoadError::NoGit)?;
            if matches!(kind, LinkTarget::Directory | LinkTarget::Outside) {
                directories.push(path.clone());
            }
        }
        Ok(directories)
    }

    /// A file, whole.
    pub(crate) fn read(&self, file: &Path) -> io::Result<String> {
        let object = match self.objects.get(file).ok_or(io::ErrorKind::NotFound)? {
            GitObject::File(object) => object,
            GitObject::Link => return Err(linked_file()),
            GitObject::Submodule => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, SUBMODULE));
            }
        };
        let bytes = self.reader.borrow_mut().read(object)?;
        Ok(wording::utf8(bytes)?)
    }
}

/// What a path is at a commit.
enum GitObject {
    /// A file: what git calls its content.
    File(String),
    Link,
    /// A directory whose content is in another repository.
    Submodule,
}

/// The path as far as, and with, its first name that is not UTF-8: a listing of the disk goes no deeper.
fn readable(path: &Path) -> &Path {
    let mut parts = path.iter();
    match parts.by_ref().find(|part| part.to_str().is_none()) {
        Some(_) => path.ancestors().nth(parts.count()).unwrap_or(path),
        None => path,
    }
}

/// What a link leads to.
enum LinkTarget {
    Directory,
    /// Something that is not in the repository.
    Outside,
    /// A file, or nothing.
    Other,
}

/// `git cat-file --batch`: one process for all files. It gets one request at a time, so that neither side waits for
/// the pipe of the other.
struct GitObjectReader {
    process: Child,
    requests: Option<ChildStdin>,
    responses: BufReader<ChildStdout>,
}

impl GitObjectReader {
    fn start(directory: &Path, arguments: &[&str]) -> io::Result<Self> {
        let mut command = git(directory, arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (requests, responses) = (process.stdin.take(), process.stdout.take());
        let responses = BufReader::new(responses.ok_or(io::ErrorKind::BrokenPipe)?);
        Ok(Self { process, requests, responses })
    }

    /// The first line of the response for an object.
    fn request(&mut self, object: &str) -> io::Result<String> {
        let requests = self.requests.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(requests, "{object}")?;
        requests.flush()?;
        let mut head = String::new();
        self.responses.read_line(&mut head)?;
        Ok(head)
    }

    /// What a link leads to.
    fn kind(&mut self, object: &str) -> io::Result<LinkTarget> {
        // `<object> <type> <size>`; or `symlink`, `dangling`, `loop` or `notdir` and a size, and then so many bytes.
        let head = self.request(object)?;
        Ok(match head.split_whitespace().collect::<Vec<_>>()[..] {
            ["symlink", size] => {
                self.skip(size)?;
                LinkTarget::Outside
            }
            ["dangling" | "loop" | "notdir", size] => {
                self.skip(size)?;
                LinkTarget::Other
            }
            [_, "tree", _] => LinkTarget::Directory,
            _ => LinkTarget::Other,
        })
    }

    /// Skips so many bytes and the end of their line.
    fn skip(&mut self, size: &str) -> io::Result<()> {
        let size: u64 = size.parse().map_err(io::Error::other)?;
        io::copy(&mut (&mut self.responses).take(size + 1), &mut io::sink()).map(drop)
    }

    fn read(&mut self, object: &str) -> io::Result<Vec<u8>> {
        // `<object> <type> <size>`, a line; the content; a line's end.
        let head = self.request(object)?;
        let size = head.trim_end().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
        let size =
            size.ok_or_else(|| io::Error::other(format!("git says `{}`", head.trim_end())))?;
        let fits = disk::fits(size);
        let mut content = Vec::new();
        if fits.is_ok() {
            (&mut self.responses).take(size).read_to_end(&mut content)?;
        } else {
            io::copy(&mut (&mut self.responses).take(size), &mut io::sink())?;
        }
        self.responses.read_exact(&mut [0])?;
        fits.map(|()| content)
    }
}

impl Drop for GitObjectReader {
    fn drop(&mut self) {
        // It ends when its standard input is closed.
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_does_not_say_which_repository_it_is() {
        let git = git(Path::new("."), &[]);
        for variable in REPOSITORY_VARIABLES {
            let removed = (OsStr::new(variable), None);
            assert!(git.get_envs().any(|set| set == removed), "{variable}");
        }
    }
}
