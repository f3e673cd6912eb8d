//! The end of a connection before that of its response.

use std::{error::Error, fmt};

/// The connection is to end before its response does.
#[derive(Debug)]
pub(crate) enum Cut {
    /// With a FIN, as if this were all.
    Closed,
    /// With an RST.
    Reset,
}

impl Cut {
    /// Whether it is a reset that ended a connection with this error.
    pub(crate) fn is_reset(error: &hyper::Error) -> bool {
        let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
        causes.any(|cause| matches!(cause.downcast_ref(), Some(Self::Reset)))
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "a fault closes the connection",
            Self::Reset => "a fault resets the connection",
        })
    }
}

impl Error for Cut {}
