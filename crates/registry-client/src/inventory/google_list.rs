//! Parses a page of `tags/list`, with the members that Google's registries add: every manifest of the repository
//! with its tags, and the repositories below.
//!
//! Pure and total: any bytes give a listing or an error. A string that is no tag, digest or repository name is
//! left out. Not here: whether the list is complete.
//!
//! Source: distribution-spec 1.1, "Listing Tags"; what `gcr.io` and `pkg.dev` respond with, as
//! go-containerregistry's `google` package reads it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    str::FromStr,
    time::{Duration, SystemTime},
};

use oci::{Digest, Repository, Tag, media_type};
use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::api::listing::present;

/// How many texts a page may have, names and values alike: 10,000 manifests have 14 each and a tag,
/// and this is ten times that. Nothing but texts takes memory here, some 50 bytes each besides
/// themselves.
const MAX_TEXTS: usize = 1_500_000;

/// A page of `tags/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The tags, in the registry's order.
    pub tags: Vec<Tag>,
    /// The number of entries, invalid ones included.
    pub tag_count: usize,
    /// The manifests, where the registry lists them.
    pub manifests: Option<BTreeMap<Digest, ListedManifest>>,
    /// The number of entries, those without a digest included.
    pub manifest_count: usize,
    /// The repositories below this one, relative to it.
    pub children: Vec<Repository>,
}

/// A manifest as a registry lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedManifest {
    /// Its media type, without parameters; empty if it is not listed.
    pub media_type: String,
    /// The size of the content that it lists, in bytes, as the registry computes it.
    pub image_size: Option<u64>,
    /// When the image was made, as its config says.
    pub created: Option<SystemTime>,
    /// When it was pushed.
    pub uploaded: Option<SystemTime>,
    /// The tags on it.
    pub tags: Vec<Tag>,
}

/// Reads a page of `tags/list`, plain or Google's.
///
/// # Errors
/// When it is not the JSON of a listing, or has too many texts.
pub fn read_listing(bytes: &[u8]) -> Result<Listing, serde_json::Error> {
    // Each text has two quotes, so there are no more of them than this.
    if bytes.iter().filter(|byte| **byte == b'"').count() / 2 > MAX_TEXTS {
        return Err(serde_json::Error::custom(format_args!("it has more than {MAX_TEXTS} texts")));
    }
    let page: GooglePage = serde_json::from_slice(bytes)?;
    // Other JSON, such as an error document, must not count as an empty repository.
    if !page.is_listing() {
        return Err(serde_json::Error::missing_field("tags"));
    }
    let (tags, manifests) = (page.tags.flatten().unwrap_or_default(), page.manifest);
    Ok(Listing {
        tags: tags.parsed,
        tag_count: tags.count,
        manifest_count: manifests.as_ref().map_or(0, |manifests| manifests.count),
        manifests: manifests.map(|manifests| manifests.parsed),
        children: page.child.unwrap_or_default().parsed,
    })
}

#[derive(Deserialize)]
struct GooglePage {
    /// `null` where CNCF distribution has no tags.
    #[serde(default, deserialize_with = "present")]
    tags: Option<Option<ParsedNames<Tag>>>,
    child: Option<ParsedNames<Repository>>,
    manifest: Option<ListedManifests>,
}

impl GooglePage {
    fn is_listing(&self) -> bool {
        let Self { tags, child, manifest } = self;
        tags.is_some() || child.is_some() || manifest.is_some()
    }
}

/// A list of names: the valid ones, and the number of all.
struct ParsedNames<T> {
    parsed: Vec<T>,
    count: usize,
}

impl<T> Default for ParsedNames<T> {
    fn default() -> Self {
        Self { parsed: Vec::new(), count: 0 }
    }
}

impl<'de, T: FromStr> Deserialize<'de> for ParsedNames<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ParsedNamesVisitor(PhantomData))
    }
}

struct ParsedNamesVisitor<T>(PhantomData<T>);

