//! The configuration files of docker and podman: which credentials and helpers they name for a host.
//!
//! A pure function of bytes. Not here: where the files are, and what a helper returns. A wrong entry is an
//! error only where that entry is needed; the other entries are used as before.
//!
//! Source: docker's `config.json`, and containers-auth.json(5). Keys that are not known are ignored; known
//! ones are read in any case of letters, as Go's JSON does.

use std::collections::{BTreeMap, HashMap};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use oci::{Host, Repository, canonical_host};
use serde_json::value::RawValue;

use crate::{Credential, FileProblem, Secret, first_line, server_name::other_name};

/// base64 with or without padding, and with bits left over, as other programs write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What is wrong with a token that no header can carry. Passwords may have line breaks: some are files of JSON.
const CONTROL: &str = "holds a line break or another control character; run `docker login` again";

/// A configuration file of docker or podman.
#[derive(Debug, Default)]
pub struct DockerConfig {
    /// By host and path, which is empty for the whole host; those that name just it first.
    entries: HashMap<(Box<str>, Box<str>), Vec<Entry>>,
    /// By host; none stands for "not from a helper".
    helpers: HashMap<Box<str>, Option<Helper>>,
    store: Option<Helper>,
}

type Entry = Result<Option<Credential>, FileProblem>;
type Helper = Result<Box<str>, FileProblem>;

impl DockerConfig {
    /// Reads a file's bytes. An empty file is an empty configuration, as for docker.
    ///
    /// # Errors
    /// When it is not JSON, or `auths` and `credHelpers` are not objects.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileProblem> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| FileProblem::at(bytes, error.valid_up_to(), "it is not UTF-8"))?;
        let mut config = Self::default();
        if text.trim_ascii().is_empty() {
            return Ok(config);
        }
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|error| FileProblem::of_json(&error))?;
        let file = File(text);
        for (key, value) in fields {
            match key.to_ascii_lowercase().as_str() {
                "auths" => config.read_auths(file, file.object(value, "`auths`")?),
                "credhelpers" => config.read_helpers(file, file.object(value, "`credHelpers`")?),
                "credsstore" => config.store = file.helper(value, "`credsStore`"),
                _ => {}
            }
        }
        Ok(config)
    }

    /// The credentials that the file itself holds for a repository: those of the longest path that leads
    /// to it, else those of the host.
    ///
    /// # Errors
    /// When the entry that decides is malformed.
    pub fn credential(
        &self,
        host: &Host,
        repository: Option<&Repository>,
    ) -> Result<Option<Credential>, FileProblem> {
        match self.of_path(host, repository)? {
            Some(credential) => Ok(Some(credential)),
            None => self.of_host(host),
        }
    }

    /// The credentials of the longest path that leads to a repository.
    pub(crate) fn of_path(
        &self,
        host: &Host,
        repository: Option<&Repository>,
    ) -> Result<Option<Credential>, FileProblem> {
        let mut path = repository.map(Repository::as_str);
        while let Some(this) = path {
            if let Some(credential) = self.entry(host, this)? {
                return Ok(Some(credential));
            }
            path = this.rsplit_once('/').map(|(parent, _)| parent);
        }
        Ok(None)
    }

    /// The credentials of the whole host.
    pub(crate) fn of_host(&self, host: &Host) -> Result<Option<Credential>, FileProblem> {
        self.entry(host, "")
    }

    /// The helper for a host, without `docker-credential-`: its own, else that of all hosts.
    ///
    /// # Errors
    /// When it is not the name of one.
    pub fn helper(&self, host: &Host) -> Result<Option<&str>, FileProblem> {
        let other = other_name(host);
        let own = |host: &Host| self.helpers.get(host.as_str());
        match own(host).or_else(|| own(other.as_ref()?)).unwrap_or(&self.store) {
            Some(Ok(name)) => Ok(Some(name)),
            Some(Err(problem)) => Err(problem.clone()),
            None => Ok(None),
        }
    }

    /// The servers that a helper is queried for, for a host: as it is written; then by its other name, if the
    /// host names the default port, or the file has that name.
    pub(crate) fn servers(&self, host: &Host) -> Vec<Box<str>> {
        let has = |name: &Host| {
            let key = (name.as_str().into(), Box::default());
            self.entries.contains_key(&key) || self.helpers.contains_key(name.as_str())
        };
        let other = other_name(host).filter(|other| host.port().is_some() || has(other));
        [Some(host), other.as_ref()].into_iter().flatten().map(|it| server_of(it).into()).collect()
    }

    /// The first entry with credentials: of the host as it is written, else of its other name.
    fn entry(&self, host: &Host, path: &str) -> Entry {
        let entries = |host: &Host| self.entries.get(&(host.as_str().into(), path.into()));
        let other = other_name(host);
        let all = [Some(host), other.as_ref()].into_iter().flatten().filter_map(entries).flatten();
        let mut deciding = all.filter(|entry| !matches!(entry, Ok(None)));
        deciding.next().cloned().unwrap_or(Ok(None))
    }

    fn read_auths(&mut self, file: File<'_>, auths: BTreeMap<String, &RawValue>) {
        for (key, value) in auths {
            let (host, path) = place(&key);
            let is_exact = host == key;
            let entry = file.entry(&key, value);
            let entries = self.entries.entry((host.into(), path.into())).or_default();
            if is_exact {
                entries.insert(0, entry);
            } else {
                entries.push(entry);
            }
        }
    }

    fn read_helpers(&mut self, file: File<'_>, helpers: BTreeMap<String, &RawValue>) {
        for (key, value) in helpers {
            let (host, path) = place(&key);
            // Helpers have credentials of whole hosts.
            if path.is_empty() {
                let named = format!("the helper of {}", quoted(&key));
                self.helpers.insert(host.into(), file.helper(value, &named));
            }
        }
    }
}

