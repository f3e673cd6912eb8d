//! Configuration files: which of several, when they are read, and what is wrong with them.

use std::fs;

use credentials::Credentials;

use crate::support::{TestDirectory, basic, fail, get, host};

#[tokio::test]
async fn the_first_source_that_has_any_for_the_host_wins() {
    let place = TestDirectory::new();
    let entry = |at: &str, user: &str| format!(r#""{at}":{{"username":"{user}"}}"#);
    let (a, b) = (entry("a", "first"), entry("b", "first"));
    let first = place.file("first", &format!(r#"{{"auths":{{{a},{b},"c":{{}}}}}}"#));
    let (a, c) = (entry("a/x", "second"), entry("c", "second"));
    let second = place.file("second", &format!(r#"{{"auths":{{{a},{c}}}}}"#));
    let credentials = Credentials::builder()
        .usual_config(place.path().join("missing"))
        .usual_config(first.join("below/a/file"))
        .named_config(first)
        .usual_config(second)
        .with(&host("b"), basic("fixed", ""))
        .with(&host("index.docker.io"), basic("hub", ""))
        .build();
    for (at, user) in [
        ("a", Some("first")),
        ("a/x", Some("first")),
        ("b", Some("fixed")),
        ("c", Some("second")),
        ("docker.io/library/x", Some("hub")),
        ("d", None),
        ("gcr.io", None),
    ] {
        assert_eq!(get(&credentials, at).await, user.map(|user| basic(user, "")), "{at}");
    }
    assert_eq!(get(&Credentials::none(), "a").await, None);
    assert_eq!(format!("{credentials:?}"), "Credentials");
}

#[tokio::test]
async fn files_are_read_when_first_wanted_and_after_a_refusal() {
    let place = TestDirectory::new();
    let file = place.path().join("config.json");
    let credentials = Credentials::builder().usual_config(file.clone()).build();
    let write = |user: &str| {
        place.file("config.json", &format!(r#"{{"auths":{{"a":{{"username":"{user}"}}}}}}"#));
    };
    write("first");
    assert_eq!(get(&credentials, "a").await, Some(basic("first", "")));
    write("second");
    assert_eq!(get(&credentials, "a").await, Some(basic("first", "")));
    credentials.clone().forget(&host("a"));
    assert_eq!(get(&credentials, "a").await, Some(basic("second", "")));
    fs::remove_file(file).expect("it is removed");
    credentials.forget(&host("a"));
    assert_eq!(get(&credentials, "a").await, None);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_an_error_that_says_where() {
    let place = TestDirectory::new();
    let missing = place.path().join("missing");
    let credentials = Credentials::builder().named_config(missing.clone()).build();
    let error = fail(&credentials, "a").await.to_string();
    let start = format!("{}: the file cannot be read: No such file", missing.display());
    assert!(
        error.starts_with(&start) && error.ends_with("; make it readable, or use another file"),
        "{error}"
    );

    let credentials = Credentials::builder().usual_config(place.path().to_owned()).build();
    let error = fail(&credentials, "a").await.to_string();
    assert!(error.contains(": the file cannot be read: Is a directory"), "{error}");

    let broken = place.file("broken", "{\"auths\":\n{\"a\": hunter2");
    let credentials = Credentials::builder().usual_config(broken.clone()).build();
    let error = fail(&credentials, "b").await;
    assert_eq!(
        error.to_string(),
        format!(
            "{}:2:7: not valid JSON: expected value; correct the file, or delete it and log in again",
            broken.display()
        )
    );
    assert!(!error.is_transient());

    let long = place.file("long", &" ".repeat((1 << 20) + 1));
    let credentials = Credentials::builder().usual_config(long.clone()).build();
    let error = fail(&credentials, "a").await.to_string();
    let what = "it is longer than 1048576 bytes; is it the right file?";
    assert_eq!(error, format!("{}: {what}", long.display()));

    let credentials = place.credentials(r#"{"auths":{"a":{"auth":"hunter2!"},"b":{}}}"#);
    let error = fail(&credentials, "a").await.to_string();
    let what = "config.json:1:23: `auth` of `a` is not base64; run `docker login` again";
    assert!(error.ends_with(what), "{error}");
    assert_eq!(get(&credentials, "b").await, None);
}

#[tokio::test]
async fn a_login_at_the_default_port_is_found_with_and_without_it() {
    let place = TestDirectory::new();
    let user = |key: &str| format!(r#"{{"auths":{{"{key}":{{"username":"u"}}}}}}"#);
    for (key, at, has) in [
        ("h.example:443", "h.example:443", true),
        ("h.example:443", "h.example", true),
        ("h.example", "h.example:443", true),
        ("https://h.example:443/v1/", "h.example", true),
        ("https://h.example:443/v1/", "h.example:443", true),
        ("h.example:443/team", "h.example/team/app", true),
        ("h.example/team", "h.example:443/team/app", true),
        ("http://h.example:80", "h.example", true),
        ("h.example", "h.example:80", true),
        ("h.example:443", "h.example:80", false),
        ("h.example:80", "h.example", false),
        ("h.example:5000", "h.example", false),
        ("h.example", "h.example:5000", false),
    ] {
        let found = get(&place.credentials(&user(key)), at).await;
        assert_eq!(found, has.then(|| basic("u", "")), "key {key}, reference {at}");
    }
    let both = r#"{"auths":{"h":{"username":"without"},"h:443":{"username":"with"}}}"#;
    let credentials = place.credentials(both);
    assert_eq!(get(&credentials, "h").await, Some(basic("without", "")), "as it is written");
    assert_eq!(get(&credentials, "h:443").await, Some(basic("with", "")), "as it is written");
}

#[tokio::test]
async fn a_file_may_begin_with_a_byte_order_mark() {
    let place = TestDirectory::new();
    let credentials = place.credentials("\u{feff}{\"auths\":{\"h\":{\"username\":\"u\"}}}");
    assert_eq!(get(&credentials, "h").await, Some(basic("u", "")));
}

#[tokio::test]
async fn a_token_with_a_line_break_is_named_with_its_file() {
    let place = TestDirectory::new();
    for name in ["registrytoken", "identitytoken"] {
        let config = format!(r#"{{"auths":{{"h":{{"{name}":"hunter2\r\n"}}}}}}"#);
        let error = fail(&place.credentials(&config), "h").await.to_string();
        let end = format!(
            "`{name}` of `h` holds a line break or another control character; run `docker login` again"
        );
        assert!(error.contains("config.json:1:") && error.ends_with(&end), "{error}");
    }
    place.helper("x", r#"printf '{"Username":"<token>","Secret":"hunter2\\r\\n"}'"#);
    let error = fail(&place.credentials(r#"{"credsStore":"x"}"#), "h").await.to_string();
    let end = "its `Secret` is a token with a line break or another control character; run `docker login` again";
    assert!(error.starts_with("docker-credential-x") && error.ends_with(end), "{error}");
}
