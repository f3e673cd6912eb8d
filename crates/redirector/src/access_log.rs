//! One log event per request, for who asks for it: off by default, and then it costs nothing.

use std::net::IpAddr;

use futures_util::future::Either;
use http::{Request, header};

use crate::handler::Answering;

/// `answering`, and a log event once it is answered.
pub(crate) fn logged<B>(peer: IpAddr, request: &Request<B>, answering: Answering) -> Answering {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    Either::Right(Box::pin(async move {
        let answer = answering.await;
        let location = answer.headers().get(header::LOCATION).and_then(|url| url.to_str().ok());
        let status = answer.status().as_u16();
        tracing::info!(%peer, %method, %uri, status, location, "request");
        answer
    }))
}
