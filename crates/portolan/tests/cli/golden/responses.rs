//! Examples of the responses by which the embedded registry and the front reject requests: kept as `mod.rs` says.

use std::fs;

use oci::{Digest, media_type};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Fault, TestBucket, fixture};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::compare;
use crate::{harness::write, servers::ServerProcess};

/// How much of a request's body is shown.
const SHOWN_BODY: usize = 200;

/// User `alice` with the password `secret`, and user `bob` with the same.
const USERS: &str = "alice:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n\
                     bob:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
const RIGHTS: &str = "rules:\n- {users: [alice], repositories: [\"**\"], rights: [pull, push]}\n\
                      - {users: [bob], repositories: [\"**\"], rights: [pull]}\n";

/// `alice:secret` and `bob:secret` in base64.
const ALICE: &str = "authorization: Basic YWxpY2U6c2VjcmV0";
const BOB: &str = "authorization: Basic Ym9iOnNlY3JldA==";

/// A request in HTTP/1.1.
struct GoldenRequest<'a> {
    /// The method and the path.
    line: &'a str,
    headers: &'a [&'a str],
    body: &'a [u8],
}

impl<'a> GoldenRequest<'a> {
    const fn new(line: &'a str) -> Self {
        Self { line, headers: &[], body: &[] }
    }

    fn with(line: &'a str, headers: &'a [&'a str], body: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { line, headers, body: body.as_ref() }
    }

    /// Its bytes, unless a header says how long its body is.
    fn bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let is_host = |header: &&str| header.starts_with("host:");
        let host = if self.headers.iter().any(is_host) { "" } else { "host: registry.example\r\n" };
        let has_length = |header: &&str| header.contains("transfer-encoding");
        let length = if self.headers.iter().any(has_length) || self.body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", self.body.len())
        };
        let line = self.line;
        let head = format!("{line} HTTP/1.1\r\n{host}{headers}{length}connection: close\r\n\r\n");
        [head.as_bytes(), self.body].concat()
    }

    /// As it is shown.
    fn shown(&self) -> String {
        let lines = [&self.line].into_iter().chain(self.headers);
        let mut shown: String = lines.map(|line| format!("> {line}\n")).collect();
        let body = String::from_utf8_lossy(self.body);
        if !body.is_empty() && body.len() <= SHOWN_BODY && !body.contains('\n') {
            shown.push_str(&format!("> {body}\n"));
        }
        shown
    }
}

/// Sends these bytes and reads until the server closes the connection.
async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.expect("a response");
    String::from_utf8_lossy(&response).into_owned()
}

/// Requests and what they were responded to, as one text.
#[derive(Default)]
struct Responses {
    /// What differs from run to run, and what stands for it.
    names: Vec<(String, String)>,
    text: String,
}

impl Responses {
    /// Sends a request and adds it with its response, which is an error.
    async fn request(&mut self, title: &str, server: &ServerProcess, request: GoldenRequest<'_>) {
        let response = exchange(&server.address, &request.bytes()).await;
        self.add(title, &request.shown(), &response);
    }

    fn add(&mut self, title: &str, request: &str, response: &str) {
        let (head, body) = response.split_once("\r\n\r\n").expect(response);
        let status = head.lines().next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status.expect("a status line");
        assert!(status.starts_with(['4', '5']), "{title}: {request} {response}");
        let mut shown = format!("## {title}\n\n{request}< {status}\n");
        let body: Value = serde_json::from_str(body).expect(response);
        for error in body["errors"].as_array().expect("errors") {
            let [code, message] = ["code", "message"].map(|name| error[name].as_str().expect(name));
            shown.push_str(&format!("< {code}: {message}\n"));
        }
        for (value, name) in &self.names {
            shown = shown.replace(value, name);
        }
        self.text.push_str(&format!("{shown}\n"));
    }
}

/// A registry of the program with these flags.
async fn registry(flags: &[&str]) -> ServerProcess {
    let arguments = [&["registry", "serve", "--listen", "127.0.0.1:0"], flags].concat();
    ServerProcess::start(":", &arguments).await
}

