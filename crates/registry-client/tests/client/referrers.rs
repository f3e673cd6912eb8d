//! What refers to a digest, by the API and by the tag that stands in for it; and how a referrer gets
//! there.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use oci::{Descriptor, Digest, ImageIndex, media_type};
use registry::{Registry, RegistrySettings, Storage};
use registry_client::{
    IndexProblem, PointerRefusal, PutReferrer, RepositoryClient, RequestFault, Via,
};
use testkit::{Body, TestRegistry, TestServer, fixture, fixture::TestImage};

use crate::support::{ReceivedRequest, Scripted, at, client, digest, name, printed, reply, tag};

const SIGNATURE: &str = "application/vnd.example.signature+json";
const BILL: &str = "application/vnd.example.sbom";

/// A registry as the embedded one, but with habits of older ones.
pub(crate) struct Old {
    pub(crate) server: TestServer,
    /// The same registry, for the test itself.
    pub(crate) store: TestRegistry,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    habits: Habits,
    /// What others do at the next writes of an index.
    others: VecDeque<Others>,
    /// The index writes so far: `If-Match`, else `If-None-Match`.
    conditions: Vec<String>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Habits {
    pub(crate) has_api: bool,
    pub(crate) says_subject: bool,
    pub(crate) hides_etags: bool,
    pub(crate) ignores_conditions: bool,
}

/// Another client's write of the index, right before or after ours.
#[derive(Clone)]
enum Others {
    Before(Bytes),
    After(Bytes),
}

impl Old {
    pub(crate) async fn start(habits: Habits) -> Self {
        let settings =
            RegistrySettings { allow_missing_references: true, ..RegistrySettings::default() };
        let registry = Registry::with(Storage::memory(), settings, None);
        let script = Arc::new(Mutex::new(Script { habits, ..Script::default() }));
        let (behind, shared) = (registry.clone(), Arc::clone(&script));
        let server = TestServer::start(move |request: Request<Body>| {
            let (registry, script) = (behind.clone(), Arc::clone(&shared));
            async move { respond(&registry, &script, request).await }
        });
        Self { server: server.await, store: TestRegistry::over(registry).await, script }
    }

    fn let_others(&self, others: impl IntoIterator<Item = Others>) {
        self.script.lock().expect("the script").others.extend(others);
    }

    fn conditions(&self) -> Vec<String> {
        self.script.lock().expect("the script").conditions.clone()
    }

    fn repository(&self) -> RepositoryClient {
        at(&client(), &self.server.host())
    }

    /// The index of what refers to `subject`.
    async fn index(&self, subject: &TestImage) -> Vec<Descriptor> {
        let stored = at(&client(), &self.store.host()).manifest(&index_tag(subject)).await;
        let stored = stored.expect("an index");
        assert_eq!(stored.media_type, media_type::OCI_INDEX);
        serde_json::from_slice::<ImageIndex>(&stored.bytes).expect("an index").manifests
    }
}

async fn respond(
    registry: &Registry,
    script: &Mutex<Script>,
    mut request: Request<Body>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let is_index = request.method() == Method::PUT && path.contains("/manifests/sha256-");
    let (habits, others) = {
        let mut script = script.lock().expect("the script");
        if is_index {
            let headers = request.headers();
            let condition = headers.get(header::IF_MATCH).or(headers.get(header::IF_NONE_MATCH));
            let condition = condition.map_or("", |value| value.to_str().expect("ASCII"));
            script.conditions.push(condition.to_owned());
        }
        let others = if is_index { script.others.pop_front() } else { None };
        (script.habits, others)
    };
    if path.contains("/referrers/") && !habits.has_api {
        return reply(404, &["Content-Type: text/plain"], "404 page not found\n");
    }
    if habits.ignores_conditions {
        request.headers_mut().remove(header::IF_MATCH);
        request.headers_mut().remove(header::IF_NONE_MATCH);
    }
    if let Some(Others::Before(index)) = &others {
        put_index(registry, &path, index).await;
    }
    let mut response = registry.respond(request).await;
    if let Some(Others::After(index)) = &others {
        put_index(registry, &path, index).await;
    }
    if !habits.says_subject && !habits.has_api {
        response.headers_mut().remove("oci-subject");
    }
    if habits.hides_etags {
        response.headers_mut().remove(header::ETAG);
    }
    response
}

async fn put_index(registry: &Registry, path: &str, index: &Bytes) {
    let mut request = Request::new(Body::from(index.clone()));
    *request.method_mut() = Method::PUT;
    *request.uri_mut() = path.parse().expect("a path");
    let media_type = HeaderValue::from_static(media_type::OCI_INDEX);
    request.headers_mut().insert(header::CONTENT_TYPE, media_type);
    assert_eq!(registry.respond(request).await.status(), StatusCode::CREATED);
}

pub(crate) fn index_of(descriptors: &[Descriptor]) -> Bytes {
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": descriptors,
    });
    index.to_string().into()
}

