//! The tests of directories once more, with a symbolic link above the root. Such a storage looks at each directory for
//! links, as on systems without `openat2`.

#[expect(clippy::duplicate_mod, reason = "the same tests, with another `tempdir`")]
#[path = "../directory.rs"]
mod directory;
#[expect(clippy::duplicate_mod, reason = "the same tests, with another `tempdir`")]
#[path = "../obstacles.rs"]
mod obstacles;

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A temporary directory, named by way of a link.
struct LinkedDirectory {
    path: PathBuf,
    _removed_at_end: TempDir,
}

impl LinkedDirectory {
    fn path(&self) -> &Path {
        &self.path
    }
}

fn tempdir() -> io::Result<LinkedDirectory> {
    let outer = TempDir::new()?;
    let [real, link] = ["real", "link"].map(|name| outer.path().join(name));
    fs::create_dir_all(real.join("root"))?;
    symlink(real, &link)?;
    Ok(LinkedDirectory { path: link.join("root"), _removed_at_end: outer })
}
