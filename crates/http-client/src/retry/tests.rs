//! The rows of "Retries".

use http::{HeaderValue, StatusCode};

use super::*;
use crate::TransportError;

const SECOND: Duration = Duration::from_secs(1);

fn headers(retry_after: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(text) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).expect(text));
    }
    headers
}

fn respond(status: u16, retry_after: Option<&str>) -> FailureClass {
    let status = StatusCode::from_u16(status).expect("a status");
    FailureClass::of_status(
        status,
        super::retry_after(&headers(retry_after), SystemTime::UNIX_EPOCH),
    )
}

fn next(class: FailureClass, replay: Replay) -> &'static str {
    match Retries::default().next(class, replay, SoFar::default(), 0.5) {
        Next::GiveUp => "give up",
        Next::Again { .. } => "again",
        Next::Throttled { .. } => "throttled",
        Next::Resend { .. } => "resend",
    }
}

#[test]
fn a_retry_after_is_seconds_or_a_date() {
    // Sun, 06 Nov 1994 08:49:37 GMT
    let now = SystemTime::UNIX_EPOCH + 784_111_777 * SECOND;
    for (text, seconds) in [
        ("0", None),
        ("120", Some(120)),
        (" 120 ", Some(120)),
        ("0007", Some(7)),
        ("99999999999999999999999999", Some(u64::MAX)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
        ("Sun Nov  6 08:50:37 1994", Some(60)),
        ("Sun, 06 Nov 1994 08:49:36 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Mon, 06 Nov 1994 08:50:37 GMT", None),
        ("Sun, 06 Nov 1994 08:50:37", None),
        ("Sun, 06 Nov 1994 08:50:37 CET", None),
        ("Sun, 32 Nov 1994 08:50:37 GMT", None),
        ("Sunday, ", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1 s", None),
        ("soon", None),
        ("", None),
    ] {
        let said = retry_after(&headers(Some(text)), now);
        assert_eq!(said, seconds.map(Duration::from_secs), "{text:?}");
    }
    assert_eq!(retry_after(&headers(None), now), None);
    let opaque = HeaderValue::from_bytes(b"\xff").expect("a value");
    let opaque = HeaderMap::from_iter([(header::RETRY_AFTER, opaque)]);
    assert_eq!(retry_after(&opaque, now), None);
}

#[test]
fn a_status_is_retried_by_kind() {
    for (statuses, retry_after, becomes) in [
        (&[408, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524][..], None, "again"),
        (&[408, 500, 502, 504], Some("1"), "again"),
        (&[429], None, "throttled"),
        (&[429, 503], Some("1"), "throttled"),
        (&[429], Some("soon"), "throttled"),
        (&[503], Some("soon"), "again"),
        (&[503], Some("0"), "again"),
        (&[304, 400, 401, 403, 404, 405, 409, 412, 413, 416, 501, 505, 519, 525], None, "give up"),
        (&[400, 404, 501], Some("1"), "give up"),
    ] {
        for &status in statuses {
            let class = respond(status, retry_after);
            assert_eq!(next(class, Replay::Always), becomes, "{status} {retry_after:?}");
            assert_eq!(next(class, Replay::UnlessDone), becomes, "{status}: it was not done");
            assert_eq!(next(class, Replay::Never), "give up", "{status}: it cannot be sent");
        }
    }
}

#[test]
fn a_fault_is_retried_by_kind() {
    let after = SECOND;
    let (received, sent, least) = (0, 1, 1);
    let cause = || "x".into();
    let broken = ("again", "give up");
    for (fault, (always, unless_done)) in [
        (TransportError::Connect { cause: cause() }, ("again", "again")),
        (TransportError::NoDescriptors { cause: cause() }, ("again", "again")),
        (TransportError::NoResponse { after }, broken),
        (TransportError::Lost { received, cause: cause() }, broken),
        (TransportError::Truncated { expected: 1, received }, broken),
        (TransportError::Malformed { cause: cause() }, broken),
        (TransportError::Silent { after, received }, broken),
        (TransportError::TooSlow { after, received }, broken),
        (TransportError::Stalled { after, sent }, broken),
        (TransportError::CameTooSlowly { received, after, least }, broken),
        (TransportError::TakenTooSlowly { sent, after, least }, broken),
        (TransportError::Tls { cause: cause() }, ("give up", "give up")),
        (TransportError::NoRootCertificates, ("give up", "give up")),
        (TransportError::TooLarge { limit: 1 }, ("give up", "give up")),
        (
            TransportError::Content { sent, cause: std::sync::Arc::from(cause()) },
            ("give up", "give up"),
        ),
    ] {
        let class = FailureClass::of_transport(&fault);
        assert_eq!(next(class, Replay::Always), always, "{fault}");
        assert_eq!(next(class, Replay::UnlessDone), unless_done, "{fault}");
        assert_eq!(next(class, Replay::Never), "give up", "{fault}");
    }
}

#[test]
fn what_was_not_processed_is_sent_again_up_to_a_bound_and_not_from_a_spent_stream() {
    let reason = crate::Unprocessed::StreamRefused;
    let class = FailureClass::of_transport(&TransportError::NotProcessed { reason });
    for (replay, becomes) in [
        (Replay::Always, "resend"),
        (Replay::UnlessDone, "resend"),
        (Replay::UnlessSent, "resend"),
        (Replay::UnlessResponse, "resend"),
        (Replay::Once, "resend"),
        (Replay::Never, "give up"),
    ] {
        assert_eq!(next(class, replay), becomes, "{replay:?}");
    }
    assert_eq!(next(FailureClass::NoConnection, Replay::Once), "give up");
    let (mut so_far, mut resends) = (SoFar::default(), 0);
    let retries = Retries::default();
    while let next @ Next::Resend { .. } = retries.next(class, Replay::Always, so_far, 0.5) {
        so_far.count(next);
        resends += 1;
    }
    assert_eq!((resends, so_far.tries), (200, 0));
    let none = Retries::none().next(class, Replay::Always, SoFar::default(), 0.5);
    assert_eq!(none, Next::GiveUp);
}

#[test]
fn a_response_that_cannot_be_read_is_requested_once_more() {
    let class = FailureClass::Malformed;
    let next = |so_far| Retries::default().next(class, Replay::Always, so_far, 0.5);
    let mut so_far = SoFar::default();
    let first = next(so_far);
    assert!(matches!(first, Next::Again { .. }));
    so_far.count(first);
    assert_eq!(next(so_far), Next::GiveUp);
}

#[test]
fn waits_double_up_to_the_cap_and_eight_tries_are_all() {
    let retries = Retries::default().tries(99);
    let wait = |tries, chance| {
        let so_far = SoFar { tries, ..SoFar::default() };
        match retries.next(FailureClass::Broken, Replay::Always, so_far, chance) {
            Next::Again { wait } => wait.as_millis(),
            other => panic!("{other:?}"),
        }
    };
    for (tries, most) in
        [(0, 60), (1, 120), (2, 240), (4, 960), (6, 3840), (8, 15_360), (9, 30_000), (90, 30_000)]
    {
        assert_eq!([wait(tries, 0.0), wait(tries, 1.0)], [0, most], "after {tries}");
        assert_eq!(wait(tries, 0.5), most / 2, "after {tries}");
    }

    for (retries, all) in
        [(Retries::default(), 8), (Retries::none(), 1), (Retries::none().tries(2), 2)]
    {
        let mut so_far = SoFar::default();
        let mut sent = 1;
        while let next @ Next::Again { .. } =
            retries.next(FailureClass::NoConnection, Replay::Always, so_far, 0.5)
        {
            so_far.count(next);
            sent += 1;
        }
        assert_eq!(sent, all);
    }
}

#[test]
fn a_retry_after_is_obeyed_up_to_its_longest() {
    for (status, said, chance, waits) in [
        (429, Some("10"), 0.0, 10_000),
        (429, Some("10"), 1.0, 11_000),
        (503, Some("10"), 0.5, 10_500),
        (429, Some("86400"), 0.0, 300_000),
        (429, Some("86400"), 1.0, 330_000),
        (429, Some("99999999999999999999999999"), 0.0, 300_000),
        (429, Some("0"), 0.0, 0),
        (429, Some("0"), 1.0, 60),
        (429, None, 0.0, 0),
        (429, None, 1.0, 60),
        // A failure that says when is waited for, and is a try.
        (500, Some("10"), 0.0, 10_000),
        (500, Some("0"), 1.0, 60),
    ] {
        let next = Retries::default().next(
            respond(status, said),
            Replay::Always,
            SoFar::default(),
            chance,
        );
        let wait = match next {
            Next::Throttled { wait } if status != 500 => wait,
            Next::Again { wait } if status == 500 => wait,
            other => panic!("{status} {said:?}: {other:?}"),
        };
        assert_eq!(wait.as_millis(), waits, "{status} {said:?}");
    }
}

#[test]
fn throttling_is_no_try_but_ends_after_a_quarter_of_an_hour() {
    for (said, chance) in [(None, 0.0), (None, 1.0), (Some("0"), 0.0), (Some("299"), 1.0)] {
        let mut so_far = SoFar::default();
        loop {
            let next = Retries::default().next(respond(429, said), Replay::Always, so_far, chance);
            let Next::Throttled { wait } = next else { break };
            so_far.count(next);
            so_far.throttled_for += wait;
        }
        assert_eq!(so_far.tries, 0, "{said:?}");
        assert!(so_far.throttled_for <= 15 * 60 * SECOND, "{said:?}: {so_far:?}");
        assert!(so_far.throttled_for >= 9 * 60 * SECOND, "{said:?}: {so_far:?}");
    }
    let none =
        |said| Retries::none().next(respond(429, said), Replay::Always, SoFar::default(), 0.0);
    assert_eq!([none(None), none(Some("0")), none(Some("9"))], [Next::GiveUp; 3]);
}

#[test]
fn throttled_tries_after_all_tries_still_do_not_count() {
    let so_far = SoFar { tries: 7, ..SoFar::default() };
    let next = |status| Retries::default().next(respond(status, None), Replay::Always, so_far, 0.0);
    assert_eq!(next(429), Next::Throttled { wait: Duration::ZERO });
    assert_eq!(next(500), Next::GiveUp);
}

#[test]
fn a_budget_is_a_fifth_and_twenty_at_the_beginning() {
    let budget = RetryBudget::default();
    let spend = || std::iter::from_fn(|| budget.may_retry().then_some(())).count();
    assert_eq!(spend(), 20);
    for (requests, retries) in [(4, 0), (1, 1), (12, 2), (3, 1), (1_000_000, 448), (0, 0)] {
        (0..requests).for_each(|_| budget.count_request());
        assert_eq!(spend(), retries, "after {requests}");
    }
}
