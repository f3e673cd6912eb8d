//! A client that does nothing by itself: one connection a request, no redirects, no retries.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, header::HOST};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use oci::Host;
use tokio::net::TcpStream;

/// Sends `request`, whose URI is a path, to `host`, and reads the whole response.
///
/// # Errors
/// When there is no connection, or no whole response: a truncated body is an error.
pub async fn send(host: &Host, mut request: Request<Body>) -> io::Result<Response<Bytes>> {
    let stream = TcpStream::connect(host.as_str()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // The sender waits for its end.
    tokio::spawn(connection);
    request.headers_mut().insert(HOST, host.as_str().parse().map_err(io::Error::other)?);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// Sends a GET for `path`.
///
/// # Errors
/// As [`send`].
pub async fn get(host: &Host, path: &str) -> io::Result<Response<Bytes>> {
    send(host, Request::get(path).body(Body::empty()).map_err(io::Error::other)?).await
}
