//! What a client does over HTTP/2, and without root certificates.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use http::{Method, Request, Response, StatusCode, header::LOCATION};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use oci::{Digest, Host};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use http_client::{Pool, PoolSettings, Retries, TlsSettings, TransportError, Versions};

use crate::{RegistryClient, RepositoryClient, RequestFault};

#[tokio::test]
async fn without_root_certificates_only_https_fails() {
    let pool = Pool::new(PoolSettings::new(TlsSettings::none()));
    let client = RegistryClient::builder().build_over(pool);
    let host = "registry.example".parse().expect("a host");
    let error = client.ping(&host).await.expect_err("no roots");
    assert!(matches!(error.fault(), RequestFault::Transport(TransportError::NoRootCertificates)));
    assert!(error.is_unreachable() && !error.is_transient());
    let start = "GET https://registry.example/v2/: TLS cannot be used, because this machine";
    assert!(error.to_string().starts_with(start), "{error}");
}

/// A pool of connections that speak HTTP/2 without TLS.
fn http2_pool() -> Pool {
    Pool::new(PoolSettings {
        versions: Versions::Http2,
        connect_timeout: Duration::from_secs(1),
        ..PoolSettings::new(TlsSettings::none())
    })
}

/// What befell each PUT: its length, or none when it broke off.
type Puts = mpsc::UnboundedReceiver<Option<usize>>;

/// A registry that speaks HTTP/2 without TLS, a client that does too, and the PUTs.
async fn http2(blob: Bytes) -> (RepositoryClient, Puts) {
    let (log, puts) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host: Host =
        listener.local_addr().expect("its address").to_string().parse().expect("a host");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = service_fn(move |request: Request<Incoming>| {
            let (blob, log) = (blob.clone(), log.clone());
            async move {
                let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                let body = request.into_body().collect().await;
                if method == Method::PUT {
                    let length = body.ok().map(|body| body.to_bytes().len());
                    log.send(length).expect("the test waits");
                }
                if path.ends_with("/hang") {
                    std::future::pending::<()>().await;
                }
                let mut response = Response::new(Full::new(blob));
                if method == Method::PUT {
                    *response.status_mut() = StatusCode::CREATED;
                }
                if method == Method::POST {
                    *response.status_mut() = StatusCode::ACCEPTED;
                    response.headers_mut().insert(LOCATION, "/up".parse().expect("a path"));
                }
                Ok::<_, io::Error>(response)
            }
        });
        let connection = auto::Builder::new(TokioExecutor::new()).http2_only();
        let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
    });
    let pool = http2_pool();
    let client = RegistryClient::builder()
        .request_timeout(Duration::from_secs(1))
        .plain_http(host.clone())
        .build_over(pool);
    (client.repository(&host, &"a".parse().expect("a name")), puts)
}

