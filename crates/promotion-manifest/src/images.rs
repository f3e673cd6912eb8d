//! The images of a promotion manifest: names, digests and tags, merged by name.
//!
//! A name, digest or tag that is not valid is left out alone. A tag on two digests is not detected here, since
//! [`EdgeSet`](crate::EdgeSet) compares all projects at once.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use oci::{Algorithm, Digest, Repository, Tag};
use wording::quoted;
use yaml::{Position, Span, YamlNode};

use crate::{DigestEntry, ImageEntry, Rule, problem::Problems};

/// Reads a list of images.
pub(crate) fn read(list: &YamlNode<'_>, problems: &mut Problems) -> Vec<ImageEntry> {
    let mut merged = Merged::default();
    let expected = "the images must be a list of `- name: …` with a `dmap`";
    for item in list.items(expected, problems).unwrap_or_default() {
        let expected = "an image must be a mapping with `name` and `dmap`";
        let Some([name, dmap]) = item.fields(expected, ["name", "dmap"], problems) else {
            continue;
        };
        let name = image_name(item, name, problems);
        let digests = dmap.map_or_else(Vec::new, |dmap| digests(dmap, problems));
        if let Some((name, position)) = name {
            merged.add(name, position, digests);
        }
    }
    merged.finish()
}

fn image_name(
    image: &YamlNode<'_>,
    name: Option<&YamlNode<'_>>,
    problems: &mut Problems,
) -> Option<(Repository, Position)> {
    let Some(node) = name else {
        problems.leave_out_entry(
            Rule::MissingName,
            image.span(),
            "this image has no `name`; add one",
        );
        return None;
    };
    let text = node.text("the `name` of an image must be text", problems)?;
    let name = parsed(
        text,
        "an image name",
        "correct it",
        (Rule::InvalidImageName, node.span()),
        problems,
    )?;
    Some((name, node.position()))
}

/// The digests of a `dmap`.
fn digests(dmap: &YamlNode<'_>, problems: &mut Problems) -> Vec<DigestEntry> {
    let expected = "`dmap` must map digests to lists of tags";
    let Some(entries) = dmap.mapping(expected, problems) else { return Vec::new() };
    entries.iter().filter_map(|[key, value]| digest(key, value, problems)).collect()
}

/// A digest with its tags. A digest whose tags are all invalid is left out, since it was not requested without a tag.
fn digest(
    key: &YamlNode<'_>,
    value: &YamlNode<'_>,
    problems: &mut Problems,
) -> Option<DigestEntry> {
    let expected = "the tags of a digest must be a list, such as `[\"1.0\"]`";
    let items = match value.present() {
        Some(list) => list.items(expected, problems)?,
        None => &[],
    };
    let tags: Vec<_> = items.iter().filter_map(|item| tag(item, problems)).collect();
    // A key that is not text was reported with the mapping.
    let text = key.scalar()?;
    let digest: Digest = parsed(
        text,
        "a digest",
        "copy it again from the source",
        (Rule::InvalidDigest, key.span()),
        problems,
    )?;
    if digest.algorithm() == Algorithm::Sha512 && !items.is_empty() {
        let message = "a sha512 digest cannot be promoted under a tag, since registries name what a \
                       tag is on by its sha256; write the image's sha256 digest";
        problems.leave_out_entry(Rule::Sha512WithTags, key.span(), message);
        return None;
    }
    let wanted = items.is_empty() || !tags.is_empty();
    wanted.then_some(DigestEntry { digest, tags, position: key.position() })
}

fn tag(node: &YamlNode<'_>, problems: &mut Problems) -> Option<(Tag, Position)> {
    let Some(node) = node.present() else {
        problems.leave_out_entry(Rule::EmptyTag, node.span(), "empty tag; write or remove it");
        return None;
    };
    let text = node.text("a tag must be text", problems)?;
    let tag =
        parsed(text, "a tag", "correct or remove it", (Rule::InvalidTag, node.span()), problems)?;
    Some((tag, node.position()))
}

/// `text` as a `T`. If it is not `what`, reports that with the `remedy`.
fn parsed<T: FromStr<Err: fmt::Display>>(
    text: &str,
    what: &str,
    remedy: &str,
    (rule, at): (Rule, Span),
    problems: &mut Problems,
) -> Option<T> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            problems.leave_out_entry(
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
    images: Vec<ImageEntry>,
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
            self.images.push(ImageEntry { name, position, digests: Vec::new() });
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
    fn finish(mut self) -> Vec<ImageEntry> {
        for entry in self.images.iter_mut().flat_map(|image| &mut image.digests) {
            let mut seen = HashSet::new();
            entry.tags.retain(|(tag, _)| seen.insert(tag.clone()));
        }
        self.images
    }
}
