//! YAML by which a value is not where a reader looks for it, or not what it looks like: merge keys, tags, and a second
//! document. Promotion manifests refuse them too.
//!
//! Source: YAML 1.2.2 §6.8.2 (tags), §9.2 (streams); the merge key of YAML 1.1 (`<<`).

use granit_parser::{Event, Marker, Parser, ScalarStyle};

use crate::YamlPosition;

/// Each merge key, tag and further document of a text, and what to do about it. A text that is not YAML is read as far as it
/// is.
#[must_use]
pub fn yaml_hidden(text: &str) -> Vec<(YamlPosition, String)> {
    let options = granit_parser::options! { emit_comments: false, emit_unresolved_aliases: true };
    let mut found = Vec::new();
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        let Ok((event, span)) = event else { break };
        let mut add = |message: &str| found.push((position(span.start), message.to_owned()));
        if event.tag().is_some() {
            add("YAML tags (`!…`) are not supported; write the value without it");
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<" => {
                add("merge keys (`<<`) are not supported; write the fields here");
            }
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    add(
                        "second YAML document: a file may have only one; remove the `---` or split the file",
                    );
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// From 1.
fn position(marker: Marker) -> YamlPosition {
    (marker.line(), marker.col() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys_tags_and_further_documents_are_found() {
        for (text, at) in [
            ("a: 1\nb: \"<<\"\n", vec![]),
            ("a: &a {b: 1}\nc:\n  <<: *a\n", vec![(3, 3)]),
            ("a: !!str 1\nb: !own x\n", vec![(1, 10), (2, 9)]),
            ("a: 1\n---\nb: 1\n", vec![(2, 1)]),
            ("---\na: 1\n...\n", vec![]),
        ] {
            let found: Vec<_> = yaml_hidden(text).into_iter().map(|(at, _)| at).collect();
            assert_eq!(found, at, "{text}");
        }
    }
}
