//! Credential helpers: which are run, how often, and their failures.

use std::time::{Duration, Instant};

use credentials::{Credential, Credentials};
use futures_util::future::join_all;

use crate::support::{TestDirectory, basic, fail, get, host};

/// Records its arguments and input, and has no credential.
const NOTHING: &str = "echo \"$1 $(cat)\" >> \"${0%/*}/runs\"
    echo 'credentials not found in native keychain'; exit 1";
/// Records its arguments and input, and prints a credential.
const GIVES: &str = "echo \"$1 $(cat)\" >> \"${0%/*}/runs\"
    echo '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"hunter2\"}'";

#[tokio::test]
async fn the_helper_of_the_host_is_run_else_that_of_all_then_the_file_is_read() {
    let place = TestDirectory::new();
    place.helper("own", GIVES);
    place.helper("all", NOTHING);
    let credentials = place.credentials(
        r#"{"credsStore":"all","credHelpers":{"a.example":"own","docker.io":"own","b.example":""},
        "auths":{"a.example":{"username":"file"},"a.example/path":{"username":"file"},
        "b.example":{"username":"file"},"c.example":{"username":"file"},"docker.io":{}}}"#,
    );
    for (at, credential) in [
        ("a.example", Some(basic("u", "hunter2"))),
        ("a.example/other", Some(basic("u", "hunter2"))),
        ("a.example/path/x", Some(basic("file", ""))),
        ("b.example", Some(basic("file", ""))),
        ("c.example", Some(basic("file", ""))),
        ("d.example:5000/x", None),
        ("index.docker.io/library/x", Some(basic("u", "hunter2"))),
    ] {
        assert_eq!(get(&credentials, at).await, credential, "{at}");
    }
    let servers = ["a.example", "c.example", "d.example:5000", "https://index.docker.io/v1/"];
    assert_eq!(place.lines("runs"), servers.map(|server| format!("get {server}")));
}