impl<'de, T: FromStr> Visitor<'de> for ParsedNamesVisitor<T> {
    type Value = ParsedNames<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ParsedNames<T>, A::Error> {
        let mut names = ParsedNames::default();
        // An entry that is not a string: this is not a list of names.
        while let Some(name) = list.next_element::<Cow<'de, str>>()? {
            names.count += 1;
            names.parsed.extend(name.parse().ok());
        }
        Ok(names)
    }
}

/// The member `manifest`.
#[derive(Default)]
struct ListedManifests {
    parsed: BTreeMap<Digest, ListedManifest>,
    count: usize,
}

impl<'de> Deserialize<'de> for ListedManifests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ListedManifestsVisitor)
    }
}

struct ListedManifestsVisitor;

impl<'de> Visitor<'de> for ListedManifestsVisitor {
    type Value = ListedManifests;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("manifests by their digests")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListedManifests, A::Error> {
        let mut manifests = ListedManifests::default();
        while let Some(Text(digest)) = map.next_key()? {
            let entry: GoogleManifest<'de> = map.next_value()?;
            manifests.count += 1;
            if let Some(digest) = digest.and_then(|digest| digest.parse().ok()) {
                manifests.parsed.insert(digest, entry.into());
            }
        }
        Ok(manifests)
    }
}

/// A value of the member `manifest`. Numbers are texts, and may be empty.
#[derive(Deserialize)]
struct GoogleManifest<'a> {
    #[serde(borrow, default, rename = "imageSizeBytes")]
    image_size: Text<'a>,
    #[serde(borrow, default, rename = "mediaType")]
    media_type: Text<'a>,
    #[serde(borrow, default, rename = "timeCreatedMs", alias = "timeCreatedms")]
    created: Text<'a>,
    #[serde(borrow, default, rename = "timeUploadedMs", alias = "timeUploadedms")]
    uploaded: Text<'a>,
    tag: Option<ParsedNames<Tag>>,
}

impl From<GoogleManifest<'_>> for ListedManifest {
    fn from(entry: GoogleManifest<'_>) -> Self {
        Self {
            media_type: media_type::essence(&entry.media_type.0.unwrap_or_default()).to_owned(),
            image_size: entry.image_size.0.and_then(|size| size.parse().ok()),
            created: entry.created.0.and_then(|time| at_millisecond(&time)),
            uploaded: entry.uploaded.0.and_then(|time| at_millisecond(&time)),
            tags: entry.tag.unwrap_or_default().parsed,
        }
    }
}

