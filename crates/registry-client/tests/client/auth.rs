//! Authentication: Basic, tokens, caches, and where credentials are sent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use credentials::{Credential, Credentials};
use futures_util::future::join_all;
use http::{Method, Response};
use registry_client::{BlobPush, Mount, RegistryClient, Retries};
use testkit::{Body, Fault};

use crate::support::{
    BLOB, ReceivedRequest, Scripted, at, client, digest, name, printed, read_from, redirect, reply,
    stubborn, tag,
};

const SECRET: &str = "very-secret";

fn basic() -> Credential {
    Credential::Basic { user: "me".to_owned(), password: SECRET.to_owned().into() }
}

fn known_at(registry: &Scripted, credential: Credential) -> RegistryClient {
    let credentials = Credentials::builder().with(&registry.host, credential).build();
    RegistryClient::builder().credentials(credentials).build()
}

fn basic_header() -> String {
    format!("Basic {}", STANDARD.encode(format!("me:{SECRET}")))
}

/// A realm that gives out numbered tokens, each good for `seconds`.
async fn realm(seconds: impl std::fmt::Display + Send + Sync + 'static) -> Scripted {
    let given = AtomicUsize::new(0);
    Scripted::start(move |_| {
        let number = given.fetch_add(1, Ordering::Relaxed);
        reply(200, &[], &format!(r#"{{"token":"t{number}","expires_in":{seconds}}}"#))
    })
    .await
}

/// A registry that wants a token of `realm` for which `is_good` holds.
async fn registry(
    realm: &Scripted,
    is_good: impl Fn(&ReceivedRequest) -> bool + Send + Sync + 'static,
) -> Scripted {
    let realm = realm.host.clone();
    Scripted::start(move |request| {
        if is_good(request) {
            respond(request)
        } else {
            challenge(&format!("http://{realm}/token"), "")
        }
    })
    .await
}

fn challenge(realm: &str, more: &str) -> Response<Body> {
    let header =
        format!(r#"WWW-Authenticate: Bearer realm="{realm}",service="the registry"{more}"#);
    reply(401, &[&header], "")
}

fn respond(request: &ReceivedRequest) -> Response<Body> {
    match request.method {
        Method::POST => reply(202, &["Location: /up"], ""),
        Method::PUT => reply(201, &[], ""),
        _ => reply(200, &[], BLOB),
    }
}

fn has_token(request: &ReceivedRequest) -> bool {
    request.header("authorization").starts_with("Bearer t")
}

fn authorizations(registry: &Scripted) -> Vec<String> {
    registry.received().iter().map(|request| request.header("authorization").to_owned()).collect()
}

#[tokio::test]
async fn basic_is_sent_after_a_challenge_and_cached() {
    let registry = Scripted::start(|request| match request.header("authorization") {
        "" => reply(401, &[r#"WWW-Authenticate: Basic realm="x""#], ""),
        _ => reply(200, &[], BLOB),
    })
    .await;
    let known = known_at(&registry, basic());
    for _ in 0..2 {
        read_from(&known, &registry.host).await.expect("it is allowed");
    }
    assert_eq!(authorizations(&registry), ["", &basic_header(), &basic_header()]);
}

#[tokio::test]
async fn credentials_that_are_refused_are_sent_no_third_time() {
    let registry = Scripted::start(|_| reply(401, &["WWW-Authenticate: Basic realm=x"], "")).await;
    for (client, requests) in [(known_at(&registry, basic()), 3), (client(), 2)] {
        registry.clear_requests();
        let error = read_from(&client, &registry.host).await.expect_err("it is refused");
        assert!(error.is_unauthorized() && !printed(&error).contains(SECRET), "{error}");
        assert!(registry.requests().len() <= requests, "{:?}", registry.requests().len());
    }
}

#[tokio::test]
async fn without_a_challenge_nothing_is_sent() {
    let registry = Scripted::start(|_| reply(401, &[], "")).await;
    let error = read_from(&known_at(&registry, basic()), &registry.host).await;
    assert!(error.expect_err("it is refused").is_unauthorized());
    assert_eq!(authorizations(&registry), [""]);
}

#[tokio::test]
async fn a_token_is_requested_once_and_cached_for_its_scope() {
    let realm = realm(300).await;
    let registry = registry(&realm, has_token).await;
    let client = known_at(&registry, basic());
    for _ in 0..3 {
        read_from(&client, &registry.host).await.expect("it is allowed");
    }
    assert_eq!(authorizations(&registry), ["", "Bearer t0", "Bearer t0", "Bearer t0"]);
    let wanted = "GET /token?service=the+registry&scope=repository%3Aa%3Apull";
    assert_eq!(realm.lines(), [wanted]);
    assert_eq!(realm.received()[0].header("authorization"), basic_header());

    let other = client.repository(&registry.host, &name("b/c"));
    other.manifest(&tag("x")).await.expect("it is allowed");
    let writing = at(&client, &registry.host);
    writing.start_upload().await.expect("a session").cancel().await;
    let scopes = realm.lines();
    assert_eq!(scopes[1], "GET /token?service=the+registry&scope=repository%3Ab%2Fc%3Apull");
    assert_eq!(scopes[2], "GET /token?service=the+registry&scope=repository%3Aa%3Apull%2Cpush");
    assert_eq!(realm.lines().len(), 3, "the session's requests have the token that opened it");
    assert!(!authorizations(&registry)[4..].contains(&String::new()), "no 401 any more");
}

#[tokio::test]
async fn many_that_need_the_same_token_request_it_once() {
    let realm = realm(300).await;
    let registry = registry(&realm, has_token).await;
    let client = client();
    let reads = (0..50).map(|_| read_from(&client, &registry.host));
    assert!(join_all(reads).await.iter().all(Result::is_ok));
    assert_eq!(realm.lines().len(), 1);
    assert_eq!(realm.received()[0].header("authorization"), "", "the request is anonymous");
}

#[tokio::test]
async fn a_mount_has_a_token_for_both_repositories() {
    let realm = realm(300).await;
    let registry = registry(&realm, has_token).await;
    let mount = at(&client(), &registry.host).mount_blob(&digest(), &name("from/here")).await;
    assert!(matches!(mount, Ok(Mount::Upload(_))));
    let scopes = "scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Afrom%2Fhere%3Apull";
    assert_eq!(realm.lines(), [format!("GET /token?service=the+registry&{scopes}")]);
}

#[tokio::test]
async fn a_token_that_ran_out_is_renewed_once() {
    let realm = realm(300).await;
    let good = Arc::new(AtomicUsize::new(0));
    let now_good = Arc::clone(&good);
    let registry = registry(&realm, move |request| {
        let good = now_good.load(Ordering::Relaxed);
        request.header("authorization") == format!("Bearer t{good}")
    })
    .await;
    let client = client();
    read_from(&client, &registry.host).await.expect("it is allowed");
    good.store(1, Ordering::Relaxed);
    read_from(&client, &registry.host).await.expect("it is allowed again");
    assert_eq!(authorizations(&registry), ["", "Bearer t0", "Bearer t0", "Bearer t1"]);
    good.store(9, Ordering::Relaxed);
    let error = read_from(&client, &registry.host).await.expect_err("no token is good");
    assert!(error.is_unauthorized());
    assert!(registry.received().len() <= 4 + 3, "{:?}", registry.lines());
}

#[tokio::test]
async fn a_token_that_is_refused_without_a_challenge_is_renewed_once_and_not_in_a_loop() {
    for status in [400, 403] {
        let realm = realm(300).await;
        let realm_host = realm.host.clone();
        let good = Arc::new(AtomicUsize::new(0));
        let now_good = Arc::clone(&good);
        let registry = Scripted::start(move |request| {
            let good = format!("Bearer t{}", now_good.load(Ordering::Relaxed));
            match request.header("authorization") {
                "" => challenge(&format!("http://{realm_host}/token"), ""),
                sent if sent == good => respond(request),
                _ => reply(status, &[], ""),
            }
        })
        .await;
        let client = client();
        read_from(&client, &registry.host).await.expect("it is allowed");
        // The registry has dropped the token before its time.
        good.store(1, Ordering::Relaxed);
        read_from(&client, &registry.host).await.expect("it is allowed again");
        assert_eq!(authorizations(&registry), ["", "Bearer t0", "Bearer t0", "Bearer t1"]);
        // What is refused for itself costs no more tokens.
        good.store(usize::MAX, Ordering::Relaxed);
        for _ in 0..3 {
            read_from(&client, &registry.host).await.expect_err("it is refused");
        }
        assert_eq!((registry.received().len(), realm.lines().len()), (4 + 3, 2));
    }
}

#[tokio::test]
async fn a_short_token_is_renewed_before_it_runs_out() {
    let realm = realm(0.000_001).await;
    let registry = registry(&realm, has_token).await;
    let client = client();
    for _ in 0..3 {
        read_from(&client, &registry.host).await.expect("it is allowed");
    }
    assert_eq!(authorizations(&registry), ["", "Bearer t0", "Bearer t1", "Bearer t2"]);
}

#[tokio::test]
async fn a_token_whose_lifetime_is_not_in_whole_seconds_is_used_all_the_same() {
    for life in ["0", "-1", "\"300\"", "300.5", "null", "\"soon\""] {
        let realm = realm(life).await;
        let registry = registry(&realm, has_token).await;
        let client = client();
        for _ in 0..3 {
            read_from(&client, &registry.host).await.expect("it is allowed");
        }
        let sent = authorizations(&registry);
        assert_eq!(sent, ["", "Bearer t0", "Bearer t0", "Bearer t0"], "{life}");
    }
}

#[tokio::test]
async fn the_scope_of_a_challenge_is_requested_too() {
    let realm = realm(300).await;
    let host = realm.host.clone();
    let registry = Scripted::start(move |request| {
        let scope = r#",scope="repository:a:pull repository:base:pull""#;
        if has_token(request) {
            respond(request)
        } else {
            challenge(&format!("http://{host}/t"), scope)
        }
    })
    .await;
    read_from(&client(), &registry.host).await.expect("it is allowed");
    let scopes = "scope=repository%3Aa%3Apull&scope=repository%3Abase%3Apull";
    assert_eq!(realm.lines(), [format!("GET /t?service=the+registry&{scopes}")]);
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let realm = Scripted::start(|_| reply(200, &[], r#"{"access_token":"t1"}"#)).await;
    let registry = registry(&realm, has_token).await;
    let client = known_at(&registry, Credential::Identity(SECRET.to_owned().into()));
    read_from(&client, &registry.host).await.expect("it is allowed");
    assert_eq!(realm.lines(), ["POST /token"]);
    let form = realm.received()[0].body.clone().expect("a form");
    let wanted = format!(
        "grant_type=refresh_token&client_id=portolan&refresh_token={SECRET}\
         &service=the+registry&scope=repository%3Aa%3Apull"
    );
    assert_eq!(form, wanted);
}

#[tokio::test]
async fn a_realm_that_takes_no_post_gets_user_and_password_by_get_and_then_at_once() {
    for status in [404, 405] {
        let realm = Scripted::start(move |request| match request.method {
            Method::POST => reply(status, &[], ""),
            _ => reply(200, &[], r#"{"token":"t1"}"#),
        })
        .await;
        let registry = registry(&realm, has_token).await;
        let (token, user, password) = ("i".into(), "me".to_owned(), SECRET.to_owned().into());
        let both = Credential::IdentityOrBasic { token, user, password };
        let client = known_at(&registry, both);
        read_from(&client, &registry.host).await.expect("it is allowed");
        let other = client.repository(&registry.host, &name("b"));
        other.find_blob(&digest(), 6).await.expect("it is allowed");
        let requests = realm.received();
        let methods: Vec<_> = requests.iter().map(|request| &request.method).collect();
        assert_eq!(methods, [Method::POST, Method::GET, Method::GET], "{status}");
        let sent: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
        assert_eq!(sent, ["", &basic_header(), &basic_header()]);
        // Without a password there is nothing to fall back on: an anonymous token may do less, without a word.
        let client = known_at(&registry, Credential::Identity("i".into()));
        let error = read_from(&client, &registry.host).await.expect_err("no token");
        let text = format!("cannot get a token: POST http://{}/token: {status} ", realm.host);
        assert!(printed(&error).contains(&text), "{error}");
    }
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let realm = realm(300).await;
    let registry =
        registry(&realm, |request| request.header("authorization") == "Bearer given").await;
    let client = known_at(&registry, Credential::Token("given".to_owned().into()));
    read_from(&client, &registry.host).await.expect("it is allowed");
    assert!(realm.lines().is_empty());
}

/// Some servers and firewalls quote the request.
#[tokio::test]
async fn what_was_sent_is_hidden_where_a_registry_quotes_it() {
    let realm = realm(300).await;
    for credential in [basic(), Credential::Token(SECRET.to_owned().into())] {
        let challenge = match credential {
            Credential::Token(_) => format!("Bearer realm=\"http://{}/token\"", realm.host),
            _ => "Basic realm=\"the registry\"".to_owned(),
        };
        let challenge = format!("WWW-Authenticate: {challenge}");
        let registry = Scripted::start(move |request| match request.header("authorization") {
            "" => reply(401, &[&challenge], ""),
            sent => {
                let message = format!("no: {sent} {SECRET} \u{202e}x");
                let body = serde_json::json!({"errors": [{"code": "DENIED", "message": message}]});
                reply(403, &[], &body.to_string())
            }
        })
        .await;
        let error = read_from(&known_at(&registry, credential), &registry.host).await;
        let text = printed(&error.expect_err("it is denied"));
        assert!(text.contains("[left out: the server's message held a secret]"), "{text}");
        assert!(!text.contains(SECRET) && !text.contains("bWU6"), "{text}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_realm_is_said() {
    let rejected =
        "; the password of user `me` from the settings was rejected: correct the settings";
    let denied = format!("403 Forbidden (DENIED: no){rejected}");
    for (status, body, text) in [
        (403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, &*denied),
        (200, "{}", "the response has no token"),
        (200, SECRET, "the response has no token"),
    ] {
        let realm = Scripted::start(move |_| reply(status, &[], body)).await;
        let registry = registry(&realm, has_token).await;
        let error = read_from(&known_at(&registry, basic()), &registry.host).await;
        let error = error.expect_err("no token");
        let wanted = format!("cannot get a token: GET http://{}/token: {text}", realm.host);
        assert!(printed(&error).ends_with(&wanted), "{error}");
        assert!(!printed(&error).contains(SECRET) && !printed(&error).contains("Basic"));
    }
}

#[tokio::test]
async fn no_credential_crosses_to_another_host_on_a_redirect() {
    let storage = Scripted::start(|_| reply(200, &[], BLOB)).await;
    let realm_storage = Scripted::start(|_| reply(200, &[], r#"{"token":"t0"}"#)).await;
    let elsewhere = format!("http://{}/token", realm_storage.host);
    let realm = Scripted::start(move |_| redirect(&elsewhere)).await;
    let (to, host) = (format!("http://{}/x", storage.host), realm.host.clone());
    let registry = Scripted::start(move |request| match has_token(request) {
        true => redirect(&to),
        false => challenge(&format!("http://{host}/token"), ""),
    })
    .await;
    read_from(&known_at(&registry, basic()), &registry.host).await.expect("it is allowed");
    assert_eq!(realm.received()[0].header("authorization"), basic_header());
    assert_eq!(authorizations(&realm_storage), [""]);
    assert_eq!(authorizations(&storage), [""]);
}

#[tokio::test]
async fn a_host_behind_a_redirect_gets_no_credentials_though_it_requires_them() {
    let storage = Scripted::start(|_| reply(401, &["WWW-Authenticate: Basic realm=x"], "")).await;
    let to = format!("http://{}/x", storage.host);
    let registry = Scripted::start(move |_| redirect(&to)).await;
    let credentials = Credentials::builder().with(&storage.host, basic()).build();
    let client = RegistryClient::builder().credentials(credentials).build();
    let error = read_from(&client, &registry.host).await.expect_err("it wants credentials");
    assert!(error.is_unauthorized());
    assert_eq!(authorizations(&storage), [""]);
}

#[tokio::test]
async fn a_realm_gets_nothing_in_clear_that_is_not_named_for_it() {
    let registry = Scripted::start(|_| challenge("http://10.0.0.1/token", "")).await;
    let error = read_from(&known_at(&registry, basic()), &registry.host).await;
    let text = printed(&error.expect_err("it is not followed"));
    let end = "the realm to http://10.0.0.1/token was not followed: plain HTTP is allowed only for hosts \
               that --plain-http names, and between loopback hosts";
    assert!(text.ends_with(end), "{text}");
}

#[tokio::test]
async fn a_realm_that_is_down_gets_one_request_for_all_that_wait() {
    let realm = Scripted::start(|_| reply(403, &[], "")).await;
    let registry = registry(&realm, has_token).await;
    let client = client();
    let reads = (0..50).map(|_| read_from(&client, &registry.host));
    assert!(join_all(reads).await.iter().all(Result::is_err));
    assert_eq!(realm.lines().len(), 1);
}

/// A registry whose tokens are good for so many requests each, counted by the token.
async fn with_short_tokens(
    realm: &Scripted,
    good_for: usize,
    respond: impl Fn(&ReceivedRequest) -> Response<Body> + Send + Sync + 'static,
) -> Scripted {
    let used = std::sync::Mutex::new(std::collections::HashMap::<String, usize>::new());
    let realm = realm.host.clone();
    Scripted::start(move |request| {
        let token = request.header("authorization").to_owned();
        let mut used = used.lock().expect("the counts");
        let times = used.entry(token).or_default();
        *times += 1;
        if has_token(request) && *times <= good_for {
            respond(request)
        } else {
            challenge(&format!("http://{realm}/token"), "")
        }
    })
    .await
}

#[tokio::test]
async fn a_token_that_runs_out_in_the_middle_of_a_read_is_renewed_and_the_read_goes_on() {
    let realm = realm(300).await;
    let registry = with_short_tokens(&realm, 1, |request| match request.header("range") {
        "" => reply(200, &[], BLOB),
        "bytes=3-5" => reply(206, &["Content-Range: bytes 3-5/6"], &BLOB[3..]),
        other => panic!("{other}"),
    })
    .await;
    let client = stubborn();
    read_from(&client, &registry.host).await.expect("it comes, and the token is used up");
    let (requests, given) = (registry.lines().len(), realm.lines().len());
    assert_eq!((requests, given), (2, 1));
    // Now a 401 comes first, then the beginning of the blob, and its rest for yet another token.
    registry.fail(Fault::on(Method::GET, "/blobs/").times(2).truncate_after(3));
    let read = read_from(&client, &registry.host).await;
    assert_eq!(read.expect("it comes"), BLOB.as_bytes());
    assert_eq!(registry.lines().len() - requests, 4, "{:?}", registry.lines());
    assert_eq!(realm.lines().len() - given, 2);
}

#[tokio::test]
async fn a_token_that_runs_out_in_the_middle_of_a_push_is_renewed_and_the_push_goes_on() {
    let realm = realm(300).await;
    let arrived = AtomicUsize::new(0);
    let registry = with_short_tokens(&realm, 3, move |request| match request.method {
        Method::POST => reply(202, &["Location: /up"], ""),
        Method::PATCH => {
            let length = request.body.as_ref().map_or(0, bytes::Bytes::len);
            arrived.fetch_add(length, Ordering::Relaxed);
            reply(202, &["Location: /up"], "")
        }
        Method::GET => {
            let last = arrived.load(Ordering::Relaxed).saturating_sub(1);
            reply(204, &["Location: /up", &format!("Range: 0-{last}")], "")
        }
        _ => reply(201, &[], ""),
    })
    .await;
    let client = stubborn();
    let repository = at(&client, &registry.host);
    let push = async |bytes: bytes::Bytes| {
        let push = BlobPush::new(oci::Digest::sha256(&bytes), bytes.len() as u64);
        repository.push_blob(&push, &bytes).await.expect("it arrives")
    };
    // The token is good for these two and the next POST, and has run out when the content comes.
    push(testkit::fixture::noise(1, 10)).await;
    let requests = registry.lines().len();
    push(testkit::fixture::noise(2, 5 << 20)).await;
    let methods: Vec<_> =
        registry.received().into_iter().skip(requests).map(|request| request.method).collect();
    let wanted = [Method::POST, Method::PATCH, Method::GET, Method::PATCH, Method::PUT];
    assert_eq!(methods, wanted);
    assert_eq!(realm.lines().len(), 2);
}

#[tokio::test]
async fn credentials_of_a_path_work_alone_and_beside_wrong_ones_of_the_host() {
    let wanted = basic_header();
    let strict = Scripted::start(move |request| match request.header("authorization") {
        sent if sent == wanted => reply(200, &[], r#"{"token":"t1","expires_in":300}"#),
        _ => reply(401, &[], r#"{"errors":[{"code":"UNAUTHORIZED","message":"who"}]}"#),
    })
    .await;
    let registry = registry(&strict, has_token).await;
    let (right, wrong) = (STANDARD.encode(format!("me:{SECRET}")), STANDARD.encode("me:wrong"));
    let host = &registry.host;
    for (case, entries) in [
        ("alone", format!(r#""{host}/a":{{"auth":"{right}"}}"#)),
        (
            "beside wrong ones",
            format!(r#""{host}/a":{{"auth":"{right}"}},"{host}":{{"auth":"{wrong}"}}"#),
        ),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.json");
        std::fs::write(&file, format!(r#"{{"auths":{{{entries}}}}}"#)).expect("it is written");
        let credentials = Credentials::builder().named_config(file).build();
        let client = RegistryClient::builder().credentials(credentials).build();
        client.ping(host).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let read = read_from(&client, host).await;
        assert_eq!(read.unwrap_or_else(|error| panic!("{case}: {error}")), BLOB.as_bytes());
        let other = client.repository(host, &name("b")).manifest(&tag("x")).await;
        let error = other.expect_err("another path has no credentials");
        assert!(printed(&error).contains("cannot get a token: "), "{case}: {error}");
    }
}

#[tokio::test]
async fn a_scheme_that_is_not_supported_is_named() {
    for (challenge, schemes) in [
        ("WWW-Authenticate: Digest realm=\"x\", nonce=\"1\"", "digest"),
        ("WWW-Authenticate: Negotiate, NTLM", "negotiate or ntlm"),
    ] {
        let registry = Scripted::start(move |_| reply(401, &[challenge], "")).await;
        for client in [known_at(&registry, basic()), client()] {
            let error = at(&client, &registry.host).blob(&digest()).await.expect_err("a 401");
            let expected = format!(
                ": 401 Unauthorized; the registry requires the authentication scheme {schemes}, and Portolan supports \
                 Basic and Bearer: allow one of these there"
            );
            assert!(printed(&error).ends_with(&expected), "{error}");
        }
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_an_error_that_says_so() {
    let realm = Scripted::start(|_| reply(200, &[], r#"{"token":"t\r\n"}"#)).await;
    let registry = registry(&realm, |_| false).await;
    let error = at(&client(), &registry.host).blob(&digest()).await.expect_err("no token");
    let end = "the token of the response holds a line break or another control character, so it cannot be sent";
    assert!(printed(&error).ends_with(end), "{error}");
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn a_fault_of_a_file_or_helper_of_this_machine_is_not_one_of_a_request() {
    let server =
        Scripted::start(|_| reply(401, &["WWW-Authenticate: Basic realm=\"x\""], "")).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config.json");
    let advice = "; correct the file, or delete it and log in again";
    let missing = format!(
        "docker-credential-missing (named in {}) gave no credentials for {}: it is not installed",
        file.display(),
        server.host
    );
    for (content, text) in [
        (
            "{\"auths\": x}".to_owned(),
            format!("{}:1:11: not valid JSON: expected value{advice}", file.display()),
        ),
        ("{\"credsStore\": \"missing\"}".to_owned(), missing),
        (
            format!("{{\"auths\": {{\"{}\": {{\"auth\": \"?\"}}}}}}", server.host),
            format!("{}:1:", file.display()),
        ),
    ] {
        std::fs::write(&file, &content).expect("it is written");
        let credentials = Credentials::builder().named_config(file.clone()).build();
        let client = RegistryClient::builder().retries(Retries::none()).credentials(credentials);
        let error = at(&client.build(), &server.host).tags().await.expect_err(&content);
        assert!(printed(&error).starts_with(&text), "{error}");
    }
}

#[tokio::test]
async fn each_level_of_an_error_is_said_once() {
    let realm = Scripted::start(|_| reply(500, &[], "")).await;
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"", realm.host);
    let server = Scripted::start(move |_| reply(401, &[&challenge], "")).await;
    let error = at(&client(), &server.host).tags().await.expect_err("no token");
    let own = format!("GET http://{}/v2/a/tags/list: cannot get a token", server.host);
    assert_eq!(error.to_string(), own);
    let cause = std::error::Error::source(&error).expect("the realm's error").to_string();
    assert!(cause.starts_with("GET http://") && cause.ends_with(": 500 Internal Server Error"));
    assert_eq!(printed(&error), format!("{own}: {cause}"));
}