#[tokio::test]
async fn the_names_of_what_a_helper_prints_may_be_in_any_case() {
    let place = TestDirectory::new();
    for (names, credential) in [
        (["username", "secret"], Some(basic("u", "hunter2"))),
        (["USERNAME", "SeCrEt"], Some(basic("u", "hunter2"))),
        (["Username", "secret"], Some(basic("u", "hunter2"))),
    ] {
        let [user, secret] = names;
        place.helper("x", &format!(r#"echo '{{"{user}":"u","{secret}":"hunter2"}}'"#));
        let credentials = place.credentials(r#"{"credsStore":"x"}"#);
        assert_eq!(get(&credentials, "h").await, credential, "{names:?}");
    }
    place.helper("x", r#"echo '{"username":"other","Username":"u","Secret":"hunter2"}'"#);
    let credentials = place.credentials(r#"{"credsStore":"x"}"#);
    assert_eq!(get(&credentials, "h").await, Some(basic("u", "hunter2")), "the exact name wins");
}

#[tokio::test]
async fn many_share_one_result_until_it_is_dropped() {
    let place = TestDirectory::new();
    place.helper("x", GIVES);
    let credentials = place.credentials(r#"{"credsStore":"x"}"#);
    let many = join_all((0..20).map(|_| get(&credentials, "a"))).await;
    assert!(many.iter().all(|one| *one == Some(basic("u", "hunter2"))));
    assert_eq!(place.lines("runs").len(), 1);
    get(&credentials, "b").await;
    credentials.forget(&host("b"));
    get(&credentials, "a").await;
    assert_eq!(place.lines("runs").len(), 2);
    credentials.forget(&host("a"));
    get(&credentials, "a").await;
    assert_eq!(place.lines("runs").len(), 3);
}

#[tokio::test]
async fn what_a_helper_prints() {
    let place = TestDirectory::new();
    let credentials = |script: &str| {
        place.helper("x", script);
        place.credentials(r#"{"credsStore":"x"}"#)
    };
    for (script, credential) in [
        (
            r#"echo '{"Username":"<token>","Secret":"hunter2"}'"#,
            Some(Credential::Identity("hunter2".into())),
        ),
        // One that does not listen, and leaves much to say.
        (
            r#"head -c 60000 /dev/zero >&2; echo '{"Username":"","Secret":"s"}'"#,
            Some(basic("", "s")),
        ),
        (r#"echo '{"Username":"","Secret":""}'"#, None),
        ("echo Credentials not found >&2; exit 3", None),
    ] {
        assert_eq!(get(&credentials(script), "h").await, credential, "{script}");
    }
    let garbled =
        "it exited with status 0, but did not print a JSON object with `Username` and `Secret`";
    for (script, fault) in [
        ("exit 1", "exit status: 1"),
        ("echo; echo ' it is\x07 locked '; echo x; exit 2", "exit status: 2: it is  locked"),
        ("echo no bus >&2; exit 1", "exit status: 1: no bus"),
        (
            "echo '{\"Username\":\"u\",\"Secret\":\"hunter2\"}'; echo bad >&2; exit 1",
            "exit status: 1: bad",
        ),
        ("kill -9 $$", "signal: 9 (SIGKILL)"),
        ("echo hunter2", garbled),
        ("echo '{\"Username\":5,\"Secret\":\"hunter2\"}'", garbled),
        ("echo '[\"hunter2\"]'", garbled),
        ("exec yes hunter2", "it printed more than 65536 bytes"),
    ] {
        let error = fail(&credentials(script), "h").await;
        let start = "docker-credential-x (named in ";
        let end = format!("config.json) gave no credentials for h: {fault}");
        let text = error.to_string();
        assert!(text.starts_with(start) && text.ends_with(&end), "{script}: {text}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_helper_that_is_not_there_or_cannot_be_run() {
    let place = TestDirectory::new();
    let credentials = place.credentials(r#"{"credHelpers":{"h":"gone"}}"#);
    let error = fail(&credentials, "h").await.to_string();
    assert!(
        error.ends_with("it is not installed; install it, or remove it from that file"),
        "{error}"
    );
    let config = place.file("other.json", r#"{"credsStore":"that-does-not-exist"}"#);
    let on_path = Credentials::builder().named_config(config).build();
    let error = fail(&on_path, "h").await.to_string();
    assert!(
        error.ends_with("it is not installed; install it, or remove it from that file"),
        "{error}"
    );
    place.file("docker-credential-gone", "not executable");
    credentials.forget(&host("h"));
    let error = fail(&credentials, "h").await.to_string();
    assert!(error.contains(": it cannot be run: Permission denied"), "{error}");
    let credentials = place.credentials(r#"{"credsStore":"../x"}"#);
    let error = fail(&credentials, "h").await.to_string();
    assert!(error.contains("config.json:1:15: `credsStore` is not a name: "), "{error}");
}

#[tokio::test]
async fn a_helper_that_does_not_end_is_killed_and_the_failure_is_shared() {
    let place = TestDirectory::new();
    place.helper("x", "echo $$ >> \"${0%/*}/runs\"; exec sleep 1000");
    let credentials = Credentials::builder()
        .named_config(place.file("config.json", r#"{"credsStore":"x"}"#))
        .helper_directories(vec![place.path().to_owned()])
        .helper_deadline(Duration::from_millis(500))
        .build();
    let start = Instant::now();
    let errors = join_all((0..5).map(|_| fail(&credentials, "h"))).await;
    assert!(start.elapsed() < Duration::from_millis(2000), "{:?}", start.elapsed());
    let end =
        "it did not exit within 500ms and was killed; run it by hand to see what it waits for";
    assert!(errors.iter().all(|error| error.to_string().ends_with(end) && error.is_transient()));
    let [pid] = &place.lines("runs")[..] else { panic!("it was run more than once") };
    // It is gone as soon as tokio has collected it.
    let process = std::path::Path::new("/proc").join(pid);
    let deadline = Instant::now() + Duration::from_secs(10);
    while process.exists() {
        assert!(Instant::now() < deadline, "it is still there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_helper_gets_the_name_of_the_login() {
    let place = TestDirectory::new();
    let of_443 = "read server; echo \"$server\" >> \"${0%/*}/servers\"
        case \"$server\" in *:443) echo '{\"Username\":\"u\",\"Secret\":\"s\"}';; *)
        echo 'credentials not found in native keychain'; exit 1;; esac";
    place.helper("x", of_443);
    for (config, at, servers) in [
        (r#"{"credsStore":"x"}"#, "h:443", &["h:443"][..]),
        (r#"{"credHelpers":{"h:443":"x"}}"#, "h:443", &["h:443"]),
        (r#"{"credHelpers":{"h:443":"x"}}"#, "h", &["h", "h:443"]),
        (r#"{"credsStore":"x","auths":{"h:443":{}}}"#, "h", &["h", "h:443"]),
    ] {
        let before = place.lines("servers").len();
        assert_eq!(get(&place.credentials(config), at).await, Some(basic("u", "s")), "{config}");
        assert_eq!(place.lines("servers")[before..], *servers, "{config}");
    }
    let of_none = place.credentials(r#"{"credsStore":"x"}"#);
    let before = place.lines("servers").len();
    assert_eq!(get(&of_none, "h").await, None);
    assert_eq!(
        place.lines("servers")[before..],
        ["h"],
        "one request where no login names the port"
    );
}

#[tokio::test]
async fn a_helper_that_leaves_a_process_behind_is_not_waited_for_after_its_end() {
    let place = TestDirectory::new();
    place.helper("x", "sleep 15 & echo '{\"Username\":\"u\",\"Secret\":\"hunter2\"}'");
    let start = Instant::now();
    let found = get(&place.credentials(r#"{"credsStore":"x"}"#), "h").await;
    assert_eq!(found, Some(basic("u", "hunter2")));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