/// Puts an image without layers, whose config is in the repository `app`, under the tag `v1`.
async fn push_image(server: &ServerProcess, headers: &[&str]) -> (Digest, Digest) {
    let image = fixture::image(1, 0);
    let config = &image.blobs[0];
    let line = format!("POST /v2/app/blobs/uploads/?digest={}", config.descriptor.digest);
    let pushed = GoldenRequest::with(&line, headers, &config.bytes).bytes();
    let response = exchange(&server.address, &pushed).await;
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    let kind = format!("content-type: {}", media_type::OCI_MANIFEST);
    let headers = [headers, &[kind.as_str()]].concat();
    let pushed = GoldenRequest::with("PUT /v2/app/manifests/v1", &headers, &image.bytes).bytes();
    let response = exchange(&server.address, &pushed).await;
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    (image.digest(), config.descriptor.digest)
}

/// Starts an upload session; its path, with the query that it has, if any.
async fn start_upload(server: &ServerProcess) -> String {
    let started = GoldenRequest::new("POST /v2/app/blobs/uploads/").bytes();
    let response = exchange(&server.address, &started).await;
    let location = response.lines().find_map(|line| line.strip_prefix("location: "));
    location.unwrap_or_else(|| panic!("no Location in {response}")).to_owned()
}

#[tokio::test]
async fn responses_to_requests_that_name_what_a_registry_does_not_have() {
    let (mut responses, server) = (Responses::default(), registry(&[]).await);
    let (_, blob) = push_image(&server, &[]).await;
    let no_host =
        exchange(&server.address, b"GET /v2/ HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    responses.add("no host", "> GET /v2/\n", &no_host);
    let absent = format!("GET /v2/app/blobs/{}", Digest::sha256(b"absent"));
    let range = format!("GET /v2/app/blobs/{blob}");
    for (title, line, headers) in [
        ("two hosts", "GET /v2/", &["host: a.example", "host: b.example"][..]),
        ("a host with a path", "GET /v2/", &["host: a.example/b"]),
        ("a path that is no endpoint", "GET /v2/app/images/v1", &[]),
        ("a method that an endpoint does not have", "POST /v2/app/tags/list", &[]),
        ("a name outside the grammar", "GET /v2/App/tags/list", &[]),
        ("a repository that does not exist", "GET /v2/other/tags/list", &[]),
        ("a manifest that does not exist", "GET /v2/app/manifests/v2", &[]),
        ("a blob that does not exist", &absent, &[]),
        ("a digest that is cut", "GET /v2/app/blobs/sha256:e3b0c442", &[]),
        ("a digest of another algorithm", "GET /v2/app/blobs/md5:d41d8cd98f00b204", &[]),
        ("a page length that is not a number", "GET /v2/app/tags/list?n=all", &[]),
        ("a range outside a blob", &range, &["range: bytes=5000-"]),
    ] {
        responses.request(title, &server, GoldenRequest::with(line, headers, "")).await;
    }
    compare("errors/registry-reads.txt", &responses.text);
}

#[tokio::test]
async fn responses_to_manifests_that_a_registry_refuses() {
    let (mut responses, server) =
        (Responses::default(), registry(&["--max-manifest-size", "4KiB"]).await);
    push_image(&server, &[]).await;
    let oci = format!("content-type: {}", media_type::OCI_MANIFEST);
    let oci = [oci.as_str()];
    let config = json!({ "mediaType": "a/b", "digest": Digest::sha256(b"x"), "size": 1 });
    let schema1 = format!("content-type: {}", media_type::DOCKER_SCHEMA1_SIGNED);
    let unknown = ["content-type: text/plain"];
    for (title, headers, body) in [
        ("a manifest that is not JSON", &oci, "{".to_owned()),
        ("a manifest of Docker schema 1", &[&*schema1], json!({"schemaVersion": 1}).to_string()),
        ("a manifest without a version", &oci, json!({}).to_string()),
        ("a manifest of version 3", &oci, json!({"schemaVersion": 3}).to_string()),
        (
            "a manifest of an image and of an index",
            &oci,
            json!({"schemaVersion": 2, "config": config, "manifests": []}).to_string(),
        ),
        (
            "a member that looks like another one",
            &oci,
            json!({"schemaVersion": 2, "Config": {}}).to_string(),
        ),
        ("a manifest of an unknown media type", &unknown, json!({"schemaVersion": 2}).to_string()),
        (
            "a manifest of another media type than its own",
            &oci,
            json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX}).to_string(),
        ),
        (
            "a manifest of blobs that were not pushed",
            &oci,
            json!({"schemaVersion": 2, "config": config, "layers": []}).to_string(),
        ),
        ("a manifest that is too long", &oci, " ".repeat(5_000)),
    ] {
        let request = GoldenRequest::with("PUT /v2/app/manifests/v2", headers, &body);
        responses.request(title, &server, request).await;
    }
    compare("errors/registry-manifests.txt", &responses.text);
}

