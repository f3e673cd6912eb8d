//! Blobs whose last request gets no response although the registry has all of the content: how often it is sent, and
//! when the host gets no more blobs.
//!
//! Not here: when the request is sent again ([`crate::blobs::push`]).

use http_client::TransportError;
use oci::Host;

use crate::{Error, RequestFault, host_memory::HostMemory};

/// How often the content of a blob is sent, or committed, without a response. The first time may be bad luck: a balancer
/// that changes over, or a server that was restarted. Each time costs as long as a large blob may take to be stored, so
/// more of them would hold an edge for longer than the whole rest of the run.
pub(crate) const MAX_UNANSWERED: u32 = 2;
/// The number of blobs in a row that a host does not commit, after which it counts as unreachable. One blob may be the
/// fault of its size or its content; three in a row, of which each was tried twice, are the fault of the host.
const MAX_NOT_COMMITTED: u32 = 3;

/// The number of blobs in a row that each host did not commit.
#[derive(Debug, Default)]
pub(crate) struct CommitMemory(HostMemory<(), u32>);

impl CommitMemory {
    /// Notes that `host` has committed a blob.
    pub(crate) fn stored(&self, host: &Host) {
        self.0.update(host, (), |_| None);
    }

    /// The error of a blob that `host` did not commit in so many `tries`; other errors are as they are.
    pub(crate) fn given_up(&self, host: &Host, error: Error, tries: u32) -> Error {
        let RequestFault::Transport(TransportError::NoResponseToContent { after }) = error.fault()
        else {
            return error;
        };
        let (after, mut in_a_row) = (*after, 0);
        self.0.update(host, (), |before| {
            in_a_row = before.unwrap_or(0).saturating_add(1);
            Some(in_a_row)
        });
        let is_of_host = in_a_row >= MAX_NOT_COMMITTED;
        error.with_fault(RequestFault::NotCommitted { after, tries, is_of_host })
    }
}

/// Whether the registry had all of the content of a request, and did not respond.
pub(crate) fn is_unanswered(error: &Error) -> bool {
    let fault = error.fault();
    matches!(fault, RequestFault::Transport(TransportError::NoResponseToContent { .. }))
}
