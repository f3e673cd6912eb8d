//! What refuses us: `WWW-Authenticate` headers, and the error bodies behind them. Any text is challenges or
//! none, with nothing in them that was not there; any bytes are an error body or not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::ErrorBody;
use registry_client::read_challenges;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(bytes) {
        assert!(body.errors.len() <= bytes.len());
    }
    let Ok(header) = std::str::from_utf8(bytes) else { return };
    let lower = header.to_ascii_lowercase();
    for challenge in read_challenges(header) {
        assert!(!challenge.scheme.is_empty() && lower.contains(&challenge.scheme));
        for name in ["realm", "service", "scope", "error"] {
            let value = challenge.parameter(name).unwrap_or_default();
            // Without its escapes a value is no longer than it was.
            assert!(value.len() <= header.len());
            assert!(header.contains('\\') || header.contains(value), "{name}");
        }
    }
    // What comes first is found, whatever comes behind it.
    let first = format!("Bearer realm=\"https://a/b\",service=\"c\", {header}");
    let challenges = read_challenges(&first);
    assert_eq!(challenges[0].scheme, "bearer");
    assert_eq!(challenges[0].parameter("realm"), Some("https://a/b"));
});
