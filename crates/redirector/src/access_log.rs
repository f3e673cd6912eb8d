//! One log event per request, for who asks for it: off by default, and then it costs nothing.

use std::net::IpAddr;

use http::{Method, Uri, header};

use crate::{handler::Answering, response::Answer};

/// The answer, and a log event once it is there.
pub(crate) async fn logged(peer: IpAddr, method: Method, uri: Uri, answering: Answering) -> Answer {
    let Ok(answer) = answering.await;
    let location = answer.headers().get(header::LOCATION).and_then(|url| url.to_str().ok());
    let status = answer.status().as_u16();
    tracing::info!(%peer, %method, %uri, status, location, "request");
    answer
}
