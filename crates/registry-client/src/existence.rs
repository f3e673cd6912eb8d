//! Whether something is in a repository, as far as that is known.

/// What is known of something that may be in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<T = ()> {
    /// It is there.
    Yes(T),
    /// It is certainly not there.
    No,
    /// It was neither listed nor asked for, or a list that may be cut short does not have it.
    Unknown,
}

impl<T> Known<T> {
    /// What is there, if it is known to be.
    pub fn yes(self) -> Option<T> {
        match self {
            Self::Yes(found) => Some(found),
            Self::No | Self::Unknown => None,
        }
    }

    /// Whether it is known to be there.
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes(_))
    }

    /// Whether it is certainly not there.
    pub const fn is_no(&self) -> bool {
        matches!(self, Self::No)
    }
}
