//! Times as users write them: `14 days`, `2026-10-01`. Git itself reads any text as some time, without an error, so
//! it gets only times that have one meaning, and what it makes of a date is checked. Pure.

/// Units of spans, in seconds.
const UNITS: [(&str, u64); 7] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3600),
    ("day", DAY),
    ("week", 7 * DAY),
    ("month", 31 * DAY),
    ("year", 366 * DAY),
];

const DAY: u64 = 86_400;

/// The longest span: git reads a time before 1970 as now, so that nothing would be looked at.
const MAX_SECONDS: u64 = 50 * 366 * DAY;

/// How far midnight in any time zone is from midnight UTC, with room to spare.
const TIME_ZONE: u64 = DAY;

/// A time in the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// So many units ago.
    Span {
        /// How many.
        number: u64,
        /// The unit, singular.
        unit: &'static str,
    },
    /// Midnight of a day, in the local time zone.
    Date {
        /// `YYYY-MM-DD`.
        text: String,
        /// Midnight UTC of that day, in seconds since 1970.
        seconds: u64,
    },
}

impl Time {
    /// Reads a span or a date.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(seconds) = midnight(text) {
            return Some(Self::Date { text: text.to_owned(), seconds });
        }
        let span = text.strip_suffix("ago").unwrap_or(text).trim();
        let (number, unit) = span.split_once(' ')?;
        let unit = unit.trim();
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        let (unit, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|_| is_number)?;
        (number.checked_mul(seconds)? <= MAX_SECONDS).then_some(Self::Span { number, unit })
    }

    /// Whether this day has not begun in any time zone, `now` being in seconds since 1970.
    pub(crate) fn is_in_future(&self, now: u64) -> bool {
        matches!(self, Self::Date { seconds, .. } if *seconds > now + TIME_ZONE)
    }

    /// The text for git.
    pub(crate) fn for_git(&self) -> String {
        match self {
            Self::Span { number, unit } => format!("{number} {unit}s ago"),
            Self::Date { text, .. } => format!("{text}T00:00:00"),
        }
    }

    /// Whether `seconds` since 1970 can be this time: git may have read a date as another one.
    pub(crate) fn may_be(&self, seconds: u64) -> bool {
        match self {
            Self::Span { .. } => true,
            Self::Date { seconds: midnight, .. } => midnight.abs_diff(seconds) <= TIME_ZONE,
        }
    }
}

/// Midnight UTC of `YYYY-MM-DD`, which must be a day of the calendar, from the first year on that git supports.
fn midnight(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !parts.iter().map(|part| part.len()).eq([4, 2, 2]) || !parts.iter().all(is_number) {
        return None;
    }
    let numbers: Vec<u64> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    let [year, month, day] = numbers[..] else { return None };
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let months = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *months.get(before)?;
    if year < 1971 || !(1..=length).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    Some((years + months[..before].iter().sum::<u64>() + day - 1) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_meaning_or_are_refused() {
        for (text, time) in [
            ("14 days", Some("14 days ago")),
            ("1 day", Some("1 days ago")),
            ("2.weeks.ago", None),
            ("2 weeks ago", Some("2 weeks ago")),
            ("36 hours", Some("36 hours ago")),
            ("2026-10-01", Some("2026-10-01T00:00:00")),
            ("2024-02-29", Some("2024-02-29T00:00:00")),
            ("2026-02-29", None),
            ("2026-02-31", None),
            ("2026-04-31", None),
            ("2026-00-01", None),
            ("2026-1-01", None),
            ("soon", None),
            ("days", None),
            ("14", None),
            ("-1 days", None),
            ("14 moons", None),
            ("", None),
            ("9 hoursss", None),
            ("50 years", Some("50 years ago")),
            ("51 years", None),
            ("99999999999999999999 days", None),
            ("18446744073709551615 days", None),
            ("+1 days", None),
            ("1969-01-01", None),
            ("2026-13-01", None),
            ("2026-10-32", None),
        ] {
            assert_eq!(Time::parse(text).map(|it| it.for_git()).as_deref(), time, "{text}");
        }
    }

    #[test]
    fn days_are_counted_from_1970() {
        let now = 1_790_812_800;
        assert_eq!(midnight("2026-10-01"), Some(now));
        assert_eq!(midnight("2000-03-01"), Some(951_868_800));
        let is_in_future = |text: &str| Time::parse(text).expect(text).is_in_future(now);
        assert!(!is_in_future("2026-10-01") && !is_in_future("14 days"));
        assert!(
            is_in_future("2026-10-03") && is_in_future("2062-10-01") && is_in_future("9999-12-31")
        );
    }
}
