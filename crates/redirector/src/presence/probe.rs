//! One question to a store: a HEAD, and what its status means. No deadline, no memory, no redirects:
//! a store that answers with anything but yes or no has not answered.

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Empty;
use oci::media_type;

use super::Remembered;
use crate::{
    failure::Failure,
    outbound::{Outbound, USER_AGENT},
};

/// The media type of web pages: of an error or login page that a proxy, a CDN or a bucket sends with a status of success.
const HTML: &str = "text/html";

/// Asks for the blob at `url`.
pub(super) async fn head(outbound: &Outbound, url: &str) -> Result<Remembered, Failure> {
    let request = Request::builder().method(Method::HEAD).uri(url);
    let request = request.header(header::USER_AGENT, USER_AGENT).body(Empty::new())?;
    let answer = outbound.request(request).await?;
    match answer.status() {
        StatusCode::OK if is_web_page(answer.headers()) => Err(Failure::WebPage),
        StatusCode::OK => Ok(Remembered::Present),
        // S3 says 403 for a key that is not there where listing is not public.
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(Remembered::Absent),
        other => Err(Failure::Status(other)),
    }
}

fn is_web_page(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| media_type::essence(value).eq_ignore_ascii_case(HTML))
}
