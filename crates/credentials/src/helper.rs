//! Credential helpers: docker's programs that store credentials.
//!
//! Source: the protocol of docker-credential-helpers: `docker-credential-<name> get`, the server on
//! standard input, `{"Username", "Secret"}` on standard output.

use std::{
    io,
    path::PathBuf,
    pin::pin,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    time::timeout,
};

use crate::{Credential, HelperFault, Secret, first_line};

/// How much of what a helper prints is read, in bytes: the longest tokens have a few KiB.
const MAX_OUTPUT: usize = 64 << 10;
/// How long the output of a helper is read after its end: what it wrote is there, but a process that it left behind may
/// keep the pipe open.
const AFTER_END: Duration = Duration::from_millis(100);
/// The user of a secret that is an identity token.
const TOKEN_USER: &str = "<token>";
/// The message of a helper that has no credentials; there is no exit code for it.
const NOT_FOUND: &str = "credentials not found";

/// How helpers are executed.
#[derive(Clone, Debug)]
pub(crate) struct Helpers {
    /// Where they are looked for; none stands for the `PATH` of this process.
    pub(crate) directories: Option<Vec<PathBuf>>,
    /// How long one may take.
    pub(crate) deadline: Duration,
}

impl Helpers {
    /// The credentials that the helper `name` has for `server`, if any.
    pub(crate) async fn get(
        &self,
        name: &str,
        server: &str,
    ) -> Result<Option<Credential>, HelperFault> {
        let child = self.spawn(name)?;
        // The child is killed when it is dropped, and that is when time is up too.
        match timeout(self.deadline, output(child, server)).await {
            Ok(output) => credential_of(&output?),
            Err(_) => Err(HelperFault::TooLate { after: self.deadline }),
        }
    }

    fn spawn(&self, name: &str) -> Result<Child, HelperFault> {
        let program = format!("docker-credential-{name}");
        let program = match &self.directories {
            None => program.into(),
            Some(directories) => {
                let mut paths = directories.iter().map(|directory| directory.join(&program));
                paths.find(|path| path.is_file()).ok_or(HelperFault::Missing)?
            }
        };
        Command::new(program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => HelperFault::Missing,
                _ => not_run(error),
            })
    }
}

fn not_run(error: io::Error) -> HelperFault {
    HelperFault::NotRun(Arc::new(error))
}

/// The output of a helper, and how it ended.
struct HelperOutput {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

async fn output(mut child: Child, server: &str) -> Result<HelperOutput, HelperFault> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A helper that does not read its input may respond all the same.
            let _ = stdin.write_all(server.as_bytes()).await;
        }
        Ok(())
    };
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let ended = {
        let texts = (read(stdout, &mut said), read(stderr, &mut complaint));
        let mut exchange = pin!(async { tokio::try_join!(write, texts.0, texts.1) });
        tokio::select! {
            biased;
            done = &mut exchange => {
                done?;
                None
            }
            status = child.wait() => {
                if let Ok(done) = timeout(AFTER_END, exchange).await {
                    done?;
                }
                Some(status.map_err(not_run)?)
            }
        }
    };
    if said.len() > MAX_OUTPUT {
        return Err(HelperFault::TooLong { limit: MAX_OUTPUT });
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait().await.map_err(not_run)?,
    };
    Ok(HelperOutput { status, stdout: said, stderr: complaint })
}

/// Adds the output to `bytes`, up to the limit and one byte more; then the pipe is closed.
async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    bytes: &mut Vec<u8>,
) -> Result<(), HelperFault> {
    if let Some(pipe) = pipe {
        pipe.take(MAX_OUTPUT as u64 + 1).read_to_end(bytes).await.map_err(not_run)?;
    }
    Ok(())
}

fn credential_of(output: &HelperOutput) -> Result<Option<Credential>, HelperFault> {
    let texts = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    if !output.status.success() {
        if texts.iter().any(|said| said.to_ascii_lowercase().contains(NOT_FOUND)) {
            return Ok(None);
        }
        // The protocol has the reason on standard output; some helpers use standard error. What looks like a
        // credential is not shown.
        let safe = texts.iter().filter(|said| !said.contains(['{', '}']));
        let mut said = safe.map(|said| first_line(said)).filter(|line| !line.is_empty());
        let status = output.status.to_string().into();
        return Err(HelperFault::Failed { status, said: said.next().unwrap_or_default().into() });
    }
    let (user, secret) = printed(&output.stdout).ok_or(HelperFault::Garbled)?;
    Ok(match user.as_str() {
        "" if secret.is_empty() => None,
        TOKEN_USER if secret.expose().contains(char::is_control) => {
            return Err(HelperFault::UnusableToken);
        }
        TOKEN_USER => Some(Credential::Identity(secret)),
        _ => Some(Credential::Basic { user, password: secret }),
    })
}

/// User and secret of what a helper prints, whatever the case of the members' names: Docker's decoder ignores it too. What serde would say of anything else might quote the secret.
fn printed(stdout: &[u8]) -> Option<(String, Secret)> {
    let members: Map<String, Value> = serde_json::from_slice(stdout).ok()?;
    let member = |name: &str| {
        let in_any_case = || members.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        members.get(name).or_else(|| in_any_case().map(|(_, value)| value))?.as_str()
    };
    let (user, secret) = (member("Username")?, member("Secret")?);
    Some((user.to_owned(), secret.into()))
}
