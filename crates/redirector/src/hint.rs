//! What a text was probably meant as that is not the path of a request: an image's name, a whole URL, or a path with
//! a mistake. Pure. Only paths that the front serves are suggested.

use http::Method;
use oci::{Digest, DigestError};

use crate::route::{Route, route};

/// What people write before a name, from browsers and other tools.
const SCHEMES: [&str; 5] = ["https://", "http://", "docker://", "oci://", "//"];

/// What the API calls the kinds of things in a repository; what follows one is not part of an image's name.
const KINDS: [&str; 4] = ["manifests", "blobs", "tags", "referrers"];

/// What is written as a digest at the end of `text` but is none, and why.
pub(crate) fn bad_digest(text: &str) -> Option<(&str, DigestError)> {
    let (_, last) = text.trim().rsplit_once(['/', '@'])?;
    let is_meant = last.starts_with("sha256:") || last.starts_with("sha512:");
    is_meant.then(|| last.parse::<Digest>().err()).flatten().map(|error| (last, error))
}

/// The path that `text` probably means, if there is one.
pub(crate) fn hint(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
    let path = without_host(bare.unwrap_or(text));
    let rest = path.trim_matches('/');
    let below = rest.strip_prefix("v2/").unwrap_or(rest);
    let is_image = !text.starts_with('/') || below.contains([':', '@']) || below != rest;
    let is_endpoint = below.split('/').skip(1).any(|segment| KINDS.contains(&segment));
    let singular = [("/manifest/", "/manifests/"), ("/blob/", "/blobs/"), ("/tag/", "/tags/")];
    let plural = singular.iter().find_map(|(one, many)| {
        below.contains(one).then(|| format!("/v2/{}", below.replacen(one, many, 1)))
    });
    let candidates = [
        Some(format!("/{rest}")),
        Some(format!("/v2/{below}")),
        plural,
        below.ends_with("/tags").then(|| format!("/v2/{below}/list")),
        (is_image && !is_endpoint && below.parse::<Digest>().is_err()).then(|| manifest(below)),
    ];
    candidates.into_iter().flatten().find(|path| is_served(path))
}

/// The text behind the host, if there is one: a first segment with a dot or a colon, or `localhost`.
fn without_host(text: &str) -> &str {
    match text.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => text,
    }
}

/// The path of the manifest of an image `NAME[:TAG][@DIGEST]`.
fn manifest(image: &str) -> String {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, "latest"),
    };
    format!("/v2/{name}/manifests/{}", digest.unwrap_or(tag))
}

fn is_served(path: &str) -> bool {
    path.starts_with("/v2/")
        && path != "/v2/"
        && !matches!(route(&Method::GET, path, None), Route::Rejected(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_recognized() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let tag = Some("/v2/app/manifests/1.0".to_owned());
        for text in [
            "app:1.0",
            "/app:1.0",
            "/v2/app:1.0",
            "v2/app/manifests/1.0",
            "app/manifests/1.0",
            "/app/manifests/1.0",
            "/v2/app/manifests/1.0/",
            "/v2/app/manifest/1.0",
            " /v2/app/manifests/1.0",
            "//v2/app/manifests/1.0",
            "https://registry.example/v2/app/manifests/1.0",
            "http://localhost:5000/v2/app/manifests/1.0",
            "registry.example/app:1.0",
            "localhost:5000/app:1.0",
            "localhost/app:1.0",
            "docker://registry.example/app:1.0",
            "https://registry.example/app:1.0",
        ] {
            assert_eq!(hint(text), tag, "{text}");
        }
        for text in [format!("app@{digest}"), format!("registry.example/app:1.0@{digest}")] {
            assert_eq!(hint(&text), Some(format!("/v2/app/manifests/{digest}")), "{text}");
        }
        let blob = Some(format!("/v2/team/app/blobs/{digest}"));
        assert_eq!(hint(&format!("team/app/blobs/{digest}")), blob);
        assert_eq!(hint("team/app"), Some("/v2/team/app/manifests/latest".to_owned()));
        let tags = Some("/v2/app/tags/list".to_owned());
        assert_eq!(hint("/v2/app/tags"), tags);
        for text in
            ["/v2/app/manifests/", "/v2/app/blobs", "/v2/app/blobs/uploads/1", "/v2/app/referrers/"]
        {
            assert_eq!(hint(text), None, "{text}");
        }
        for text in ["", "/", "/token", "/v1/", "/v2/_catalog", "App:1.0", &digest, "a b", "/v2/%"]
        {
            assert_eq!(hint(text), None, "{text}");
        }
    }
}
