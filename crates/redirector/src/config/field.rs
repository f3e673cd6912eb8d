//! The typed fields of the configuration file. A field keeps its position, and a value that cannot be parsed
//! keeps its problem, so that all problems of a file are reported at once. Each kind of value has its
//! grammar and its JSON Schema in the table below.

use std::{borrow::Cow, fmt, marker::PhantomData, net::SocketAddr, path::PathBuf, time::Duration};

use cloud_ranges::Format;
use http_server::{Forwarded, parse_network};
use ipnet::IpNet;
use oci::Repository;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};
use url::Url;

use super::{IndexKind, RangesFrom, Serves, values};
use crate::base_url::BaseUrl;

/// Letters, digits, `.`, `_` and `-`, not with a `.` first.
const CLOUD: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$";
const HTTP_URL: &str = "^[Hh][Tt][Tt][Pp][Ss]?://.+$";
const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";

/// A kind of value: its type, its grammar, its schema.
pub(super) trait FieldKind {
    type Value: Clone;
    fn parse(text: &str) -> Result<Self::Value, String>;
    fn schema() -> Schema;
}

/// A value of one kind, or its problem, with its position.
#[derive(Debug)]
pub(super) struct Field<K: FieldKind> {
    pub(super) value: Result<K::Value, String>,
    pub(super) at: Location,
}

impl<'de, K: FieldKind> Deserialize<'de> for Field<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { value: K::parse(&text.value), at: text.referenced })
    }
}

impl<K: FieldKind> JsonSchema for Field<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        K::schema()
    }
}

/// An integer from `MIN` to `MAX`, both included; one outside is a problem of the file.
#[derive(Debug)]
pub(super) struct IntegerField<const MIN: i64, const MAX: i64>(pub(super) Spanned<i64>);

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for IntegerField<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for IntegerField<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Integer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

macro_rules! kinds {
    ($($name:ident: $value:ty, $parse:expr, $schema:tt;)*) => {$(
        #[derive(Debug)]
        pub(super) struct $name(PhantomData<()>);

        impl FieldKind for $name {
            type Value = $value;

            fn parse(text: &str) -> Result<$value, String> {
                $parse(text)
            }

            fn schema() -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

kinds! {
    ListenAddress: SocketAddr, values::address, {"type": "string", "pattern": "^.*:[0-9]+$"};
    Directory: PathBuf, values::directory, {"type": "string", "minLength": 1};
    PageUrl: Url, values::page, {"type": "string", "pattern": HTTP_URL};
    Endpoint: BaseUrl, values::endpoint, {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/]+/*$"};
    StoreUrl: BaseUrl, values::base, {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^?#]+$"};
    RepositoryPath: Repository, values::repository, {"type": "string", "pattern": "^[a-z0-9]+([._/-]+[a-z0-9]+)*$"};
    Cloud: String, values::cloud, {"type": "string", "pattern": CLOUD};
    ServedCloud: String, served_cloud, {"anyOf": [{"const": Serves::ALL_CLIENTS}, {"type": "string", "pattern": CLOUD}]};
    RangesFormat: Format, values::format, {"enum": ["aws", "gcp", "cidr"]};
    RangesLocation: RangesFrom, values::ranges_from, {"type": "string", "minLength": 1};
    StoreName: String, values::store_name, {"type": "string", "pattern": "^[!-~]+$"};
    BlobPrefix: String, values::blob_prefix, {"type": "string", "pattern": "^([A-Za-z0-9._-]+/)*$"};
    StoreIndex: IndexKind, values::index, {"enum": ["none"]};
    ForwardedPolicy: Forwarded, in_words(str::parse), {"enum": ["auto", "never", "required"]};
    Network: IpNet, in_words(parse_network), {"type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"};
    Ttl: Duration, values::duration, {"type": "string", "pattern": DURATION};
    ProbeTimeout: Duration, values::timeout, {"type": "string", "pattern": DURATION};
}

/// `parse`, with its error as text.
fn in_words<T, E: fmt::Display>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| parse(text).map_err(|error| error.to_string())
}

fn served_cloud(text: &str) -> Result<String, String> {
    match text {
        Serves::ALL_CLIENTS => Ok(text.to_owned()),
        cloud => values::cloud(cloud),
    }
}
