//! One log event per request. Off by default, and then it costs nothing.

use std::net::IpAddr;

use http::{Method, Uri, header};

use crate::response::FrontResponse;

/// The request of a log event.
pub(crate) struct AccessRecord {
    pub(crate) peer: IpAddr,
    /// The client behind the peer, if its address could be found.
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
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
