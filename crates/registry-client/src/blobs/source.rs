//! Where the bytes of a blob come from that is pushed: a source that can be read again from any offset, so
//! that an upload which broke goes on.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use http_client::BoxError;
use oci::{Digest, Digester, Host};

use crate::{BlobReader, Error, RepositoryClient, SharedPermit};

/// How far the states of a digest lie apart, in bytes: what is read once more at a break.
const STATE_EVERY: u64 = 4 << 20;
/// How many of them are kept: of the last 256 MiB, which is more than a registry that is behind can
/// lack. A state has some hundred bytes.
const STATES: usize = 64;

/// The pieces of a blob, from some offset to its end.
pub type BlobStream = BoxStream<'static, Result<Bytes, BoxError>>;

/// A blob's bytes, wherever they are.
pub trait BlobSource: Sync + Sized {
    /// The registry that has them; none for other sources.
    fn host(&self) -> Option<&Host>;

    /// The same source, read under this permit.
    #[must_use]
    fn under(&self, permit: &SharedPermit) -> Self;

    /// The bytes from `from` on. The last piece comes only if the source found no error in the whole.
    fn open(&self, from: u64) -> impl Future<Output = Result<BlobStream, Error>> + Send;
}

/// Bytes in memory.
impl BlobSource for Bytes {
    fn host(&self) -> Option<&Host> {
        None
    }

    fn under(&self, _: &SharedPermit) -> Self {
        self.clone()
    }

    async fn open(&self, from: u64) -> Result<BlobStream, Error> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.len());
        let rest = self.slice(from..);
        Ok(stream::iter((!rest.is_empty()).then_some(Ok(rest))).boxed())
    }
}

/// A blob of a repository. It knows states of its digest on the way, so that it is verified as a whole
/// however often it is opened, without being read from the start.
#[derive(Clone, Debug)]
pub struct RemoteBlob {
    repository: RepositoryClient,
    digest: Digest,
    size: u64,
    states: Arc<Mutex<States>>,
}

impl RemoteBlob {
    /// The blob of `size` bytes.
    #[must_use]
    pub fn new(repository: &RepositoryClient, digest: Digest, size: u64) -> Self {
        let states = Arc::new(Mutex::new(States::default()));
        Self { repository: repository.clone(), digest, size, states }
    }

    /// The last state at or before `from`. Those behind it are forgotten: they are of a reading that is
    /// made again.
    fn state_before(&self, from: u64) -> (u64, Digester) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.0.retain(|(at, _)| *at <= from);
        states.0.back().cloned().unwrap_or_else(|| (0, Digester::new(self.digest.algorithm())))
    }

    fn keep_state(&self, reader: &BlobReader) {
        if let Some((at, state)) = reader.state() {
            self.states.lock().unwrap_or_else(PoisonError::into_inner).keep(at, state);
        }
    }
}

impl BlobSource for RemoteBlob {
    fn host(&self) -> Option<&Host> {
        Some(self.repository.host())
    }

    fn under(&self, permit: &SharedPermit) -> Self {
        Self { repository: self.repository.under(permit), ..self.clone() }
    }

    async fn open(&self, from: u64) -> Result<BlobStream, Error> {
        let start = self.state_before(from);
        let skip = from - start.0;
        let size = Some(self.size);
        let reader = BlobReader::open(self.repository.clone(), self.digest, start, size).await?;
        let pieces = stream::try_unfold(
            (reader, self.clone(), skip),
            |(mut reader, blob, skip)| async move {
                let mut skip = skip;
                while let Some(mut piece) = reader.next().await? {
                    blob.keep_state(&reader);
                    let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
                    let rest = piece.split_off(skipped);
                    skip -= skipped as u64;
                    if !rest.is_empty() {
                        return Ok(Some((rest, (reader, blob, skip))));
                    }
                }
                Ok(None)
            },
        );
        Ok(pieces.map(|piece: Result<Bytes, Error>| piece.map_err(Into::into)).boxed())
    }
}

/// States of a digest, the oldest first.
#[derive(Clone, Default)]
struct States(VecDeque<(u64, Digester)>);

impl States {
    fn keep(&mut self, at: u64, state: &Digester) {
        let last = self.0.back().map_or(0, |(last, _)| *last);
        if at >= last + STATE_EVERY {
            if self.0.len() == STATES {
                self.0.pop_front();
            }
            self.0.push_back((at, state.clone()));
        }
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(at, _)| at)).finish()
    }
}
