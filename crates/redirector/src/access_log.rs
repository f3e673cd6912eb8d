//! One log event per request, for who asks for it: off by default, and then it costs nothing.

use std::net::IpAddr;

use http::{Method, Uri, header};

use crate::response::Answer;

/// What was asked, by whom.
pub(crate) struct Asked {
    pub(crate) peer: IpAddr,
    /// The client behind the peer, if it is known.
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
}

/// The answer, and a log event once it is there.
pub(crate) async fn logged(asked: Asked, answering: impl Future<Output = Answer>) -> Answer {
    let Asked { peer, client, method, uri } = asked;
    let client = client.map_or_else(|| "unknown".to_owned(), |client| client.to_string());
    let answer = answering.await;
    let location = answer.headers().get(header::LOCATION).and_then(|url| url.to_str().ok());
    let status = answer.status().as_u16();
    tracing::info!(%peer, client, %method, %uri, status, location, "request");
    answer
}
