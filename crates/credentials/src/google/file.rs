//! Google's credential files: a service account's key, a user's login, and either acting as another
//! service account. A pure function of bytes.
//!
//! Source: <https://google.aip.dev/auth/4110> to 4112, and what `gcloud auth application-default login` writes.

use serde_json::{Map, Value};
use url::Url;

use super::key::ServiceKey;
use crate::{FileProblem, Secret, first_line};

/// What a file holds.
#[derive(Debug)]
pub(crate) struct GoogleFile {
    pub(crate) identity: GoogleIdentity,
    /// The account that this identity impersonates.
    pub(crate) acts_as: Option<ActsAs>,
}

/// The identity that a file contains.
#[derive(Debug)]
pub(crate) enum GoogleIdentity {
    ServiceAccount(Box<ServiceKey>),
    User { client_id: String, client_secret: Secret, refresh_token: Secret },
}

/// Another service account, whose tokens are requested.
#[derive(Debug)]
pub(crate) struct ActsAs {
    /// Where they are requested.
    pub(crate) url: Url,
    /// The accounts between, each of which may act as the next.
    pub(crate) delegates: Vec<String>,
}

impl GoogleFile {
    /// Reads a file's bytes. `tokens` is where a service account's token is requested whose key does not say it.
    pub(crate) fn parse(bytes: &[u8], tokens: &Url) -> Result<Self, FileProblem> {
        let fields: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| FileProblem::of_json(&error))?;
        let fields = Fields(&fields);
        if fields.text("type")? != "impersonated_service_account" {
            return Ok(Self { identity: fields.identity(tokens)?, acts_as: None });
        }
        let url = fields.url("service_account_impersonation_url")?;
        let delegates = match fields.0.get("delegates") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(all)) => {
                all.iter().map(|value| value.as_str().map(str::to_owned)).collect()
            }
            Some(_) => None,
        };
        let delegates =
            delegates.ok_or_else(|| FileProblem::new("`delegates` is not a list of texts"))?;
        let Some(Value::Object(source)) = fields.0.get("source_credentials") else {
            return Err(FileProblem::new("`source_credentials` is missing, or is not an object"));
        };
        let identity = Fields(source).identity(tokens)?;
        Ok(Self { identity, acts_as: Some(ActsAs { url, delegates }) })
    }
}

/// The members of an object. What is wrong with one is said without its value.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn text(&self, name: &str) -> Result<&str, FileProblem> {
        match self.0.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(Value::String(_)) => Err(FileProblem::new(format!("`{name}` is empty"))),
            Some(_) => Err(FileProblem::new(format!("`{name}` is not a text"))),
            None => Err(FileProblem::new(format!("`{name}` is missing"))),
        }
    }

    /// A URL to which something secret goes: over TLS, or within this machine.
    fn url(&self, name: &str) -> Result<Url, FileProblem> {
        let url: Option<Url> = self.text(name)?.parse().ok();
        url.filter(is_private)
            .ok_or_else(|| FileProblem::new(format!("`{name}` is not an https URL")))
    }

    fn identity(&self, tokens: &Url) -> Result<GoogleIdentity, FileProblem> {
        match self.text("type")? {
            "service_account" => {
                let key = ServiceKey::new(
                    self.text("client_email")?.to_owned(),
                    self.text("private_key_id").ok().map(str::to_owned),
                    self.text("private_key")?,
                    match self.0.contains_key("token_uri") {
                        true => self.url("token_uri")?,
                        false => tokens.clone(),
                    },
                )?;
                Ok(GoogleIdentity::ServiceAccount(Box::new(key)))
            }
            "authorized_user" => Ok(GoogleIdentity::User {
                client_id: self.text("client_id")?.to_owned(),
                client_secret: self.text("client_secret")?.into(),
                refresh_token: self.text("refresh_token")?.into(),
            }),
            other => {
                let what = format!(
                    "credentials of the type `{}` cannot be used; a service account's key or \
                     `gcloud auth application-default login` can",
                    first_line(other)
                );
                Err(FileProblem::new(what))
            }
        }
    }
}

