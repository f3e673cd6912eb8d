//! The errors that no run of the program provokes in a test, each with the reason. Those of public types are shown as
//! they are printed.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use credentials::{HelperFault, ServiceFault};
use http::Uri;
use http_client::{ProxySettingError, TransportError, Unprocessed};
use mirror::StoresError;
use oci::Digest;
use promotion_manifest::YamlPath;
use redirector::BaseUrl;
use registry::StorageError;
use registry_client::{MalformedLink, RequestFault};
use transfer::{Content, DestinationError};

/// An error that no run provokes in a test.
pub(super) struct Unprovoked {
    pub(super) crate_name: &'static str,
    /// The variant or type whose text it is.
    pub(super) name: &'static str,
    /// Why no run provokes it.
    pub(super) reason: &'static str,
    /// How it is printed; none for a private type.
    pub(super) shown: Option<String>,
}

const WAITS: &str = "the limit of time is longer than a test may take";
const REPLACED: &str = "another error is printed in its place";
const RESUMED: &str = "the client goes on by another request, whose error is printed";
const HTTP_2: &str = "the servers of the tests speak HTTP/1.1";
const METADATA: &str = "it is printed for hosts of Google's registries only";
const TOKENS: &str = "the tokens of the tests have no line breaks";
const DAMAGE: &str = "it is written to the log only, and clients get another text";

/// One whose type is public.
fn public(
    crate_name: &'static str,
    name: &'static str,
    reason: &'static str,
    error: &impl ToString,
) -> Unprovoked {
    Unprovoked { crate_name, name, reason, shown: Some(error.to_string()) }
}

/// One whose type is private.
const fn private(crate_name: &'static str, name: &'static str, reason: &'static str) -> Unprovoked {
    Unprovoked { crate_name, name, reason, shown: None }
}

/// All of them.
pub(super) fn unprovoked() -> Vec<Unprovoked> {
    let connections = [vec![speaks_plain()], of_connections(), of_responses()];
    let all = connections.into_iter().chain([of_requests(), of_transfers(), of_servers()]);
    all.flatten().collect()
}

fn speaks_plain() -> Unprovoked {
    let reason =
        "a loopback host is probed first, and the servers of the tests are on loopback addresses";
    let error = TransportError::SpeaksPlain { host: "registry.example".into() };
    public("http-client", "SpeaksPlain", reason, &error)
}

fn of_connections() -> Vec<Unprovoked> {
    let of = "http-client";
    let (after, received, sent) = (Duration::from_secs(30), 1_000, 1_000);
    let (window, least) = (Duration::from_secs(60), 16 << 10);
    let cause = "http://registry example/".parse::<Uri>().expect_err("a space in a host");
    let full = || Box::new(io::Error::from_raw_os_error(24));
    vec![
        public(of, "Silent", WAITS, &TransportError::Silent { after, received }),
        public(
            of,
            "CameTooSlowly",
            WAITS,
            &TransportError::CameTooSlowly { received, after: window, least },
        ),
        public(
            of,
            "TakenTooSlowly",
            WAITS,
            &TransportError::TakenTooSlowly { sent, after: window, least },
        ),
        public(of, "TooSlow", WAITS, &TransportError::TooSlow { after, received }),
        public(of, "Stalled", WAITS, &TransportError::Stalled { after, sent }),
        private(of, "TimedOut", WAITS),
        public(
            of,
            "NoDescriptors",
            "the program raises its limit of open files",
            &TransportError::NoDescriptors { cause: full() },
        ),
        public(
            of,
            "BadUrl",
            "every URL that is requested has been parsed",
            &TransportError::BadUrl { cause },
        ),
        public(
            of,
            "Content",
            "the error of the source is printed in its place",
            &TransportError::Content {
                sent,
                cause: Arc::new(io::Error::other("the source failed")),
            },
        ),
        private(of, "NotPublic", REPLACED),
        private(of, "Short", REPLACED),
        private(of, "Long", REPLACED),
        public(
            of,
            "NoHost",
            "the parser of URLs rejects such a URL before",
            &ProxySettingError::NoHost { variable: "HTTP_PROXY" },
        ),
        public(
            of,
            "ConnectionClosed",
            HTTP_2,
            &Unprocessed::ConnectionClosed { reason: "NO_ERROR".into() },
        ),
        public(of, "StreamRefused", HTTP_2, &Unprocessed::StreamRefused),
    ]
}

