//! A front that is being served, with clients from known places.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use cloud_ranges::{Location, Prefix, Ranges};
use http::{Method, Request, Response};
use http_client::{Proxies, TlsSettings};
use oci::{Digest, Host};
use redirector::{Config, Front, Outbound, serve};
use testkit::{Body, TestBucket};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::schema;

/// Where the test clients are.
pub(crate) const PARIS: &str = "35.180.1.1";
pub(crate) const PARIS_V6: &str = "2600:1f01:4874::47";
pub(crate) const OHIO: &str = "3.128.0.1";
pub(crate) const GCP: &str = "35.220.26.1";
pub(crate) const NOWHERE: &str = "203.0.113.9";

/// What a front with prefix `up` redirects to.
pub(crate) const UPSTREAM: &str = "https://up.example/v2/prod/images/";
pub(crate) const CANONICAL: &str = "https://canonical.example/v2/prod/all/";

/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct TestFront {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) front: Arc<Front>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Serves this configuration, in the world of the test clients.
pub(crate) async fn start(yaml: &str) -> TestFront {
    let config = Config::from_yaml("test.yaml", yaml).unwrap();
    schema::assert_accepted(yaml);
    serve_config(config).await
}

pub(crate) async fn serve_config(config: Config) -> TestFront {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, admin_address) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let front = Arc::new(Front::new(&outbound(), config, world()));
    let serving = tokio::spawn(serve(Arc::clone(&front), listener, Some(admin), async {
        let _ = stopped.await;
    }));
    TestFront { address, admin: admin_address, front, stop: Some(stop), serving }
}

/// The front's own client, without proxies.
pub(crate) fn outbound() -> Outbound {
    Outbound::new(TlsSettings::none(), Proxies::default())
}

pub(crate) fn world() -> Ranges {
    let prefixes = [
        ("35.180.0.0/16", "aws", "eu-west-3"),
        ("2600:1f01:4874::/47", "aws", "eu-west-3"),
        ("3.128.0.0/15", "aws", "us-east-2"),
        ("35.220.26.0/24", "gcp", "asia-east2"),
    ];
    Ranges::new(prefixes.map(|(net, cloud, region)| Prefix {
        net: net.parse().unwrap(),
        location: Location { cloud: cloud.into(), region: region.into() },
    }))
}

/// The configuration of most tests: a store for Paris, and more lines.
pub(crate) fn yaml(paris: &TestBucket, more: &str) -> String {
    format!(
        r"
info_url: https://info.example/about?x=1
privacy_url: https://privacy.example/
upstream: {{endpoint: https://up.example, path: prod/images}}
canonical_upstream: {{endpoint: https://canonical.example, path: prod/all}}
keep_upstream: [gcp]
stores:
  - {{name: paris, url: '{}', serves: [{{cloud: aws, regions: [eu-west-3]}}]}}
{more}",
        paris.url()
    )
}

/// A blob that the bucket has.
pub(crate) fn put(bucket: &TestBucket, content: &str) -> Digest {
    let digest = Digest::sha256(content.as_bytes());
    bucket.put(&format!("containers/images/{digest}"), content.to_owned());
    digest
}

/// Where the bucket has a blob.
pub(crate) fn at(bucket: &TestBucket, digest: &Digest) -> String {
    format!("{}/containers/images/{digest}", bucket.url())
}

pub(crate) fn blob(digest: &Digest) -> String {
    format!("/v2/pause/blobs/{digest}")
}

/// Where a blob is upstream.
pub(crate) fn upstream(digest: &Digest) -> String {
    format!("{UPSTREAM}pause/blobs/{digest}")
}

impl TestFront {
    fn host(&self) -> Host {
        self.address.to_string().parse().unwrap()
    }

    /// A request from a client at `client`, through a balancer on this machine.
    pub(crate) async fn ask(&self, method: Method, path: &str, client: &str) -> Response<Bytes> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("X-Forwarded-For", format!("{client}, 10.0.0.1"));
        testkit::send(&self.host(), request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, client: &str) -> Response<Bytes> {
        self.ask(Method::GET, path, client).await
    }

    /// Where a blob is, for a client.
    pub(crate) async fn find(&self, digest: &Digest, client: &str) -> String {
        location(&self.get(&blob(digest), client).await)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Bytes> {
        testkit::send(&self.host(), request).await.unwrap()
    }

    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let host = self.admin.to_string().parse().unwrap();
        let response = testkit::get(&host, path).await.unwrap();
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    /// The value of a metric, with its labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.admin("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Begins the end.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the front has ended.
    pub(crate) async fn ended(&mut self) {
        within((&mut self.serving).into_future()).await.unwrap().unwrap();
    }
}

impl Drop for TestFront {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The Location of a 307.
pub(crate) fn location(response: &Response<Bytes>) -> String {
    assert_eq!(response.status(), 307, "{response:?}");
    response.headers()["location"].to_str().unwrap().to_owned()
}

/// The value of `future`, which a broken front would never give.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

/// Waits until `condition` holds, and yields to other tasks meanwhile.
pub(crate) async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    within(async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
