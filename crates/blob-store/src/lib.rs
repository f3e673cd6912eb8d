//! Object storage seen as a blob store: keys, put-if-absent with checksum.