#[tokio::test]
async fn responses_to_tags_that_a_registry_refuses() {
    let (mut responses, server) = (Responses::default(), registry(&[]).await);
    push_image(&server, &[]).await;
    let oci = format!("content-type: {}", media_type::OCI_MANIFEST);
    let oci = [oci.as_str()];
    let image = fixture::image(1, 0);
    let tags: String = (0..65).map(|n| format!("&tag=v{n}")).collect();
    let many = format!("PUT /v2/app/manifests/{}?{}", image.digest(), &tags[1..]);
    responses.names.push((tags[1..].to_owned(), "tag=v0&…&tag=v64".to_owned()));
    responses
        .request("too many tags", &server, GoldenRequest::with(&many, &oci, &image.bytes))
        .await;
    let tag = "v".repeat(129);
    let long = format!("PUT /v2/app/manifests/{tag}");
    responses.names.push((tag, "vvv…".to_owned()));
    for (title, line) in [
        ("a tag that begins with a dash", "PUT /v2/app/manifests/-v1"),
        ("a tag that is too long", &*long),
    ] {
        responses.request(title, &server, GoldenRequest::with(line, &oci, &image.bytes)).await;
    }
    let absent = [oci[0], "if-none-match: *"];
    let request = GoldenRequest::with("PUT /v2/app/manifests/v1", &absent, &image.bytes);
    responses.request("a tag that exists, where it must not", &server, request).await;
    let other = format!("if-match: \"{}\"", Digest::sha256(b"x"));
    let other = [oci[0], &other];
    let request = GoldenRequest::with("PUT /v2/app/manifests/v3", &other, &image.bytes);
    responses.request("a tag that does not exist, where it must", &server, request).await;
    compare("errors/registry-tags.txt", &responses.text);
}

#[tokio::test]
async fn responses_to_uploads_that_a_registry_refuses() {
    let (mut responses, server) =
        (Responses::default(), registry(&["--max-blob-size", "1KiB"]).await);
    let session = start_upload(&server).await;
    responses.names.push((session.clone(), "/v2/app/blobs/uploads/SESSION".to_owned()));
    let [patch, put] = ["PATCH", "PUT"].map(|method| format!("{method} {session}"));
    let digest = Digest::sha256(b"x");
    let whole = format!("POST /v2/app/blobs/uploads/?digest={digest}");
    let gone = "PATCH /v2/app/blobs/uploads/11111111111111111111111111111111";
    let chunked = &["transfer-encoding: chunked"][..];
    for (title, line, headers, body) in [
        (
            "an algorithm that is not supported",
            "POST /v2/app/blobs/uploads/?digest-algorithm=md5",
            &[][..],
            "",
        ),
        ("an upload that is finished without a digest", &put, &[], "x"),
        ("content of another digest", &whole, &[], "y"),
        ("an upload session that does not exist", gone, &[], "x"),
        ("a range of content that is none", &patch, &["content-range: bytes 0-0/1"], "x"),
        ("a chunk that leaves a gap", &patch, &["content-range: 10-10"], "x"),
        ("a chunk of another length", &patch, &["content-range: 0-4"], "x"),
        ("a body that breaks off", &patch, chunked, "1\r\nx\r\nno length\r\n"),
        ("a blob that is too long", &whole, &[], &"x".repeat(2_000)),
    ] {
        responses.request(title, &server, GoldenRequest::with(line, headers, body)).await;
    }
    compare("errors/registry-uploads.txt", &responses.text);
}