pub(crate) fn index_tag(subject: &TestImage) -> oci::Reference {
    tag(&subject.digest().to_string().replace(':', "-"))
}

/// As a list of referrers has it.
pub(crate) fn listed(referrer: &TestImage) -> Descriptor {
    let manifest = oci::Manifest::parse(&referrer.descriptor.media_type, &referrer.bytes);
    let manifest = manifest.expect("a manifest");
    let mut descriptor = referrer.descriptor.clone();
    descriptor.artifact_type = manifest.artifact_type().map(str::to_owned);
    descriptor.annotations.clone_from(manifest.annotations());
    descriptor
}

pub(crate) async fn put(
    repository: &RepositoryClient,
    referrer: &TestImage,
) -> Result<PutReferrer, registry_client::Error> {
    repository
        .put_referrer(referrer.digest(), &referrer.descriptor.media_type, referrer.bytes.clone())
        .await
}

fn lines(server: &TestServer) -> Vec<String> {
    let requests = server.requests();
    requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.path_and_query))
        .collect()
}

fn sorted(mut descriptors: Vec<Descriptor>) -> Vec<Descriptor> {
    descriptors.sort_by_key(|descriptor| descriptor.digest);
    descriptors
}

/// A subject, two signatures of it and a bill of materials.
pub(crate) fn subject() -> (TestImage, [TestImage; 3]) {
    let subject = fixture::image(1, 2);
    let referrers = [(2, SIGNATURE), (3, SIGNATURE), (4, BILL)]
        .map(|(seed, kind)| fixture::referrer(seed, &subject.descriptor, kind));
    (subject, referrers)
}

#[tokio::test]
async fn a_registry_with_the_api_gets_one_request() {
    let registry = TestRegistry::start().await;
    let (subject, referrers) = subject();
    for image in referrers.iter().chain([&subject]) {
        registry.load("a", None, image).await;
    }
    let repository = at(&client(), &registry.host());
    let all = repository.referrers(&subject.digest(), None).await.expect("referrers");
    assert_eq!(all.via, Via::Api);
    assert_eq!(sorted(all.descriptors), sorted(referrers.iter().map(listed).collect()));
    let bills = repository.referrers(&subject.digest(), Some(BILL)).await.expect("referrers");
    assert_eq!(bills.descriptors, [listed(&referrers[2])]);
    let none = repository.referrers(&digest(), None).await.expect("none");
    assert_eq!((none.descriptors, none.via), (vec![], Via::Api));
    let path = format!("GET /v2/a/referrers/{}", subject.digest());
    let typed = format!("{path}?artifactType=application%2Fvnd.example.sbom");
    assert_eq!(lines(&registry), [path, typed, format!("GET /v2/a/referrers/{}", digest())]);
}

#[tokio::test]
async fn pages_are_followed_and_what_the_registry_did_not_filter_is_filtered() {
    let (_, referrers) = subject();
    let [one, two, bill] = referrers.each_ref().map(listed);
    let first = index_of(&[one.clone(), bill.clone()]);
    let second = index_of(&[bill, one.clone(), two.clone()]);
    for filters in [&[][..], &["OCI-Filters-Applied: artifactType"]] {
        let (first, second) = (first.clone(), second.clone());
        let server = Scripted::start(move |request: &ReceivedRequest| {
            let is_second = request.target.contains("page=2");
            let link = if is_second { "" } else { "<?page=2>; rel=next" };
            let kind = format!("Content-Type: {}", media_type::OCI_INDEX);
            // Only the second page says that it is filtered, if one does.
            let filters = if is_second { filters } else { &[] };
            let link = format!("Link: {link}");
            let headers = [&[&*kind, &*link], filters].concat();
            let body = if is_second { &second } else { &first };
            reply(200, &headers, std::str::from_utf8(body).expect("JSON"))
        })
        .await;
        let repository = at(&client(), &server.host);
        let signatures = repository.referrers(&digest(), Some(SIGNATURE)).await.expect("referrers");
        let kinds: Vec<_> = signatures.descriptors.iter().map(|found| found.digest).collect();
        if filters.is_empty() {
            assert_eq!(kinds, [one.digest, two.digest]);
        } else {
            assert_eq!(kinds.len(), 3, "a registry that filters is believed");
        }
        assert_eq!(server.lines().len(), 2);
        for request in server.received() {
            assert_eq!(request.header("accept"), media_type::OCI_INDEX);
        }
    }
}

