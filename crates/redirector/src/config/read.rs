//! From the text of a configuration file to a [`Config`].

use http_server::ClientIpPolicy;
use yaml::{Aliases, YamlNode};

use super::{
    Config, ConfigError, PresenceSettings, RangesSetting, Serves, StoreSetting, Upstream, default,
    document::{
        ClientIpDocument, ConfigDocument, PresenceDocument, RangesDocument, ServesDocument,
        StoreDocument, UpstreamDocument,
    },
    field::{BooleanField, Field, FieldKind, IntegerField, Ttl},
    from_yaml::FromYaml as _,
    report::ConfigReport,
    rules,
};

/// The shortest configuration.
const MINIMUM: &str = "upstream: {endpoint: https://HOST}";

/// Reads `text`, which came from `file`.
pub(super) fn read(file: &str, text: &str) -> Result<Config, ConfigError> {
    let mut report = ConfigReport::new(file);
    let root = yaml::read(text, Aliases::Copied, &mut report);
    let document = root.and_then(|root| document(&root, &mut report));
    report.into_result(document.map(config))
}

fn document(root: &YamlNode<'_>, report: &mut ConfigReport<'_>) -> Option<ConfigDocument> {
    if root.is_null() {
        report.problem(None, format!("the file is empty; write at least `{MINIMUM}`"));
        return None;
    }
    rules::check(root, report);
    ConfigDocument::from_yaml(root, "", report)
}

fn config(document: ConfigDocument) -> Config {
    let upstream = upstream(document.upstream);
    let canonical = document.canonical_upstream.map(self::upstream);
    Config {
        listen: document.listen.map_or(default::LISTEN, Field::value),
        admin: document.admin.or(default::ADMIN),
        cache_dir: document.cache_dir.or(default::CACHE_DIR.into()),
        info_url: document.info_url.map(Field::value),
        privacy_url: document.privacy_url.map(Field::value),
        canonical_upstream: canonical.unwrap_or_else(|| upstream.clone()),
        upstream,
        client_ip: client_ip(document.client_ip.unwrap_or_default()),
        keep_upstream: values(document.keep_upstream),
        ranges: list(document.ranges, ranges),
        stores: list(document.stores, store),
        access_log: document.access_log.is_some_and(BooleanField::value),
        presence: presence(document.presence.unwrap_or_default()),
        built_in: false,
    }
}

fn list<D, T>(documents: Option<Vec<D>>, one: fn(D) -> T) -> Vec<T> {
    documents.unwrap_or_default().into_iter().map(one).collect()
}

fn values<K: FieldKind>(fields: Option<Vec<Field<K>>>) -> Vec<K::Value> {
    list(fields, Field::value)
}

fn upstream(document: UpstreamDocument) -> Upstream {
    Upstream { endpoint: document.endpoint.value(), path: document.path.map(Field::value) }
}

fn client_ip(document: ClientIpDocument) -> ClientIpPolicy {
    ClientIpPolicy {
        forwarded: document.forwarded.map(Field::value).unwrap_or_default(),
        trusted_hops: document.trusted_hops.map_or(default::TRUSTED_HOPS, IntegerField::value),
        trusted_peers: values(document.trusted_peers),
    }
}

fn ranges(document: RangesDocument) -> RangesSetting {
    RangesSetting {
        cloud: document.cloud.value(),
        format: document.format.value(),
        from: document.from.value(),
    }
}

fn store(document: StoreDocument) -> StoreSetting {
    let blob_prefix = document.blob_prefix.map(Field::value);
    StoreSetting {
        name: document.name.value(),
        url: document.url.value(),
        blob_prefix: blob_prefix.unwrap_or_else(|| default::BLOB_PREFIX.to_owned()),
        index: document.index.map(Field::value).unwrap_or_default(),
        serves: list(Some(document.serves), serves),
    }
}

fn serves(document: ServesDocument) -> Serves {
    Serves { cloud: document.cloud.value(), regions: document.regions.unwrap_or_default() }
}

fn presence(document: PresenceDocument) -> PresenceSettings {
    let ttl = |field: Option<Field<Ttl>>, default| field.map_or(default, Field::value);
    PresenceSettings {
        timeout: document.timeout.map_or(default::TIMEOUT, Field::value),
        positive_ttl: ttl(document.positive_ttl, default::POSITIVE_TTL),
        negative_ttl: ttl(document.negative_ttl, default::NEGATIVE_TTL),
        capacity: document.capacity.map_or(default::CAPACITY, IntegerField::value),
    }
}
