//! Inbound HTTP, the same for every server: the front, the registry, the served store and their admin
//! addresses. How connections live and die is in `docs/internals/http-server.md`.
//!
//! It has no notion of registries. It responds only where HTTP itself requires a response, and on the admin address.

mod access_log;
mod address;
mod address_block;
mod admin;
mod certificate_dates;
mod client_connection;
mod client_ip;
mod conditions;
mod connection;
mod connections;
mod descriptors;
mod file_stream;
mod host;
mod listen;
pub mod range;
mod server;
mod service;
pub mod settings;
mod tls;
mod transport;
mod trusted_peers;
mod watch;

pub use crate::{
    access_log::{AccessRecord, AccessResponse},
    address::{AddressError, overlap, parse_address},
    address_block::AddressBlock,
    admin::Admin,
    certificate_dates::OutOfDate,
    client_connection::{ClientConnection, ReceivingGuard, StalledOf},
    client_ip::{ClientIp, ClientIpPolicy, Forwarded, UnknownClient},
    conditions::{ConditionResult, Conditions},
    descriptors::raise_descriptor_limit,
    file_stream::{READ_PIECE_BYTES, file_stream},
    host::Malformed,
    listen::listen,
    server::{ConnectionMetrics, Server},
    service::{Handler, Respond, ResponseOrFuture, handler},
    settings::{Bodies, ServerSettings, Timeouts},
    tls::{PemFile, Tls, TlsError},
    trusted_peers::{DefaultTrust, TrustedPeers, parse_network},
    watch::StalledBody,
};