/// The name under which a helper has the credentials of a host.
pub(crate) fn server_of(host: &Host) -> &str {
    if host.is_docker_hub() { "https://index.docker.io/v1/" } else { host.as_str() }
}

/// Host and path of a key. With a scheme it is the URL of an API, and means the host, without the port if it is the
/// scheme's own; so do `v1` and `v2`.
fn place(key: &str) -> (String, &str) {
    let (default_port, rest) = match key.split_once("://") {
        Some(("http", rest)) => (Some(":80"), rest),
        Some(("https", rest)) => (Some(":443"), rest),
        _ => (None, key),
    };
    let has_scheme = default_port.is_some();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = default_port.and_then(|port| host.strip_suffix(port)).unwrap_or(host);
    let path = path.trim_end_matches('/');
    let is_api = has_scheme || matches!(path, "v1" | "v2");
    (canonical_host(&host.to_ascii_lowercase()).to_owned(), if is_api { "" } else { path })
}

/// A key of the file, as it can be shown.
fn quoted(key: &str) -> String {
    format!("`{}`", first_line(key))
}

/// The text of a file. Values are parts of it, so that their place is known.
#[derive(Clone, Copy)]
struct File<'a>(&'a str);

impl<'a> File<'a> {
    /// A problem where `value` stands.
    fn problem(self, value: &RawValue, what: String) -> FileProblem {
        let offset = value.get().as_ptr().addr().saturating_sub(self.0.as_ptr().addr());
        FileProblem::at(self.0.as_bytes(), offset, what)
    }

