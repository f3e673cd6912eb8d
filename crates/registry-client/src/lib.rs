//! The OCI distribution API over HTTP, seen from the client.
