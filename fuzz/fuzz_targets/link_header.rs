//! `Link` headers: any text has a next page or none, and the target stands in it between `<` and `>`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_client::next_link;

fuzz_target!(|header: &str| {
    if let Some(target) = next_link(header) {
        assert!(!target.contains('>') && target.trim() == target);
        assert!(header.contains(target) && header.contains('<') && header.contains('>'));
    }
    // What comes first is found, whatever comes behind it.
    let first = format!("</v2/a?last=b>; rel=\"next\", {header}");
    assert_eq!(next_link(&first), Some("/v2/a?last=b"));
});
