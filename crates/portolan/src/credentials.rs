//! Where a user's credentials are: the places that other programs have given them. What is in them, and
//! which of them counts, is the registry client's.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use credentials::{Credentials, CredentialsBuilder, FileProblem, Google, without_mark};

use crate::input_file;

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
    /// Whether this machine is one of Google's, by the name of its product.
    pub(crate) is_on_google: bool,
    /// The service account to act as, which is no variable but a flag.
    pub(crate) impersonated: Option<String>,
}

/// Whose credentials a service account's registry is spoken to with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acting<'a> {
    /// Those in this file.
    ByFile(&'a Path),
    /// Its own, by impersonation, where there are Google credentials that may.
    ByImpersonation(&'a str),
}

/// The credentials of a service account. Hosts for which it has none of its own get the usual ones.
///
/// # Errors
/// When the file cannot be read, or is of no kind that is known.
pub(crate) fn acting(places: &CredentialPlaces, acting: Acting<'_>) -> anyhow::Result<Credentials> {
    let builder = Credentials::builder();
    let builder = match acting {
        Acting::ByImpersonation(account) => {
            builder.acting(google(places)?.impersonate(account.to_owned()))
        }
        Acting::ByFile(file) => match kind_of(file)? {
            CredentialFileKind::Google => builder.acting(Google::new().named_file(file.to_owned())),
            CredentialFileKind::Docker => builder.named_config(file.to_owned()),
        },
    };
    with_usual(builder, places)
}

/// What a file of credentials is.
enum CredentialFileKind {
    Google,
    Docker,
}

fn kind_of(file: &Path) -> anyhow::Result<CredentialFileKind> {
    let shown = file.display();
    if file.metadata().is_ok_and(|about| !about.is_file()) {
        anyhow::bail!(
            "{shown}: not a regular file: it is read again when credentials expire, so a pipe or directory \
             cannot be used; give a file"
        );
    }
    let bytes =
        input_file::read(file).with_context(|| format!("{shown}: the file cannot be read"))?;
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(without_mark(&bytes))
            .map_err(|error| anyhow::anyhow!("{shown}{}", FileProblem::of_json(&error)))?;
    if members.contains_key("type") {
        return Ok(CredentialFileKind::Google);
    }
    if ["auths", "credHelpers", "credsStore"].iter().any(|member| members.contains_key(*member)) {
        return Ok(CredentialFileKind::Docker);
    }
    anyhow::bail!(
        "{shown}: the file is neither a Google key (with `type`) nor a docker config.json (with `auths`, \
         `credHelpers` or `credsStore`)"
    )
}

/// The credentials at these places. Nothing is read before it is wanted.
///
/// # Errors
/// When the metadata server's host is none.
pub(crate) fn credentials(places: &CredentialPlaces) -> anyhow::Result<Credentials> {
    with_usual(Credentials::builder(), places)
}

fn with_usual(
    mut builder: CredentialsBuilder,
    places: &CredentialPlaces,
) -> anyhow::Result<Credentials> {
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
    if places.is_on_google {
        google = google.on_google();
    }
    if let Some(host) = &places.metadata_host {
        google = google.metadata_host(host.parse().context("the variable GCE_METADATA_HOST")?);
    }
    Ok(google)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use credentials::Credential;
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
    async fn a_service_account_acts_by_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let places = CredentialPlaces {
            registry_auth_file: Some(file(
                "usual",
                r#"{"auths":{"a":{"username":"usual"},"b":{"username":"usual"}}}"#,
            )),
            ..CredentialPlaces::default()
        };
        let own = file("own", r#"{"auths":{"a":{"username":"own"}}}"#);
        let credentials = acting(&places, Acting::ByFile(&own)).expect("credentials");
        for (host, expected) in [("a", "own"), ("b", "usual")] {
            let found = credentials.get(&host.parse().expect(host), None).await;
            let found = found.expect("no error").expect("credentials");
            assert!(
                matches!(&found, Credential::Basic { user, .. } if user == expected),
                "{found:?}"
            );
        }
        for (name, text, why) in [
            ("list", "[]", "list:1:1: not a JSON object; write `{…}`"),
            (
                "secret",
                "secret",
                "secret:1:1: not valid JSON: expected value; correct the file, or delete it and log in again",
            ),
            ("other", "{}", "other: the file is neither a Google key"),
        ] {
            let error = acting(&places, Acting::ByFile(&file(name, text))).expect_err(why);
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
        let folder = acting(&places, Acting::ByFile(directory.path())).expect_err("no file");
        assert!(format!("{folder:#}").contains("not a regular file"), "{folder:#}");
        let nowhere =
            acting(&places, Acting::ByFile(&directory.path().join("no"))).expect_err("no");
        assert!(format!("{nowhere:#}").contains("no: the file cannot be read"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_account_is_impersonated_before_docker_files_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let config = r#"{"auths":{"gcr.io":{"username":"docker"}}}"#;
        fs::write(at("config"), config).expect("a file");
        fs::write(at("google"), "{}").expect("a file");
        let places = CredentialPlaces {
            registry_auth_file: Some(at("config")),
            google_file: Some(at("google")),
            ..CredentialPlaces::default()
        };
        assert_eq!(user(&places, "gcr.io").await, "docker");
        let credentials = acting(&places, Acting::ByImpersonation("a@b")).expect("credentials");
        // Google's file was read, and is at fault.
        let found = credentials.get(&"gcr.io".parse().expect("a host"), None).await;
        assert!(found.expect_err("no type").to_string().contains("`type` is missing"));
        // Where there are no Google credentials, everything is as usual.
        let places = CredentialPlaces {
            google_file: None,
            gcloud_config: Some(at("nowhere")),
            metadata_host: Some(TestHost::unreachable().to_string()),
            ..places
        };
        let credentials = acting(&places, Acting::ByImpersonation("a@b")).expect("credentials");
        let found = credentials.get(&"gcr.io".parse().expect("a host"), None).await;
        assert!(matches!(found, Ok(Some(Credential::Basic { user, .. })) if user == "docker"));
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

    #[tokio::test(start_paused = true)]
    async fn the_places_of_google() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| directory.path().join(path);
        let mut places = CredentialPlaces {
            home: Some(at("home")),
            metadata_host: Some(TestHost::unreachable().to_string()),
            ..CredentialPlaces::default()
        };
        assert_eq!(user(&places, "gcr.io").await, "None");
        // The file that exists is invalid: the error shows that it was read.
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