#[tokio::test]
async fn blobs_pass_over_http2_whole_or_not_at_all() {
    let blob = Bytes::from(vec![7; 5 << 20]);
    let (repository, mut puts) = http2(blob.clone()).await;
    // A reader that pauses within its window does not delay the others.
    let mut paused = repository.blob(&Digest::sha256(&blob)).await.expect("a blob");
    let first = paused.next().await.expect("a piece").expect("a piece");
    let mut size = first.len();
    let pieces = |last: Result<Bytes, &'static str>| {
        stream::iter([Ok(blob.clone()), last]).map(|piece| piece.map_err(io::Error::other))
    };
    let digest = Digest::sha256(&blob);
    let length = blob.len() as u64 + 1;
    let upload = repository.start_upload().await.expect("a session");
    let put = upload.put(&digest, length, pieces(Ok(Bytes::from_static(b"!")))).await;
    put.expect("it is taken");
    let upload = repository.start_upload().await.expect("a session");
    let put = upload.put(&digest, length, pieces(Err("the source is gone"))).await;
    let error = put.expect_err("it broke off");
    assert!(error.to_string().ends_with("bytes: the source is gone"), "{error}");
    assert_eq!(puts.recv().await, Some(Some(blob.len() + 1)));
    assert_eq!(puts.recv().await, Some(None));
    while let Some(piece) = paused.next().await.expect("a piece") {
        size += piece.len();
    }
    assert_eq!(size, blob.len());
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    [&[0, 0, length, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// The head of a frame that a client sent.
struct FrameHead {
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Reads the next frame. Its payload is not looked at.
async fn receive(tcp: &mut TcpStream) -> io::Result<FrameHead> {
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await?;
    let [_, high, low, kind, flags, stream @ ..] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    tcp.read_exact(&mut vec![0; length]).await?;
    Ok(FrameHead { kind, flags, stream: u32::from_be_bytes(stream) })
}

/// Serves three requests of a connection with an empty 200, and then names them the last by GOAWAY; or refuses
/// the first ones by `REFUSED_STREAM`, and serves the others.
async fn serve_some(mut tcp: TcpStream, refused: u32) -> io::Result<()> {
    let mut preface = [0; 24];
    tcp.read_exact(&mut preface).await?;
    tcp.write_all(&frame(4, 0, 0, &[])).await?;
    let (mut requests, mut last) = (0, 0_u32);
    loop {
        let FrameHead { kind, flags, stream } = receive(&mut tcp).await?;
        requests += u32::from(kind == 1);
        let reply = match (kind, flags) {
            (4, 0) => frame(4, 1, 0, &[]),
            (1, _) if refused == 0 && requests > 3 => {
                frame(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
            }
            (1, _) if requests <= refused => frame(3, 0, stream, &[0, 0, 0, 7]),
            (1, _) => {
                last = stream;
                frame(1, 5, stream, &[0x88])
            }
            _ => continue,
        };
        tcp.write_all(&reply).await?;
    }
}

#[tokio::test]
async fn requests_that_http2_did_not_process_are_sent_again_and_are_no_tries() {
    for refused in [0, 30] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let host: Host = address.parse().expect("a host");
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve_some(tcp, refused));
            }
        });
        let pool = http2_pool();
        // One retry of each, and of all as many as are allowed at first, which are fewer.
        let retries = Retries::default().tries(2).base(Duration::from_millis(1));
        let client = RegistryClient::builder().retries(retries).plain_http(host.clone());
        let client = client.build_over(pool);
        for pinged in join_all((0..40).map(|_| client.ping(&host))).await {
            pinged.unwrap_or_else(|error| panic!("{refused}: {error}"));
        }
    }
}

#[tokio::test]
async fn silence_over_http2_ends_at_the_deadline() {
    let (repository, _) = http2(Bytes::new()).await;
    let hanging = "hang".parse::<oci::Tag>().expect("a tag").into();
    let error = repository.manifest(&hanging).await.expect_err("it says nothing");
    assert!(error.to_string().ends_with(": no response within 1s"), "{error}");
}

/// Resets every stream of HTTP/2 with `HTTP_1_1_REQUIRED`, and responds to HTTP/1.1.
async fn require_http1(mut tcp: TcpStream) -> io::Result<()> {
    let mut start = [0; 3];
    tcp.read_exact(&mut start).await?;
    if start != *b"PRI" {
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
        tcp.shutdown().await?;
        return tcp.read_to_end(&mut Vec::new()).await.map(drop);
    }
    tcp.read_exact(&mut [0; 21]).await?;
    tcp.write_all(&frame(4, 0, 0, &[])).await?;
    loop {
        let FrameHead { kind, flags, stream } = receive(&mut tcp).await?;
        match (kind, flags) {
            (4, 0) => tcp.write_all(&frame(4, 1, 0, &[])).await?,
            (1, _) => tcp.write_all(&frame(3, 0, stream, &[0, 0, 0, 13])).await?,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_host_that_requires_http1_gets_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let host: Host = address.parse().expect("a host");
    let (log, mut kinds) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut start = [0; 1];
            tcp.peek(&mut start).await.expect("a request");
            log.send(char::from(start[0])).expect("the test waits");
            tokio::spawn(require_http1(tcp));
        }
    });
    let retries = Retries::default().tries(2);
    let client = RegistryClient::builder().retries(retries).plain_http(host.clone());
    let client = client.build_over(http2_pool());
    for _ in 0..3 {
        client.ping(&host).await.expect("HTTP/1.1 is spoken");
    }
    // `PRI` of HTTP/2 once, and then `GET`.
    assert_eq!((kinds.recv().await, kinds.recv().await), (Some('P'), Some('G')));
    while let Ok(kind) = kinds.try_recv() {
        assert_eq!(kind, 'G', "the host is known");
    }
}