#[tokio::test]
async fn responses_to_clients_without_the_right() {
    let mut responses = Responses::default();
    let directory = TempDir::new().expect("a directory");
    let file =
        |name: &str, text: &str| write(&directory.path().join(name), text).display().to_string();
    let (users, rights) = (file("users", USERS), file("rights.yaml", RIGHTS));
    let storage = format!("file://{}/storage", directory.path().display());
    let server =
        registry(&["--htpasswd", &users, "--rights", &rights, "--storage", &storage]).await;
    push_image(&server, &[ALICE]).await;
    // `alice:wrong`, and `alice` with 73 characters, in base64.
    let long = format!("authorization: Basic {}", "YWxpY2U6".to_owned() + &"eHh4".repeat(25));
    for (title, line, headers) in [
        ("no login", "GET /v2/", &[][..]),
        ("a wrong password", "GET /v2/", &["authorization: Basic YWxpY2U6d3Jvbmc="]),
        ("a password that is too long", "GET /v2/", &[&long]),
        ("a push without the right", "POST /v2/app/blobs/uploads/", &[BOB]),
    ] {
        responses.request(title, &server, GoldenRequest::with(line, headers, "")).await;
    }
    server.terminated().await;
    let server = registry(&["--storage", &storage, "--immutable-tags"]).await;
    let kind = format!("content-type: {}", media_type::OCI_MANIFEST);
    let kind = [kind.as_str()];
    // Printed without spaces it is another manifest of the same content.
    let manifest: Value = serde_json::from_slice(&fixture::image(1, 0).bytes).expect("a manifest");
    let other = manifest.to_string();
    let request = GoldenRequest::with("PUT /v2/app/manifests/v1", &kind, &other);
    responses.request("a tag that would move", &server, request).await;
    let request = GoldenRequest::new("DELETE /v2/app/manifests/v1");
    responses.request("a tag that would be deleted", &server, request).await;
    server.terminated().await;
    let server = registry(&["--storage", &storage, "--read-only"]).await;
    let request = GoldenRequest::new("POST /v2/app/blobs/uploads/");
    responses.request("a registry that is read-only", &server, request).await;
    compare("errors/registry-rights.txt", &responses.text);
}

#[tokio::test]
async fn responses_of_a_registry_whose_files_are_damaged() {
    let mut responses = Responses::default();
    let directory = TempDir::new().expect("a directory");
    let storage = format!("file://{}", directory.path().display());
    let server = registry(&["--storage", &storage]).await;
    push_image(&server, &[]).await;
    let tag = directory.path().join("repositories/app/_tags/v1");
    fs::write(&tag, "x").expect("it is written");
    let get = "GET /v2/app/manifests/v1";
    responses.request("a tag whose file is damaged", &server, GoldenRequest::new(get)).await;
    fs::remove_file(&tag).and_then(|()| fs::create_dir(&tag)).expect("it is made");
    let kind = format!("content-type: {}", media_type::OCI_MANIFEST);
    let (kind, image) = ([kind.as_str()], fixture::image(1, 0));
    let request = GoldenRequest::with("PUT /v2/app/manifests/v1", &kind, &image.bytes);
    responses.request("a directory in the place of a tag", &server, request).await;
    compare("errors/registry-storage.txt", &responses.text);
}