/// A time in milliseconds since 1970; before that where the config has no time (Go's year 1).
fn at_millisecond(text: &str) -> Option<SystemTime> {
    let milliseconds: i64 = text.parse().ok()?;
    let distance = Duration::from_millis(milliseconds.unsigned_abs());
    if milliseconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// A string or a number, as text; none for anything else.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(text.into())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Some(text.to_owned().into())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text<'de>, E> {
        Ok(Text(Some(number.to_string().into())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text<'de>, E> {
        Ok(Text(Some(number.to_string().into())))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Listing {
        read_listing(json.as_bytes()).expect(json)
    }

    fn tags(names: &[&str]) -> Vec<Tag> {
        names.iter().map(|name| name.parse().expect(name)).collect()
    }

    #[test]
    fn a_plain_page_has_tags_and_lists_no_manifests() {
        for (json, names, count) in [
            (r#"{"name":"a","tags":null}"#, &[][..], 0),
            (r#"{"tags":null}"#, &[], 0),
            (r#"{"name":"a","tags":["v1","w"]}"#, &["v1", "w"], 2),
            (r#"{"tags":[".no","\u0076"],"more":[{}]}"#, &["v"], 2),
            (r#"{"tags":["a"],"manifest":null,"child":null}"#, &["a"], 1),
        ] {
            let listing = read(json);
            assert_eq!((&listing.tags, listing.tag_count), (&tags(names), count), "{json}");
            assert_eq!((listing.manifests, listing.children), (None, vec![]), "{json}");
        }
    }

    #[test]
    fn googles_page_has_manifests_and_children() {
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let json = format!(
            r#"{{"name":"p/a","tags":["v1","latest"],"child":["sub","Not One"],"manifest":{{
                "{one}":{{"imageSizeBytes":"123","mediaType":"m/t; x=y","timeCreatedMs":"1700000000000",
                    "timeUploadedMs":"1700000000001","tag":["v1","latest"],"layerId":"x"}},
                "{two}":{{"imageSizeBytes":"","mediaType":"","timeCreatedms":"-62135596800000",
                    "timeUploadedMs":"","tag":[]}},
                "sha256:12":{{"tag":["v2"]}}}}}}"#
        );
        let listing = read(&json);
        assert_eq!(listing.children, ["sub".parse().expect("a name")]);
        assert_eq!((listing.tags.len(), listing.manifest_count), (2, 3));
        let manifests = listing.manifests.expect("manifests");
        assert_eq!(manifests.len(), 2);
        let at = |milliseconds| SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
        let first = ListedManifest {
            media_type: "m/t".into(),
            image_size: Some(123),
            created: Some(at(1_700_000_000_000)),
            uploaded: Some(at(1_700_000_000_001)),
            tags: tags(&["v1", "latest"]),
        };
        assert_eq!(manifests[&one], first);
        let year_one = SystemTime::UNIX_EPOCH - Duration::from_secs(62_135_596_800);
        let second = ListedManifest { created: Some(year_one), ..ListedManifest::default() };
        assert_eq!(manifests[&two], second);
    }

    #[test]
    fn what_a_manifest_lacks_is_not_reported() {
        let digest = Digest::sha256(b"1");
        for entry in [
            "{}",
            r#"{"imageSizeBytes":"x","timeCreatedMs":"1e3","timeUploadedMs":{"a":[1]},"tag":null}"#,
            r#"{"imageSizeBytes":-1,"timeCreatedMs":"99999999999999999999","mediaType":null}"#,
            r#"{"imageSizeBytes":1.5,"timeCreatedMs":true,"tag":[".no"]}"#,
        ] {
            let listing = read(&format!(r#"{{"manifest":{{"{digest}":{entry}}}}}"#));
            let manifests = listing.manifests.expect("manifests");
            assert_eq!(manifests[&digest], ListedManifest::default(), "{entry}");
        }
        let numbers = r#"{"imageSizeBytes":7,"timeCreatedMs":0}"#;
        let listing = read(&format!(r#"{{"manifest":{{"{digest}":{numbers}}}}}"#));
        let found = &listing.manifests.expect("manifests")[&digest];
        assert_eq!((found.image_size, found.created), (Some(7), Some(SystemTime::UNIX_EPOCH)));
    }

    #[test]
    fn what_is_no_listing_is_an_error() {
        let deep = format!(r#"{{"more":{}"#, "[".repeat(100_000));
        let errors = r#"{"errors":[]}"#;
        let other = [r#"{"tags":"a"}"#, r#"{"manifest":[]}"#, r#"{"name":"a"}"#, errors, &deep];
        let names = [r#"{"tags":[1]}"#, r#"{"tags":["a",null]}"#, r#"{"tags":[["a"]]}"#];
        let other = other.into_iter().chain(names);
        for json in ["", "<html>", "{}", "[]", "[1,2,3,4]"].into_iter().chain(other) {
            assert!(read_listing(json.as_bytes()).is_err(), "{json:.40}");
        }
        let long = format!(r#"{{"tags":[{}"a"]}}"#, r#""a","#.repeat(MAX_TEXTS));
        let error = read_listing(long.as_bytes()).expect_err("too many").to_string();
        assert_eq!(error, "it has more than 1500000 texts");
    }
}
