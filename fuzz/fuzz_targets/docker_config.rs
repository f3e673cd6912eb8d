//! Configuration files of docker and podman: any bytes are a configuration or a problem, which is one line and
//! names its place; helpers' names are no paths.

#![no_main]

use credentials::{Credential, DockerConfig, FileProblem};
use libfuzzer_sys::fuzz_target;

/// What is shown is one line.
fn check_problem(problem: &FileProblem) {
    assert!(!problem.to_string().contains(['\n', '\r', '\x1b']), "{problem}");
}

fuzz_target!(|bytes: &[u8]| {
    let config = match DockerConfig::parse(bytes) {
        Ok(config) => config,
        Err(problem) => return check_problem(&problem),
    };
    for host in ["h", "docker.io", "us-docker.pkg.dev", "127.0.0.1:5000"] {
        let host = host.parse().expect("a host");
        let of_host = config.credential(&host, None);
        for name in ["a", "a/b", "library/busybox"] {
            let name = name.parse().expect("a name");
            match config.credential(&host, Some(&name)) {
                Ok(None) => assert_eq!(of_host, Ok(None), "a repository has what its host has"),
                Ok(Some(Credential::Basic { user, .. })) => assert!(!user.is_empty()),
                Ok(Some(Credential::Identity(token) | Credential::Token(token))) => {
                    assert!(!token.expose().is_empty());
                }
                Ok(Some(Credential::IdentityOrBasic { token, user, .. })) => {
                    assert!(!token.expose().is_empty() && !user.is_empty());
                }
                Err(problem) => check_problem(&problem),
            }
        }
        match config.helper(&host) {
            Ok(None) => {}
            Ok(Some(name)) => assert!(!name.is_empty() && !name.contains(['/', '\\', '\0'])),
            Err(problem) => check_problem(&problem),
        }
    }
});
