//! Metrics and access log of one request, from its head to the last byte of its response. The observation also
//! holds the request's permit for that time.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use http::{StatusCode, request::Parts};
use http_body::{Frame, SizeHint};
use http_server::{AccessRecord, AccessResponse};
use prometheus_client::metrics::counter::Counter;

use crate::{
    PeerAddress, RegistrySettings, access::User, client_address, metrics::RegistryMetrics,
    shares::BudgetPermit,
};

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Observation {
    begun: Instant,
    operation: &'static str,
    user: Option<User>,
    permit: Option<BudgetPermit>,
    /// For the access log, if it is on.
    record: Option<AccessRecord>,
}

impl Observation {
    pub(crate) fn begin(parts: &Parts, settings: &RegistrySettings) -> Self {
        let record = settings.access_log.then(|| {
            let peer = parts.extensions.get().map(|PeerAddress(address)| address.ip());
            let client = client_address(&parts.extensions).0.or(peer);
            AccessRecord::begin(peer, client, &parts.method, &parts.uri)
        });
        Self { begun: Instant::now(), operation: "none", user: None, permit: None, record }
    }

    pub(crate) fn set_permit(&mut self, permit: BudgetPermit) {
        self.permit = Some(permit);
    }

    pub(crate) fn release_permit(&mut self) {
        self.permit = None;
    }

    pub(crate) fn set_user(&mut self, user: Option<User>) {
        self.user = user;
    }

    pub(crate) const fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    pub(crate) const fn set_operation(&mut self, operation: &'static str) {
        self.operation = operation;
    }

    /// Counts the response and wraps its body, so that the observation lasts until the last byte.
    pub(crate) fn end(self, metrics: &RegistryMetrics, response: Response) -> Response {
        metrics.record(self.operation, response.status(), self.begun.elapsed());
        let (head, body) = response.into_parts();
        let observed = ObservedBody {
            body,
            sent: 0,
            all_sent: metrics.sent_bytes.clone(),
            status: head.status,
            observation: self,
        };
        Response::from_parts(head, Body::new(observed))
    }
}

/// The body of a response, with the observation of its request.
struct ObservedBody {
    body: Body,
    sent: u64,
    all_sent: Counter,
    status: StatusCode,
    observation: Observation,
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            self.sent += piece.len() as u64;
            self.all_sent.inc_by(piece.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        let Observation { user, record: Some(record), .. } = &self.observation else { return };
        let (user, sent) = (user.as_deref(), Some(self.sent));
        record.log(&AccessResponse { status: self.status, user, location: None, sent });
    }
}
