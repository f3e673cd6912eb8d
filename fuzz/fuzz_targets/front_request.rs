//! Requests to the front: any path, query and `X-Forwarded-For` get a response, and a redirect leads
//! nowhere but below the configured bases.

#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, LazyLock},
};

use http::Request;
use libfuzzer_sys::fuzz_target;
use redirector::{Config, Front, Outbound};
use tokio::runtime::{Builder, Runtime};

/// No stores: nothing is requested over the network.
const CONFIG: &str = "upstream: {endpoint: \"https://up.example\", path: images}\n\
                      canonical_upstream: {endpoint: \"https://canon.example\"}\n";

static FRONT: LazyLock<(Arc<Front>, Runtime)> = LazyLock::new(|| {
    let config = Config::from_yaml("fuzz", CONFIG).expect("it is valid");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    (
        Arc::new(Front::new(
            &Outbound::new(Default::default(), Default::default()),
            config,
            Default::default(),
        )),
        runtime,
    )
});

fuzz_target!(|parts: (&str, &[u8])| {
    let (target, forwarded) = parts;
    let request = Request::get(target).header("x-forwarded-for", forwarded).body(());
    let Ok(request) = request else { return };
    let (front, runtime) = &*FRONT;
    let response = runtime.block_on(front.respond(IpAddr::V4(Ipv4Addr::LOCALHOST), request));
    let Some(location) = response.headers().get("location") else { return };
    // The query goes on byte for byte, and need not be ASCII.
    let path = location.as_bytes().split(|byte| *byte == b'?').next().expect("there is a first");
    let path = str::from_utf8(path).ok().filter(|path| path.is_ascii()).expect("it is ASCII");
    let below = path
        .strip_prefix("https://up.example/v2/images/")
        .or_else(|| path.strip_prefix("https://canon.example/v2/"));
    let below = below.unwrap_or_else(|| panic!("outside: {location:?}"));
    assert!(below.split('/').all(|part| !matches!(part, "" | "." | "..")), "{location:?}");
});
