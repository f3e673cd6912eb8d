//! What a run costs and will cost, which credentials it uses, and what the public name serves.

use std::collections::BTreeMap;

use credentials::{Credential, Credentials};
use http::Method;
use job::{
    Confirm::{DryRun, Write},
    Silent,
};
use oci::Host;
use promoter::{
    Clients, Desired, Ending, HostEstimate, OutcomeKind, PromotionSettings, PublicName,
    report::{JsonReport, Show, WordsReport},
};
use promotion_manifest::{EdgeSet, Selection};
use registry_client::{Quota, RegistryClient};
use testkit::{Fault, TestRegistry, fixture};
use wording::Width;

use crate::harness::{TestRegistries, bare, client, entry, manifest};

async fn promote(client: &RegistryClient, edges: &EdgeSet, settings: &PromotionSettings) -> Ending {
    let (_stopper, stop) = job::stop();
    let mut report = JsonReport::new(Vec::new(), Show::Everything);
    let clients = Clients::new(client.clone());
    let selection = Selection::all(edges);
    let desired = Desired { edges, selection: &selection, problems: &[] };
    let ended = promoter::promote(clients, desired, settings, &stop, &Silent, &mut report);
    ended.await.expect("the report is written to memory")
}

/// The requests to a host: reads, writes, and the bytes that were sent.
fn usage(ending: &Ending, host: &Host) -> [u64; 3] {
    let found = ending.hosts.iter().find(|usage| usage.host == host.as_str());
    found.map(|usage| [usage.reads, usage.writes, usage.bytes_sent]).unwrap_or_default()
}

#[tokio::test]
async fn the_plan_says_what_carrying_it_out_will_cost() {
    let registries = TestRegistries::open().await;
    let mut images = String::new();
    let mut all = Vec::new();
    for n in 0..3 {
        let image = fixture::index(n, 3, 3);
        registries.staging.load(&format!("staging/team/app{n}"), None, &image).await;
        images += &entry(&format!("app{n}"), &image, &["v1", "v2"]);
        all.push(image);
    }
    // One that is there, and lacks a tag.
    let there = fixture::image(9, 1);
    for registry in &registries.production {
        registry.load("images/old", None, &there).await;
    }
    images += &entry("old", &there, &["v1"]);
    let edges = EdgeSet::new(vec![registries.project("team", &images)]);
    let planned = promote(&client(), &edges, &bare(DryRun)).await;
    let estimate = planned.estimate.clone().expect("an estimate");
    assert!(estimate.time().is_zero(), "there is no quota");
    let done = promote(&client(), &edges, &bare(Write)).await;
    assert!(done.all_holds() && done.estimate.is_none());
    for registry in registries.production.iter().chain([&registries.staging]) {
        let host = registry.host();
        let estimated =
            estimate.hosts.iter().find(|it| it.host == host).expect("all three are estimated");
        let (plan, all) = (usage(&planned, &host), usage(&done, &host));
        let [reads, writes, _] = [0, 1, 2].map(|at| all[at] - plan[at]);
        // The staging registry's manifests are kept from the plan.
        assert!(
            reads <= estimated.reads && estimated.reads <= reads + reads / 4,
            "{reads} of {estimated:?}"
        );
        assert!(
            writes <= estimated.writes && estimated.writes <= writes + writes / 4,
            "{writes} of {estimated:?}"
        );
    }
    let blobs: BTreeMap<_, _> = all
        .iter()
        .flat_map(|image| image.children.iter().flat_map(|child| &child.blobs))
        .map(|blob| (blob.descriptor.digest, blob.descriptor.size))
        .collect();
    let bytes: u64 = blobs.values().sum();
    let [first, second] = registries.production.each_ref().map(|it| {
        estimate
            .hosts
            .iter()
            .find(|estimated| estimated.host == it.host())
            .expect("it is estimated")
    });
    assert_eq!((first.bytes_sent, second.bytes_sent), (bytes, bytes));
    let staging = estimate.hosts.iter().find(|it| it.host == registries.staging.host());
    assert_eq!(staging.expect("it is estimated").bytes_received, bytes);
}

