//! From the file's shape to a [`Config`]: every value is parsed and every problem is kept, so that all are
//! reported at once. Rules about more than one value are here too.

use std::collections::BTreeSet;

use http_server::{ClientIpPolicy, Forwarded};
use serde_saphyr::{Location, Spanned};

use super::{
    Config, ConfigError, ConfigProblem, IndexKind, PresenceSettings, RangesSetting, Serves,
    StoreSetting, Upstream, default,
    document::{
        BoolOrText, ClientIpDocument, ConfigDocument, PresenceDocument, RangesDocument,
        ServesDocument, StoreDocument, UpstreamDocument,
    },
    field::{Field, FieldKind, IntegerField},
};

/// Reads `text`, which came from `file`.
pub(super) fn read(file: &str, text: &str) -> Result<Config, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let hidden = wording::yaml_hidden(text).into_iter().map(|((line, column), message)| {
        let position = Some((line as u64, column as u64));
        ConfigProblem { source: file.to_owned(), position, message }
    });
    let hidden: Vec<_> = hidden.collect();
    let document = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let problem = yaml_problem(file, text, &error);
        // What hides a value is why the parser does not find it.
        ConfigError { problems: if hidden.is_empty() { vec![problem] } else { hidden.clone() } }
    })?;
    let mut check = Check { file, problems: hidden };
    let config = check.config(document);
    check.problems.sort_by_key(|problem| problem.position);
    match config {
        Some(config) if check.problems.is_empty() => Ok(config),
        _ => Err(ConfigError { problems: check.problems }),
    }
}

/// The shortest configuration.
const MINIMUM: &str = "upstream: {endpoint: https://HOST}";

fn yaml_problem(file: &str, text: &str, error: &serde_saphyr::Error) -> ConfigProblem {
    let (position, message) = wording::yaml_fault(text, error, MINIMUM);
    let position = position.map(|(line, column)| (line as u64, column as u64));
    ConfigProblem { source: file.to_owned(), position, message }
}

pub(super) fn position(location: Location) -> Option<(u64, u64)> {
    (location.line() > 0).then(|| (location.line(), location.column()))
}

/// Collects the problems. A method returns `None` only after it has added one.
struct Check<'a> {
    file: &'a str,
    problems: Vec<ConfigProblem>,
}

