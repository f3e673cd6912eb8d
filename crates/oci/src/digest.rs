//! Content digests: `sha256:<64 hex>` and `sha512:<128 hex>`, lower case only.
//!
//! Source: image-spec 1.1, descriptor.md, "Digests". The grammar here is closed: other algorithms
//! are refused, since a digest that cannot be verified is worth nothing to us.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256, Sha512};

use crate::shown::shown;

/// A registered digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, 32 bytes; what practically every image uses.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits follow the colon.
    #[must_use]
    pub const fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digest of some content. Small, `Copy`, ordered by algorithm and then by value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(DigestValue);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum DigestValue {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Digest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut digester = Digester::new(algorithm);
        digester.update(content);
        digester.finish()
    }

    /// The SHA-256 of `content`: the algorithm to use where we choose one.
    #[must_use]
    pub fn sha256(content: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, content)
    }

    /// Whether `content` is what this digest names.
    #[must_use]
    pub fn matches(&self, content: &[u8]) -> bool {
        Self::of(self.algorithm(), content) == *self
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            DigestValue::Sha256(_) => Algorithm::Sha256,
            DigestValue::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The raw value: 32 or 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            DigestValue::Sha256(bytes) => bytes,
            DigestValue::Sha512(bytes) => bytes,
        }
    }

    /// The value in lower-case hexadecimal, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        let mut out = String::with_capacity(self.algorithm().hex_len());
        self.push_hex(&mut out);
        out
    }

    /// Appends `algorithm:hex` to `out`: what `Display` writes, without the formatting machinery,
    /// for the request path.
    pub fn push_to(&self, out: &mut String) {
        out.push_str(self.algorithm().name());
        out.push(':');
        self.push_hex(out);
    }

    fn push_hex(&self, out: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in self.as_bytes() {
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(7 + self.algorithm().hex_len());
        self.push_to(&mut text);
        f.pad(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no `algorithm:` before the value.
    #[error("a digest is written `sha256:<64 hexadecimal digits>`; this has no `sha256:`")]
    NoAlgorithm,
    /// The algorithm is neither sha256 nor sha512.
    #[error("digest algorithm `{0}` is not supported; use sha256 or sha512")]
    UnknownAlgorithm(String),
    /// The value is too short or too long.
    #[error("a {algorithm} digest has {} hexadecimal digits; this has {found}", algorithm.hex_len())]
    WrongLength {
        /// The algorithm named.
        algorithm: Algorithm,
        /// How many characters follow the colon.
        found: usize,
    },
    /// A character is not one of `0-9a-f`.
    #[error("a digest has only the digits 0-9 and a-f, lower case; this has `{0}`")]
    BadDigit(char),
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Some(hex) = text.strip_prefix("sha256:") {
            return decode(Algorithm::Sha256, hex).map(|bytes| Self(DigestValue::Sha256(bytes)));
        }
        if let Some(hex) = text.strip_prefix("sha512:") {
            return decode(Algorithm::Sha512, hex).map(|bytes| Self(DigestValue::Sha512(bytes)));
        }
        let (name, _) = text.split_once(':').ok_or(DigestError::NoAlgorithm)?;
        Err(DigestError::UnknownAlgorithm(shown(name)))
    }
}

/// Decodes digits. This runs on every request, so it is two loops that the compiler makes vectors of.
fn decode<const N: usize>(algorithm: Algorithm, hex: &str) -> Result<[u8; N], DigestError> {
    if hex.len() != 2 * N {
        let found = hex.chars().count();
        return Err(DigestError::WrongLength { algorithm, found });
    }
    let is_digit = |byte: u8| byte.wrapping_sub(b'0') < 10 || byte.wrapping_sub(b'a') < 6;
    if !hex.bytes().fold(true, |all, byte| all & is_digit(byte)) {
        let bad = hex.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f'));
        return Err(DigestError::BadDigit(bad.unwrap_or('?')));
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().as_chunks::<2>().0) {
        *byte = hex_byte(*pair);
    }
    Ok(bytes)
}

/// The byte that two valid digits are: the low bits of `0` are 0 and those of `a` are 1, and only `a` has bit 6.
const fn hex_byte(pair: [u8; 2]) -> u8 {
    let pair = u16::from_le_bytes(pair);
    let values = (pair & 0x0f0f) + 9 * ((pair >> 6) & 0x0101);
    let [low, high] = values.to_le_bytes();
    (low << 4) | high
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::serde_text::deserialize_from_str(deserializer).map_err(de::Error::custom)
    }
}

