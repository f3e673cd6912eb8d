//! Typed reading of a configuration file's tree. What is missing, unknown or wrong is reported, and reading goes on, so
//! that all problems of a file are reported at once.

use std::borrow::Cow;

use yaml::YamlNode;

use super::report::ConfigReport;

/// A part of the configuration.
pub(super) trait FromYaml: Sized {
    /// What is accepted, as messages say it: `a list (…)`.
    fn expected() -> Cow<'static, str>;

    /// Reads a value, which messages call `name`. `None` only after a problem was reported.
    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self>;

    /// The value if its key is absent; `None` if the key is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// A mapping with these keys, each of them required or not, as messages say it.
pub(super) fn a_mapping(keys: &[(&str, bool)]) -> String {
    let required = keys.iter().filter(|(_, is_required)| *is_required);
    let required: Vec<_> = required.map(|(key, _)| format!("`{key}`")).collect();
    match &required[..] {
        [] => "a mapping (`key: value`)".to_owned(),
        [one] => format!("a mapping with {one}"),
        [first @ .., last] => format!("a mapping with {} and {last}", first.join(", ")),
    }
}

/// The beginning of the message for a value of the wrong type.
pub(super) fn must_be<T: FromYaml>(name: &str) -> String {
    match name {
        "" => format!("the file must be {}", T::expected()),
        name => format!("`{name}` must be {}", T::expected()),
    }
}

/// A key that may be absent or null.
impl<T: FromYaml> FromYaml for Option<T> {
    fn expected() -> Cow<'static, str> {
        T::expected()
    }

    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self> {
        match node.present() {
            None => Some(None),
            Some(node) => T::from_yaml(node, name, report).map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: FromYaml> FromYaml for Vec<T> {
    fn expected() -> Cow<'static, str> {
        "a list (`- item`)".into()
    }

    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self> {
        let items = node.items(&must_be::<Self>(name), report)?;
        // Each item is read, whatever the others are.
        let read: Vec<_> = items.iter().map(|item| T::from_yaml(item, name, report)).collect();
        read.into_iter().collect()
    }
}

impl FromYaml for String {
    fn expected() -> Cow<'static, str> {
        "text".into()
    }

    fn from_yaml(node: &YamlNode<'_>, name: &str, report: &mut ConfigReport<'_>) -> Option<Self> {
        node.text(&must_be::<Self>(name), report).map(str::to_owned)
    }
}

/// A key of a mapping, and the names that the mapping may have.
#[derive(Clone, Copy)]
pub(super) struct MappingKey<'a> {
    /// What messages call the mapping; empty for the file.
    pub(super) mapping: &'a str,
    pub(super) key: &'a str,
    pub(super) names: &'a [&'a str],
}

/// The value of a key of `mapping`, which is `value` if it is present.
pub(super) fn value_of<T: FromYaml>(
    at: MappingKey<'_>,
    mapping: &YamlNode<'_>,
    value: Option<&YamlNode<'_>>,
    report: &mut ConfigReport<'_>,
) -> Option<T> {
    let MappingKey { mapping: name, key, names } = at;
    if let Some(value) = value {
        let name = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        return T::from_yaml(value, &name, report);
    }
    let absent = T::absent();
    if absent.is_none() && !mapping.has_misspelled(key, names) {
        let message = format!("missing key `{key}`; add {}", T::expected());
        report.problem(Some(mapping.span()), message);
    }
    absent
}

/// Declares mappings of the file: each with the keys that it may have and their types, from which both the reader and the
/// JSON Schema are made.
macro_rules! mappings {
    ($(
        $(#[$of_mapping:meta])*
        struct $mapping:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)+ }
    )+) => {$(
        #[derive(Debug, schemars::JsonSchema)]
        $(#[$of_mapping])*
        #[schemars(deny_unknown_fields)]
        pub(super) struct $mapping {
            $($(#[$of_field])* pub(super) $field: $type,)+
        }

        impl $crate::config::from_yaml::FromYaml for $mapping {
            fn expected() -> ::std::borrow::Cow<'static, str> {
                use $crate::config::from_yaml::a_mapping;
                a_mapping(&[$((stringify!($field), <$type>::absent().is_none())),+]).into()
            }

            fn from_yaml(
                node: &::yaml::YamlNode<'_>,
                mapping: &str,
                report: &mut $crate::config::report::ConfigReport<'_>,
            ) -> Option<Self> {
                use $crate::config::from_yaml::{MappingKey, must_be, value_of};
                let names = [$(stringify!($field)),+];
                let expected = must_be::<Self>(mapping);
                let [$($field),+] = node.written_fields(&expected, names, report)?;
                // All are read before the first that is missing ends this.
                $(
                    let key = MappingKey { mapping, key: stringify!($field), names: &names };
                    let $field = value_of::<$type>(key, node, $field, report);
                )+
                Some(Self { $($field: $field?,)+ })
            }
        }
    )+};
}

pub(super) use mappings;
