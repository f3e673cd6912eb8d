//! Which repositories lie below a registry prefix.
//!
//! Source: `/v2/_catalog`, which distribution-spec 1.1 does not have and many registries do not offer.

use std::collections::BTreeSet;

use oci::{RegistryPrefix, Repository};
use registry_client::Client;

/// The repositories that may lie below a prefix, the prefix itself among them: whether that one is a
/// repository, its tags must show. With it, why the list is incomplete, if it is.
pub(crate) async fn repositories(
    client: &Client,
    prefix: &RegistryPrefix,
) -> (BTreeSet<Repository>, Option<String>) {
    let (listed, fault) = match client.catalog(&prefix.host).await {
        Ok(listed) => (listed, None),
        Err(error) => (Vec::new(), Some(unlisted(prefix, &error))),
    };
    let below = listed.into_iter().filter(|repository| prefix.relative(repository).is_some());
    (below.chain(prefix.path.clone()).collect(), fault)
}

fn unlisted(prefix: &RegistryPrefix, error: &registry_client::Error) -> String {
    if error.status().is_some_and(|status| status.is_client_error()) {
        format!(
            "the repositories below {prefix} are unknown, since {} does not list its repositories \
             ({error}); give a repository itself as the prefix",
            prefix.host
        )
    } else {
        format!("the repositories below {prefix} are unknown: {error}")
    }
}
