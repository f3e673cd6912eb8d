//! The nouns of the OCI specifications: any bytes are a manifest or an error, a manifest that is
//! printed and read again is the same one, and so is every name.

#![no_main]

use std::{fmt, str::FromStr};

use libfuzzer_sys::fuzz_target;
use oci::{Digest, Host, Manifest, Reference, RegistryPrefix, Repository, Tag, media_type};

fuzz_target!(|bytes: &[u8]| {
    for served_as in ["", "application/json", media_type::OCI_MANIFEST, media_type::OCI_INDEX] {
        match Manifest::parse(served_as, bytes) {
            Ok(manifest) => {
                check_manifest(served_as, &manifest);
                check_kind(&manifest, bytes);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(text) = str::from_utf8(bytes) {
        check_name::<Digest>(text);
        check_name::<Host>(text);
        check_name::<Reference>(text);
        check_name::<RegistryPrefix>(text);
        check_name::<Repository>(text);
        check_name::<Tag>(text);
    }
});

fn check_manifest(served_as: &str, manifest: &Manifest) {
    assert!(manifest.children().is_empty() || manifest.blobs().next().is_none());
    let printed = match manifest {
        Manifest::Image(image) => serde_json::to_vec(image),
        Manifest::Index(index) => serde_json::to_vec(index),
    };
    let again = Manifest::parse(served_as, &printed.expect("it prints")).expect("it reads again");
    assert_eq!(&again, manifest);
}

/// No program can take what was read as one kind for the other: the members of that are not there, in
/// whatever case.
fn check_kind(manifest: &Manifest, bytes: &[u8]) {
    // Members that are ignored may be nested too deeply, or have too large numbers, for a value.
    let Ok(content) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let others = match manifest {
        Manifest::Image(_) => &["manifests"][..],
        Manifest::Index(_) => &["config", "layers"],
    };
    for (name, value) in content.as_object().expect("an object") {
        let is_other = others.iter().any(|other| other.eq_ignore_ascii_case(name));
        assert!(!is_other || value.is_null(), "{name}");
    }
}

/// What parses prints as a text that parses to the same.
fn check_name<T: FromStr<Err: fmt::Display> + PartialEq + fmt::Debug + fmt::Display>(text: &str) {
    match text.parse::<T>() {
        Ok(name) => {
            let again = name.to_string().parse::<T>();
            assert!(again.is_ok_and(|again| again == name), "{text:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