    /// The members of an object; none of `null`.
    fn object(
        self,
        value: &'a RawValue,
        what: &str,
    ) -> Result<BTreeMap<String, &'a RawValue>, FileProblem> {
        // What serde would say might quote the value.
        let members: Result<Option<_>, _> = serde_json::from_str(value.get());
        match members {
            Ok(members) => Ok(members.unwrap_or_default()),
            Err(_) => Err(self.problem(value, format!("{what} is not an object"))),
        }
    }

    /// A text; empty for `null`.
    fn text(self, value: &RawValue, what: &str) -> Result<String, FileProblem> {
        let text: Result<Option<String>, _> = serde_json::from_str(value.get());
        match text {
            Ok(text) => Ok(text.unwrap_or_default()),
            Err(_) => Err(self.problem(value, format!("{what} is not a text"))),
        }
    }

    /// The name of a helper, if there is one. It becomes the name of a program, so it may not be a path.
    fn helper(self, value: &RawValue, what: &str) -> Option<Helper> {
        let is_fine = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let name = match self.text(value, what) {
            Ok(name) if name.is_empty() => return None,
            Ok(name) if is_fine(&name) => Ok(name.into()),
            Ok(_) => {
                let what = format!(
                    "{what} is not a name: letters, digits, `.`, `_` and `-`, as in `gcloud` for \
                     docker-credential-gcloud"
                );
                Err(self.problem(value, what))
            }
            Err(problem) => Err(problem),
        };
        Some(name)
    }

    /// What `auths` has for one key. An entry without anything in it is what docker leaves where a helper
    /// has the credentials.
    fn entry(self, key: &str, value: &'a RawValue) -> Entry {
        let key = quoted(key);
        let mut fields = HashMap::new();
        for (name, value) in self.object(value, &format!("the entry of {key}"))? {
            let name = name.to_ascii_lowercase();
            let known = ["auth", "username", "password", "identitytoken", "registrytoken"];
            if known.contains(&name.as_str()) {
                let text = self.text(value, &format!("`{name}` of {key}"))?;
                if name.ends_with("token") && text.contains(char::is_control) {
                    return Err(self.problem(value, format!("`{name}` of {key} {CONTROL}")));
                }
                if !text.is_empty() {
                    fields.insert(name, (text, value));
                }
            }
        }
        let mut take = |name| fields.remove(name).map(|(text, _)| text);
        if let Some(token) = take("registrytoken") {
            return Ok(Some(Credential::Token(token.into())));
        }
        if let Some(token) = take("identitytoken") {
            let (user, password) = (take("username"), take("password"));
            let auth = fields.remove("auth").and_then(|(auth, _)| decode(&auth).ok());
            return Ok(Some(identity(token.into(), auth, user.zip(password))));
        }
        let (user, password) = (take("username"), take("password"));
        if let Some((auth, value)) = fields.remove("auth") {
            return match decode(&auth) {
                Ok(credential) => Ok(Some(credential)),
                Err(wrong) => {
                    let what = format!("`auth` of {key} is not {wrong}; run `docker login` again");
                    Err(self.problem(value, what))
                }
            };
        }
        let Some(user) = user else { return Ok(None) };
        Ok(Some(Credential::Basic { user, password: Secret::from(password.unwrap_or_default()) }))
    }
}

/// An identity token, with the user and password beside it, if there are both: docker keeps the user alone there.
fn identity(token: Secret, auth: Option<Credential>, pair: Option<(String, String)>) -> Credential {
    let pair = pair.map(|(user, password)| (user, Secret::from(password)));
    let beside = match auth {
        Some(Credential::Basic { user, password }) => Some((user, password)),
        _ => pair,
    };
    match beside.filter(|(_, password)| !password.expose().is_empty()) {
        Some((user, password)) => Credential::IdentityOrBasic { token, user, password },
        None => Credential::Identity(token),
    }
}

