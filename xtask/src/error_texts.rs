//! An error's text says its own level only: it does not repeat its source, which the printer of the chain adds.

use anyhow::Context as _;
use syn::{
    Attribute, Expr, Fields, LitStr, Variant, parse::Parser as _, punctuated::Punctuated,
    visit::Visit,
};

use crate::offence::{Files, Offence};

/// The offences of all source files.
///
/// # Errors
/// When a file is not Rust.
pub(crate) fn check(files: &Files) -> anyhow::Result<Vec<Offence>> {
    let mut offences = Vec::new();
    for (file, text) in files.iter().filter(|(file, _)| file.ends_with(".rs")) {
        if !text.contains("#[error(") {
            continue;
        }
        let parsed = syn::parse_file(text).with_context(|| format!("{file} is not Rust"))?;
        let mut texts = Texts { file, offences: &mut offences };
        texts.visit_file(&parsed);
    }
    Ok(offences)
}

struct Texts<'a> {
    file: &'a str,
    offences: &'a mut Vec<Offence>,
}

impl Texts<'_> {
    /// Compares the text of an error with its fields.
    fn compare(&mut self, attributes: &[Attribute], fields: &Fields) {
        let Some(text) = attributes.iter().find_map(text) else { return };
        let Some(source) = source(fields) else { return };
        let (opened, formatted) = (format!("{{{source}}}"), format!("{{{source}:"));
        let value = text.value();
        if value.contains(&opened) || value.contains(&formatted) {
            let what = format!(
                "the text of this error repeats its source `{source}`; leave it out, or, if the text is \
                 not whole without it, name the field `cause` and give it no `#[source]` or `#[from]`"
            );
            let line = text.span().start().line;
            self.offences.push(Offence { file: self.file.to_owned(), line, what });
        }
    }
}

impl<'ast> Visit<'ast> for Texts<'_> {
    fn visit_variant(&mut self, variant: &'ast Variant) {
        self.compare(&variant.attrs, &variant.fields);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.compare(&item.attrs, &item.fields);
    }
}

/// The format string of `#[error("…")]`.
fn text(attribute: &Attribute) -> Option<LitStr> {
    if !attribute.path().is_ident("error") {
        return None;
    }
    let tokens = attribute.meta.require_list().ok()?.tokens.clone();
    // Named arguments and `.0` are no expressions of Rust: only what is before the first comma counts.
    let first = tokens.into_iter().take(1).collect();
    let parsed = Punctuated::<Expr, syn::Token![,]>::parse_terminated.parse2(first).ok()?;
    match parsed.first()? {
        Expr::Lit(literal) => match &literal.lit {
            syn::Lit::Str(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The field that thiserror takes for the source, by its name or number.
fn source(fields: &Fields) -> Option<String> {
    fields.iter().enumerate().find_map(|(number, field)| {
        let is_marked =
            field.attrs.iter().any(|it| it.path().is_ident("source") || it.path().is_ident("from"));
        let name = field.ident.as_ref().map_or_else(|| number.to_string(), ToString::to_string);
        (is_marked || name == "source").then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_not_have_its_source_in_it() {
        let text = r#"
            enum Error {
                #[error("cannot read: {source}")]
                Named { source: io::Error },
                #[error("cannot read: {0}")]
                From(#[from] io::Error),
                #[error("cannot read {path}: {0:?}", path = .1)]
                Second(#[source] io::Error, String),
                #[error("cannot read {path}")]
                Own { path: String, source: io::Error },
                #[error("cannot read {cause}; try again")]
                Whole { cause: io::Error },
                #[error(transparent)]
                Other(#[from] fmt::Error),
            }
            #[error("{0}")]
            struct Struct(#[source] io::Error);
        "#;
        let files = Files::from([("a.rs".to_owned(), text.to_owned())]);
        let lines: Vec<_> =
            check(&files).expect("Rust").into_iter().map(|offence| offence.line).collect();
        assert_eq!(lines, [3, 5, 7, 16]);
    }
}
