//! `Link` headers: the URL of the next page of a listing.
//!
//! A header that cannot be read is an error, since a listing that ends too early looks complete. Three mistakes of
//! registries are unambiguous, and are accepted as by crane and distribution: a single link without its `<>`, a link
//! without a relation, and a relation in single quotes.
//!
//! Source: RFC 8288 §3; distribution-spec 1.1, "Listing Tags".

/// A `Link` header that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the `Link` header is malformed")]
pub struct MalformedLink;

/// The target of the first link to the next page in a `Link` header: a URL, as a rule relative to that of the
/// page.
///
/// # Errors
/// When the header is not a list of links.
pub fn next_link(header: &str) -> Result<Option<&str>, MalformedLink> {
    let mut rest = header.trim();
    if !rest.is_empty() && !rest.starts_with([',', '<']) {
        return bare_link(rest).map(Some);
    }
    loop {
        // Empty members of a list are ignored (RFC 9110 §5.6.1).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(None);
        }
        let target = rest.strip_prefix('<').ok_or(MalformedLink)?;
        let (target, after) = target.split_once('>').ok_or(MalformedLink)?;
        let (relation, after) = read_parameters(after)?;
        if relation != Relation::Other {
            return Ok(Some(target.trim()));
        }
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err(MalformedLink);
        }
    }
}

/// A single link without its `<>`, with the relation `next`.
fn bare_link(text: &str) -> Result<&str, MalformedLink> {
    let (target, parameters) = text.split_at(text.find(';').unwrap_or(text.len()));
    let target = target.trim_end();
    let is_url = !target.contains([' ', '\t', ',', '"', '<', '>']);
    match read_parameters(parameters)? {
        (Relation::Next, "") if is_url => Ok(target),
        _ => Err(MalformedLink),
    }
}

/// The relation of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Next,
    Other,
    Unspecified,
}

/// Reads the `; name=value` pairs of one link: its relation, and what is behind. Only the first `rel` counts
/// (RFC 8288 §3.3).
fn read_parameters(mut text: &str) -> Result<(Relation, &str), MalformedLink> {
    let mut relation = Relation::Unspecified;
    while let Some(after) = text.trim_start().strip_prefix(';') {
        let (name, after) = after.split_at(after.find(['=', ';', ',']).unwrap_or(after.len()));
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => read_value(after.trim_start())?,
            None => ("", after),
        };
        if name.trim().eq_ignore_ascii_case("rel") && relation == Relation::Unspecified {
            // No relation has quotes of its own.
            let mut relations = value.trim_matches(['\'', '"']).split_ascii_whitespace();
            let is_next = relations.any(|relation| relation.eq_ignore_ascii_case("next"));
            relation = if is_next { Relation::Next } else { Relation::Other };
        }
        text = after;
    }
    Ok((relation, text.trim_start()))
}

/// Reads a quoted string or a token, and what is behind it. Single quotes are characters of a token (RFC 9110 §5.6.2),
/// but around a whole value they count as quotes.
fn read_value(text: &str) -> Result<(&str, &str), MalformedLink> {
    let single = text.strip_prefix('\'').and_then(|quoted| quoted.split_once('\''));
    if let Some((value, after)) = single.filter(|(value, _)| !value.contains([';', ',', '"'])) {
        return Ok((value, after));
    }
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        return Ok(text.split_at(end));
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let end = end.ok_or(MalformedLink)?;
    Ok((&quoted[..end], &quoted[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        let url = "/v2/a/tags/list?last=b&n=1";
        for header in [
            r#"<{}>; rel="next""#,
            "<{}>; rel=next",
            "<{}>;rel=next",
            "<{}>; rel='next'",
            "<{}>; rel='NEXT'",
            "<{}>; rel=NEXT",
            "<{}>; rel='prev next'; title=x",
            "<{}>; title='a; rel=next",
            r#"<{}>; title='it's'; rel="'next'""#,
            "< {} > ; REL = \"NEXT\"",
            r#"<{}>; title="a; rel=prev, <x>"; rel="prev next""#,
            r#"<{}>; title="a\"b,"; rel="next""#,
            r#"<{}>; crossorigin; rel="next""#,
            r#"</first>; rel="first", <{}>; rel="next""#,
            r#", </first>; rel=first, ,<{}>; rel="next", </2>; rel="next""#,
            r#"<{}>; rel=next; rel=prev"#,
            // Without its brackets, or without a relation.
            r#"{}; rel="next""#,
            " {} ;rel=next ",
            "<{}>",
            r#"<{}>; title="rel=prev""#,
        ] {
            assert_eq!(next_link(&header.replace("{}", url)), Ok(Some(url)), "{header}");
        }
    }

    #[test]
    fn what_names_no_next_page_has_none() {
        for header in [
            "",
            " , ",
            r#"</v2/a>; rel="prev""#,
            r#"</v2/a>; rel="nextish""#,
            r#"</v2/a>; rel="#,
            r#"</v2/a>; rel"#,
            r#"</v2/a>; rel=prev; rel=next"#,
        ] {
            assert_eq!(next_link(header), Ok(None), "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_end() {
        for header in [
            "/v2/a",
            "rel=next",
            "/v2/a; rel=prev",
            "/v2/a; rel=next, /v2/b; rel=next",
            "/v2/a b; rel=next",
            "</v2/a; rel=next",
            "</v2/a>; rel=prev </v2/b>; rel=next",
            "</v2/a>; rel=prev, /v2/b; rel=next",
            r#"</v2/a>; x="unclosed; rel=next"#,
        ] {
            assert_eq!(next_link(header), Err(MalformedLink), "{header}");
        }
    }
}
