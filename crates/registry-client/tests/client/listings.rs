//! Tags and repositories, page by page.

use oci::{Repository, Tag};
use registry_client::{PointerRefusal, RequestFault};
use testkit::{TestRegistry, fixture};

use crate::support::{Scripted, at, client, name, printed, reply, tag};

#[tokio::test]
async fn more_tags_than_a_page_has_are_all_listed() {
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 2);
    registry.load("a", None, &image).await;
    let repository = at(&client(), &registry.host());
    assert_eq!(repository.tags().await.expect("tags").names, []);
    let mut pushed: Vec<_> = (0..1001).map(|n| format!("v{n:04}")).collect();
    pushed.push("w".to_owned());
    for text in &pushed {
        let (tag, media_type) = (tag(text), &image.descriptor.media_type);
        let put = repository.put_manifest(&tag, media_type, image.bytes.clone());
        assert_eq!(put.await.expect("it is stored"), image.digest());
    }
    let tags = repository.tags().await.expect("tags").names;
    assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), pushed);
    let pages = registry.count(|request| request.path_and_query.contains("/tags/list?"));
    assert_eq!(pages, 3, "one page before, two now");
}

#[tokio::test]
async fn a_catalogue_names_what_holds_something() {
    let registry = TestRegistry::start().await;
    for repository in ["b", "a/b", "a"] {
        registry.load(repository, "v1", &fixture::image(1, 2)).await;
    }
    let names = client().catalog(&registry.host()).await.expect("a catalogue").names;
    assert_eq!(names, ["a", "a/b", "b"].map(name));
}