fn of_responses() -> Vec<Unprovoked> {
    let of = "http-client";
    vec![
        public(
            of,
            "Malformed",
            "the servers of the tests write valid HTTP",
            &TransportError::Malformed { cause: "invalid HTTP header parsed".into() },
        ),
        public(of, "Http1Required", HTTP_2, &Unprocessed::Http1Required),
        public(
            of,
            "NoResponseToContent",
            WAITS,
            &TransportError::NoResponseToContent { after: Duration::from_secs(60) },
        ),
    ]
}

fn of_requests() -> Vec<Unprovoked> {
    let of = "registry-client";
    vec![
        public(
            "credentials",
            "TooLate",
            WAITS,
            &HelperFault::TooLate { after: Duration::from_secs(30) },
        ),
        public("credentials", "NotMetadata", METADATA, &ServiceFault::NotMetadata),
        public("credentials", "UnusableToken", TOKENS, &HelperFault::UnusableToken),
        public(of, "UnusableToken", TOKENS, &RequestFault::UnusableToken),
        public(of, "MalformedLink", REPLACED, &MalformedLink),
        public(of, "WrongPart", RESUMED, &RequestFault::WrongPart { from: 1_000 }),
        public(of, "OtherLength", RESUMED, &RequestFault::OtherLength { was: 2_000, is: 1_000 }),
        public(of, "NoOffset", RESUMED, &RequestFault::NoOffset),
        public(
            of,
            "NotCommitted",
            WAITS,
            &RequestFault::NotCommitted {
                after: Duration::from_secs(60),
                tries: 2,
                is_of_host: false,
            },
        ),
        public(
            of,
            "NoSubject",
            "only manifests with a subject are written as referrers",
            &RequestFault::NoSubject { cause: None },
        ),
    ]
}

fn of_transfers() -> Vec<Unprovoked> {
    let of = "transfer";
    let destination = || "registry.example/images/app".to_owned();
    let content = || Content::Blob(Digest::sha256(b""));
    vec![
        private("attachments", "Source", REPLACED),
        public(
            of,
            "Lags",
            "a promotion copies to a slow destination once more by itself",
            &DestinationError::Lags { destination: destination(), content: content() },
        ),
        public(
            of,
            "Aborted",
            REPLACED,
            &DestinationError::Aborted { destination: destination(), content: content() },
        ),
        private(of, "SourceFailed", REPLACED),
        public("mirror", "Empty", "the flag --to is required", &StoresError::Empty),
        public(
            "yaml",
            "InvalidYamlPath",
            "no command takes a path to a value of a manifest",
            &"images[".parse::<YamlPath>().expect_err("an open bracket"),
        ),
    ]
}

fn of_servers() -> Vec<Unprovoked> {
    let of = "registry";
    let path = || PathBuf::from("/srv/registry/repositories");
    vec![
        private(of, "BodySilent", WAITS),
        public(
            "http-server",
            "NotTls",
            "the servers of these tests speak no TLS",
            &http_server::Malformed::NotTls,
        ),
        public(
            of,
            "Replaced",
            DAMAGE,
            &StorageError::Replaced { path: path(), is: "a regular file" },
        ),
        public(of, "Gone", DAMAGE, &StorageError::Gone(PathBuf::from("/srv/registry"))),
        public(of, "Damaged", DAMAGE, &StorageError::Damaged(path())),
        private(of, "Interrupted", "the process ends then"),
        public(
            "redirector",
            "Syntax",
            "the check of the configuration has a text of its own for it",
            &"https://[".parse::<BaseUrl>().expect_err("a bad host"),
        ),
        private("redirector", "Request", "every URL that is requested has been parsed"),
        private(
            "redirector",
            "Body",
            "the server of the tests that speaks TLS sends whole responses",
        ),
        private("redirector", "Location", "a location is built from parsed names only"),
    ]
}