/// Of each host: reads, writes, bytes that are received, and bytes that are sent.
fn estimated(ending: &Ending) -> BTreeMap<Host, [u64; 4]> {
    let hosts = ending.estimate.iter().flat_map(|estimate| &estimate.hosts);
    let of = |it: &HostEstimate| [it.reads, it.writes, it.bytes_received, it.bytes_sent];
    hosts.map(|it| (it.host.clone(), of(it))).collect()
}

#[tokio::test]
async fn the_estimate_does_not_count_edges_that_are_refused() {
    let registries = TestRegistries::open().await;
    let [image, signature, refused] = [1, 2, 3].map(|seed| fixture::image(seed, 3));
    let referrer = fixture::referrer(4, &image.descriptor, "a/b");
    let stem = format!("sha256-{}", image.digest().hex());
    let sig = format!("{stem}.sig");
    for (tag, image) in
        [(None, &image), (None, &referrer), (Some(&*sig), &signature), (None, &refused)]
    {
        registries.staging.load("staging/team/app", tag, image).await;
    }
    for registry in &registries.production {
        registry.fail(Fault::on(Method::GET, "/referrers/").status(404));
        registry.load("images/app", "old", &fixture::image(5, 1)).await;
    }
    let wanted = entry("app", &image, &["v1", "v2"]);
    let plan = async |images: &str| {
        let edges = EdgeSet::new(vec![registries.project("team", images)]);
        promote(&client(), &edges, &PromotionSettings::new(DryRun)).await
    };
    let expected = plan(&wanted).await;
    assert_eq!(expected.summary.edges(), 4);
    for (tag, of) in [(&*sig, "a signature"), (&*stem, "referrers"), ("old", "a tag that exists")] {
        let planned = plan(&(wanted.clone() + &entry("app", &refused, &[tag]))).await;
        assert_eq!(planned.summary.count(OutcomeKind::Refused), 2, "{of}");
        assert_eq!(estimated(&planned), estimated(&expected), "{of}");
    }
    // Both entries of a conflict are refused.
    let conflict = entry("app", &refused, &["v3"]) + &entry("app", &signature, &["v3"]);
    let planned = plan(&(wanted.clone() + &conflict)).await;
    assert_eq!(planned.summary.count(OutcomeKind::Refused), 4);
    assert_eq!(estimated(&planned), estimated(&expected));
    // The other edges of a digest are promoted, although one of them is refused.
    let partly = plan(&(wanted.clone() + &entry("app", &refused, &[&sig, "v3"]))).await;
    let whole = plan(&(wanted.clone() + &entry("app", &refused, &["v3"]))).await;
    assert_eq!(partly.summary.count(OutcomeKind::Refused), 2);
    assert_eq!(estimated(&partly), estimated(&whole));
}

#[tokio::test]
async fn the_quotas_say_how_long_it_takes_at_best() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &image, &["v1"]))]);
    let host = registries.production[0].host();
    let quota = Quota { requests_per_second: Some(100.0), ..Quota::default() };
    let client = RegistryClient::builder().quota(host.clone(), quota).build();
    let (_stopper, stop) = job::stop();
    let mut out = Vec::new();
    let mut report = WordsReport::new(&mut out, Show::Changes, Width::Unlimited);
    let (clients, settings) = (Clients::new(client), bare(DryRun));
    let selection = Selection::all(&edges);
    let desired = Desired { edges: &edges, selection: &selection, problems: &[] };
    let ended = promoter::promote(clients, desired, &settings, &stop, &Silent, &mut report);
    let estimate = ended.await.expect("memory").estimate.expect("an estimate");
    let estimated = estimate.hosts.iter().find(|it| it.host == host).expect("it is estimated");
    let seconds = (estimated.reads + estimated.writes) as f64 / 100.0;
    assert!((estimated.time.as_secs_f64() - seconds).abs() < 0.02, "{estimated:?}");
    assert_eq!(estimate.time(), estimated.time);
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.contains("\nA confirmed run will cost about\n"), "{text}");
    assert!(text.contains("\n  not counted: reading the registries again, "), "{text}");
    assert!(text.contains("and take at least 1 s, given the quotas"), "{text}");
}

