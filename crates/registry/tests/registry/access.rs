//! Users and rights.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use oci::Digest;
use registry::{Access, NamedText, RegistrySettings};

use crate::peer::{Peer, header, refusal, refused};

const RIGHTS: &str = "rules:
- {users: [ci], repositories: [\"team/**\"], rights: [pull, push]}
- {users: [pusher], repositories: [\"team/**\"], rights: [push]}
- {users: [\"*\"], repositories: [\"shared/*\"], rights: [pull, push]}
";

/// The same, and for anonymous users.
const PUBLIC: &str = "- {users: [anonymous], repositories: [\"public/**\"], rights: [pull]}
- {users: [ci], repositories: [\"public/**\"], rights: [push]}
";

/// A registry with the users `ci`, `pusher` and `other`, whose password is their name.
async fn peer(rights: Option<&str>) -> Peer {
    let users: String = ["ci", "pusher", "other"]
        .map(|user| format!("{user}:{}\n", bcrypt::hash(user, 4).expect("it is hashed")))
        .concat();
    let rights = rights.map(|text| NamedText { name: "rights", text });
    let access = Access::new(NamedText { name: "users", text: &users }, rights);
    Peer::with(RegistrySettings::default(), Some(access.expect("they are right"))).await
}

fn login(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Begins to push as this user; without a user anonymously.
async fn push(peer: &Peer, user: &str, repository: &str) -> StatusCode {
    let path = format!("/v2/{repository}/blobs/uploads/?digest={}", Digest::sha256(b"x"));
    ask(peer, user, Method::POST, &path).await.status()
}

async fn ask(peer: &Peer, user: &str, method: Method, path: &str) -> http::Response<bytes::Bytes> {
    let login = login(user, user);
    let headers = [("authorization", &*login)];
    let headers = if user.is_empty() { &[][..] } else { &headers };
    peer.ask(method, path, headers, "x").await
}

#[tokio::test]
async fn a_password_that_bcrypt_would_cut_is_refused() {
    let longest = "0123456789ab".repeat(6);
    let users = format!("ci:{}\n", bcrypt::hash(&longest, 4).expect("it is hashed"));
    let access = Access::new(NamedText { name: "users", text: &users }, None);
    let peer = Peer::with(RegistrySettings::default(), Some(access.expect("it is right"))).await;
    let ping = async |password: &str| {
        let headers = [("authorization", &*login("ci", password))];
        peer.ask(Method::GET, "/v2/", &headers, "").await
    };
    assert_eq!(ping(&longest).await.status(), StatusCode::OK);
    let longer = ping(&format!("{longest}x")).await;
    assert_eq!(refusal(&longer), refused(401, "UNAUTHORIZED"));
    let text = String::from_utf8_lossy(longer.body());
    assert!(text.contains("longer than 72 bytes"), "{text}");
}

#[tokio::test]
async fn files_from_windows_are_read() {
    let users = format!("\u{feff}ci:{}\r\n", bcrypt::hash("ci", 4).expect("it is hashed"));
    let rights = format!("\u{feff}{}", RIGHTS.replace("pusher", "ci").replace('\n', "\r\n"));
    let rights = NamedText { name: "rights", text: &rights };
    let access = Access::new(NamedText { name: "users", text: &users }, Some(rights));
    let peer = Peer::with(RegistrySettings::default(), Some(access.expect("they are right"))).await;
    assert_eq!(push(&peer, "ci", "team/app").await, StatusCode::CREATED);
    assert_eq!(push(&peer, "ci", "other").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn no_operation_is_allowed_without_a_login() {
    let peer = peer(None).await;
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/nonsense", "/"] {
        let response = peer.get(path).await;
        assert_eq!(refusal(&response), refused(401, "UNAUTHORIZED"), "{path}");
        assert_eq!(
            header(&response, "www-authenticate"),
            "Basic realm=\"portolan\", charset=\"UTF-8\""
        );
    }
    for user in ["ci", "other"] {
        assert_eq!(ask(&peer, user, Method::GET, "/v2/").await.status(), StatusCode::OK);
        assert_eq!(push(&peer, user, "a").await, StatusCode::CREATED);
    }
    for (user, password) in [("ci", "Ci"), ("ci", ""), ("nobody", "nobody"), ("", "")] {
        // Twice: a rejected password is not cached as valid.
        for _ in 0..2 {
            let headers = [("authorization", &*login(user, password))];
            let response = peer.ask(Method::GET, "/v2/", &headers, "").await;
            assert_eq!(refusal(&response), refused(401, "UNAUTHORIZED"), "{user} {password}");
        }
    }
    for nonsense in ["", "Basic", "Basic !", "Bearer token"] {
        let headers = [("authorization", nonsense)];
        let response = peer.ask(Method::GET, "/v2/", &headers, "").await;
        assert_eq!(refusal(&response), refused(401, "UNAUTHORIZED"), "{nonsense}");
    }
}

#[tokio::test]
async fn an_empty_user_name_with_an_empty_password_is_anonymous() {
    let peer = peer(Some(&format!("{RIGHTS}{PUBLIC}"))).await;
    push(&peer, "ci", "public/a").await;
    for (user, password, path, status) in [
        ("", "", "/v2/", 200),
        ("", "", "/v2/public/a/tags/list", 200),
        ("", "", "/v2/shared/a/tags/list", 401),
        ("", "x", "/v2/public/a/tags/list", 401),
        ("ci", "", "/v2/public/a/tags/list", 401),
    ] {
        let headers = [("authorization", &*login(user, password))];
        let response = peer.ask(Method::GET, path, &headers, "").await;
        assert_eq!(response.status(), status, "{user}:{password} {path}");
        let text = String::from_utf8_lossy(response.body()).into_owned();
        let is_wrong = text.contains("wrong user name or password");
        assert_eq!(is_wrong, user != password, "{user}:{password} {path}: {text}");
    }
}

#[tokio::test]
async fn rights_are_by_repository() {
    let peer = peer(Some(RIGHTS)).await;
    for (user, repository, pushed, read) in [
        ("ci", "team/a", 201, 200),
        ("pusher", "team/a", 201, 403),
        ("other", "team/a", 403, 403),
        ("ci", "else", 403, 403),
        ("other", "shared/a", 201, 200),
        ("other", "shared/a/b", 403, 403),
        ("", "shared/a", 401, 401),
    ] {
        assert_eq!(push(&peer, user, repository).await, pushed, "{user} {repository}");
        let tags = format!("/v2/{repository}/tags/list");
        let found = ask(&peer, user, Method::GET, &tags).await;
        assert_eq!(found.status(), read, "{user} {repository}");
    }
    let denied = ask(&peer, "other", Method::GET, "/v2/team/a/tags/list").await;
    assert_eq!(refusal(&denied), refused(403, "DENIED"));
    let text = String::from_utf8_lossy(denied.body()).into_owned();
    assert!(text.contains("`other`") && text.contains("`team/a`"), "{text}");
    // Deleting is writing.
    let blob = format!("/v2/team/a/blobs/{}", Digest::sha256(b"x"));
    for (user, status) in [("other", 403), ("pusher", 202)] {
        assert_eq!(ask(&peer, user, Method::DELETE, &blob).await.status(), status, "{user}");
    }
}

#[tokio::test]
async fn the_catalogue_shows_what_may_be_pulled() {
    let peer = peer(Some(RIGHTS)).await;
    for repository in ["team/a", "team/b"] {
        push(&peer, "ci", repository).await;
    }
    push(&peer, "other", "shared/a").await;
    for (user, names) in [
        ("ci", r#"["shared/a","team/a","team/b"]"#),
        ("other", r#"["shared/a"]"#),
        ("pusher", r#"["shared/a"]"#),
    ] {
        let found = ask(&peer, user, Method::GET, "/v2/_catalog").await;
        assert_eq!(found.body(), &format!(r#"{{"repositories":{names}}}"#), "{user}");
    }
    // A page is full of what may be seen.
    let page = ask(&peer, "other", Method::GET, "/v2/_catalog?n=1").await;
    assert_eq!(
        (page.body(), &*header(&page, "link")),
        (&r#"{"repositories":["shared/a"]}"#.into(), "")
    );
}

#[tokio::test]
async fn mounting_needs_the_right_to_pull_from_there() {
    let peer = peer(Some(RIGHTS)).await;
    push(&peer, "ci", "team/a").await;
    let digest = Digest::sha256(b"x");
    for (user, repository, query, status) in [
        ("other", "shared/a", "&from=team/a", 202),
        ("pusher", "team/b", "&from=team/a", 202),
        ("ci", "shared/b", "&from=team/a", 201),
        ("ci", "shared/c", "", 202),
        ("ci", "else", "&from=team/a", 403),
    ] {
        let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}{query}");
        let response = ask(&peer, user, Method::POST, &path).await;
        assert_eq!(response.status(), status, "{user} {repository}{query}");
    }
}

#[tokio::test]
async fn anonymous_users_may_have_rights_too() {
    let peer = peer(Some(&format!("{RIGHTS}{PUBLIC}"))).await;
    assert_eq!(push(&peer, "ci", "public/a").await, StatusCode::CREATED);
    let ping = peer.get("/v2/").await;
    assert_eq!(ping.status(), StatusCode::OK);
    assert!(header(&ping, "www-authenticate").starts_with("Basic "), "it offers to log in");
    assert_eq!(header(&ask(&peer, "ci", Method::GET, "/v2/").await, "www-authenticate"), "");
    let blob = format!("/v2/public/a/blobs/{}", Digest::sha256(b"x"));
    assert_eq!(peer.status(&blob).await, StatusCode::OK);
    assert_eq!(push(&peer, "", "public/a").await, StatusCode::UNAUTHORIZED);
    assert_eq!(peer.status("/v2/team/a/tags/list").await, StatusCode::UNAUTHORIZED);
    assert_eq!(peer.get("/v2/_catalog").await.body(), r#"{"repositories":["public/a"]}"#);
    // Who shows credentials means them.
    let wrong = [("authorization", &*login("ci", "wrong"))];
    assert_eq!(peer.ask(Method::GET, &blob, &wrong, "").await.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn problems_in_both_files_are_reported_at_once() {
    let users = NamedText { name: "users", text: "ci:plain\n" };
    let rights = NamedText {
        name: "rights",
        text: "rules:\n- {users: [x], repositories: [A], rights: [pull]}\n",
    };
    let error = Access::new(users, Some(rights)).expect_err("both are wrong");
    assert_eq!(error.problems().len(), 3);
    let text = error.to_string();
    for begin in ["users:1:1: ", "rights:2:12: ", "rights:2:31: "] {
        assert!(text.lines().any(|line| line.starts_with(begin)), "{begin} in {text}");
    }
}
