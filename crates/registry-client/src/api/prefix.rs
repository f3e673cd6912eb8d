//! Which repositories lie at or below a registry prefix.
//!
//! Source: `/v2/_catalog`, which the specification does not have and many registries do not offer.

use oci::{RegistryPrefix, Repository};

use crate::{Error, NameList, RegistryClient};

impl RegistryClient {
    /// The repositories at or below `prefix`, in the registry's order, by the list of all repositories of its host.
    ///
    /// # Errors
    /// As [`RegistryClient::catalog`].
    pub async fn repositories_below(
        &self,
        prefix: &RegistryPrefix,
    ) -> Result<NameList<Repository>, Error> {
        let mut list = self.catalog(&prefix.host).await?;
        list.names.retain(|name| prefix.contains(name.as_str()));
        list.unusable.retain(|name| prefix.contains(name));
        Ok(list)
    }
}