#[tokio::test]
async fn pages_elsewhere_and_in_a_circle_are_refused() {
    for (link, refusal) in [
        ("<https://evil.example/v2/a/referrers/x>; rel=next", PointerRefusal::OtherHost),
        ("<>; rel=next", PointerRefusal::Loop),
    ] {
        let server = Scripted::start(move |_| {
            let kind = format!("Content-Type: {}", media_type::OCI_INDEX);
            let index = r#"{"schemaVersion":2,"manifests":[]}"#;
            reply(200, &[&kind, &format!("Link: {link}")], index)
        });
        let server = server.await;
        let error = at(&client(), &server.host).referrers(&digest(), None).await;
        let error = error.expect_err("a refusal");
        let RequestFault::NotFollowed { reason, .. } = error.fault() else { panic!("{error}") };
        assert_eq!(*reason, refusal);
    }
}

#[tokio::test]
async fn without_the_api_the_index_of_the_tag_is_read_and_that_is_cached() {
    let old = Old::start(Habits::default()).await;
    let (subject, referrers) = subject();
    let mut entries: Vec<_> = referrers.iter().map(listed).collect();
    entries.push(listed(&referrers[0]));
    let tag = index_tag(&subject);
    let path = format!("/v2/a/manifests/{tag}");
    let repository = old.repository();
    let put = repository.put_manifest(&tag, media_type::OCI_INDEX, index_of(&entries));
    put.await.expect("it is stored");
    old.server.clear_requests();
    let all = repository.referrers(&subject.digest(), None).await.expect("referrers");
    assert_eq!((&all.descriptors[..], all.via), (&entries[..3], Via::Tag), "each digest once");
    let bills = repository.referrers(&subject.digest(), Some(BILL)).await.expect("referrers");
    assert_eq!(bills.descriptors, [listed(&referrers[2])]);
    let probe = format!("GET /v2/a/referrers/{}", subject.digest());
    assert_eq!(lines(&old.server), [probe, format!("GET {path}"), format!("GET {path}")]);
    let none = repository.referrers(&digest(), None).await.expect("none");
    assert_eq!((none.descriptors, none.via), (vec![], Via::Tag));
}

#[tokio::test]
async fn which_refusals_mean_that_there_is_no_api() {
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"a is not known"}]}"#;
    let unsupported = r#"{"errors":[{"code":"UNSUPPORTED","message":"no"}]}"#;
    for (status, kind, body, means_none, is_remembered) in [
        (404, "text/plain", "404 page not found", true, true),
        (404, "application/json", unsupported, true, true),
        (404, "application/json", unknown, true, false),
        (405, "text/plain", "", true, true),
        (501, "text/plain", "", true, true),
        (400, "text/plain", "", true, false),
        (406, "text/plain", "", true, false),
        (200, "text/html; charset=utf-8", "<html>", true, false),
        (401, "text/plain", "", false, false),
        (403, "text/plain", "", false, false),
    ] {
        let server = Scripted::start(move |request: &ReceivedRequest| {
            if request.target.contains("/referrers/") {
                reply(status, &[&format!("Content-Type: {kind}")], body)
            } else {
                reply(404, &[], "")
            }
        });
        let server = server.await;
        let client = client();
        for _ in 0..2 {
            let requests = at(&client, &server.host).referrers(&digest(), None).await;
            assert_eq!(requests.is_ok(), means_none, "{status} {body}: {requests:?}");
        }
        let probes = server.count(|request| request.path_and_query.contains("/referrers/"));
        assert_eq!(probes, if is_remembered { 1 } else { 2 }, "{status} {body}");
        // The result is cached for this repository only.
        let other = client.repository(&server.host, &name("b"));
        assert_eq!(other.referrers(&digest(), None).await.is_ok(), means_none);
        let probes_of_b = server.count(|request| request.path_and_query.contains("/b/referrers/"));
        assert_eq!(probes_of_b, 1);
    }
}

