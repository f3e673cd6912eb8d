//! The name of an upload session, which is also the name of its file.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    time::Instant,
};

/// 32 hexadecimal digits. Unique and unlikely to be guessed. It is not a secret: its use requires the right to
/// push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UploadId(u128);

impl UploadId {
    pub(crate) fn random() -> Self {
        Self(random_bits())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

/// Bits that do not repeat.
fn random_bits() -> u128 {
    // Each `RandomState` has new random keys, and the hashed time differs too.
    let [high, low] = [(); 2].map(|()| RandomState::new().hash_one(Instant::now()));
    u128::from(high) << 64 | u128::from(low)
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_as_they_are_printed() {
        let id = UploadId::random();
        assert_eq!(UploadId::parse(&id.to_string()), Some(id));
        assert_ne!(id, UploadId::random());
        for bad in
            ["", "0", "+123456789abcdef0123456789abcdef0", "../../../../../../../../../../xx"]
        {
            assert_eq!(UploadId::parse(bad), None, "{bad}");
        }
    }
}
