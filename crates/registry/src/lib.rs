//! A small OCI registry for development, tests and staging.
