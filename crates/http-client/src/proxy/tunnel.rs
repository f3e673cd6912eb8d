//! A tunnel through a proxy: CONNECT, and the response to it.
//!
//! Source: RFC 9110 §9.3.6 (CONNECT), §15.2 (informational responses), RFC 9112 §2.2 (a line may end by a bare LF), §3.2.3 (authority-form).

use std::io;

use http::{StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    Proxy,
    error::{ProxyError, ProxyFault},
};

/// How long the head of the response may be, in bytes: proxies send a few headers, error pages come after them.
const MAX_HEAD: usize = 16 << 10;
/// How many informational responses (1xx) may come before the final one: a proxy sends one or two.
const MAX_INFORMATIONAL: u32 = 8;

/// Requests a connection to the host and port of `target` from the proxy.
pub(super) async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    target: &Uri,
) -> Result<(), ProxyError> {
    let fails = |fault| ProxyError::new(proxy, fault);
    let host = target.host().unwrap_or_default();
    let target = format!("{host}:{}", target.port_u16().unwrap_or(443));
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(value) = &proxy.authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let sent = stream.write_all(&request).await;
    sent.map_err(|cause| fails(ProxyFault::Broken(cause)))?;
    let status = final_status(stream).await.map_err(|cause| fails(ProxyFault::Broken(cause)))?;
    match status {
        Some(status) if status.is_success() => Ok(()),
        Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => Err(ProxyError::unauthenticated(proxy)),
        Some(status) => Err(fails(ProxyFault::Status { status, target: target.into() })),
        None => Err(fails(ProxyFault::Malformed { variable: proxy.variable })),
    }
}

/// The status of the response; none if it is not HTTP. Informational responses may come before it.
async fn final_status(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<StatusCode>> {
    let mut informational = 0;
    loop {
        let status = status(&read_head(stream).await?);
        if !status.is_some_and(|it| it.is_informational()) || informational == MAX_INFORMATIONAL {
            return Ok(status);
        }
        informational += 1;
    }
}

/// The head of a response. Nothing comes after that of a success before the client has sent something, so nothing
/// that belongs to the tunnel is read.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !is_whole(&head) && head.len() < MAX_HEAD {
        head.push(stream.read_u8().await?);
        if status_is_malformed(&head) {
            break;
        }
    }
    Ok(head)
}

/// Whether a head has come to its end, an empty line.
fn is_whole(head: &[u8]) -> bool {
    head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n")
}

/// Whether the bytes are not the beginning of an HTTP response.
fn status_is_malformed(head: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    !head.starts_with(&START[..head.len().min(START.len())])
}

fn status(head: &[u8]) -> Option<StatusCode> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    is_whole(head).then_some(())?;
    StatusCode::from_bytes(line.get(2..5)?).ok()
}
