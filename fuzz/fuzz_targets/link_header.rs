//! `Link` headers: any text has a next page, or none, or is malformed; and the target stands in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_client::next_link;

fuzz_target!(|header: &str| {
    if let Ok(Some(target)) = next_link(header) {
        assert!(!target.contains('>') && target.trim() == target);
        assert!(header.contains(target));
    }
    // What comes first is found, whatever comes behind it.
    let first = format!("</v2/a?last=b>; rel=\"next\", {header}");
    assert_eq!(next_link(&first), Ok(Some("/v2/a?last=b")));
});