#[tokio::test]
async fn each_registry_is_spoken_to_as_its_service_account() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let to = registries.production.each_ref().map(|registry| registry.prefix("images"));
    let plain = manifest(
        "team",
        &registries.staging.prefix("staging/team"),
        &to,
        &entry("app", &image, &["v1"]),
    );
    let mut project = plain.clone();
    project.destinations[0].service_account = Some("pusher@example".to_owned());
    // The first registry responds with a challenge, and accepts only requests with credentials.
    let realm = "Basic realm=\"x\"";
    let asking = Fault::everywhere("/v2/").status(401).header("www-authenticate", realm);
    registries.production[0].fail(asking.unless_authorized());
    let base = client();
    let host = registries.production[0].host();
    let credential = Credential::Basic { user: "u".to_owned(), password: "p".to_owned().into() };
    let credentials = Credentials::builder().with(&host, credential).build();
    for (project, expected) in [(plain, (1, 1)), (project, (1, 0))] {
        let mut clients = Clients::new(base.clone());
        clients.act_as("pusher@example".to_owned(), base.acting_as(credentials.clone()));
        let (_stopper, stop) = job::stop();
        let mut report = JsonReport::new(Vec::new(), Show::Everything);
        let edges = EdgeSet::new(vec![project]);
        let settings = PromotionSettings::new(Write);
        let selection = Selection::all(&edges);
        let desired = Desired { edges: &edges, selection: &selection, problems: &[] };
        let ended = promoter::promote(clients, desired, &settings, &stop, &Silent, &mut report);
        let ended = ended.await.expect("memory");
        let failed = ended.summary.count(OutcomeKind::Failed);
        assert_eq!((ended.summary.edges() - 1, failed), expected);
    }
    assert!(registries.production[0].holds("images/app", &image).await);
    assert!(
        base.usage().iter().any(|usage| usage.host == host.as_str() && usage.writes > 0),
        "counted together"
    );
}

#[tokio::test]
async fn a_tag_that_the_public_name_does_not_serve_is_named() {
    let registries = TestRegistries::open().await;
    let (fine, gone, half) = (fixture::index(1, 2, 2), fixture::image(2, 1), fixture::image(3, 1));
    let mut images = String::new();
    for (name, image) in [("fine", &fine), ("gone", &gone), ("half", &half)] {
        registries.staging.load(&format!("staging/team/{name}"), None, image).await;
        images += &entry(name, image, &["v1"]);
    }
    // Its names are those below the shortest destination path.
    let public = TestRegistry::start().await;
    public.load("k/fine", "v1", &fine).await;
    public.load("k/half", "v1", &half).await;
    let blob = half.blobs[1].descriptor.digest;
    public.fail(Fault::everywhere(&format!("/blobs/{blob}")).status(404));
    let from = registries.staging.prefix("staging/team");
    let production = &registries.production[0];
    let projects = vec![
        manifest("root", &from, &[production.prefix("images")], "[]"),
        manifest("team", &from, &[production.prefix("images/k")], &images),
    ];
    let edges = EdgeSet::new(projects);
    let name = PublicName { client: client(), host: public.host() };
    let settings = PromotionSettings { verify_through: Some(name), ..bare(Write) };
    let ended = promote(&client(), &edges, &settings).await;
    assert!(ended.summary.all_holds() && !ended.all_holds());
    let reported: Vec<_> =
        ended.public_name_failures.iter().map(|it| (it.name.clone(), it.digest)).collect();
    let at = |name: &str| format!("{}/k/{name}:v1", public.host());
    assert_eq!(reported, [(at("gone"), gone.digest()), (at("half"), half.digest())]);
    assert!(
        ended.public_name_failures[0].reason.to_string().contains("404"),
        "{:?}",
        ended.public_name_failures
    );
    assert!(
        ended.public_name_failures[1]
            .reason
            .to_string()
            .contains(&format!("blob {blob} is not found"))
    );
    // What was present already was not written, and is not requested.
    public.clear_requests();
    let again = promote(&client(), &edges, &settings).await;
    assert!(again.all_holds() && public.requests().is_empty());
}
