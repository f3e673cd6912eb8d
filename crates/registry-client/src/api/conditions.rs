//! Conditions on writes (RFC 9110 §13.1), and which hosts reject requests that carry them.

use http::{HeaderMap, HeaderValue, header};
use oci::Host;

use crate::host_memory::HostMemory;

/// What must hold for a write.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// Nothing.
    None,
    /// What the caller has just read by GET. It is not sent to the registry, so once it was sent, the write is not
    /// repeated before that was read again.
    Checked,
    /// There is nothing.
    Absent,
    /// There is what came with this `ETag`.
    Unchanged(HeaderValue),
    /// There is not what came with this `ETag`.
    Other(HeaderValue),
}

/// The header that a condition is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Conditional {
    IfNoneMatch,
    IfMatch,
}

impl Condition {
    /// How it is sent, if it is.
    pub(crate) const fn kind(&self) -> Option<Conditional> {
        match self {
            Self::None | Self::Checked => None,
            Self::Absent | Self::Other(_) => Some(Conditional::IfNoneMatch),
            Self::Unchanged(_) => Some(Conditional::IfMatch),
        }
    }

    /// The headers that send it; none where it is not sent.
    pub(crate) fn headers(&self) -> HeaderMap {
        let header = match self {
            Self::None | Self::Checked => None,
            Self::Absent => Some((header::IF_NONE_MATCH, HeaderValue::from_static("*"))),
            Self::Unchanged(etag) => Some((header::IF_MATCH, etag.clone())),
            Self::Other(etag) => Some((header::IF_NONE_MATCH, etag.clone())),
        };
        HeaderMap::from_iter(header)
    }
}

/// How a host takes a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It has carried out a request with it.
    Accepted,
    /// It refuses the header, and carries out the same request without it.
    Rejected,
}

/// How hosts take conditions.
#[derive(Debug, Default)]
pub(crate) struct ConditionMemory(HostMemory<Conditional, Taken>);

impl ConditionMemory {
    pub(crate) fn is_rejected(&self, host: &Host, kind: Conditional) -> bool {
        self.0.get(host, kind) == Some(Taken::Rejected)
    }

    pub(crate) fn is_accepted(&self, host: &Host, kind: Conditional) -> bool {
        self.0.get(host, kind) == Some(Taken::Accepted)
    }

    pub(crate) fn note_accepted(&self, host: &Host, kind: Conditional) {
        self.0.update(host, kind, |_| Some(Taken::Accepted));
    }

    /// Has no effect on a host that has accepted the condition: it knows the header.
    pub(crate) fn note_rejected(&self, host: &Host, kind: Conditional) {
        self.0.update(host, kind, |known| known.or(Some(Taken::Rejected)));
    }
}
