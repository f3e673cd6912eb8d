//! The images of a promotion manifest: names, digests and tags, merged by name.
//!
//! A name, digest or tag outside its grammar leaves out itself alone. That a tag stands on two
//! digests is not judged here: [`EdgeSet`](crate::EdgeSet) compares all projects at once.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use oci::{Algorithm, Digest, Repository, Tag};

use crate::{
    DigestEntry, Image, Position, Rule, Span,
    problem::{Report, quoted},
    yaml::Node,
};

/// Reads a list of images.
pub(crate) fn read(list: &Node<'_>, report: &mut Report) -> Vec<Image> {
    let mut merged = Merged::default();
    let rule = "the images must be a list of `- name: …` with a `dmap`";
    for item in list.items(rule, report).unwrap_or_default() {
        let rule = "an image must be a mapping with `name` and `dmap`";
        let Some([name, dmap]) = item.fields(rule, ["name", "dmap"], report) else { continue };
        let name = image_name(item, name, report);
        let digests = dmap.map_or_else(Vec::new, |dmap| digests(dmap, report));
        if let Some((name, position)) = name {
            merged.add(name, position, digests);
        }
    }
    merged.finish()
}

fn image_name(
    image: &Node<'_>,
    name: Option<&Node<'_>>,
    report: &mut Report,
) -> Option<(Repository, Position)> {
    let Some(node) = name else {
        report.leave_out_entry(Rule::MissingName, image.span, "this image has no `name`; add one");
        return None;
    };
    let text = node.text("the `name` of an image must be text", report)?;
    let name =
        parsed(text, "an image name", "correct it", (Rule::InvalidImageName, node.span), report)?;
    Some((name, node.position()))
}

/// The digests of a `dmap`.
fn digests(dmap: &Node<'_>, report: &mut Report) -> Vec<DigestEntry> {
    let rule = "`dmap` must map digests to lists of tags";
    let Some(entries) = dmap.mapping(rule, report) else { return Vec::new() };
    entries.iter().filter_map(|[key, value]| digest(key, value, report)).collect()
}

/// A digest with its tags. One none of whose tags can be used is left out: promoting it untagged is
/// not what was asked for.
fn digest(key: &Node<'_>, value: &Node<'_>, report: &mut Report) -> Option<DigestEntry> {
    let rule = "the tags of a digest must be a list, such as `[\"1.0\"]`";
    let items = match value.present() {
        Some(list) => list.items(rule, report)?,
        None => &[],
    };
    let tags: Vec<_> = items.iter().filter_map(|item| tag(item, report)).collect();
    // A key that is no text has been reported with the mapping.
    let text = key.scalar()?;
    let digest: Digest = parsed(
        text,
        "a digest",
        "copy it again from the source",
        (Rule::InvalidDigest, key.span),
        report,
    )?;
    if digest.algorithm() == Algorithm::Sha512 && !items.is_empty() {
        let message = "a sha512 digest cannot be promoted under a tag, since registries name what a \
                       tag is on by its sha256; write the image's sha256 digest";
        report.leave_out_entry(Rule::Sha512WithTags, key.span, message);
        return None;
    }
    let wanted = items.is_empty() || !tags.is_empty();
    wanted.then_some(DigestEntry { digest, tags, position: key.position() })
}

fn tag(node: &Node<'_>, report: &mut Report) -> Option<(Tag, Position)> {
    let Some(node) = node.present() else {
        report.leave_out_entry(Rule::EmptyTag, node.span, "empty tag; write or remove it");
        return None;
    };
    let text = node.text("a tag must be text", report)?;
    let tag = parsed(text, "a tag", "correct or remove it", (Rule::InvalidTag, node.span), report)?;
    Some((tag, node.position()))
}

/// `text` as a `T`; otherwise reports that it is not `what`, and the `remedy`.
fn parsed<T: FromStr<Err: fmt::Display>>(
    text: &str,
    what: &str,
    remedy: &str,
    (rule, at): (Rule, Span),
    report: &mut Report,
) -> Option<T> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            report.leave_out_entry(
                rule,
                at,
                format!("{} is not {what}: {error}; {remedy}", quoted(text)),
            );
            None
        }
    }
}

/// Images while their entries are merged.
#[derive(Default)]
struct Merged {
    images: Vec<Image>,
    /// Name → index into `images`.
    by_name: HashMap<Repository, usize>,
    /// Index into `images`, and digest → index into its `digests`.
    by_digest: HashMap<(usize, Digest), usize>,
}

impl Merged {
    fn add(&mut self, name: Repository, position: Position, digests: Vec<DigestEntry>) {
        let next = self.images.len();
        let index = *self.by_name.entry(name.clone()).or_insert(next);
        if index == next {
            self.images.push(Image { name, position, digests: Vec::new() });
        }
        let into = &mut self.images[index].digests;
        for entry in digests {
            let next = into.len();
            match *self.by_digest.entry((index, entry.digest)).or_insert(next) {
                known if known < next => into[known].tags.extend(entry.tags),
                _ => into.push(entry),
            }
        }
    }

    /// The images, with each tag of a digest once.
    fn finish(mut self) -> Vec<Image> {
        for entry in self.images.iter_mut().flat_map(|image| &mut image.digests) {
            let mut seen = HashSet::new();
            entry.tags.retain(|(tag, _)| seen.insert(tag.clone()));
        }
        self.images
    }
}
