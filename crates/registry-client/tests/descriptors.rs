//! Too many open files are not the registry's fault. In a process of its own, which has few.

#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::{env, fs::File, process::Command};

use registry_client::{RegistryClient, RequestFault, Retries, TransportError};
use testkit::TestServer;

const TEST: &str = "running_out_of_file_descriptors_is_not_said_of_the_registry";
const INNER: &str = "PORTOLAN_TEST_FEW_DESCRIPTORS";

#[test]
fn running_out_of_file_descriptors_is_not_said_of_the_registry() {
    if env::var_os(INNER).is_some() {
        return with_few();
    }
    let this = env::current_exe().expect("this program");
    let limited = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact --nocapture \"$1\""])
        .args([this.as_os_str(), TEST.as_ref()])
        .env(INNER, "1")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&limited.stdout) + String::from_utf8_lossy(&limited.stderr);
    assert!(limited.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::main(flavor = "current_thread")]
async fn with_few() {
    let server = TestServer::start(|_| async { http::Response::default() }).await;
    let client = RegistryClient::builder().retries(Retries::none()).build();
    let mut open = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        open.push(file);
    }
    let error = client.ping(&server.host()).await.expect_err("there is none for a connection");
    drop(open);
    assert!(
        matches!(error.fault(), RequestFault::Transport(TransportError::NoDescriptors { .. })),
        "{error}"
    );
    assert!(error.is_transient() && !error.is_unreachable());
    let text = error.to_string();
    let says = ["too many files open", "Too many open files", "raise `ulimit -n`"];
    assert!(says.iter().all(|part| text.contains(part)), "{text}");
    client.ping(&server.host()).await.expect("and then it responds");
}