/// Computes a digest over content that arrives in pieces.
#[derive(Clone)]
pub struct Digester(DigesterState);

#[derive(Clone)]
enum DigesterState {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Digester {
    /// A digester that has seen nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => DigesterState::Sha256(Sha256::new()),
            Algorithm::Sha512 => DigesterState::Sha512(Sha512::new()),
        })
    }

    /// Takes the next piece of the content.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            DigesterState::Sha256(state) => state.update(piece),
            DigesterState::Sha512(state) => state.update(piece),
        }
    }

    /// The digest of all the pieces.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            DigesterState::Sha256(state) => DigestValue::Sha256(state.finalize().into()),
            DigesterState::Sha512(state) => DigestValue::Sha512(state.finalize().into()),
        })
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_256: &str =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const EMPTY_512: &str = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

    #[test]
    fn known_digests_are_computed_parsed_and_printed() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY_256);
        assert_eq!(Digest::of(Algorithm::Sha512, b"").to_string(), EMPTY_512);
        for text in [EMPTY_256, EMPTY_512] {
            let digest: Digest = text.parse().expect(text);
            assert_eq!(digest.to_string(), text);
            assert_eq!(format!("{}:{}", digest.algorithm(), digest.hex()), text);
            assert!(digest.matches(b"") && !digest.matches(b"x"));
        }
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let mut digester = Digester::new(Algorithm::Sha256);
        digester.update(b"port");
        digester.update(b"olan");
        assert_eq!(digester.finish(), Digest::sha256(b"portolan"));
    }

    #[test]
    fn what_is_not_a_digest_is_refused_with_the_reason() {
        let hex = &EMPTY_256[7..];
        let wrong = |found| DigestError::WrongLength { algorithm: Algorithm::Sha256, found };
        for (text, error) in [
            (String::new(), DigestError::NoAlgorithm),
            (hex.to_owned(), DigestError::NoAlgorithm),
            (format!("md5:{hex}"), DigestError::UnknownAlgorithm("md5".into())),
            (format!("SHA256:{hex}"), DigestError::UnknownAlgorithm("SHA256".into())),
            (format!("sha256:{}", &hex[1..]), wrong(63)),
            (format!("sha256:{hex}0"), wrong(65)),
            ("sha256:".into(), wrong(0)),
            (format!("sha256:{}", hex.to_uppercase()), DigestError::BadDigit('E')),
            (format!("sha256:g{}", &hex[1..]), DigestError::BadDigit('g')),
            (format!("sha256:é{}", &hex[2..]), DigestError::BadDigit('é')),
            (format!("sha256:../{}", &hex[3..]), DigestError::BadDigit('.')),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text}");
        }
    }

    #[test]
    fn every_byte_at_every_place_is_a_digit_or_refused() {
        for (at, byte) in (0..64).flat_map(|at| (0..=0x7f_u8).map(move |byte| (at, byte))) {
            let mut hex = EMPTY_256.as_bytes()[7..].to_vec();
            hex[at] = byte;
            let text = format!("sha256:{}", String::from_utf8(hex).expect("ASCII"));
            let expected = match byte {
                b'0'..=b'9' | b'a'..=b'f' => Ok(text.clone()),
                _ => Err(DigestError::BadDigit(char::from(byte))),
            };
            assert_eq!(text.parse::<Digest>().map(|digest| digest.to_string()), expected);
        }
    }
}
