//! The shape of the configuration file, with the position of every value. What the values mean, and
//! whether they make sense, is decided in `check.rs`. The fields are explained in
//! `docs/reference/configuration.md`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Visitor};
use serde_saphyr::Spanned;

use super::{
    default,
    field::{
        BlobPrefix, Cloud, Directory, Endpoint, Field, FieldKind, ForwardedPolicy, IntegerField,
        ListenAddress, Network, PageUrl, ProbeTimeout, RangesFormat, RangesLocation,
        RepositoryPath, ServedCloud, StoreIndex, StoreName, StoreUrl, Ttl,
    },
};

/// A longer chain of balancers is a typing error.
pub(super) const MAX_TRUSTED_HOPS: i64 = 16;
/// Uses 4 to 12 GiB of memory; more is a typing error.
pub(super) const MAX_CAPACITY: i64 = 100_000_000;

/// A field that may be absent, `null`, or a value: the first two differ.
type Nullable<K> = Option<Option<Field<K>>>;

/// The configuration of the front of a registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Config")]
pub(super) struct ConfigDocument {
    /// Address and port of the front.
    #[schemars(extend("default" = default::LISTEN.to_string()))]
    pub(super) listen: Option<Field<ListenAddress>>,
    /// Address and port of metrics and health; `null` turns them off.
    #[serde(default, deserialize_with = "given")]
    #[schemars(extend("default" = default::ADMIN.to_string()))]
    pub(super) admin: Nullable<ListenAddress>,
    /// Directory of the last good copies of fetched ranges; `null`: none are kept.
    #[serde(default, deserialize_with = "given")]
    #[schemars(extend("default" = default::CACHE_DIR))]
    pub(super) cache_dir: Nullable<Directory>,
    /// Redirect target of `/`.
    pub(super) info_url: Option<Field<PageUrl>>,
    /// Redirect target of `/privacy`.
    pub(super) privacy_url: Option<Field<PageUrl>>,
    /// The registry to fall back to.
    pub(super) upstream: UpstreamDocument,
    /// The registry of signatures, attestations and other referrers; by default `upstream`.
    pub(super) canonical_upstream: Option<UpstreamDocument>,
    /// How the client's address is found.
    pub(super) client_ip: Option<ClientIpDocument>,
    /// Clouds whose blob requests stay on the upstream.
    #[serde(default, deserialize_with = "blank_is_empty")]
    #[schemars(with = "Option<Vec<Field<Cloud>>>")]
    pub(super) keep_upstream: Vec<Field<Cloud>>,
    /// Published address ranges.
    #[serde(default, deserialize_with = "blank_is_empty")]
    #[schemars(with = "Option<Vec<RangesDocument>>")]
    pub(super) ranges: Vec<RangesDocument>,
    /// Blob stores, in order of preference.
    #[serde(default, deserialize_with = "blank_is_empty")]
    #[schemars(with = "Option<Vec<StoreDocument>>")]
    pub(super) stores: Vec<StoreDocument>,
    /// Whether there is a log event for every request.
    #[schemars(with = "Option<bool>", extend("default" = false))]
    pub(super) access_log: Option<Spanned<BoolOrText>>,
    /// How the presence of blobs is checked, and how long the results are cached.
    pub(super) presence: Option<PresenceDocument>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Upstream")]
pub(super) struct UpstreamDocument {
    /// Scheme, host and port.
    pub(super) endpoint: Field<Endpoint>,
    /// The prefix of its repositories.
    pub(super) path: Option<Field<RepositoryPath>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClientIp")]
pub(super) struct ClientIpDocument {
    /// Whether `X-Forwarded-For` is used.
    #[schemars(extend("default" = "auto"))]
    pub(super) forwarded: Option<Field<ForwardedPolicy>>,
    /// Entries that balancers append after the client's address.
    #[schemars(extend("default" = default::TRUSTED_HOPS))]
    pub(super) trusted_hops: Option<IntegerField<0, MAX_TRUSTED_HOPS>>,
    /// CIDRs or addresses of peers whose header is used.
    #[serde(default, deserialize_with = "blank_is_empty")]
    #[schemars(with = "Option<Vec<Field<Network>>>")]
    pub(super) trusted_peers: Vec<Field<Network>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Ranges")]
pub(super) struct RangesDocument {
    /// The cloud of these prefixes.
    pub(super) cloud: Field<Cloud>,
    /// The format of the list.
    pub(super) format: Field<RangesFormat>,
    /// A path or an https URL.
    pub(super) from: Field<RangesLocation>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Store")]
pub(super) struct StoreDocument {
    /// For logs, metrics and `explain`; unique.
    pub(super) name: Field<StoreName>,
    /// Scheme, host, port and path of the bucket.
    pub(super) url: Field<StoreUrl>,
    /// The part of the key before the digest; empty, or ends with `/`.
    #[schemars(extend("default" = default::BLOB_PREFIX))]
    pub(super) blob_prefix: Option<Field<BlobPrefix>>,
    /// The index that the store publishes.
    #[schemars(extend("default" = "none"))]
    pub(super) index: Option<Field<StoreIndex>>,
    /// The clients that it serves.
    #[schemars(with = "Vec<ServesDocument>", length(min = 1))]
    pub(super) serves: Spanned<Vec<ServesDocument>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Serves")]
pub(super) struct ServesDocument {
    /// The cloud; `*`: every client.
    pub(super) cloud: Field<ServedCloud>,
    /// The regions; without them the whole cloud.
    #[schemars(with = "Option<Vec<String>>", extend("minItems" = 1))]
    pub(super) regions: Option<Spanned<Vec<String>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Presence")]
pub(super) struct PresenceDocument {
    /// The longest wait for a store's response.
    #[schemars(extend("default" = wording::duration_text(default::TIMEOUT)))]
    pub(super) timeout: Option<Field<ProbeTimeout>>,
    /// How long the result "present" is cached.
    #[schemars(extend("default" = wording::duration_text(default::POSITIVE_TTL)))]
    pub(super) positive_ttl: Option<Field<Ttl>>,
    /// How long the result "absent" is cached.
    #[schemars(extend("default" = wording::duration_text(default::NEGATIVE_TTL)))]
    pub(super) negative_ttl: Option<Field<Ttl>>,
    /// How many blobs are cached as present; an eighth of it as absent.
    #[schemars(extend("default" = default::CAPACITY))]
    pub(super) capacity: Option<IntegerField<1, MAX_CAPACITY>>,
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
fn given<'de, K: FieldKind, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Nullable<K>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A key without a value is an empty list, like an absent key.
fn blank_is_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
