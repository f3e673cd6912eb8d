//! What a fault changes in a request before it goes on: the mount that is not asked for.

use axum::body::Body;
use http::{Method, Request, Uri};

/// A request for a mount, as one for an upload; any other, as it is.
pub(crate) fn without_mount(mut request: Request<Body>) -> Request<Body> {
    let query: Vec<_> = request.uri().query().unwrap_or_default().split('&').collect();
    let is_mount = query.iter().any(|part| part.starts_with("mount="));
    if request.method() == Method::POST && is_mount {
        let parts = query.into_iter();
        let kept = parts.filter(|part| !part.starts_with("mount=") && !part.starts_with("from="));
        *request.uri_mut() = with_query(request.uri(), &kept.collect::<Vec<_>>().join("&"));
    }
    request
}

fn with_query(uri: &Uri, query: &str) -> Uri {
    let path_and_query = format!("{}?{query}", uri.path());
    let mut parts = uri.clone().into_parts();
    let path_and_query = path_and_query.trim_end_matches('?').parse();
    parts.path_and_query = Some(path_and_query.expect("a part of what was a URI"));
    Uri::from_parts(parts).expect("what was a URI, with less of a query")
}
