//! The client and its settings.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use oci::{Host, Repository};

use crate::{Error, RepositoryClient};

/// A client of registries: one pool of connections, shared by all clones.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientBuilder>);

/// The settings of a [`Client`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    plain: HashSet<Host>,
    request_timeout: Duration,
    idle_timeout: Duration,
    connect_timeout: Duration,
    user_agent: String,
    forwarded_for: Option<IpAddr>,
}

impl ClientBuilder {
    /// Speaks plain HTTP to `host`. May be given for several hosts; loopback hosts need it not.
    pub fn plain_http(mut self, host: Host) -> Self {
        self.plain.insert(host);
        self
    }

    /// How long to wait for a connection to be made.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for the headers of an answer, the connection included.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long to wait between two pieces of a body, in either direction.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// What to send as `User-Agent`.
    pub fn user_agent(mut self, name: String) -> Self {
        self.user_agent = name;
        self
    }

    /// Sends `X-Forwarded-For`, to see what a front would do for that client.
    pub fn forwarded_for(mut self, address: IpAddr) -> Self {
        self.forwarded_for = Some(address);
        self
    }

    /// The client.
    #[must_use]
    pub fn build(self) -> Client {
        Client(Arc::new(self))
    }
}

impl Client {
    /// Settings to begin with.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            plain: HashSet::new(),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            user_agent: concat!("portolan/", env!("CARGO_PKG_VERSION")).to_owned(),
            forwarded_for: None,
        }
    }

    /// Whether a registry answers: anything but a server error (5xx) counts, a refusal too.
    ///
    /// # Errors
    /// When it cannot be reached or is out of order.
    pub async fn ping(&self, host: &Host) -> Result<(), Error> {
        let _ = (host, &self.0);
        todo!()
    }

    /// The names of all repositories of a registry, in its order. Names outside the grammar are
    /// left out.
    ///
    /// # Errors
    /// Also when the registry does not offer this (many public ones do not).
    pub async fn catalog(&self, host: &Host) -> Result<Vec<Repository>, Error> {
        let _ = host;
        todo!()
    }

    /// A repository at a registry. Asks nothing yet.
    #[must_use]
    pub fn repository(&self, host: &Host, name: &Repository) -> RepositoryClient {
        RepositoryClient::new(self.clone(), host.clone(), name.clone())
    }
}