#[tokio::test]
async fn what_is_no_index_is_an_error() {
    let image = fixture::image(1, 2);
    let text = String::from_utf8(image.bytes.to_vec()).expect("JSON");
    for (body, why) in [(text, "it is an image manifest"), ("{".into(), "it is not a well-formed")]
    {
        for (by_api, path) in [
            (true, format!("referrers/{}", digest())),
            (false, format!("manifests/{}", digest().to_string().replace(':', "-"))),
        ] {
            let body = body.clone();
            let server = Scripted::start(move |request: &ReceivedRequest| {
                match request.target.contains("/referrers/") && !by_api {
                    true => reply(404, &[], ""),
                    false => reply(200, &["Content-Type: application/json"], &body),
                }
            });
            let server = server.await;
            let error = at(&client(), &server.host).referrers(&digest(), None).await;
            let error = printed(&error.expect_err("no index"));
            let start = format!("GET http://{}/v2/a/{path}: ", server.host);
            let fault = error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}"));
            let start = format!("the response or tag is not an index of referrers: {why}");
            assert!(fault.starts_with(&start), "{fault}");
        }
    }
}

#[tokio::test]
async fn a_tag_that_is_taken_for_its_digest_lists_nothing_and_is_not_written() {
    let index = fixture::index(1, 2, 2);
    let referrer = fixture::referrer(2, &index.descriptor, SIGNATURE);
    let body = String::from_utf8(index.bytes.to_vec()).expect("JSON");
    let kind = format!("Content-Type: {}", media_type::OCI_INDEX);
    let server = Scripted::start(move |request: &ReceivedRequest| {
        match (&request.method, &*request.target) {
            (&Method::PUT, _) => reply(201, &[], ""),
            (_, target) if target.contains("/referrers/") => reply(404, &[], ""),
            (..) => reply(200, &[&kind], &body),
        }
    });
    let server = server.await;
    let repository = at(&client(), &server.host);
    let none = repository.referrers(&index.digest(), None).await.expect("none");
    assert_eq!(none.descriptors, []);
    let error = put(&repository, &referrer).await.expect_err("it cannot be listed");
    let RequestFault::NotListed { cause, .. } = error.fault() else { panic!("{error}") };
    let is_subject =
        matches!(cause.fault(), RequestFault::NotIndex { cause: IndexProblem::Subject });
    assert!(is_subject, "{error}");
    assert_eq!(server.count(|request| request.method == Method::PUT), 1);
}

#[tokio::test]
async fn a_registry_with_the_api_lists_by_itself_and_that_is_looked_at_once() {
    let old = Old::start(Habits { has_api: true, ..Habits::default() }).await;
    let (subject, referrers) = subject();
    let repository = old.repository();
    for referrer in &referrers {
        let done = put(&repository, referrer).await.expect("it is stored");
        let (digest, subject) = (referrer.digest(), subject.digest());
        assert_eq!(done, PutReferrer { digest, subject, via: Via::Api });
    }
    let put = |referrer: &TestImage| format!("PUT /v2/a/manifests/{}", referrer.digest());
    let [one, two, three] = referrers.each_ref().map(put);
    let look = format!("GET /v2/a/referrers/{}", subject.digest());
    assert_eq!(lines(&old.server), [one, look, two, three]);
    assert_eq!(
        repository.referrers(&subject.digest(), None).await.expect("3").descriptors.len(),
        3
    );
}

#[tokio::test]
async fn without_the_api_the_index_is_added_to() {
    for says_subject in [false, true] {
        let old = Old::start(Habits { says_subject, ..Habits::default() }).await;
        let (subject, referrers) = subject();
        let repository = old.repository();
        let mut expected = Vec::new();
        for referrer in &referrers {
            let done = put(&repository, referrer).await.expect("it is stored");
            assert_eq!(done.via, Via::Tag);
            expected.push(listed(referrer));
            assert_eq!(old.index(&subject).await, expected, "with artifact type and annotations");
        }
        let conditions = old.conditions();
        assert_eq!(conditions[0], "*");
        let etags: Vec<_> = expected[..2].iter().enumerate().collect();
        for (at, _) in etags {
            let before = Digest::sha256(&index_bytes(&expected[..=at]));
            assert_eq!(conditions[at + 1], format!("\"{before}\""));
        }
        // Again: it is there already, and nothing is written.
        old.server.clear_requests();
        put(&repository, &referrers[0]).await.expect("it is stored");
        let tag = index_tag(&subject);
        let again = [
            format!("PUT /v2/a/manifests/{}", referrers[0].digest()),
            format!("GET /v2/a/manifests/{tag}"),
        ];
        assert_eq!(lines(&old.server), again);
        let all = repository.referrers(&subject.digest(), None).await.expect("referrers");
        assert_eq!((all.descriptors, all.via), (expected, Via::Tag));
    }
}

/// An index as the client prints it.
fn index_bytes(descriptors: &[Descriptor]) -> Vec<u8> {
    let index: serde_json::Value = serde_json::from_slice(&index_of(descriptors)).expect("JSON");
    index.to_string().into()
}