/// Begins an upload that sends nothing, once the registry waits for its content; the connection.
async fn stalled(server: &ServerProcess, client: &str) -> TcpStream {
    let line = format!("POST /v2/app/blobs/uploads/?digest={}", Digest::sha256(b"x"));
    let request = format!(
        "{line} HTTP/1.1\r\nhost: registry.example\r\nx-forwarded-for: {client}\r\nexpect: 100-continue\r\n\
         content-length: 1\r\n\r\n"
    );
    let mut stream = TcpStream::connect(&server.address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("a response");
    assert_eq!(&status, b"HTTP/1.1 100");
    stream
}

#[tokio::test]
async fn responses_of_a_registry_that_has_too_much_to_do() {
    let mut responses = Responses::default();
    let clients = ["x-forwarded-for: 192.0.2.1", "x-forwarded-for: 192.0.2.2"];
    let flags = ["--trusted-peers", "127.0.0.1", "--max-requests", "2", "--max-uploads", "64"];
    let server = registry(&flags).await;
    let line = format!("POST /v2/app/blobs/uploads/?digest={}", Digest::sha256(b"x"));
    let upload = |client: usize| GoldenRequest::with(&line, &clients[client..=client], "x");
    let one = stalled(&server, "192.0.2.1").await;
    responses.request("too many requests of one client", &server, upload(0)).await;
    let other = stalled(&server, "192.0.2.3").await;
    responses.request("too many requests", &server, upload(1)).await;
    drop((one, other));
    let flags = ["--trusted-peers", "127.0.0.1", "--max-uploads", "2"];
    let server = registry(&flags).await;
    let line = "POST /v2/app/blobs/uploads/";
    let start = |client: usize| GoldenRequest::with(line, &clients[client..=client], "");
    exchange(&server.address, &start(0).bytes()).await;
    responses.request("too many uploads of one client", &server, start(0)).await;
    exchange(
        &server.address,
        &GoldenRequest::with(line, &["x-forwarded-for: 192.0.2.3"], "").bytes(),
    )
    .await;
    responses.request("too many uploads", &server, start(1)).await;
    compare("errors/registry-limits.txt", &responses.text);
}

#[tokio::test]
async fn responses_to_requests_that_the_front_rejects() {
    let mut responses = Responses::default();
    let directory = TempDir::new().expect("a directory");
    let configuration =
        "listen: 127.0.0.1:0\nadmin: null\nupstream: {endpoint: \"https://registry.example\"}\n";
    let file = write(&directory.path().join("front.yaml"), configuration).display().to_string();
    let server = ServerProcess::start(":", &["serve", "--config", &file]).await;
    let name = "a".repeat(256);
    let long = format!("GET /v2/{name}/manifests/v1");
    responses.names.push((name, "aaa…".to_owned()));
    for (title, line, headers) in [
        ("two hosts", "GET /v2/", &["host: a.example", "host: b.example"][..]),
        ("a push", "POST /v2/app/blobs/uploads/", &[]),
        ("a path outside /v2", "GET /app/manifests/v1", &[]),
        ("a path that is no endpoint", "GET /v2/app/images/v1", &[]),
        ("a list of the repositories", "GET /v2/_catalog", &[]),
        ("a name that is empty", "GET /v2//manifests/v1", &[]),
        ("a name that is too long", &long, &[]),
        ("a tag that begins with a dot", "GET /v2/app/manifests/.v1", &[]),
        ("a tag that is empty", "GET /v2/app/manifests/", &[]),
        ("a digest of another algorithm", "GET /v2/app/blobs/md5:d41d8cd98f00b204", &[]),
    ] {
        responses.request(title, &server, GoldenRequest::with(line, headers, "")).await;
    }
    compare("errors/front-requests.txt", &responses.text);
}

#[tokio::test]
async fn warnings_of_the_front_about_a_store() {
    let (directory, mut shown) = (TempDir::new().expect("a directory"), String::new());
    // A busy machine must not take longer, except where the time is the error.
    for (title, timeout, fault) in [
        (
            "a store that responds with a page",
            "30s",
            Fault::everywhere("/").status(200).header("content-type", "text/html"),
        ),
        ("a store that fails", "30s", Fault::everywhere("/").status(500)),
        ("a store that does not respond", "100ms", Fault::everywhere("/").hang()),
    ] {
        let bucket = TestBucket::start().await;
        bucket.fail(fault);
        let configuration = format!(
            "listen: 127.0.0.1:0\nadmin: null\nupstream: {{endpoint: \"https://registry.example\"}}\n\
             presence: {{timeout: {timeout}}}\nstores: [{{name: a, url: \"{}\", serves: [{{cloud: \"*\"}}]}}]\n",
            bucket.url()
        );
        let file = write(&directory.path().join("front.yaml"), &configuration);
        let mut server =
            ServerProcess::start(":", &["serve", "--config", &file.display().to_string()]).await;
        let blob = format!("GET /v2/app/blobs/{}", Digest::sha256(b"x"));
        let response = exchange(&server.address, &GoldenRequest::new(&blob).bytes()).await;
        assert!(response.starts_with("HTTP/1.1 307"), "{response}");
        let event = server.logs("a blob store fails").await;
        let [message, cause] = ["message", "cause"].map(|name| event[name].as_str().expect(name));
        shown.push_str(&format!("## {title}\n\n> {blob}\nwarning: {message}: {cause}\n\n"));
    }
    compare("errors/front-stores.txt", &shown);
}
