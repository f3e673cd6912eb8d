//! Range requests: which part of its content a response carries. Pure.
//!
//! Source: RFC 9110 §14 and §13.1.5 (`If-Range`).

use std::ops::Range;

use http::{
    HeaderMap, Method,
    header::{IF_RANGE, RANGE},
};

/// What a response carries of content that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteSelection {
    /// All of it: 200.
    Whole,
    /// These bytes, at least one: 206 with [`content_range`].
    Part(Range<u64>),
    /// The requested range has nothing of it: 416 with [`unsatisfied_range`].
    Unsatisfiable,
}

impl ByteSelection {
    /// What a request gets of `length` bytes with this entity tag (in its quotes). All, where `Range` is to be ignored: with
    /// another method than GET, another unit, several ranges, one that makes no sense, or when `If-Range` does
    /// not name the content. One that ends before it begins is not satisfiable, as §14.2 allows.
    #[must_use]
    pub fn of(method: &Method, headers: &HeaderMap, etag: &str, length: u64) -> Self {
        let mut lines = headers.get_all(RANGE).iter();
        let (Some(range), None) = (lines.next(), lines.next()) else { return Self::Whole };
        if method != Method::GET || !range_counts(headers, etag) {
            return Self::Whole;
        }
        match range.to_str().ok().and_then(|range| parse(range, length)) {
            None => Self::Whole,
            Some(part) if part.is_empty() => Self::Unsatisfiable,
            Some(part) => Self::Part(part),
        }
    }
}

/// Whether `If-Range` is absent or names the content, by strong comparison. A date never does.
fn range_counts(headers: &HeaderMap, etag: &str) -> bool {
    let mut lines = headers.get_all(IF_RANGE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(validator), None) => validator == etag,
        (Some(_), Some(_)) => false,
    }
}

/// The one interval of `bytes=<first>-<last>`, cut to the length; none where the header is to be ignored.
fn parse(text: &str, length: u64) -> Option<Range<u64>> {
    let (unit, set) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A list may have empty elements (§5.6.1.2).
    let mut ranges = set.split(',').map(str::trim).filter(|range| !range.is_empty());
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return None };
    Some(match range.split_once('-')? {
        ("", last) => length.saturating_sub(number(last)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(length),
    })
}

/// A number with more digits than fit is past every end.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The value of `Content-Range` for a part of `length` bytes, which is not empty.
#[must_use]
pub fn content_range(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1))
}

/// The value of `Content-Range` with a 416.
#[must_use]
pub fn unsatisfied_range(length: u64) -> String {
    format!("bytes */{length}")
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::HeaderName};

    use super::*;

    const ETAG: &str = "\"sha256:a\"";

    fn select(method: &Method, lines: &[(HeaderName, &str)], length: u64) -> ByteSelection {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        ByteSelection::of(method, &headers, ETAG, length)
    }

    #[test]
    fn ranges_of_ten_bytes() {
        use ByteSelection::{Part, Unsatisfiable, Whole};
        for (range, selected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=2-5", Part(2..6)),
            ("Bytes=2-5", Part(2..6)),
            ("bytes= 2-5 ,", Part(2..6)),
            ("bytes=2-", Part(2..10)),
            ("bytes=9-99", Part(9..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-99", Part(0..10)),
            ("bytes=-99999999999999999999", Part(0..10)),
            ("bytes=0-18446744073709551615", Part(0..10)),
            ("bytes=0-99999999999999999999", Part(0..10)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=99999999999999999999-", Unsatisfiable),
            ("bytes=10-12", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-2", Unsatisfiable),
            ("bytes=0-1,3-4", Whole),
            ("bytes=0-0,-1", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=-", Whole),
            ("bytes=", Whole),
            ("bytes=x-", Whole),
            ("bytes 0-1", Whole),
            ("items=0-1", Whole),
            ("", Whole),
        ] {
            assert_eq!(select(&Method::GET, &[(RANGE, range)], 10), selected, "{range}");
            assert_eq!(select(&Method::HEAD, &[(RANGE, range)], 10), Whole, "HEAD {range}");
        }
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(select(&Method::GET, &[(RANGE, range)], 0), Unsatisfiable, "{range}");
        }
        let twice = [(RANGE, "bytes=0-1"), (RANGE, "bytes=3-4")];
        assert_eq!(select(&Method::GET, &twice, 10), Whole);
        assert_eq!(select(&Method::GET, &[], 10), Whole);
    }

    #[test]
    fn a_range_counts_only_for_the_content_that_if_range_names() {
        let part = ByteSelection::Part(0..2);
        for (validators, selected) in [
            (&[][..], part.clone()),
            (&[ETAG], part),
            (&["W/\"sha256:a\""], ByteSelection::Whole),
            (&["\"sha256:b\""], ByteSelection::Whole),
            (&["*"], ByteSelection::Whole),
            (&["Wed, 21 Oct 2015 07:28:00 GMT"], ByteSelection::Whole),
            (&[ETAG, ETAG], ByteSelection::Whole),
        ] {
            let mut lines = vec![(RANGE, "bytes=0-1")];
            lines.extend(validators.iter().map(|validator| (IF_RANGE, *validator)));
            assert_eq!(select(&Method::GET, &lines, 10), selected, "{validators:?}");
        }
    }

    #[test]
    fn content_range_names_the_last_byte() {
        assert_eq!(content_range(&(2..6), 10), "bytes 2-5/10");
        assert_eq!(unsatisfied_range(0), "bytes */0");
    }
}
