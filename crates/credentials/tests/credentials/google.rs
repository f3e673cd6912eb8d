//! Google's ambient credentials, against servers that respond as Google's do.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use credentials::{Credential, Credentials, Google};
use futures_util::future::join_all;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::{Body, Fault, TestHost, TestServer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time,
};

use crate::support::{TestDirectory, basic, fail, get, host};

const KEY: &str = include_str!("test-key.pem");
const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const ROBOT: &str = "robot@p.iam.gserviceaccount.com";

/// All of Google's services on one server. Their tokens are numbered.
struct TestServices {
    server: TestServer,
    bodies: Arc<Mutex<Vec<String>>>,
    place: TestDirectory,
}

impl TestServices {
    async fn start() -> Self {
        Self::lasting(3600, "Google").await
    }

    async fn lasting(seconds: u64, flavor: &'static str) -> Self {
        let bodies = Arc::<Mutex<Vec<String>>>::default();
        let (log, count) = (Arc::clone(&bodies), Arc::new(AtomicU32::new(0)));
        let server = TestServer::start(move |request: Request<Body>| {
            let (log, count) = (Arc::clone(&log), Arc::clone(&count));
            async move {
                let is_iam = request.uri().path().ends_with(":generateAccessToken");
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                log.lock().expect("a log").push(String::from_utf8_lossy(&body).into_owned());
                let token = format!("t{}", count.fetch_add(1, Ordering::Relaxed) + 1);
                let response = if is_iam {
                    json!({"accessToken": token, "expireTime": "2045-01-01T00:00:00Z"})
                } else {
                    json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})
                };
                let response = Response::builder().body(Body::from(response.to_string()));
                let mut response = response.expect("a response");
                response.headers_mut().insert("metadata-flavor", flavor.parse().expect("a value"));
                response
            }
        })
        .await;
        Self { server, bodies, place: TestDirectory::new() }
    }

    fn google(&self) -> Google {
        let url = |path| format!("{}{path}", self.server.url()).parse().expect("a URL");
        Google::new()
            .metadata_host(self.server.host())
            .token_url(url("/users"))
            .iam_url(url("/iam/"))
    }

    fn key_file(&self) -> Value {
        json!({
            "type": "service_account", "client_email": "me@p", "private_key_id": "1",
            "private_key": KEY, "token_uri": format!("{}/assertions", self.server.url()),
        })
    }

    fn with_file(&self, file: &Value) -> Google {
        self.google().named_file(self.place.file("google.json", &file.to_string()))
    }

    fn bodies(&self) -> Vec<String> {
        self.bodies.lock().expect("a log").clone()
    }

    fn paths(&self) -> Vec<String> {
        self.server.requests().into_iter().map(|request| request.path_and_query).collect()
    }

    /// The `Authorization` of a request.
    fn authorization(&self, request: usize) -> Option<String> {
        let requests = self.server.requests();
        let value = requests[request].headers.get("authorization")?;
        Some(value.to_str().expect("a text").to_owned())
    }
}

fn user_file() -> Value {
    json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "hunter2-c",
        "refresh_token": "hunter2-r", "quota_project_id": "p",
    })
}

fn credentials(google: Google) -> Credentials {
    Credentials::builder().google(google).build()
}

fn token(text: &str) -> Option<Credential> {
    Some(basic("oauth2accesstoken", text))
}

#[tokio::test]
async fn a_service_account_signs_for_its_token() {
    let services = TestServices::start().await;
    let credentials = credentials(services.with_file(&services.key_file()));
    assert_eq!(get(&credentials, "registry.k8s.io").await, None);
    assert_eq!(services.paths(), [""; 0]);
    for at in ["us-docker.pkg.dev/p/r/i", "gcr.io", "eu.gcr.io/x"] {
        assert_eq!(get(&credentials, at).await, token("t1"));
    }
    assert_eq!(services.paths(), ["/assertions"]);
    let body = &services.bodies()[0];
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let assertion = body.strip_prefix(grant).expect(body);
    assert_eq!(assertion.split('.').count(), 3);
}

