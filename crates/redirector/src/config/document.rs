//! The shape of the configuration file: from it, the reader and the JSON Schema are made. Defaults are applied in `read`. The
//! fields are explained in `docs/reference/configuration.md`.

use super::{
    default,
    field::{
        BlobPrefix, BooleanField, Cloud, Directory, Endpoint, Field, ForwardedPolicy, IntegerField,
        ListenAddress, Network, Nullable, PageUrl, ProbeTimeout, RangesFormat, RangesLocation,
        RepositoryPath, ServedCloud, StoreIndex, StoreName, StoreUrl, Ttl,
    },
    from_yaml::mappings,
};

/// A longer chain of balancers is a typing error.
pub(super) const MAX_TRUSTED_HOPS: u32 = 16;
/// Uses 4 to 12 GiB of memory; more is a typing error.
pub(super) const MAX_CAPACITY: u32 = 100_000_000;

mappings! {
    /// The configuration of the front of a registry.
    #[schemars(rename = "Config")]
    struct ConfigDocument {
        /// Address and port of the front.
        #[schemars(extend("default" = default::LISTEN.to_string()))]
        listen: Option<Field<ListenAddress>>,
        /// Address and port of metrics and health; `null` turns them off.
        #[schemars(with = "Option<Field<ListenAddress>>", extend("default" = default::ADMIN.to_string()))]
        admin: Nullable<ListenAddress>,
        /// Directory of the last good copies of fetched ranges; `null`: none are kept.
        #[schemars(with = "Option<Field<Directory>>", extend("default" = default::CACHE_DIR))]
        cache_dir: Nullable<Directory>,
        /// Redirect target of `/`.
        info_url: Option<Field<PageUrl>>,
        /// Redirect target of `/privacy`.
        privacy_url: Option<Field<PageUrl>>,
        /// The registry to fall back to.
        upstream: UpstreamDocument,
        /// The registry of signatures, attestations and other referrers; by default `upstream`.
        canonical_upstream: Option<UpstreamDocument>,
        /// How the client's address is found.
        client_ip: Option<ClientIpDocument>,
        /// Clouds whose blob requests stay on the upstream.
        keep_upstream: Option<Vec<Field<Cloud>>>,
        /// Published address ranges.
        ranges: Option<Vec<RangesDocument>>,
        /// Blob stores, in order of preference.
        stores: Option<Vec<StoreDocument>>,
        /// Whether there is a log event for every request.
        #[schemars(extend("default" = false))]
        access_log: Option<BooleanField>,
        /// How the presence of blobs is checked, and how long the results are cached.
        presence: Option<PresenceDocument>,
    }

    #[schemars(rename = "Upstream")]
    struct UpstreamDocument {
        /// Scheme, host and port.
        endpoint: Field<Endpoint>,
        /// The prefix of its repositories.
        path: Option<Field<RepositoryPath>>,
    }

    #[derive(Default)]
    #[schemars(rename = "ClientIp")]
    struct ClientIpDocument {
        /// Whether `X-Forwarded-For` is used.
        #[schemars(extend("default" = "auto"))]
        forwarded: Option<Field<ForwardedPolicy>>,
        /// Entries that balancers append after the client's address.
        #[schemars(extend("default" = default::TRUSTED_HOPS))]
        trusted_hops: Option<IntegerField<0, MAX_TRUSTED_HOPS>>,
        /// CIDRs or addresses of peers whose header is used.
        trusted_peers: Option<Vec<Field<Network>>>,
    }

    #[schemars(rename = "Ranges")]
    struct RangesDocument {
        /// The cloud of these prefixes.
        cloud: Field<Cloud>,
        /// The format of the list.
        format: Field<RangesFormat>,
        /// A path or an https URL.
        from: Field<RangesLocation>,
    }

    #[schemars(rename = "Store")]
    struct StoreDocument {
        /// For logs, metrics and `explain`; unique.
        name: Field<StoreName>,
        /// Scheme, host, port and path of the bucket.
        url: Field<StoreUrl>,
        /// The part of the key before the digest; empty, or ends with `/`.
        #[schemars(extend("default" = default::BLOB_PREFIX))]
        blob_prefix: Option<Field<BlobPrefix>>,
        /// The index that the store publishes.
        #[schemars(extend("default" = "none"))]
        index: Option<Field<StoreIndex>>,
        /// The clients that it serves.
        #[schemars(length(min = 1))]
        serves: Vec<ServesDocument>,
    }

    #[schemars(rename = "Serves")]
    struct ServesDocument {
        /// The cloud; `*`: every client.
        cloud: Field<ServedCloud>,
        /// The regions; without them the whole cloud.
        #[schemars(extend("minItems" = 1))]
        regions: Option<Vec<String>>,
    }

    #[derive(Default)]
    #[schemars(rename = "Presence")]
    struct PresenceDocument {
        /// The longest wait for a store's response.
        #[schemars(extend("default" = wording::duration_text(default::TIMEOUT)))]
        timeout: Option<Field<ProbeTimeout>>,
        /// How long the result "present" is cached.
        #[schemars(extend("default" = wording::duration_text(default::POSITIVE_TTL)))]
        positive_ttl: Option<Field<Ttl>>,
        /// How long the result "absent" is cached.
        #[schemars(extend("default" = wording::duration_text(default::NEGATIVE_TTL)))]
        negative_ttl: Option<Field<Ttl>>,
        /// How many blobs are cached as present; an eighth of it as absent.
        #[schemars(extend("default" = default::CAPACITY))]
        capacity: Option<IntegerField<1, MAX_CAPACITY>>,
    }
}