impl Check<'_> {
    fn problem(&mut self, location: Location, message: impl Into<String>) {
        let problem = ConfigProblem {
            source: self.file.to_owned(),
            position: position(location),
            message: message.into(),
        };
        self.problems.push(problem);
    }

    /// The value of a field.
    fn value<K: FieldKind>(&mut self, name: &str, field: &Field<K>) -> Option<K::Value> {
        match &field.value {
            Ok(value) => Some(value.clone()),
            Err(error) => {
                self.problem(field.at, format!("`{name}`: {error}"));
                None
            }
        }
    }

    /// The value of a field that may be absent.
    fn optional<K: FieldKind>(
        &mut self,
        name: &str,
        field: Option<&Field<K>>,
        default: K::Value,
    ) -> Option<K::Value> {
        field.map_or(Some(default), |field| self.value(name, field))
    }

    /// The value of a field that may be absent and has no default.
    fn nullable<K: FieldKind>(
        &mut self,
        name: &str,
        field: Option<&Field<K>>,
    ) -> Option<Option<K::Value>> {
        match field {
            None => Some(None),
            Some(field) => self.value(name, field).map(Some),
        }
    }

    /// Reads `true` or `false`; absent is `false`.
    fn truth(&mut self, field: &str, value: Option<&Spanned<BoolOrText>>) -> Option<bool> {
        let Some(value) = value else { return Some(false) };
        let message = match &value.value {
            BoolOrText::Is(is) => return Some(*is),
            BoolOrText::Text(text) if matches!(&**text, "true" | "false") => {
                format!("`{field}: \"{text}\"` is text; remove the quotes")
            }
            BoolOrText::Text(text) => {
                format!("`{field}`: expected `true` or `false`, found `{text}`")
            }
        };
        self.problem(value.referenced, message);
        None
    }

    fn list<D, T>(
        &mut self,
        list: &[D],
        mut one: impl FnMut(&mut Self, &D) -> Option<T>,
    ) -> Vec<T> {
        list.iter().filter_map(|item| one(self, item)).collect()
    }

    fn config(&mut self, document: ConfigDocument) -> Option<Config> {
        let ConfigDocument { listen, admin, cache_dir, info_url, privacy_url, .. } = &document;
        let listen = self.optional("listen", listen.as_ref(), default::LISTEN);
        let admin = match admin {
            None => Some(Some(default::ADMIN)),
            Some(None) => Some(None),
            Some(Some(text)) => self.value("admin", text).map(Some),
        };
        let cache_dir = match cache_dir {
            None => Some(Some(default::CACHE_DIR.into())),
            Some(None) => Some(None),
            Some(Some(text)) => self.value("cache_dir", text).map(Some),
        };
        let info_url = self.nullable("info_url", info_url.as_ref());
        let privacy_url = self.nullable("privacy_url", privacy_url.as_ref());
        let upstream = self.upstream("upstream", &document.upstream);
        let canonical = match &document.canonical_upstream {
            Some(canonical) => self.upstream("canonical_upstream", canonical),
            None => upstream.clone(),
        };
        let client_ip = self.client_ip(&document.client_ip.unwrap_or_default());
        let keep_upstream =
            self.list(&document.keep_upstream, |check, cloud| check.value("keep_upstream", cloud));
        let ranges = self.list(&document.ranges, Self::ranges);
        let stores = self.stores(&document.stores);
        let access_log = self.truth("access_log", document.access_log.as_ref());
        let presence = self.presence(&document.presence.unwrap_or_default());
        Some(Config {
            listen: listen?,
            admin: admin?,
            cache_dir: cache_dir?,
            info_url: info_url?,
            privacy_url: privacy_url?,
            upstream: upstream?,
            canonical_upstream: canonical?,
            client_ip: client_ip?,
            keep_upstream,
            ranges,
            stores,
            access_log: access_log?,
            presence: presence?,
            built_in: false,
        })
    }

    fn upstream(&mut self, field: &str, document: &UpstreamDocument) -> Option<Upstream> {
        let endpoint = self.value(&format!("{field}.endpoint"), &document.endpoint);
        let path = self.nullable(&format!("{field}.path"), document.path.as_ref());
        Some(Upstream { endpoint: endpoint?, path: path? })
    }

    fn client_ip(&mut self, document: &ClientIpDocument) -> Option<ClientIpPolicy> {
        let forwarded = document.forwarded.as_ref();
        let forwarded = self.optional("client_ip.forwarded", forwarded, Forwarded::default());
        let trusted_hops = self.number(
            "client_ip.trusted_hops",
            document.trusted_hops.as_ref(),
            default::TRUSTED_HOPS,
        );
        let trusted_peers = self.list(&document.trusted_peers, |check, peer| {
            check.value("client_ip.trusted_peers", peer)
        });
        Some(ClientIpPolicy { forwarded: forwarded?, trusted_hops: trusted_hops?, trusted_peers })
    }

    fn ranges(&mut self, document: &RangesDocument) -> Option<RangesSetting> {
        let cloud = self.value("ranges.cloud", &document.cloud);
        let format = self.value("ranges.format", &document.format);
        let from = self.value("ranges.from", &document.from);
        Some(RangesSetting { cloud: cloud?, format: format?, from: from? })
    }

    fn stores(&mut self, documents: &[StoreDocument]) -> Vec<StoreSetting> {
        let mut names = BTreeSet::new();
        for StoreDocument { name, .. } in documents {
            if let Ok(text) = &name.value
                && !names.insert(text)
            {
                let twice = format!(
                    "`stores.name`: duplicate name `{text}`; give each store a name of its own"
                );
                self.problem(name.at, twice);
            }
        }
        self.list(documents, Self::store)
    }

    fn store(&mut self, document: &StoreDocument) -> Option<StoreSetting> {
        let name = self.value("stores.name", &document.name);
        let url = self.value("stores.url", &document.url);
        let blob_prefix = self.optional(
            "stores.blob_prefix",
            document.blob_prefix.as_ref(),
            default::BLOB_PREFIX.to_owned(),
        );
        let index = self.optional("stores.index", document.index.as_ref(), IndexKind::None);
        if document.serves.value.is_empty() {
            let empty = "`stores.serves` is empty, so no client would be sent to this store; add a cloud, or `*`";
            self.problem(document.serves.referenced, empty);
        }
        let serves = self.list(&document.serves.value, Self::serves);
        Some(StoreSetting {
            name: name?,
            url: url?,
            blob_prefix: blob_prefix?,
            index: index?,
            serves,
        })
    }

    fn serves(&mut self, document: &ServesDocument) -> Option<Serves> {
        if let Some(regions) = &document.regions {
            if document.cloud.value.as_deref() == Ok(Serves::ALL_CLIENTS) {
                let message =
                    "`stores.serves`: `*` is every client and takes no regions; remove `regions`";
                self.problem(regions.referenced, message);
            }
            if regions.value.is_empty() {
                let empty = "`stores.serves.regions` is empty; leave it out for the whole cloud";
                self.problem(regions.referenced, empty);
            }
        }
        let cloud = self.value("stores.serves.cloud", &document.cloud)?;
        let regions = document.regions.as_ref().map(|regions| regions.value.clone());
        Some(Serves { cloud, regions: regions.unwrap_or_default() })
    }

    fn presence(&mut self, document: &PresenceDocument) -> Option<PresenceSettings> {
        let timeout =
            self.optional("presence.timeout", document.timeout.as_ref(), default::TIMEOUT);
        let positive = document.positive_ttl.as_ref();
        let negative = document.negative_ttl.as_ref();
        let positive_ttl = self.optional("presence.positive_ttl", positive, default::POSITIVE_TTL);
        let negative_ttl = self.optional("presence.negative_ttl", negative, default::NEGATIVE_TTL);
        let capacity =
            self.number("presence.capacity", document.capacity.as_ref(), default::CAPACITY);
        Some(PresenceSettings {
            timeout: timeout?,
            positive_ttl: positive_ttl?,
            negative_ttl: negative_ttl?,
            capacity: capacity?,
        })
    }

    fn number<const MIN: i64, const MAX: i64>(
        &mut self,
        name: &str,
        field: Option<&IntegerField<MIN, MAX>>,
        default: usize,
    ) -> Option<usize> {
        let Some(IntegerField(number)) = field else { return Some(default) };
        if (MIN..=MAX).contains(&number.value) {
            return usize::try_from(number.value).ok();
        }
        let message = format!("`{name}`: {} is out of range; use {MIN}–{MAX}", number.value);
        self.problem(number.referenced, message);
        None
    }
}
