//! Typed access to values. What is not of the expected type is reported, and the reader goes on.

use std::str::FromStr;

use granit_parser::ScalarStyle;
use wording::quoted;

use crate::{YamlNode, YamlReport, YamlRule, nearest, node::NodeValue};

impl YamlNode<'_> {
    /// The text of a scalar. `expected` is the beginning of the message if it is something else.
    pub fn text(&self, expected: &str, report: &mut impl YamlReport) -> Option<&str> {
        self.scalar().or_else(|| self.is_wrong(expected, report))
    }

    /// The unquoted `true` or `false` of this key.
    pub fn truth(&self, key: &str, report: &mut impl YamlReport) -> Option<bool> {
        self.unquoted(key, "`true` or `false`", report)
    }

    /// The unquoted whole number of this key, in decimal digits.
    pub fn number(&self, key: &str, report: &mut impl YamlReport) -> Option<u32> {
        self.unquoted(key, "a whole number", report)
    }

    /// A value that is not text. `what` names the expected value.
    fn unquoted<T: FromStr>(
        &self,
        key: &str,
        what: &str,
        report: &mut impl YamlReport,
    ) -> Option<T> {
        let value = self.scalar().and_then(|text| text.parse::<T>().ok());
        match (&self.value, value) {
            (NodeValue::Scalar { style: ScalarStyle::Plain, .. }, Some(value)) => Some(value),
            (NodeValue::Scalar { text, .. }, Some(_)) => {
                let message = format!("`{key}: \"{text}\"` is text; remove the quotes");
                report.add(YamlRule::QuotedValue, self.span, message);
                None
            }
            _ => self.is_wrong(&format!("`{key}` must be {what}"), report),
        }
    }

    /// The items of a list.
    pub fn items(&self, expected: &str, report: &mut impl YamlReport) -> Option<&[Self]> {
        match &self.value {
            NodeValue::List(items) => Some(items),
            _ => self.is_wrong(expected, report),
        }
    }

    /// The keys and values of a mapping.
    pub fn mapping(&self, expected: &str, report: &mut impl YamlReport) -> Option<&[[Self; 2]]> {
        match &self.value {
            NodeValue::Mapping(_) => Some(self.entries()),
            _ => self.is_wrong(expected, report),
        }
    }

    /// The values of a mapping by `names`: `None` for those absent or null. Other keys are reported.
    pub fn fields<const N: usize>(
        &self,
        expected: &str,
        names: [&str; N],
        report: &mut impl YamlReport,
    ) -> Option<[Option<&Self>; N]> {
        let fields = self.written_fields(expected, names, report)?;
        Some(fields.map(|value| value.and_then(Self::present)))
    }

    /// The same with `None` only for those that are absent.
    pub fn written_fields<const N: usize>(
        &self,
        expected: &str,
        names: [&str; N],
        report: &mut impl YamlReport,
    ) -> Option<[Option<&Self>; N]> {
        let mut fields = [None; N];
        for [key, value] in self.mapping(expected, report)? {
            let Some(text) = key.scalar() else { continue };
            match names.iter().position(|name| *name == text) {
                Some(index) => fields[index] = Some(value),
                None => report.unknown_key(key, &names),
            }
        }
        Some(fields)
    }

    /// Whether an unknown key of a mapping, which was reported, explains why `key` is absent: it is a misspelling of `key`, or
    /// a merge key. `names` are the keys that the mapping may have.
    #[must_use]
    pub fn has_misspelled(&self, key: &str, names: &[&str]) -> bool {
        let mut written = self.entries().iter().filter_map(|[key, _]| key.scalar());
        written.any(|text| {
            !names.contains(&text) && (text == "<<" || nearest(text, names) == Some(key))
        })
    }

    /// Reports that the value is not what `expected` says, which is the beginning of the message.
    pub fn is_wrong<T>(&self, expected: &str, report: &mut impl YamlReport) -> Option<T> {
        let is = match &self.value {
            NodeValue::Refused => return None,
            NodeValue::Scalar { .. } if self.is_null() => "empty".to_owned(),
            NodeValue::Scalar { text, .. } => quoted(text),
            NodeValue::List(_) => "a list".to_owned(),
            NodeValue::Mapping(_) => "a mapping".to_owned(),
        };
        report.add(YamlRule::WrongType, self.span, format!("{expected}, but it is {is}"));
        None
    }
}
