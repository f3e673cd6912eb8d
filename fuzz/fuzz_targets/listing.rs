//! Pages of `tags/list`: any bytes are a listing or an error, no more comes out than stands there, and the
//! members that a list may have besides change nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_client::read_listing;

fuzz_target!(|bytes: &[u8]| {
    let listing = match read_listing(bytes) {
        Ok(listing) => listing,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(listing.tags.len() <= listing.tag_count);
    let manifests = listing.manifests.as_ref();
    assert!(manifests.map_or(0, |manifests| manifests.len()) <= listing.manifest_count);
    let texts = bytes.iter().filter(|byte| **byte == b'"').count() / 2;
    let tags_on = manifests.into_iter().flatten().map(|(_, listed)| listed.tags.len());
    assert!(listing.manifest_count + listing.children.len() <= texts);
    // A tag may be a number without quotes.
    assert!(listing.tag_count + tags_on.sum::<usize>() <= bytes.len());
    // As the first member of an object, whose others are as they were.
    if bytes.trim_ascii_start().starts_with(b"{") {
        let rest = &bytes.trim_ascii_start()[1..];
        let comma: &[u8] = if rest.trim_ascii_start().starts_with(b"}") { b"" } else { b"," };
        let with_more = [br#"{"x-more":[{"tags":["no"]}]"#, comma, rest].concat();
        assert_eq!(read_listing(&with_more).expect("it was one before"), listing);
    }
});
