//! The report of a run as one JSON object, and its JSON Schema, which is derived from the rows that are written:
//! `docs/reference/report.md`, "The report of a mirroring".

use job::Confirm;
use oci::Digest;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::Serialize;
use transfer::Content;

use crate::{Failure, FailureCode, PlannedWrite, StoreTotals, Totals, WriteAction, WriteCounts};

/// The version of the report's shape.
const SCHEMA: u32 = 1;

/// The report of `portolan mirror` as one JSON object.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MirrorReport<'a> {
    /// The version of this schema.
    #[schemars(schema_with = "version")]
    schema: u32,
    /// Whether the run was one with `--confirm`.
    confirmed: bool,
    /// Repositories that have tags.
    repositories: u64,
    /// Tags that were found.
    tags: u64,
    /// Manifests that were written, or would be, to stores that did not have them.
    manifests: u64,
    /// Blobs that were written, or would be, to stores that did not have them.
    blobs: u64,
    /// Manifests and blobs that were damaged in a store and were replaced, or would be.
    repaired: u64,
    /// Bytes of all of them.
    bytes: u64,
    /// Manifests and blobs that a store had.
    already_there: u64,
    /// The stores, in the order of the command line.
    stores: Vec<StoreRow<'a>>,
    /// Without `--confirm`: the objects to be written.
    plan: Vec<PlannedWriteRow<'a>>,
    /// What was not mirrored.
    failed: Vec<FailureRow<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Store", deny_unknown_fields)]
struct StoreRow<'a> {
    /// The URL of the store.
    store: &'a str,
    /// Its part of `manifests`.
    manifests: u64,
    /// Its part of `blobs`.
    blobs: u64,
    /// Its part of `repaired`.
    repaired: u64,
    /// Its part of `bytes`.
    bytes: u64,
    /// Its part of `already_there`.
    already_there: u64,
    /// The number of failures that concern it.
    failed: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlannedWrite", deny_unknown_fields)]
struct PlannedWriteRow<'a> {
    /// The URL of the store.
    store: &'a str,
    /// Why the object is written.
    action: WriteAction,
    /// What the object is.
    kind: ObjectKind,
    /// The digest of the object.
    #[schemars(with = "String")]
    digest: Digest,
    /// Its length in bytes.
    size: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum ObjectKind {
    /// A config, a layer, or another blob.
    Blob,
    /// A manifest or index.
    Manifest,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Failure", deny_unknown_fields)]
struct FailureRow<'a> {
    /// The URLs of the stores that lack the content.
    stores: Vec<&'a str>,
    /// The repository; null for the whole prefix, and for a repository whose name is not valid.
    repository: Option<&'a str>,
    /// The tag or digest; null for a whole repository, and for a tag whose name is not valid.
    reference: Option<String>,
    /// The code of the reason.
    code: FailureCode,
    /// The reason as text.
    reason: String,
}

impl<'a> MirrorReport<'a> {
    /// The report of a run that ended with these totals.
    #[must_use]
    pub fn new(totals: &'a Totals, confirm: Confirm) -> Self {
        let WriteCounts { manifests, blobs, repaired, bytes, already_there } = totals.counts();
        let stores = totals.stores.iter().enumerate();
        let plan = totals.stores.iter().flat_map(|StoreTotals { store, plan, .. }| {
            plan.writes().iter().map(|write| PlannedWriteRow::new(store, write))
        });
        Self {
            schema: SCHEMA,
            confirmed: confirm == Confirm::Write,
            repositories: totals.repositories,
            tags: totals.tags,
            manifests,
            blobs,
            repaired,
            bytes,
            already_there,
            stores: stores.map(|(at, of)| StoreRow::new(of, totals.failures_of(at))).collect(),
            plan: plan.collect(),
            failed: totals.failed.iter().map(|it| FailureRow::new(totals, it)).collect(),
        }
    }
}

impl<'a> StoreRow<'a> {
    fn new(of: &'a StoreTotals, failed: usize) -> Self {
        let WriteCounts { manifests, blobs, repaired, bytes, already_there } = of.counts;
        Self { store: &of.store, manifests, blobs, repaired, bytes, already_there, failed }
    }
}

impl<'a> PlannedWriteRow<'a> {
    fn new(store: &'a str, write: &PlannedWrite) -> Self {
        let (kind, digest) = match write.content {
            Content::Blob(digest) => (ObjectKind::Blob, digest),
            Content::Manifest(digest) => (ObjectKind::Manifest, digest),
        };
        Self { store, action: write.action, kind, digest, size: write.size }
    }
}

impl<'a> FailureRow<'a> {
    fn new(totals: &'a Totals, failure: &'a Failure) -> Self {
        Self {
            stores: totals.stores_of(failure),
            repository: failure.repository.as_ref().map(|name| name.as_str()),
            reference: failure.reference.as_ref().map(ToString::to_string),
            code: failure.cause.code(),
            reason: failure.cause.to_string(),
        }
    }
}

/// The schema of the JSON report, in JSON Schema 2020-12.
#[must_use]
pub fn mirror_report_schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<MirrorReport<'_>>()
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "const": SCHEMA })
}
