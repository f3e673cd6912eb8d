//! One question to a store: a HEAD, and what its status means. No deadline, no memory, no redirects:
//! a store that answers with anything but yes or no has not answered.

use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;

use super::Remembered;
use crate::{
    failure::Failure,
    outbound::{Outbound, USER_AGENT},
};

/// Asks for the blob at `url`.
pub(super) async fn head(outbound: &Outbound, url: &str) -> Result<Remembered, Failure> {
    let request = Request::builder().method(Method::HEAD).uri(url);
    let request = request.header(header::USER_AGENT, USER_AGENT).body(Empty::new())?;
    let answer = outbound.request(request).await?;
    match answer.status() {
        StatusCode::OK => Ok(Remembered::Present),
        // S3 says 403 for a key that is not there where listing is not public.
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(Remembered::Absent),
        other => Err(Failure::Status(other)),
    }
}
