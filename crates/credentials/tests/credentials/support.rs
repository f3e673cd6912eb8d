//! A directory with configuration files and helpers, and the records of their runs.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use credentials::{Credential, CredentialError, Credentials};
use oci::{Host, Repository};
use tempfile::TempDir;

pub(crate) fn host(text: &str) -> Host {
    text.parse().expect(text)
}

pub(crate) fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: password.into() }
}

/// A directory that vanishes.
pub(crate) struct TestDirectory(TempDir);

impl TestDirectory {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    /// A credential helper. Written by another process: one that is just being started by another test
    /// would inherit the open file, and then the system does not run it.
    pub(crate) fn helper(&self, name: &str, script: &str) {
        let path = self.path().join(format!("docker-credential-{name}"));
        let mut shell = Command::new("sh")
            .args(["-c", "cat > \"$1\" && chmod +x \"$1\"", "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut stdin = shell.stdin.take().expect("its input");
        write!(stdin, "#!/bin/sh\n{script}\n").expect("the script is written");
        drop(stdin);
        assert!(shell.wait().expect("it ends").success());
    }

    /// Credentials from the configuration and the helpers of this directory.
    pub(crate) fn credentials(&self, config: &str) -> Credentials {
        Credentials::builder()
            .named_config(self.file("config.json", config))
            .helper_directories(vec![self.path().to_owned()])
            .helper_deadline(Duration::from_secs(20))
            .build()
    }

    /// How often a script wrote a line into the file `name`.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

pub(crate) async fn get(credentials: &Credentials, at: &str) -> Option<Credential> {
    let (at, name) = at.split_once('/').map_or((at, None), |(at, name)| (at, Some(name)));
    let name: Option<Repository> = name.map(|name| name.parse().expect(name));
    credentials.get(&host(at), name.as_ref()).await.expect("no error")
}

/// The error, which must not hold a secret: all of them here are called hunter2.
pub(crate) async fn fail(credentials: &Credentials, at: &str) -> CredentialError {
    let error = credentials.get(&host(at), None).await.expect_err("an error");
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains('\n'), "{shown}");
    }
    error
}