fn is_private(url: &Url) -> bool {
    let is_loopback = || url.authority().parse::<oci::Host>().is_ok_and(|host| host.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key_file() -> Value {
        json!({
            "type": "service_account", "client_email": "a@b", "private_key_id": "1",
            "private_key": super::super::key::TEST_KEY, "token_uri": "https://h/token",
        })
    }

    fn user() -> Value {
        let (kind, secret) = ("authorized_user", "hunter2");
        json!({"type": kind, "client_id": "c", "client_secret": secret, "refresh_token": secret})
    }

    fn impersonated(source: &Value) -> Value {
        let url = "https://h/a@b:generateAccessToken";
        json!({"type": "impersonated_service_account", "source_credentials": source,
            "service_account_impersonation_url": url})
    }

    fn tokens() -> Url {
        "https://h/default".parse().expect("a URL")
    }

    fn parse(file: &Value) -> Result<GoogleFile, FileProblem> {
        GoogleFile::parse(file.to_string().as_bytes(), &tokens())
    }

    fn with(mut file: Value, name: &str, value: impl Into<Value>) -> Value {
        file[name] = value.into();
        file
    }

    #[test]
    fn the_kinds_of_files() {
        let file = parse(&key_file()).expect("a key");
        assert!(
            matches!(file.identity, GoogleIdentity::ServiceAccount(_)) && file.acts_as.is_none()
        );
        let user = parse(&user()).expect("a user");
        assert!(
            matches!(&user.identity, GoogleIdentity::User { client_id, .. } if client_id == "c")
        );
        for (source, delegates) in [(key_file(), json!(null)), (self::user(), json!(["x", "y"]))] {
            let count = delegates.as_array().map_or(0, Vec::len);
            let file = parse(&with(impersonated(&source), "delegates", delegates)).expect("a file");
            let acts_as = file.acts_as.expect("another account");
            assert_eq!(acts_as.url.as_str(), "https://h/a@b:generateAccessToken");
            assert_eq!(acts_as.delegates.len(), count);
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        for (file, problem) in [
            (json!({}), ": `type` is missing"),
            (json!({"type": 5}), ": `type` is not a text"),
            (with(key_file(), "client_email", ""), ": `client_email` is empty"),
            (with(key_file(), "private_key", "hunter2"), ": `private_key` is not a key in PEM"),
            (with(key_file(), "token_uri", "http://h/"), ": `token_uri` is not an https URL"),
            (with(key_file(), "token_uri", "hunter2"), ": `token_uri` is not an https URL"),
            (with(user(), "refresh_token", json!(["hunter2"])), ": `refresh_token` is not a text"),
            (
                impersonated(&json!("hunter2")),
                ": `source_credentials` is missing, or is not an object",
            ),
            (with(impersonated(&user()), "delegates", 1), ": `delegates` is not a list of texts"),
            (
                impersonated(&impersonated(&user())),
                ": credentials of the type `impersonated_service_account` cannot be used; a service \
                 account's key or `gcloud auth application-default login` can",
            ),
        ] {
            assert_eq!(parse(&file).expect_err("a problem").to_string(), problem);
        }
        for (text, problem) in [
            ("", ":1:1: the file is empty"),
            (
                "{\"type\": hunter2}",
                ":1:10: not valid JSON: expected value; correct the file, or delete it and log in again",
            ),
            ("\"hunter2\"", ":1:1: not a JSON object; write `{…}`"),
        ] {
            let found = GoogleFile::parse(text.as_bytes(), &tokens()).expect_err("a problem");
            assert_eq!(found.to_string(), problem);
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        for file in [key_file(), user(), impersonated(&user())] {
            let shown = format!("{:?}", parse(&file).expect("a file"));
            assert!(!shown.contains("hunter2") && !shown.contains("PRIVATE"), "{shown}");
        }
    }
}
