//! Whether something exists in a repository, as far as that is known.

/// What is known about the existence of a tag or a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence<T = ()> {
    /// It exists.
    Present(T),
    /// It certainly does not exist.
    Absent,
    /// It was neither listed nor requested, or a list that may be truncated lacks it.
    Unknown,
}

impl<T> Existence<T> {
    /// What exists, if it is known to.
    pub fn present(self) -> Option<T> {
        match self {
            Self::Present(found) => Some(found),
            Self::Absent | Self::Unknown => None,
        }
    }

    /// Whether it is known to exist.
    pub const fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// Whether it certainly does not exist.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
