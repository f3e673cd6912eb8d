//! Errors of single requests, each from a server with a fault: nothing is retried, and nothing depends on time.

use credentials::{Credential, Credentials};
use http::Method;
use oci::{Digest, Host, Reference};
use registry_client::{Error, RegistryClient, Retries};
use testkit::{Fault, TestHost, TestRegistry, fixture, fixture::TestImage};

/// The repository of all requests.
pub(super) const REPOSITORY: &str = "registry.example/images/app";

/// Makes requests that fail, and knows the hosts of their texts.
pub(super) struct FailedRequests {
    hosts: Vec<Host>,
    image: TestImage,
}

impl FailedRequests {
    pub(super) fn new() -> Self {
        Self { hosts: Vec::new(), image: fixture::image(1, 0) }
    }

    /// The digest of the manifest that is requested.
    pub(super) fn image(&self) -> Digest {
        self.image.digest()
    }

    /// The error of a GET of the manifest by its digest, from a registry with this fault that has it.
    pub(super) async fn get(&mut self, fault: impl FnOnce(&TestRegistry) -> Fault) -> Error {
        let registry = TestRegistry::start().await;
        registry.load("images/app", None, &self.image).await;
        registry.fail(fault(&registry));
        self.get_at(registry.host()).await
    }

    /// The error of the same request to a host that refuses connections.
    pub(super) async fn unreachable(&mut self) -> Error {
        self.get_at(TestHost::unreachable()).await
    }

    /// The same from a registry that responds with this status.
    pub(super) async fn status(&mut self, status: u16) -> Error {
        self.get(|_| Fault::on(Method::GET, "/v2/").status(status)).await
    }

    /// The same from a registry that rejects the credentials of the request.
    pub(super) async fn rejected(&mut self) -> Error {
        let challenge = r#"Basic realm="registry""#;
        self.get(|_| Fault::everywhere("/v2/").status(401).header("www-authenticate", challenge))
            .await
    }

    async fn get_at(&mut self, host: Host) -> Error {
        let password = "secret".to_owned().into();
        let credential = Credential::Basic { user: "ci-bot".to_owned(), password };
        let credentials = Credentials::builder().with(&host, credential).build();
        let client = RegistryClient::builder().retries(Retries::none()).credentials(credentials);
        let repository = client.build().repository(&host, &"images/app".parse().expect("a name"));
        self.hosts.push(host);
        repository.manifest(&Reference::Digest(self.image())).await.expect_err("a fault")
    }

    /// The text with a stable name in place of the hosts.
    pub(super) fn named(&self, text: &str) -> String {
        let name = |text: String, host: &Host| text.replace(host.as_str(), "registry.example");
        self.hosts.iter().fold(text.to_owned(), name)
    }
}
