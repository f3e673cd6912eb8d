//! `Link` headers: where the next page of a listing is.
//!
//! Source: RFC 8288 §3; distribution-spec 1.1, "Listing Tags".

/// The target of the first link with relation `next` in a `Link` header: a URL, as a rule relative
/// to that of the page. Total: what cannot be read has no next page.
#[must_use]
pub fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let (is_next, after) = read_parameters(after);
        if is_next {
            return Some(target.trim());
        }
        rest = after;
    }
}

/// Reads the `; name=value` pairs of one link: whether its relation is `next`, and what is behind.
fn read_parameters(mut text: &str) -> (bool, &str) {
    let mut is_next = false;
    while let Some(after) = text.trim_start().strip_prefix(';') {
        let (name, after) = after.split_at(after.find(['=', ';', ',']).unwrap_or(after.len()));
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => read_value(after.trim_start()),
            None => ("", after),
        };
        let mut relations = value.split_ascii_whitespace();
        is_next |= name.trim().eq_ignore_ascii_case("rel")
            && relations.any(|relation| relation.eq_ignore_ascii_case("next"));
        text = after;
    }
    (is_next, text)
}

/// Reads a quoted string or a token, and what is behind it.
fn read_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_at(text.find([';', ',']).unwrap_or(text.len()));
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or((quoted, ""), |end| (&quoted[..end], &quoted[end + 1..]))
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
            "< {} > ; REL = \"NEXT\"",
            r#"<{}>; title="a; rel=prev, <x>"; rel="prev next""#,
            r#"<{}>; title="a\"b,"; rel="next""#,
            r#"<{}>; crossorigin; rel="next""#,
            r#"</first>; rel="first", <{}>; rel="next""#,
            r#"</first>, <{}>; rel="next", </2>; rel="next""#,
        ] {
            assert_eq!(next_link(&header.replace("{}", url)), Some(url), "{header}");
        }
    }

    #[test]
    fn what_names_no_next_page_has_none() {
        for header in [
            "",
            "/v2/a",
            "</v2/a>",
            "</v2/a; rel=next",
            r#"</v2/a>; rel="prev""#,
            r#"</v2/a>; rel="nextish""#,
            r#"</v2/a>; rel="#,
            r#"</v2/a>; rel"#,
            r#"</v2/a>; title="rel=next""#,
            r#"</v2/a>; x="unclosed; rel=next"#,
        ] {
            assert_eq!(next_link(header), None, "{header}");
        }
    }
}
