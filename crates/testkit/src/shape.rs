//! What a fault does to the body of a response while it goes out, piece by piece.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Response, header};

use crate::cut::Cut;

/// What is done to the body of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    TruncateAfter(usize),
    ResetAfter(usize),
    StallAfter(usize),
    Corrupt,
    WrongLength,
    Drip { piece: usize, interval: Duration },
}

impl Shape {
    pub(crate) fn apply(self, response: Response<Body>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        let announced = head.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let whole = announced.or_else(|| body.size_hint().exact()?.try_into().ok());
        let limit = match self {
            Self::TruncateAfter(bytes) | Self::ResetAfter(bytes) | Self::StallAfter(bytes) => bytes,
            Self::WrongLength => whole.map_or(usize::MAX, |whole| whole.saturating_sub(1)),
            Self::Corrupt | Self::Drip { .. } => usize::MAX,
        };
        let kept = if matches!(self, Self::WrongLength) { whole.map(|_| limit) } else { whole };
        if let Some(kept) = kept {
            head.headers.insert(header::CONTENT_LENGTH, kept.into());
        }
        let shaped = Shaped {
            shape: self,
            limit,
            sent: 0,
            rest: Bytes::new(),
            body: body.into_data_stream(),
        };
        Response::from_parts(head, Body::from_stream(stream::try_unfold(shaped, Shaped::next)))
    }
}

/// The body of a response, under a shape.
struct Shaped {
    shape: Shape,
    /// How many bytes come before the shape's end.
    limit: usize,
    sent: usize,
    /// What came from the body and was not sent yet.
    rest: Bytes,
    body: BodyDataStream,
}

impl Shaped {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, axum::Error> {
        if self.sent >= self.limit {
            return self.end().await;
        }
        while self.rest.is_empty() {
            let Some(piece) = self.body.next().await else { return Ok(None) };
            self.rest = piece?;
        }
        let mut longest = self.limit - self.sent;
        if let Shape::Drip { piece, interval } = self.shape {
            longest = piece.max(1);
            let pause = if self.sent == 0 { Duration::ZERO } else { interval };
            tokio::time::sleep(pause).await;
        }
        let mut piece = self.rest.split_to(self.rest.len().min(longest));
        if matches!(self.shape, Shape::Corrupt) && self.sent == 0 {
            piece = [&[piece[0] ^ 1], &piece[1..]].concat().into();
        }
        self.sent += piece.len();
        Ok(Some((piece, self)))
    }

    /// What comes after the last byte that is let through.
    async fn end<T>(self) -> Result<Option<T>, axum::Error> {
        match self.shape {
            Shape::TruncateAfter(_) => Err(cut(Cut::Closed).await),
            Shape::ResetAfter(_) => Err(cut(Cut::Reset).await),
            Shape::StallAfter(_) => std::future::pending().await,
            Shape::Corrupt | Shape::WrongLength | Shape::Drip { .. } => Ok(None),
        }
    }
}

async fn cut(cut: Cut) -> axum::Error {
    // The server forgets what it has not written yet when a body fails: let it write.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    axum::Error::new(cut)
}
