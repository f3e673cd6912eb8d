//! The shape of the configuration file, with the position of every value. What the values mean, and
//! whether they make sense, is decided in `check.rs`. The fields are explained in
//! `docs/configuration.md`.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Visitor};
use serde_saphyr::Spanned;

pub(super) type Text = Spanned<String>;

/// A field that may be absent, `null`, or a text: the first two differ.
type Nullable = Option<Option<Text>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) listen: Option<Text>,
    #[serde(default, deserialize_with = "given")]
    pub(super) admin: Nullable,
    #[serde(default, deserialize_with = "given")]
    pub(super) cache_dir: Nullable,
    pub(super) info_url: Option<Text>,
    pub(super) privacy_url: Option<Text>,
    pub(super) upstream: UpstreamDocument,
    pub(super) canonical_upstream: Option<UpstreamDocument>,
    pub(super) client_ip: Option<ClientIpDocument>,
    #[serde(default, deserialize_with = "blank_is_empty")]
    pub(super) keep_upstream: Vec<Text>,
    #[serde(default, deserialize_with = "blank_is_empty")]
    pub(super) ranges: Vec<RangesDocument>,
    #[serde(default, deserialize_with = "blank_is_empty")]
    pub(super) stores: Vec<StoreDocument>,
    pub(super) access_log: Option<Spanned<BoolOrText>>,
    pub(super) presence: Option<PresenceDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamDocument {
    pub(super) endpoint: Text,
    pub(super) path: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientIpDocument {
    pub(super) forwarded: Option<Text>,
    pub(super) trusted_hops: Option<Spanned<i64>>,
    #[serde(default, deserialize_with = "blank_is_empty")]
    pub(super) trusted_peers: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RangesDocument {
    pub(super) cloud: Text,
    pub(super) format: Text,
    pub(super) from: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreDocument {
    pub(super) name: Text,
    pub(super) url: Text,
    pub(super) blob_prefix: Option<Text>,
    pub(super) index: Option<Text>,
    pub(super) serves: Spanned<Vec<ServesDocument>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServesDocument {
    pub(super) cloud: Text,
    pub(super) regions: Option<Spanned<Vec<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PresenceDocument {
    pub(super) timeout: Option<Text>,
    pub(super) positive_ttl: Option<Text>,
    pub(super) negative_ttl: Option<Text>,
    pub(super) capacity: Option<Spanned<i64>>,
}

/// A value that is to be `true` or `false`. YAML 1.2 has no other words for them, and one in quotes is text.
#[derive(Debug)]
pub(super) enum BoolOrText {
    Is(bool),
    Text(String),
}

impl<'de> Deserialize<'de> for BoolOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BoolOrTextVisitor)
    }
}

struct BoolOrTextVisitor;

impl Visitor<'_> for BoolOrTextVisitor {
    type Value = BoolOrText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true` or `false`")
    }

    fn visit_bool<E>(self, value: bool) -> Result<BoolOrText, E> {
        Ok(BoolOrText::Is(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<BoolOrText, E> {
        Ok(BoolOrText::Text(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<BoolOrText, E> {
        Ok(BoolOrText::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<BoolOrText, E> {
        Ok(BoolOrText::Text(number.to_string()))
    }
}

/// Distinguishes a field that is present, even as `null`, from an absent one.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nullable, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A key without a value is an empty list, like an absent key.
fn blank_is_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
