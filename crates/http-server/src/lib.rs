//! Inbound HTTP, the same for every server: the front, the registry, the served store and their admin
//! addresses. How connections live and die is in `docs/http-server.md`.
//!
//! It knows nothing of registries and decides no response but those that HTTP itself requires.

mod address_block;
mod client_ip;
mod trusted_peers;

pub use crate::{
    address_block::AddressBlock,
    client_ip::{ClientIp, ClientIpPolicy, Forwarded, Unknown},
    trusted_peers::{DefaultTrust, TrustedPeers, parse_network},
};
