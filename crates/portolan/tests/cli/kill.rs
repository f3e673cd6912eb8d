//! `kill -9` at any moment costs only time.

use testkit::{TestRegistry, fixture};

use crate::harness::{Thin, entry, portolan, run};

#[tokio::test]
async fn a_promotion_killed_anywhere_is_finished_by_the_next() {
    let images: Vec<_> = (0..4).map(|seed| fixture::index(seed, 2, 3)).collect();
    for reached in (1..).step_by(7) {
        let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
        let mut list = String::new();
        for (n, image) in images.iter().enumerate() {
            staging.load(&format!("team/app{n}"), None, image).await;
            list += &entry(&format!("app{n}"), image, &["v1", "stable"]);
        }
        let thin = Thin::new().project(
            "team",
            &staging.prefix("team"),
            &production.prefix("images"),
            &list,
        );
        let arguments =
            ["promote", "--thin-manifest-dir", thin.path(), "--output", "json", "--confirm"];
        let mut child = portolan(&arguments).spawn().expect("it starts");
        let killed = tokio::select! {
            biased;
            () = writes(&production, reached) => true,
            _ = child.wait() => false,
        };
        child.kill().await.expect("it can be killed");
        for (n, image) in images.iter().enumerate() {
            let name = format!("images/app{n}");
            if !production.tags(&name).await.is_empty() {
                assert!(production.holds(&name, image).await, "a tag without its content");
            }
        }
        let report = run(&arguments).await.expect(0).json();
        assert_eq!(report["summary"]["edges"], 8);
        for (n, image) in images.iter().enumerate() {
            assert!(production.holds(&format!("images/app{n}"), image).await);
            assert_eq!(production.tags(&format!("images/app{n}")).await, ["stable", "v1"]);
        }
        if !killed {
            assert!(reached > 50, "it was killed too rarely to show anything");
            return;
        }
    }
}

async fn writes(registry: &TestRegistry, count: usize) {
    while registry.count(|it| !matches!(it.method.as_str(), "GET" | "HEAD")) < count {
        tokio::task::yield_now().await;
    }
}
