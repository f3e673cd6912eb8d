//! The names of Docker Hub, which differ from those that its registry knows.
//!
//! Users write `docker.io/nginx`; the registry is at `registry-1.docker.io` and calls the repository
//! `library/nginx`. Credentials are kept for `index.docker.io`.
//!
//! Source: the reference package of containerd and moby (`docker/distribution/reference`, "normalize"), whose rules
//! docker, podman, crane, skopeo and regctl follow.

/// The name that users write, and that we keep.
pub(crate) const HOST: &str = "docker.io";

/// Other names of it.
const ALIASES: [&str; 2] = ["index.docker.io", REGISTRY];

/// The host of its registry.
pub(crate) const REGISTRY: &str = "registry-1.docker.io";

/// Before the names of repositories that have one component.
pub(crate) const OFFICIAL: &str = "library";

/// The name under which a host is kept: `docker.io` for every name of Docker Hub, any other as it is.
#[must_use]
pub fn canonical_host(host: &str) -> &str {
    if ALIASES.contains(&host) { HOST } else { host }
}

#[cfg(test)]
mod tests {
    use crate::{Host, RegistryPrefix, Repository};

    #[test]
    fn every_name_of_docker_hub_leads_to_its_registry_and_to_official_images() {
        for (prefix, name, authority, repository) in [
            ("docker.io", "nginx", "registry-1.docker.io", "library/nginx"),
            ("index.docker.io", "nginx", "registry-1.docker.io", "library/nginx"),
            ("registry-1.docker.io", "nginx", "registry-1.docker.io", "library/nginx"),
            ("Docker.IO", "me/app", "registry-1.docker.io", "me/app"),
            ("docker.io/library", "nginx", "registry-1.docker.io", "library/nginx"),
            ("docker.io/me", "app", "registry-1.docker.io", "me/app"),
            ("docker.io:5000", "nginx", "docker.io:5000", "nginx"),
            ("notdocker.io", "nginx", "notdocker.io", "nginx"),
            ("quay.io", "nginx", "quay.io", "nginx"),
        ] {
            let prefix: RegistryPrefix = prefix.parse().expect(prefix);
            let name: Repository = name.parse().expect(name);
            assert_eq!(prefix.host.authority(), authority, "{prefix}");
            let full = prefix.repository(&name).expect("a name");
            assert_eq!(full.as_str(), repository, "{prefix}");
            assert_eq!(prefix.host.repository(&full), full, "nothing is added twice");
        }
        let [one, other] = ["docker.io", "index.docker.io"].map(|host| host.parse::<Host>());
        assert_eq!(one, other, "they are one registry");
    }
}
