//! One log event per request. Off by default, and then it costs nothing.

use std::net::IpAddr;

use http::{Method, Request, Uri, header};

use crate::response::FrontResponse;

/// The request of a log event.
pub(crate) struct AccessRecord {
    peer: IpAddr,
    /// The client behind the peer, if its address could be found.
    client: Option<IpAddr>,
    method: Method,
    uri: Uri,
}

impl AccessRecord {
    pub(crate) fn new<B>(peer: IpAddr, client: Option<IpAddr>, request: &Request<B>) -> Self {
        Self { peer, client, method: request.method().clone(), uri: request.uri().clone() }
    }
}

/// The response, and a log event once it is there.
pub(crate) async fn logged(
    record: AccessRecord,
    response: impl Future<Output = FrontResponse>,
) -> FrontResponse {
    let AccessRecord { peer, client, method, uri } = record;
    let client = client.map_or_else(|| "unknown".to_owned(), |client| client.to_string());
    let response = response.await;
    let location = response.headers().get(header::LOCATION).and_then(|url| url.to_str().ok());
    let status = response.status().as_u16();
    tracing::info!(%peer, client, %method, %uri, status, location, "request");
    response
}