#[tokio::test]
async fn links_are_followed_from_where_the_page_was() {
    let pages = [
        (
            "/v2/a/tags/list?n=1000",
            r#"</v2/a/tags/list?last=1&n=1>; rel="next""#,
            r#"{"tags":["1"]}"#,
        ),
        (
            "/v2/a/tags/list?last=1&n=1",
            r#"<?last=2>; rel="next""#,
            r#"{"name":"a","tags":["2",".no"]}"#,
        ),
        ("/v2/a/tags/list?last=2", r#"</v2/a/tags/list>; rel="prev""#, r#"{"tags":null}"#),
        (
            "/v2/_catalog?n=1000",
            r#"<_catalog?last=a>; rel="next""#,
            r#"{"repositories":["a","B"]}"#,
        ),
        ("/v2/_catalog?last=a", "", r#"{"repositories":["a/b"],"more":{}}"#),
    ];
    let upstream = Scripted::start(move |request| {
        let page = pages.iter().find(|(target, ..)| *target == request.target);
        let (_, link, body) = page.unwrap_or_else(|| panic!("{}", request.target));
        reply(200, &[&format!("Link: {link}")], body)
    })
    .await;
    let base = format!("Location: http://{}", upstream.host);
    let front =
        Scripted::start(move |request| reply(307, &[&format!("{base}{}", request.target)], ""))
            .await;
    for host in [&upstream.host, &front.host] {
        let tags = at(&client(), host).tags().await.expect("tags").names;
        assert_eq!(tags, ["1", "2"].map(|tag| tag.parse::<Tag>().expect("a tag")));
        let names = client().catalog(host).await.expect("a catalogue").names;
        assert_eq!(names.iter().map(Repository::as_str).collect::<Vec<_>>(), ["a", "a/b"]);
    }
    assert_eq!(front.lines().len(), 2, "the pages after the first are requested from the upstream");
}

#[tokio::test]
async fn a_relation_is_read_in_any_case_and_quotes_and_a_repeated_name_counts_once() {
    for relation in ["'next'", "NEXT", "'Next'", "\"NEXT\"", "next"] {
        let link = format!("Link: <?last=b>; rel={relation}");
        let server = Scripted::start(move |request| match &*request.target {
            "/v2/a/tags/list?n=1000" => reply(200, &[&link], r#"{"tags":["a","b","b",".no"]}"#),
            "/v2/a/tags/list?last=b" => reply(200, &[], r#"{"tags":["b",".no","c"]}"#),
            "/v2/_catalog?n=1000" => reply(200, &[], r#"{"repositories":["b","a","b"]}"#),
            target => panic!("{target}"),
        })
        .await;
        let tags = at(&client(), &server.host).tags().await.expect("tags");
        let names: Vec<_> = tags.names.iter().map(Tag::as_str).collect();
        assert_eq!(names, ["a", "b", "c"], "{relation}");
        assert_eq!(tags.unusable, [".no"]);
        let repositories = client().catalog(&server.host).await.expect("a catalogue").names;
        assert_eq!(repositories, ["b", "a"].map(name));
    }
}

#[tokio::test]
async fn links_that_lead_elsewhere_or_nowhere_are_refused() {
    for (link, reason) in [
        ("<https://evil.example/v2/a/tags/list>; rel=next", PointerRefusal::OtherHost),
        ("<//127.0.0.1:1/v2/a/tags/list>; rel=next", PointerRefusal::OtherHost),
        ("<ftp://h/>; rel=next", PointerRefusal::NotHttp),
        ("</v2/a/tags/list?n=1000>; rel=next", PointerRefusal::Loop),
    ] {
        let link = format!("Link: {link}");
        let server = Scripted::start(move |_| reply(200, &[&link], r#"{"tags":[]}"#)).await;
        let error = at(&client(), &server.host).tags().await.expect_err("a refusal");
        let RequestFault::NotFollowed { reason: found, .. } = error.fault() else {
            panic!("{error}")
        };
        assert_eq!(*found, reason, "{error}");
        assert_eq!(server.lines().len(), 1);
    }
}

#[tokio::test]
async fn pages_without_end_come_to_one() {
    let server = Scripted::start(|request| {
        let page: u32 = request.target.split_once("p=").map_or(0, |(_, n)| n.parse().expect(n));
        reply(200, &[&format!("Link: <?p={}>; rel=next", page + 1)], r#"{"tags":[]}"#)
    })
    .await;
    let error = at(&client(), &server.host).tags().await.expect_err("an end");
    let url = format!("http://{}/v2/a/tags/list", server.host);
    let why = "was not followed: the limit is 10000 pages";
    assert_eq!(printed(&error), format!("GET {url}: the next page to {url} {why}"));
    assert_eq!(server.lines().len(), 10_000);
}

#[tokio::test]
async fn any_404_of_the_first_page_means_no_tags() {
    let registry = TestRegistry::start().await;
    assert_eq!(at(&client(), &registry.host()).tags().await.expect("no tags").names, []);
    let not_found = r#"{"errors":[{"code":"NOT_FOUND","message":"repository a not found"}]}"#;
    for body in [not_found, "<html>", ""] {
        let server = Scripted::start(move |_| reply(404, &[], body)).await;
        assert_eq!(at(&client(), &server.host).tags().await.expect("no tags").names, []);
        let error = client().catalog(&server.host).await.expect_err("no catalogue");
        assert!(error.is_not_found(), "{error}");
    }
    // But what was listed is not forgotten.
    let server = Scripted::start(|request| match request.target.contains("last") {
        false => reply(200, &["Link: <?last=1>; rel=next"], r#"{"tags":["1"]}"#),
        true => reply(404, &[], ""),
    });
    let server = server.await;
    assert!(at(&client(), &server.host).tags().await.expect_err("a 404").is_not_found());
}

#[tokio::test]
async fn a_page_that_is_no_listing_is_an_error() {
    let server = Scripted::start(|_| reply(200, &[], "a page")).await;
    let error = printed(&at(&client(), &server.host).tags().await.expect_err("no JSON"));
    assert!(error.contains(" is not the JSON of a listing: expected value"), "{error}");
}

#[tokio::test]
async fn a_listing_of_another_form_is_an_error_and_never_an_empty_one() {
    for (json, cause) in [
        (r#"{"tags":[1]}"#, "invalid type: integer `1`, expected a "),
        (r#"{"tags":["v1",null]}"#, "invalid type: null, expected a "),
        (r#"{"tags":"x"}"#, r#"invalid type: string "x", expected a "#),
        (r#"{"tags":{}}"#, "invalid type: map, expected a "),
        (r#"{"name":"a"}"#, "missing field `tags`"),
        (r#"{"errors":[]}"#, "missing field `tags`"),
        (r#"{"repositories":["a"]}"#, "missing field `tags`"),
        ("{}", "missing field `tags`"),
    ] {
        let server = Scripted::start(move |_| reply(200, &[], json)).await;
        let repository = at(&client(), &server.host);
        let tags = printed(&repository.tags().await.expect_err(json));
        let inventory = repository.inventory(&[tag("v1")]).await.expect_err(json);
        let inventory = printed(&inventory);
        let expected = format!(
            ": the response, which begins with {json}, is not the JSON of a listing: {cause}"
        );
        for text in [tags, inventory] {
            assert!(text.contains(&expected), "{text}");
        }
        assert!(server.lines().iter().all(|line| line.contains("/tags/list")), "nothing follows");
    }
    for (json, cause) in [
        (r#"{"repositories":{}}"#, "invalid type: map, expected a "),
        (r#"{"repositories":[["a"]]}"#, "invalid type: sequence, expected a "),
        (r#"{"tags":["a"]}"#, "missing field `repositories`"),
        ("{}", "missing field `repositories`"),
    ] {
        let server = Scripted::start(move |_| reply(200, &[], json)).await;
        let error = printed(&client().catalog(&server.host).await.expect_err(json));
        assert!(error.contains(cause), "{error}");
    }
    // So says CNCF distribution that there are none.
    for json in [r#"{"tags":null}"#, r#"{"name":"a","tags":null}"#, r#"{"name":"a","tags":[]}"#] {
        let server = Scripted::start(move |_| reply(200, &[], json)).await;
        let repository = at(&client(), &server.host);
        assert_eq!(repository.tags().await.expect(json).names, []);
        let server = Scripted::start(move |it| match it.target.contains("/tags/list") {
            true => reply(200, &[], json),
            false => reply(404, &[], ""),
        })
        .await;
        let inventory = at(&client(), &server.host).inventory(&[tag("v1")]).await.expect(json);
        assert_eq!(inventory.tags().count(), 0);
    }
}

#[tokio::test]
async fn names_that_cannot_be_used_are_listed_apart() {
    let server = Scripted::start(|request| match request.target.contains("_catalog") {
        true => reply(200, &[], r#"{"repositories":["a","B","a//b"]}"#),
        false => reply(200, &[], r#"{"tags":["1",".no","","\u00e9"]}"#),
    })
    .await;
    let tags = at(&client(), &server.host).tags().await.expect("tags");
    assert_eq!(tags.names, ["1".parse::<Tag>().expect("a tag")]);
    assert_eq!(tags.unusable, [".no", "", "\u{e9}"]);
    let catalog = client().catalog(&server.host).await.expect("a catalogue");
    assert_eq!((catalog.names, catalog.unusable.len()), (vec![name("a")], 2));
}

#[tokio::test]
async fn repositories_below_a_prefix_are_those_on_a_path_boundary() {
    let server = Scripted::start(|_| {
        let names = r#"["prod","prod-x","a/prod","prod/b","prod/A","prod/a/c","B"]"#;
        reply(200, &[], &format!(r#"{{"repositories":{names}}}"#))
    })
    .await;
    for (path, names, unusable) in [
        ("", &["prod", "prod-x", "a/prod", "prod/b", "prod/a/c"][..], &["prod/A", "B"][..]),
        ("/prod", &["prod", "prod/b", "prod/a/c"], &["prod/A"]),
        ("/prod/a", &["prod/a/c"], &[]),
        ("/none", &[], &[]),
    ] {
        let prefix = format!("{}{path}", server.host).parse().expect("a prefix");
        let below = client().repositories_below(&prefix).await.expect("a catalogue");
        assert_eq!(below.names, names.iter().copied().map(name).collect::<Vec<_>>(), "{path}");
        assert_eq!(below.unusable, unusable, "{path}");
    }
}

#[tokio::test]
async fn a_malformed_link_is_an_error_and_no_end_of_the_listing() {
    for link in ["</v2/a/tags/list?last=1; rel=next", "/v2/a/tags/list?last=1", "x\u{e9}"] {
        let header = format!("Link: {link}");
        let server = Scripted::start(move |_| reply(200, &[&header], r#"{"tags":["1"]}"#)).await;
        let error = at(&client(), &server.host).tags().await.expect_err("it is incomplete");
        let RequestFault::NotFollowed { reason, .. } = error.fault() else { panic!("{error}") };
        assert_eq!(*reason, PointerRefusal::MalformedLink, "{link}");
        let text = "the `Link` header of the page is malformed (RFC 8288 §3)";
        assert!(printed(&error).contains(text), "{error}");
    }
    // Without its brackets it leaves no doubt.
    let server = Scripted::start(|request| match request.target.contains("last=") {
        true => reply(200, &[], r#"{"repositories":["b"]}"#),
        false => {
            reply(200, &[r#"Link: /v2/_catalog?last=a; rel="next""#], r#"{"repositories":["a"]}"#)
        }
    })
    .await;
    let catalog = client().catalog(&server.host).await.expect("both pages");
    assert_eq!(catalog.names, ["a", "b"].map(name));
}
