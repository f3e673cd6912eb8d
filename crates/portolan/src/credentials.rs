//! Where a user's credentials are: the places that other programs have given them. What is in them, and
//! which of them counts, is the registry client's.

use std::path::PathBuf;

use anyhow::Context as _;
use registry_client::{Credentials, Google};

/// What the environment says about the places of credentials.
#[derive(Debug, Default)]
pub(crate) struct CredentialPlaces {
    /// `REGISTRY_AUTH_FILE`, which must be there.
    pub(crate) registry_auth_file: Option<PathBuf>,
    /// `DOCKER_CONFIG`, a directory.
    pub(crate) docker_config: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub(crate) runtime_directory: Option<PathBuf>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, which must be there.
    pub(crate) google_file: Option<PathBuf>,
    /// `CLOUDSDK_CONFIG`, a directory.
    pub(crate) gcloud_config: Option<PathBuf>,
    /// `GCE_METADATA_HOST`: a host, with a port or without.
    pub(crate) metadata_host: Option<String>,
    /// The service account to act as, which is no variable but a flag.
    pub(crate) impersonated: Option<String>,
}

/// The credentials at these places. Nothing is read before it is wanted.
///
/// # Errors
/// When the metadata server's host is none.
pub(crate) fn credentials(places: &CredentialPlaces) -> anyhow::Result<Credentials> {
    let mut builder = Credentials::builder();
    let in_home = |path: &str| places.home.as_ref().map(|home| home.join(path));
    let docker = places.docker_config.clone().or_else(|| in_home(".docker"));
    if let Some(file) = &places.registry_auth_file {
        builder = builder.named_config(file.clone());
    } else if let Some(directory) = docker {
        builder = builder.usual_config(directory.join("config.json"));
    }
    if let Some(directory) = &places.runtime_directory {
        builder = builder.usual_config(directory.join("containers/auth.json"));
    }
    Ok(builder.google(google(places)?).build())
}

fn google(places: &CredentialPlaces) -> anyhow::Result<Google> {
    let mut google = Google::new();
    let in_home = || places.home.as_ref().map(|home| home.join(".config/gcloud"));
    if let Some(file) = &places.google_file {
        google = google.named_file(file.clone());
    } else if let Some(directory) = places.gcloud_config.clone().or_else(in_home) {
        google = google.usual_file(directory.join("application_default_credentials.json"));
    }
    if let Some(account) = &places.impersonated {
        google = google.impersonate(account.clone());
    }
    if let Some(host) = &places.metadata_host {
        google = google.metadata_host(host.parse().context("the variable GCE_METADATA_HOST")?);
    }
    Ok(google)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use registry_client::Credential;
    use testkit::TestHost;

    use super::*;

    /// Who we are to a host by these places: the user, or the error.
    async fn user(places: &CredentialPlaces, host: &str) -> String {
        let credentials = credentials(places).expect("a host");
        match credentials.get(&host.parse().expect(host), None).await {
            Ok(Some(Credential::Basic { user, .. })) => user,
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn the_places_of_docker_and_podman() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| directory.path().join(path);
        let write = |path: &str, hosts: &[&str]| {
            let file = at(path);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            let entry = |host: &&str| format!(r#""{host}":{{"username":"{path}"}}"#);
            let entries: Vec<_> = hosts.iter().map(entry).collect();
            fs::write(file, format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))).expect("a file");
        };
        write("home/.docker/config.json", &["a"]);
        write("docker/config.json", &["a"]);
        write("auth.json", &["a"]);
        write("run/containers/auth.json", &["a", "b"]);
        let mut places = CredentialPlaces::default();
        assert_eq!(user(&places, "a").await, "None");
        places.runtime_directory = Some(at("run"));
        assert_eq!(user(&places, "a").await, "run/containers/auth.json");
        places.home = Some(at("home"));
        assert_eq!(user(&places, "a").await, "home/.docker/config.json");
        places.docker_config = Some(at("nowhere"));
        assert_eq!(user(&places, "a").await, "run/containers/auth.json");
        places.docker_config = Some(at("docker"));
        assert_eq!(user(&places, "a").await, "docker/config.json");
        places.registry_auth_file = Some(at("auth.json"));
        assert_eq!(user(&places, "a").await, "auth.json");
        assert_eq!(user(&places, "b").await, "run/containers/auth.json");
        places.registry_auth_file = Some(at("nowhere"));
        let error = user(&places, "b").await;
        assert!(error.contains("nowhere: the file cannot be read: "), "{error}");
    }

    #[tokio::test]
    async fn the_places_of_google() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| directory.path().join(path);
        let mut places = CredentialPlaces {
            home: Some(at("home")),
            metadata_host: Some(TestHost::unreachable().to_string()),
            ..CredentialPlaces::default()
        };
        assert_eq!(user(&places, "gcr.io").await, "None");
        // A file that is there is one of an error, which tells that it was read.
        for (path, name) in [
            ("home/.config/gcloud", "application_default_credentials.json"),
            ("sdk", "application_default_credentials.json"),
            ("", "key.json"),
        ] {
            fs::create_dir_all(at(path)).expect("a directory");
            let file = at(path).join(name);
            fs::write(&file, "{}").expect("a file");
            match path {
                "sdk" => places.gcloud_config = Some(at(path)),
                "" => places.google_file = Some(file.clone()),
                _ => {}
            }
            let expected = format!("{}: `type` is missing", file.display());
            assert_eq!(user(&places, "gcr.io").await, expected);
        }
        places.google_file = Some(at("nowhere"));
        let error = user(&places, "gcr.io").await;
        assert!(error.contains("nowhere: the file cannot be read: "), "{error}");
        places.metadata_host = Some("http://h/".to_owned());
        let error = credentials(&places).expect_err("no host");
        assert!(format!("{error:#}").starts_with("the variable GCE_METADATA_HOST: `http://h/` is"));
    }
}