#[tokio::test]
async fn a_lost_race_begins_anew_and_loses_nothing() {
    let (subject, [ours, theirs, before]) = subject();
    let both = index_of(&[listed(&before), listed(&theirs)]);
    let only_theirs = index_of(&[listed(&theirs)]);
    let honest = Habits::default();
    let ignorant = Habits { ignores_conditions: true, ..honest };
    let without_etags = Habits { hides_etags: true, ignores_conditions: true, ..honest };
    for (habits, others, writes) in [
        // 412, which shows what they wrote.
        (honest, Others::Before(both.clone()), 2),
        // They wrote over it, whatever our condition was; by what they knew, or by less.
        (honest, Others::After(both.clone()), 2),
        (ignorant, Others::After(both.clone()), 2),
        (ignorant, Others::After(only_theirs.clone()), 2),
        (without_etags, Others::After(both), 2),
        (without_etags, Others::After(only_theirs), 2),
    ] {
        let old = Old::start(habits).await;
        let repository = old.repository();
        put(&repository, &before).await.expect("it is stored");
        old.let_others([others]);
        put(&repository, &ours).await.expect("it is stored");
        let index = old.index(&subject).await;
        let expected = [&before, &theirs, &ours].map(listed).into();
        assert_eq!(sorted(index), sorted(expected));
        let conditions = old.conditions();
        assert_eq!(conditions.len(), 1 + writes);
        assert_eq!(conditions[1].is_empty(), habits.hides_etags, "{conditions:?}");
    }
}

#[tokio::test]
async fn a_race_that_is_always_lost_ends() {
    let (_, [ours, theirs, _]) = subject();
    let old = Old::start(Habits { hides_etags: true, ..Habits::default() }).await;
    old.let_others(vec![Others::After(index_of(&[listed(&theirs)])); 6]);
    let error = put(&old.repository(), &ours).await.expect_err("it is lost");
    assert_eq!(old.conditions().len(), 5);
    assert!(error.is_transient(), "{error}");
    let text = printed(&error);
    let start = format!("PUT {}/v2/a/manifests/{}: ", old.server.url(), ours.digest());
    let listed = "the manifest is stored, but not listed among the referrers: PUT";
    assert!(text.starts_with(&format!("{start}{listed}")), "{text}");
    assert!(
        text.ends_with(": another client changed it during each of 5 attempts; run again"),
        "{text}"
    );
}

#[tokio::test]
async fn a_write_whose_response_is_lost_is_verified() {
    let (subject, [ours, ..]) = subject();
    let old = Old::start(Habits::default()).await;
    old.server.fail(testkit::Fault::on(Method::PUT, "/manifests/sha256-").lose_response().times(1));
    put(&old.repository(), &ours).await.expect("it is stored");
    assert_eq!(old.index(&subject).await, [listed(&ours)]);
}

#[tokio::test]
async fn a_tag_on_something_else_is_reported_and_stays() {
    let (subject, [ours, ..]) = subject();
    let old = Old::start(Habits::default()).await;
    let tag = index_tag(&subject);
    old.store.load("a", &*tag.to_string(), &fixture::image(9, 2)).await;
    let error = put(&old.repository(), &ours).await.expect_err("no index");
    let text = printed(&error);
    let put = format!(
        "PUT {}/v2/a/manifests/{}: the manifest is stored, but not listed among the referrers: GET ",
        old.server.url(),
        ours.digest()
    );
    assert!(text.starts_with(&put), "{text}");
    let why =
        format!("{tag}: the response or tag is not an index of referrers: it is an image manifest");
    assert!(text.ends_with(&why), "{text}");
    assert!(!error.is_transient() && !error.is_not_found());
    assert_eq!(
        old.store.digest_of("a", &tag.to_string()).await,
        Some(fixture::image(9, 2).digest())
    );
    let stored = old.store.digest_of("a", &ours.digest().to_string()).await;
    assert_eq!(stored, Some(ours.digest()));
}

#[tokio::test]
async fn what_refers_to_nothing_is_not_sent() {
    let old = Old::start(Habits::default()).await;
    let repository = old.repository();
    let error = printed(&put(&repository, &fixture::image(1, 2)).await.expect_err("no subject"));
    assert!(error.ends_with(": the manifest has no `subject`"), "{error}");
    let garbage = repository
        .put_referrer(Digest::sha256(b"{"), media_type::OCI_MANIFEST, Bytes::from_static(b"{"))
        .await;
    let error = printed(&garbage.expect_err("no manifest"));
    assert!(
        error.contains(": the manifest has no `subject` that can be read: it is not a well-formed"),
        "{error}"
    );
    assert_eq!(lines(&old.server), [""; 0]);
}
