//! The typed fields of the configuration file. Each kind of value has its grammar, its JSON Schema and what messages call it
//! in the table below.

use std::{borrow::Cow, fmt, marker::PhantomData, net::SocketAddr, path::PathBuf, time::Duration};

use cloud_ranges::Format;
use http_server::{Forwarded, parse_network};
use ipnet::IpNet;
use oci::Repository;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use url::Url;
use yaml::{YamlNode, YamlReport as _, YamlRule};

use super::{
    IndexKind, RangesFrom, Serves,
    from_yaml::{FromYaml, must_be},
    report::ConfigReport,
    values,
};
use crate::base_url::BaseUrl;

/// Letters, digits, `.`, `_` and `-`, not with a `.` first.
const CLOUD: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$";
const HTTP_URL: &str = "^[Hh][Tt][Tt][Pp][Ss]?://.+$";
const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";

/// A kind of value: its type, its grammar, its schema.
pub(super) trait FieldKind {
    /// What is accepted, as messages say it.
    const EXPECTED: &str;
    type Value: fmt::Debug;
    fn parse(text: &str) -> Result<Self::Value, String>;
    fn schema() -> Schema;
}

/// A value of one kind.
#[derive(Debug)]
pub(super) struct Field<K: FieldKind>(K::Value);

impl<K: FieldKind> Field<K> {
    pub(super) fn value(self) -> K::Value {
        self.0
    }
}

impl<K: FieldKind> FromYaml for Field<K> {
    fn expected() -> Cow<'static, str> {
        K::EXPECTED.into()
    }

    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self> {
        let text = node.text(&must_be::<Self>(name), report)?;
        let refused = |error| report.problem(Some(node.span()), format!("`{name}`: {error}"));
        K::parse(text).map(Self).map_err(refused).ok()
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

/// A value that may be turned off: absent and `null` differ.
#[derive(Debug)]
pub(super) enum Nullable<K: FieldKind> {
    Absent,
    Null,
    Value(Field<K>),
}

impl<K: FieldKind> Nullable<K> {
    /// The value, and `default` if it is absent.
    pub(super) fn or(self, default: K::Value) -> Option<K::Value> {
        match self {
            Self::Absent => Some(default),
            Self::Null => None,
            Self::Value(field) => Some(field.value()),
        }
    }
}

impl<K: FieldKind> FromYaml for Nullable<K> {
    fn expected() -> Cow<'static, str> {
        Field::<K>::expected()
    }

    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self> {
        match node.present() {
            None => Some(Self::Null),
            Some(node) => Field::from_yaml(node, name, report).map(Self::Value),
        }
    }

    fn absent() -> Option<Self> {
        Some(Self::Absent)
    }
}

/// An integer from `MIN` to `MAX`, both included.
#[derive(Debug)]
pub(super) struct IntegerField<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> IntegerField<MIN, MAX> {
    pub(super) const fn value(self) -> usize {
        self.0 as usize
    }
}

impl<const MIN: u32, const MAX: u32> FromYaml for IntegerField<MIN, MAX> {
    fn expected() -> Cow<'static, str> {
        format!("a whole number from {MIN} to {MAX}").into()
    }

    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self> {
        let number = node.scalar().and_then(values::integer);
        match number.filter(|number| (MIN..=MAX).contains(number)) {
            Some(number) => Some(Self(number)),
            None => node.is_wrong(&must_be::<Self>(name), report),
        }
    }
}

/// `true` or `false`. YAML 1.2 has no other words for them, and one in quotes is text.
#[derive(Debug, JsonSchema)]
#[schemars(transparent, inline)]
pub(super) struct BooleanField(bool);

impl BooleanField {
    pub(super) const fn value(self) -> bool {
        self.0
    }
}

impl FromYaml for BooleanField {
    fn expected() -> Cow<'static, str> {
        "`true` or `false`".into()
    }

    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self> {
        let truth = match node.scalar() {
            Some("true" | "True" | "TRUE") => true,
            Some("false" | "False" | "FALSE") => false,
            _ => return node.is_wrong(&must_be::<Self>(name), report),
        };
        if !node.is_plain() {
            let message = format!("`{name}: \"{truth}\"` is text; remove the quotes");
            report.add(YamlRule::QuotedValue, node.span(), message);
            return None;
        }
        Some(Self(truth))
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for IntegerField<MIN, MAX> {
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
    ($($name:ident: $value:ty, $parse:expr, $expected:literal, $schema:tt;)*) => {$(
        #[derive(Debug)]
        pub(super) struct $name(PhantomData<()>);

        impl FieldKind for $name {
            const EXPECTED: &str = $expected;
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
    ListenAddress: SocketAddr, values::address, "an address and port, such as `127.0.0.1:8080`", {"type": "string", "pattern": "^.*:[0-9]+$"};
    Directory: PathBuf, values::directory, "a directory", {"type": "string", "minLength": 1};
    PageUrl: Url, values::page, "an http or https URL", {"type": "string", "pattern": HTTP_URL};
    Endpoint: BaseUrl, values::endpoint, "a URL without a path, such as `https://registry.example`", {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/]+/*$"};
    StoreUrl: BaseUrl, values::base, "a URL, such as `https://bucket.example`", {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^?#]+$"};
    RepositoryPath: Repository, values::repository, "a repository name, such as `team/images`", {"type": "string", "pattern": "^[a-z0-9]+([._/-]+[a-z0-9]+)*$"};
    Cloud: String, values::cloud, "the name of a cloud", {"type": "string", "pattern": CLOUD};
    ServedCloud: String, served_cloud, r#"the name of a cloud, or `"*"` for every client"#, {"anyOf": [{"const": Serves::ALL_CLIENTS}, {"type": "string", "pattern": CLOUD}]};
    RangesFormat: Format, values::format, "`aws`, `gcp` or `cidr`", {"enum": ["aws", "gcp", "cidr"]};
    RangesLocation: RangesFrom, values::ranges_from, "a path or an https URL", {"type": "string", "minLength": 1};
    StoreName: String, values::store_name, "a name without white space", {"type": "string", "pattern": "^[!-~]+$"};
    BlobPrefix: String, values::blob_prefix, "a prefix, such as `containers/images/`", {"type": "string", "pattern": "^([A-Za-z0-9._-]+/)*$"};
    StoreIndex: IndexKind, values::index, "`none`", {"enum": ["none"]};
    ForwardedPolicy: Forwarded, in_words(str::parse), "`auto`, `never` or `required`", {"enum": ["auto", "never", "required"]};
    Network: IpNet, in_words(parse_network), "a network, such as `10.0.0.0/8`, or an address", {"type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"};
    Ttl: Duration, values::duration, "a duration, such as `90s`", {"type": "string", "pattern": DURATION};
    ProbeTimeout: Duration, values::timeout, "a duration of at most 60s, such as `250ms`", {"type": "string", "pattern": DURATION};
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
