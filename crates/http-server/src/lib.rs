//! Inbound HTTP, the same for every server: the front, the registry, the served store and their admin
//! addresses. How connections live and die is in `docs/http-server.md`.
//!
//! It knows nothing of registries and decides no response but those that HTTP itself requires.

mod address_block;
mod client_ip;
mod connection;
mod connections;
mod descriptors;
mod host;
mod listen;
mod server;
mod service;
pub mod settings;
mod tls;
mod transport;
mod trusted_peers;
mod watch;

pub use crate::{
    address_block::AddressBlock,
    client_ip::{ClientIp, ClientIpPolicy, Forwarded, Unknown},
    descriptors::raise_descriptor_limit,
    host::Malformed,
    listen::listen,
    server::{ConnectionMetrics, Server},
    service::{Handler, Respond, handler},
    settings::{Bodies, Settings, Timeouts},
    tls::{Tls, TlsError},
    trusted_peers::{DefaultTrust, TrustedPeers, parse_network},
};
