//! What no well-behaved client sends, byte by byte over TCP: it is refused, and never becomes a
//! Location outside the configured bases (design invariant 9).

use testkit::TestBucket;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{self, PARIS, UPSTREAM, start, within, yaml};

async fn raw(front: &harness::TestFront, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut response = Vec::new();
    within(stream.read_to_end(&mut response)).await.unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

/// One request with this target; the connection ends with its response.
async fn target(front: &harness::TestFront, target: &[u8]) -> String {
    let tail = format!(
        " HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-For: {PARIS}, 10.0.0.1\r\nConnection: close\r\n\r\n"
    );
    raw(front, &[b"GET ", target, tail.as_bytes()].concat()).await
}

fn status(response: &str) -> &str {
    response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_default()
}

fn location(response: &str) -> Option<&str> {
    response.lines().find_map(|line| line.strip_prefix("location: "))
}

#[tokio::test]
async fn traversal_and_injection_are_refused() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    for path in [
        &b"/v2/../../other/repo/manifests/x"[..],
        b"/v2/../../../etc",
        b"/v2/a/../../manifests/x",
        b"/v2/./a/manifests/x",
        b"/v2//a/manifests/x",
        b"/v2/a/manifests/../../x",
        b"/v2/a/manifests/..",
        b"/v2/%2e%2e/a/manifests/x",
        b"/v2/a%00/manifests/x",
        b"/v2/a/manifests/x%0d%0aLocation:%20https://evil.example",
        b"/v2/a\\..\\b/manifests/x",
        b"/v2/a/manifests/x;y",
        b"/v2/@evil.example/manifests/x",
        b"/v2/https://evil.example/manifests/x",
        b"/v2/\xc3\xa9/manifests/x",
        b"/v2/\xff/manifests/x",
        b"/v2/a/manifests/x\x0by",
        b"/v2/a/manifests/x\ny",
        b"/v2/a/manifests/x\0",
        b"//evil.example/v2/a/manifests/x",
        b"/\\evil.example",
        b"http://evil.example",
        b"evil.example:443",
        b"*",
        b"/v2/a/tags/list?x=\x01",
        b"/v2/a/tags/list?x= y",
        b"/v2/a/tags/list?x=\x7f",
    ] {
        let response = target(&front, path).await;
        let shown = String::from_utf8_lossy(path);
        match location(&response) {
            None => assert!(matches!(status(&response), "400" | "404"), "{shown:?}: {response}"),
            // A target in absolute form: its authority counts for nothing.
            Some(url) => {
                assert_eq!(
                    (shown.as_ref(), url),
                    ("http://evil.example", "https://info.example/about?x=1")
                );
            }
        }
        if status(&response) == "404" {
            assert!(response.contains(r#"{"errors":[{"code":""#), "{shown:?}: {response}");
        }
    }
    assert_eq!(bucket.requests().len(), 0);
}

#[tokio::test]
async fn the_authority_of_a_request_counts_for_nothing() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    for path in [&b"http://evil.example/v2/a/tags/list?n=1"[..], b"/v2/a/tags/list?n=1"] {
        let response = target(&front, path).await;
        assert_eq!(location(&response), Some(&*format!("{UPSTREAM}a/tags/list?n=1")));
    }
}

#[tokio::test]
async fn the_query_passes_byte_for_byte_and_a_fragment_does_not() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    for (sent, passed) in [
        (&b"?last=../..&x=//y&z=%0d%0a&q=?"[..], "?last=../..&x=//y&z=%0d%0a&q=?"),
        (b"?", "?"),
        (b"?a#b", "?a"),
        (b"#b", ""),
    ] {
        let response = target(&front, &[b"/v2/a/tags/list", sent].concat()).await;
        assert_eq!(location(&response), Some(&*format!("{UPSTREAM}a/tags/list{passed}")));
    }
}

#[tokio::test]
async fn a_request_beyond_the_limits_is_refused() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let long = [b"GET /", &vec![b'a'; 80 * 1024][..]].concat();
    assert!(matches!(status(&raw(&front, &long).await), "414" | "431"));
    let headers = "X: y\r\n".repeat(101);
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    assert_eq!(status(&raw(&front, many.as_bytes()).await), "431");
    assert_eq!(status(&raw(&front, b"nonsense\r\n\r\n").await), "400");
}

#[tokio::test]
async fn a_request_with_no_host_or_two_is_refused_with_the_error_body() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    for hosts in ["", "Host: a\r\nHost: a\r\n"] {
        let request = format!("GET /v2/ HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let response = raw(&front, request.as_bytes()).await;
        assert_eq!(status(&response), "400", "{response}");
        assert!(response.contains(r#"{"errors":[{"code":"UNSUPPORTED""#), "{response}");
    }
    assert_eq!(front.metric("portolan_redirector_requests_total{route=\"refused\"}").await, 2);
    let old = raw(&front, b"GET /v2/ HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}