/// What an `auth` says; otherwise what it is not.
fn decode(auth: &str) -> Result<Credential, &'static str> {
    let letters: Vec<u8> = auth.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = BASE64.decode(letters).ok().ok_or("base64")?;
    let text = String::from_utf8(decoded).ok().ok_or("UTF-8 in base64")?;
    let (user, password) = text
        .split_once(':')
        .filter(|(user, _)| !user.is_empty())
        .ok_or("`user:password` in base64")?;
    // Docker's own helpers left these behind once.
    let password = Secret::from(password.trim_matches('\0'));
    Ok(Credential::Basic { user: user.to_owned(), password })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().expect(text)
    }

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), password: password.into() }
    }

    fn identity_or(user: &str, password: &str) -> Credential {
        let (user, password) = (user.to_owned(), password.into());
        Credential::IdentityOrBasic { token: "i".into(), user, password }
    }

    fn parse(text: &str) -> DockerConfig {
        DockerConfig::parse(text.as_bytes()).expect(text)
    }

    fn entry(text: &str) -> Entry {
        parse(&format!(r#"{{"auths":{{"h":{text}}}}}"#)).credential(&host("h"), None)
    }

    #[test]
    fn entries() {
        for (text, credential) in [
            (r#"{"auth":"dTpw"}"#, Some(basic("u", "p"))),
            (r#"{"auth":"dTpwOnE="}"#, Some(basic("u", "p:q"))),
            (r#"{"auth":"dTpwOnE"}"#, Some(basic("u", "p:q"))),
            (r#"{"auth":"dTpw\nOnF="}"#, Some(basic("u", "p:q"))),
            (r#"{"auth":"dTpwAAA="}"#, Some(basic("u", "p"))),
            (r#"{"auth":"dTo="}"#, Some(basic("u", ""))),
            (r#"{"Auth":"dTpw","email":5}"#, Some(basic("u", "p"))),
            (r#"{"auth":"dTpw","username":"x","password":"y"}"#, Some(basic("u", "p"))),
            (r#"{"username":"x","password":"y","auth":""}"#, Some(basic("x", "y"))),
            (r#"{"username":"x"}"#, Some(basic("x", ""))),
            (r#"{"auth":"dTpw","identitytoken":"i"}"#, Some(identity_or("u", "p"))),
            (r#"{"username":"x","password":"y","identitytoken":"i"}"#, Some(identity_or("x", "y"))),
            (r#"{"auth":"dTo=","identitytoken":"i"}"#, Some(Credential::Identity("i".into()))),
            (r#"{"identitytoken":"i"}"#, Some(Credential::Identity("i".into()))),
            (r#"{"identityToken":"i","registrytoken":"r"}"#, Some(Credential::Token("r".into()))),
            (r#"{"password":"y"}"#, None),
            (r#"{"auth":null}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            assert_eq!(entry(text), Ok(credential), "{text}");
        }
        let again = "; run `docker login` again";
        for (text, what) in [
            (r#"{"auth":"!"}"#, format!("23: `auth` of `h` is not base64{again}")),
            (r#"{"auth":"dTpw="}"#, format!("23: `auth` of `h` is not base64{again}")),
            (r#"{"auth":"/zpw"}"#, format!("23: `auth` of `h` is not UTF-8 in base64{again}")),
            (
                r#"{"auth":"dXA="}"#,
                format!("23: `auth` of `h` is not `user:password` in base64{again}"),
            ),
            (
                r#"{"auth":"OnA="}"#,
                format!("23: `auth` of `h` is not `user:password` in base64{again}"),
            ),
            (r#"{"auth":["dTpw"]}"#, "23: `auth` of `h` is not a text".to_owned()),
            (r#"{"password":"\ud800"}"#, "27: `password` of `h` is not a text".to_owned()),
            (r#""dTpw""#, "15: the entry of `h` is not an object".to_owned()),
        ] {
            let problem = entry(text).expect_err(text).to_string();
            assert_eq!(problem, format!(":1:{what}"), "{text}");
        }
    }

    #[test]
    fn a_wrong_entry_is_wrong_for_those_that_want_it() {
        let config = parse(
            "{\"auths\": {\n  \"bad\": {\"auth\": \"secret!\"},\n  \"h/bad\": 5,\n\
             \"h\": {\"auth\": \"dTpw\"}\n}}",
        );
        let bad = config.credential(&host("bad"), None).expect_err("malformed");
        let expected = ":2:19: `auth` of `bad` is not base64; run `docker login` again";
        assert_eq!(bad.to_string(), expected);
        let name = "bad/a".parse().expect("a name");
        let bad = config.credential(&host("h"), Some(&name)).expect_err("malformed");
        assert_eq!(bad.to_string(), ":3:12: the entry of `h/bad` is not an object");
        assert_eq!(config.credential(&host("h"), None), Ok(Some(basic("u", "p"))));
    }

    #[test]
    fn the_longest_path_decides_then_the_host() {
        let names = [
            "h",
            "h/a",
            "h/a/b/",
            "https://scheme",
            "https://api/v1/",
            "http://url:5000/a/b",
            "old/v2/",
            "UPPER",
            "both",
            "https://both",
            "https://index.docker.io/v1/",
            "docker.io/library",
        ];
        let entries: Vec<_> =
            names.iter().map(|name| format!(r#""{name}":{{"username":"{name}"}}"#)).collect();
        let empty = r#""https://empty":{"username":"x"},"empty":{},"h/e":{}"#;
        let config = parse(&format!(r#"{{"auths":{{{},{empty}}}}}"#, entries.join(",")));
        for (at, repository, found) in [
            ("h", "", "h"),
            ("h", "x/a", "h"),
            ("h", "a", "h/a"),
            ("h", "a/bc", "h/a"),
            ("h", "ab", "h"),
            ("h", "a/b", "h/a/b/"),
            ("h", "a/b/c", "h/a/b/"),
            ("h", "e", "h"),
            ("h:5000", "a", ""),
            ("scheme", "a", "https://scheme"),
            ("api", "a", "https://api/v1/"),
            ("url:5000", "x", "http://url:5000/a/b"),
            ("old", "v2", "old/v2/"),
            ("upper", "", "UPPER"),
            ("both", "", "both"),
            ("empty", "", "x"),
            ("docker.io", "a/b", "https://index.docker.io/v1/"),
            ("docker.io", "library/busybox", "docker.io/library"),
            ("index.docker.io", "", "https://index.docker.io/v1/"),
            ("registry-1.docker.io", "library/a", "docker.io/library"),
            ("elsewhere", "a", ""),
        ] {
            let repository: Option<Repository> = repository.parse().ok();
            let credential = config.credential(&host(at), repository.as_ref()).expect(at);
            let expected = (!found.is_empty()).then(|| basic(found, ""));
            assert_eq!(credential, expected, "{at} {repository:?}");
        }
    }

    #[test]
    fn helpers() {
        let config = parse(
            r#"{"credsStore":"all","credHelpers":{"a.example":"own.1_x-","https://index.docker.io/v1/":"hub",
            "b.example":"","c.example":"../x","d.example":5}}"#,
        );
        for (at, helper) in [
            ("a.example", Some("own.1_x-")),
            ("docker.io", Some("hub")),
            ("b.example", None),
            ("e.example", Some("all")),
        ] {
            assert_eq!(config.helper(&host(at)), Ok(helper), "{at}");
        }
        let problem = |at| config.helper(&host(at)).expect_err(at).to_string();
        let start = ":2:40: the helper of `c.example` is not a name: letters, ";
        assert!(problem("c.example").starts_with(start), "{}", problem("c.example"));
        assert_eq!(problem("d.example"), ":2:59: the helper of `d.example` is not a text");
        for (text, helper) in [("{}", None), (r#"{"credsStore":null}"#, None)] {
            assert_eq!(parse(text).helper(&host("h")), Ok(helper));
        }
        let wrong = parse(r#"{"credsStore":"a b"}"#).helper(&host("h")).expect_err("no name");
        assert!(wrong.to_string().starts_with(":1:15: `credsStore` is not a name"), "{wrong}");
        assert_eq!(server_of(&host("registry-1.docker.io")), "https://index.docker.io/v1/");
        assert_eq!(server_of(&host("h:5000")), "h:5000");
    }

    #[test]
    fn files_as_a_whole() {
        for empty in ["", " \n", "{}", r#"{"auths":null,"x":[]}"#, r#"{"HttpHeaders":{"a":"b"}}"#] {
            assert_eq!(parse(empty).credential(&host("h"), None), Ok(None));
        }
        for (text, problem) in [
            (&b"{\n\"auths\": \"c2VjcmV0\"}"[..], ":2:10: `auths` is not an object"),
            (b"\"c2VjcmV0\"", ":1:1: not a JSON object; write `{…}`"),
            (b"{\"credHelpers\": []}", ":1:17: `credHelpers` is not an object"),
            (
                b"{\"auths\":\n {\"h\" c2VjcmV0}}",
                ":2:7: not valid JSON: expected `:`; correct the file, or delete it and log in again",
            ),
            (
                b"{} c2VjcmV0",
                ":1:4: not valid JSON: trailing characters; correct the file, or delete it and log in again",
            ),
            (
                b"{",
                ":1:1: not valid JSON: the file ends inside an object; correct the file, or delete it and log in again",
            ),
            (b"{\n \"\xff", ":2:3: it is not UTF-8"),
        ] {
            let found = DockerConfig::parse(text).expect_err("a problem").to_string();
            assert_eq!(found, problem);
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let config = parse(
            r#"{"auths":{"a":{"auth":"dTpodW50ZXIy"},"b":{"auth":"hunter2!"},"c":{"password":"hunter2",
            "username":"u"},"d":{"identitytoken":"hunter2"},"e":{"registrytoken":"hunter2"}}}"#,
        );
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("dTpod"), "{shown}");
        assert!(shown.contains("[secret]"));
    }
}