#[tokio::test]
async fn a_user_refreshes_a_token_and_acts_as_an_account() {
    let services = TestServices::start().await;
    let google = services.with_file(&user_file()).impersonate(ROBOT.to_owned());
    assert_eq!(get(&credentials(google), "gcr.io").await, token("t2"));
    let iam = format!("/iam/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken");
    assert_eq!(services.paths(), ["/users", &iam]);
    assert_eq!(services.authorization(1).as_deref(), Some("Bearer t1"));
    assert_eq!(
        services.bodies(),
        [
            "grant_type=refresh_token&client_id=c&client_secret=hunter2-c&refresh_token=hunter2-r",
            r#"{"lifetime":"3600s","scope":["https://www.googleapis.com/auth/cloud-platform"]}"#,
        ]
    );
}

#[tokio::test]
async fn a_file_may_act_as_an_account_itself() {
    for (source, path) in [("user", "/users"), ("account", "/assertions")] {
        let services = TestServices::start().await;
        let iam = format!("{}/own/a@b:generateAccessToken", services.server.url());
        let source = if source == "user" { user_file() } else { services.key_file() };
        let file = json!({"type": "impersonated_service_account", "delegates": ["d"],
            "service_account_impersonation_url": iam, "source_credentials": source});
        let credentials = credentials(services.with_file(&file));
        assert_eq!(get(&credentials, "gcr.io").await, token("t2"));
        assert_eq!(services.paths(), [path, "/own/a@b:generateAccessToken"]);
        assert!(services.bodies()[1].starts_with(r#"{"delegates":["d"],"#));
    }
}

#[tokio::test]
async fn without_a_file_the_metadata_server_is_used() {
    let services = TestServices::start().await;
    let google = services.google().usual_file(services.place.path().join("missing"));
    assert_eq!(get(&credentials(google), "gcr.io").await, token("t1"));
    assert_eq!(services.paths(), [METADATA]);
    let request = &services.server.requests()[0];
    assert_eq!(request.method, Method::GET);
    assert_eq!(request.headers["metadata-flavor"], "Google");
}

#[tokio::test]
async fn many_share_one_token_that_is_renewed_when_it_expires_or_is_rejected() {
    let services = TestServices::start().await;
    let credentials = credentials(services.google());
    let many = join_all((0..20).map(|_| get(&credentials, "gcr.io"))).await;
    assert!(many.iter().all(|one| *one == token("t1")));
    let later = async |seconds| {
        time::pause();
        time::advance(Duration::from_secs(seconds)).await;
        time::resume();
    };
    later(3500).await;
    assert_eq!(get(&credentials, "gcr.io").await, token("t1"));
    later(40).await;
    assert_eq!(get(&credentials, "gcr.io").await, token("t2"));
    credentials.forget(&host("registry.k8s.io"));
    assert_eq!(get(&credentials, "gcr.io").await, token("t2"));
    credentials.forget(&host("us-docker.pkg.dev"));
    assert_eq!(get(&credentials, "gcr.io").await, token("t3"));
}

#[tokio::test]
async fn without_a_metadata_server_there_are_no_credentials_and_no_more_requests_soon() {
    let silent = TestHost::silent();
    for server in [TestHost::unreachable(), silent.host()] {
        let wait = Duration::from_secs(1);
        let credentials = credentials(Google::new().metadata_host(server).metadata_wait(wait));
        let start = time::Instant::now();
        assert_eq!(get(&credentials, "gcr.io").await, None);
        assert!(start.elapsed() < Duration::from_secs(3));
        credentials.forget(&host("gcr.io"));
        let start = time::Instant::now();
        assert_eq!(get(&credentials, "gcr.io").await, None);
        assert!(start.elapsed() < Duration::from_millis(500));
    }
    // A network that resolves every name.
    let services = TestServices::lasting(3600, "Portal").await;
    let credentials = credentials(services.google());
    for _ in 0..2 {
        assert_eq!(get(&credentials, "gcr.io").await, None);
        credentials.forget(&host("gcr.io"));
    }
    assert_eq!(services.paths(), [METADATA]);
}

#[tokio::test]
async fn a_machine_without_an_account_has_no_credentials() {
    let services = TestServices::start().await;
    let fault = Fault::everywhere(METADATA).status(404).header("metadata-flavor", "Google");
    services.server.fail(fault);
    let google = services.google().metadata_wait(Duration::ZERO);
    let credentials = credentials(google);
    assert_eq!(get(&credentials, "gcr.io").await, None);
    assert_eq!(services.paths(), [METADATA]);
    let looked_in = credentials.looked_in(&host("gcr.io"));
    let url = services.server.url();
    let text = format!("; Google's metadata server: GET {url}{METADATA}: 404 Not Found");
    assert!(looked_in.ends_with(&text), "{looked_in}");
    assert!(!credentials.looked_in(&host("a.example")).contains("metadata"));
}

/// A server on a port that was reserved before, and nothing listened on.
async fn serve_late(port: std::net::SocketAddr, after: Duration) {
    time::sleep(after).await;
    let listener = tokio::net::TcpListener::bind(port).await.expect("the port is free");
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = [0; 4096];
        let length = stream.read(&mut head).await.expect("a request");
        assert!(length > 0);
        let body = r#"{"access_token":"t1","expires_in":3600}"#;
        let head = "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\nconnection: close";
        let length = body.len();
        let response = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(response.as_bytes()).await.expect("it is taken");
    }
}

#[tokio::test]
async fn a_metadata_server_that_is_late_is_waited_for_if_it_is_named() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = reserved.local_addr().expect("its address");
    drop(reserved);
    let serving = tokio::spawn(serve_late(port, Duration::from_millis(1200)));
    let google = Google::new().metadata_host(port.to_string().parse().expect("a host"));
    assert_eq!(get(&credentials(google), "gcr.io").await, token("t1"), "refused at first");
    serving.abort();

    for (status, times) in [(404, 2), (503, 5)] {
        let services = TestServices::start().await;
        let fault = Fault::everywhere(METADATA).times(times).status(status);
        services.server.fail(fault.header("metadata-flavor", "Google"));
        let credentials = credentials(services.google());
        assert_eq!(get(&credentials, "gcr.io").await, token("t1"), "{status} at first");
    }

    let slow = TestServer::start(|_: Request<Body>| async {
        time::sleep(Duration::from_millis(1500)).await;
        let body = Body::from(r#"{"access_token":"t1","expires_in":3600}"#);
        Response::builder().header("metadata-flavor", "Google").body(body).expect("a response")
    })
    .await;
    let google = Google::new().metadata_host(slow.host());
    assert_eq!(get(&credentials(google), "gcr.io").await, token("t1"), "it is slow");
}

#[tokio::test]
async fn a_metadata_server_that_was_absent_is_requested_again_after_a_minute() {
    let services = TestServices::start().await;
    let fault = Fault::everywhere(METADATA).times(1).status(404);
    services.server.fail(fault.header("metadata-flavor", "Google"));
    let credentials = credentials(services.google().metadata_wait(Duration::ZERO));
    for _ in 0..3 {
        assert_eq!(get(&credentials, "gcr.io").await, None);
        credentials.forget(&host("gcr.io"));
    }
    assert_eq!(services.paths(), [METADATA]);
    time::pause();
    time::advance(Duration::from_secs(61)).await;
    time::resume();
    assert_eq!(get(&credentials, "gcr.io").await, token("t1"));
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_named_and_a_key_needs_no_token_uri() {
    let refusal = r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}"#;
    let server = TestServer::start(move |_: Request<Body>| async move {
        Response::builder().status(400).body(Body::from(refusal)).expect("a response")
    })
    .await;
    let services = TestServices { server, bodies: Arc::default(), place: TestDirectory::new() };
    let mut key = services.key_file();
    key.as_object_mut().expect("an object").remove("token_uri");
    let error = fail(&credentials(services.with_file(&key)), "gcr.io").await.to_string();
    let advice =
        "the server takes the time of this request for wrong: check the clock of this machine";
    assert!(error.ends_with(advice), "{error}");
    assert_eq!(services.paths(), ["/users"]);
}

#[tokio::test]
async fn a_bad_moment_passes_and_a_bad_day_is_an_error() {
    for file in [None, Some(user_file())] {
        let services = TestServices::start().await;
        let google =
            file.as_ref().map_or_else(|| services.google(), |file| services.with_file(file));
        let flavor = ("metadata-flavor", "Google");
        let fault = Fault::everywhere("").times(2).status(503).header(flavor.0, flavor.1);
        services.server.fail(fault);
        let credentials = credentials(google.metadata_wait(Duration::from_secs(3)));
        assert_eq!(get(&credentials, "gcr.io").await, token("t1"));
        credentials.forget(&host("gcr.io"));
        services.server.fail(Fault::everywhere("").status(500));
        let error = fail(&credentials, "gcr.io").await;
        assert!(error.is_transient(), "{error}");
        let sent = services.server.requests().len();
        // It is kept for a while.
        fail(&credentials, "gcr.io").await;
        assert_eq!(services.server.requests().len(), sent);
        // A metadata server is waited for as long as set; other services get four requests.
        assert!(if file.is_some() { sent == 7 } else { sent > 4 }, "{sent}");
    }
}

#[tokio::test]
async fn refusals_say_who_refused_whom_and_why() {
    let server = TestServer::start(|request: Request<Body>| async move {
        let (status, body) = match request.uri().path() {
            "/users" => (400, r#"{"error":"invalid_grant","error_description":"no hunter2-r"}"#),
            "/assertions" => (302, ""),
            METADATA => (200, r#"{"access_token":"a"}"#),
            _ => (403, r#"{"error":{"status":"PERMISSION_DENIED","message":"not you"}}"#),
        };
        let response = Response::builder().status(status).header("metadata-flavor", "Google");
        response.header("location", "/users").body(Body::from(body)).expect("a response")
    })
    .await;
    let services = TestServices { server, bodies: Arc::default(), place: TestDirectory::new() };
    let url = services.server.url();
    let advice =
        "; renew the key or log in again, and check that the account exists and may get tokens";
    let key_file = services.key_file();
    for (google, expected) in [
        (
            services.with_file(&user_file()),
            format!(
                "no access token for the user of `gcloud auth application-default login`: POST \
                 {url}/users: 400 Bad Request (invalid_grant: [left out: the server's message held a secret]){advice}"
            ),
        ),
        (
            services.google().named_file(services.place.file("key.json", &key_file.to_string())),
            format!("no access token for me@p: POST {url}/assertions: 302 Found"),
        ),
        (
            services.google().impersonate(ROBOT.to_owned()),
            format!(
                "no access token as {ROBOT}: POST {url}/iam/v1/projects/-/serviceAccounts/\
                 {ROBOT}:generateAccessToken: 403 Forbidden (PERMISSION_DENIED: not you){advice}"
            ),
        ),
        (
            services.google().impersonate("hunter 2".to_owned()),
            "`hunter 2` is not the e-mail address of a service account".to_owned(),
        ),
    ] {
        assert_eq!(fail(&credentials(google), "gcr.io").await.to_string(), expected);
    }
    let users = services.server.count(|request| request.path_and_query == "/users");
    assert_eq!(users, 1, "no redirect is followed, and no rejected request repeated");
}

#[tokio::test]
async fn answers_that_are_no_tokens() {
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    for (body, problem) in [
        ("hunter2", "is not the JSON of an access token"),
        (r#"{"access_token":5}"#, "is not the JSON of an access token"),
        (r#"{"token":"hunter2"}"#, "is not the JSON of an access token"),
        (r#"{"access_token":"hunter2\n"}"#, "has an access token that cannot be sent"),
        (r#"{"access_token":""}"#, "has an access token that cannot be sent"),
        (&long, "the response is longer than 1048576 bytes"),
    ] {
        let body = body.to_owned();
        let server = TestServer::start(move |_| {
            let body = Body::from(body.clone());
            async {
                Response::builder().header("metadata-flavor", "Google").body(body).expect("one")
            }
        })
        .await;
        let google = Google::new().metadata_host(server.host());
        let error = fail(&credentials(google), "gcr.io").await;
        assert!(error.to_string().ends_with(problem), "{error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_an_error_and_no_other_source_is_read() {
    let services = TestServices::start().await;
    let file = |text: &str| services.place.file("google.json", text);
    let path = file("").display().to_string();
    for (text, problem) in [
        (
            r#"{"type": hunter2}"#,
            ":1:10: not valid JSON: expected value; correct the file, or delete it and log in again",
        ),
        (r#"{"type": "service_account"}"#, ": `client_email` is missing"),
    ] {
        let google = services.google().usual_file(file(text));
        let error = fail(&credentials(google), "gcr.io").await;
        assert_eq!(error.to_string(), format!("{path}{problem}"));
    }
    let google = services.google().named_file(services.place.path().join("missing"));
    let error = fail(&credentials(google), "gcr.io").await.to_string();
    assert!(error.contains("missing: the file cannot be read: No such file"), "{error}");
    assert_eq!(services.paths(), [""; 0]);
}
