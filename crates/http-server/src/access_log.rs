//! The access log: one event for each request. Queries are not logged: they may be signed.

use std::{net::IpAddr, time::Instant};

use http::{Method, StatusCode, Uri};

/// A request, as the access log names it. It is made when the request's head has arrived, and only if there is
/// an access log.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    begun: Instant,
    peer: Option<IpAddr>,
    client: Option<IpAddr>,
    method: Method,
    path: String,
}

/// What the access log says of a response.
#[derive(Clone, Copy, Debug)]
pub struct AccessResponse<'a> {
    /// Its status.
    pub status: StatusCode,
    /// The user that the request was authenticated as.
    pub user: Option<&'a str>,
    /// Where it redirects to.
    pub location: Option<&'a str>,
    /// The bytes of its body that were sent, if they were counted.
    pub sent: Option<u64>,
}

impl AccessRecord {
    /// A request that begins now. `peer` is who connected, if it came over the network; `client` is who is behind the
    /// peer, if its address could be found.
    #[must_use]
    pub fn begin(peer: Option<IpAddr>, client: Option<IpAddr>, method: &Method, uri: &Uri) -> Self {
        let (method, path) = (method.clone(), uri.path().to_owned());
        Self { begun: Instant::now(), peer, client, method, path }
    }

    /// Logs the event.
    pub fn log(&self, response: &AccessResponse<'_>) {
        let Self { begun, peer, client, method, path } = self;
        let AccessResponse { status, user, location, sent } = *response;
        let peer = peer.map(tracing::field::display);
        let client = client.map_or_else(|| "unknown".to_owned(), |client| client.to_string());
        let location = location.map(without_query);
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = status.as_u16();
        tracing::info!(
            peer, client, user, %method, path, status, location, sent, milliseconds, "request"
        );
    }
}

fn without_query(url: &str) -> &str {
    url.split_once(['?', '#']).map_or(url, |(url, _)| url)
}
