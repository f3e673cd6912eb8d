//! What a successful response has in place of the content, as far as its headers or first bytes show. It is reported
//! instead of a wrong digest, length or format.
//!
//! Source: RFC 9110 §8.4 (`Content-Encoding`), §12.5.3 (`Accept-Encoding: identity`, which every request has),
//! §15.3.5 (204).

use http::{HeaderMap, StatusCode, header};
use oci::{Digest, ErrorBody};

use crate::{
    error::{fault::RequestFault, reasons::error_document},
    exchange::headers::{digest_in, is_html, media_type_in},
};

/// What a response has in place of the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Substitute {
    /// An HTML page, of this media type.
    WebPage(String),
    /// The content, compressed so, although no compression was requested. Some storage keeps such a header with
    /// bytes that are not compressed (`aws-chunked`): what has the right digest is the content.
    Compressed(String),
    /// Nothing.
    Empty,
    /// An error document, with a status of success.
    Error(ErrorBody),
}

impl Substitute {
    /// As far as the headers show it, of content with the digest that is `expected`.
    pub(crate) fn of_headers(
        status: StatusCode,
        headers: &HeaderMap,
        expected: Option<Digest>,
    ) -> Option<Self> {
        let media_type = media_type_in(headers);
        let is_expected = expected.is_some() && digest_in(headers) == expected;
        if status == StatusCode::NO_CONTENT {
            Some(Self::Empty)
        } else if is_html(&media_type, &[]) && !is_expected {
            Some(Self::WebPage(media_type))
        } else {
            encoding(headers).map(Self::Compressed)
        }
    }

    /// The same of a response whose whole body came, and is not the content.
    pub(crate) fn of_whole(headers: &HeaderMap, bytes: &[u8]) -> Option<Self> {
        let media_type = media_type_in(headers);
        if bytes.is_empty() {
            Some(Self::Empty)
        } else if is_html(&media_type, bytes) {
            Some(Self::WebPage(media_type))
        } else if let Some(body) = error_document(bytes) {
            Some(Self::Error(body))
        } else {
            encoding(headers).map(Self::Compressed)
        }
    }

    /// The fault: this was received in place of `expected`, such as `a manifest`.
    pub(crate) fn fault(&self, expected: &'static str) -> RequestFault {
        match self {
            Self::WebPage(media_type) => RequestFault::web_page(media_type),
            Self::Compressed(encoding) => RequestFault::Compressed { encoding: encoding.clone() },
            Self::Empty => RequestFault::Empty { expected },
            Self::Error(body) => RequestFault::ErrorDocument { expected, body: body.clone() },
        }
    }
}

/// The encodings of the body, where there are any.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let named: Vec<_> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_an_encoding_other_than_identity_is_one() {
        for (values, expected) in [
            (&[][..], None),
            (&["identity"], None),
            (&["", "Identity"], None),
            (&["gzip"], Some("gzip")),
            (&["zstd", "br"], Some("zstd, br")),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(encoding(&headers).as_deref(), expected, "{values:?}");
        }
    }
}
