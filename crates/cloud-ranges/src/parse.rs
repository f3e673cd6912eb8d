//! Reads the lists that clouds publish: AWS, Google, and plain CIDR lists.
//!
//! The content of the list is not checked: prefixes may repeat, nest and contradict each other; see
//! [`Ranges`](crate::Ranges).
//!
//! Sources: <https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-ranges.html>, "Syntax";
//! <https://www.gstatic.com/ipranges/cloud.json>.

use std::{
    fmt,
    net::IpAddr,
    str::{FromStr, Utf8Error},
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use crate::{Location, Prefix};

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `ip-ranges.json` of AWS.
    Aws,
    /// `cloud.json` of Google.
    Gcp,
    /// A prefix a line, optionally followed by a region; `#` begins a comment.
    Cidr,
}

/// A text that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}` of address ranges; use `aws`, `gcp` or `cidr`")]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "aws" => Ok(Self::Aws),
            "gcp" => Ok(Self::Gcp),
            "cidr" => Ok(Self::Cidr),
            other => Err(FormatError(other.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Cidr => "cidr",
        })
    }
}

/// Why bytes are not a list of prefixes. It names the position in the list; the caller adds the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not JSON, or not of this shape. The source has line and column.
    #[error(
        "it is not a list of address ranges in the format `{format}`: {}; fetch the list again, or correct `format`",
        brief(cause)
    )]
    Json {
        /// What it was taken for.
        format: Format,
        /// What is wrong and where.
        cause: serde_json::Error,
    },
    /// The line of a `cidr` list does not begin with a prefix.
    #[error("line {line}: {cause}; correct the line, or put `#` before it")]
    NotAPrefix {
        /// Counted from 1.
        line: usize,
        /// The value found.
        cause: NetError,
    },
    /// The line of a `cidr` list goes on behind the region.
    #[error("line {line}: unexpected `{rest}` after the region; begin a comment with `#`")]
    TooMuch {
        /// Counted from 1.
        line: usize,
        /// The third word.
        rest: String,
    },
    /// A `cidr` list is not text.
    #[error(
        "line {line}: it is not UTF-8 text; a list in the format `cidr` has one prefix per line"
    )]
    NotText {
        /// Counted from 1.
        line: usize,
        /// The byte.
        source: Utf8Error,
    },
    /// No prefix at all.
    #[error("it has no prefixes; fetch the list again, or remove it from the configuration")]
    Empty,
}

/// A text that is no address prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address prefix such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct NetError(String);

/// What some editors put at the beginning of a text (Unicode §23.8). JSON has none (RFC 8259 §8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a list of the prefixes of `cloud`, in the order and as often as they stand there.
///
/// # Errors
/// When any part of the list cannot be read, or when it lists nothing: half a list would silently
/// make strangers of the clients in the other half.
pub fn parse(format: Format, cloud: &str, bytes: &[u8]) -> Result<Vec<Prefix>, ParseError> {
    let json = |cause| ParseError::Json { format, cause };
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let listed = match format {
        Format::Aws => aws(bytes).map_err(json)?,
        Format::Gcp => gcp(bytes).map_err(json)?,
        Format::Cidr => cidr(bytes)?,
    };
    if listed.is_empty() {
        return Err(ParseError::Empty);
    }
    let located =
        |(net, region)| Prefix { net, location: Location { cloud: cloud.to_owned(), region } };
    Ok(listed.into_iter().map(located).collect())
}

/// A prefix and its region, as every list has them.
type RegionalPrefix = (IpNet, String);

fn aws(bytes: &[u8]) -> serde_json::Result<Vec<RegionalPrefix>> {
    #[derive(Deserialize)]
    struct AwsList {
        prefixes: Vec<V4>,
        ipv6_prefixes: Vec<V6>,
    }
    #[derive(Deserialize)]
    struct V4 {
        #[serde(deserialize_with = "net")]
        ip_prefix: IpNet,
        region: String,
    }
    #[derive(Deserialize)]
    struct V6 {
        #[serde(deserialize_with = "net")]
        ipv6_prefix: IpNet,
        region: String,
    }
    let list: AwsList = serde_json::from_slice(bytes)?;
    let v4 = list.prefixes.into_iter().map(|of| (of.ip_prefix, of.region));
    let v6 = list.ipv6_prefixes.into_iter().map(|of| (of.ipv6_prefix, of.region));
    Ok(v4.chain(v6).collect())
}

fn gcp(bytes: &[u8]) -> serde_json::Result<Vec<RegionalPrefix>> {
    #[derive(Deserialize)]
    struct GcpList {
        prefixes: Vec<Either>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Either {
        #[serde(alias = "ipv6Prefix", deserialize_with = "net")]
        ipv4_prefix: IpNet,
        scope: String,
    }
    let list: GcpList = serde_json::from_slice(bytes)?;
    Ok(list.prefixes.into_iter().map(|of| (of.ipv4_prefix, of.scope)).collect())
}

fn cidr(bytes: &[u8]) -> Result<Vec<RegionalPrefix>, ParseError> {
    let mut listed = Vec::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = str::from_utf8(bytes).map_err(|source| ParseError::NotText { line, source })?;
        let mut words = text.split('#').next().unwrap_or_default().split_whitespace();
        let Some(first) = words.next() else { continue };
        let net = parse_net(first).map_err(|cause| ParseError::NotAPrefix { line, cause })?;
        let region = words.next().unwrap_or(Location::GLOBAL).to_owned();
        if let Some(rest) = words.next() {
            return Err(ParseError::TooMuch { line, rest: quoted(rest) });
        }
        listed.push((net, region));
    }
    Ok(listed)
}

fn net<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
    parse_net(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// A prefix as the lists write it; a bare address is the prefix of that address alone.
fn parse_net(text: &str) -> Result<IpNet, NetError> {
    let bare = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(bare).ok_or_else(|| NetError(quoted(text)))
}

/// How many characters of a word an error quotes: more than the longest prefix has, and no whole file of secrets that
/// was named by mistake.
const QUOTED_CHARS: usize = 40;

/// A word as an error quotes it.
fn quoted(word: &str) -> String {
    match word.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}

/// How many characters of a JSON error are printed. The longest message without a quotation is shorter.
const JSON_ERROR_CHARS: usize = 160;

/// What is wrong with JSON, and where. A message that quotes a long text of the file is cut.
fn brief(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.char_indices().nth(JSON_ERROR_CHARS) {
        Some((end, _)) => {
            format!(
                "{}… at line {} column {}",
                &message[..end.min(QUOTED_CHARS)],
                error.line(),
                error.column()
            )
        }
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, text: &str) -> Result<Vec<String>, String> {
        let prefixes = parse(format, "c", text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(prefixes.iter().map(|prefix| format!("{} {}", prefix.net, prefix.location)).collect())
    }

    #[test]
    fn each_format_gives_its_prefixes() {
        let aws = r#"{"syncToken": "1", "createDate": "x",
            "prefixes": [{"ip_prefix": "3.4.12.4/32", "region": "eu-west-1", "service": "EC2", "new": []}],
            "ipv6_prefixes": [{"ipv6_prefix": "2600:1f00::/24", "region": "GLOBAL"}]}"#;
        let gcp = r#"{"prefixes": [{"ipv4Prefix": "34.1.208.0/20", "scope": "africa-south1"},
            {"ipv6Prefix": "2600:1900::/28", "scope": "global"}]}"#;
        let cidr =
            "# ours\n\n192.0.2.0/24 paris # by the river\r\n\t2001:db8::/32\n203.0.113.9 x\n::1";
        for (format, text, expected) in [
            (Format::Aws, aws, &["3.4.12.4/32 c eu-west-1", "2600:1f00::/24 c GLOBAL"][..]),
            (Format::Gcp, gcp, &["34.1.208.0/20 c africa-south1", "2600:1900::/28 c global"]),
            (
                Format::Cidr,
                cidr,
                &[
                    "192.0.2.0/24 c paris",
                    "2001:db8::/32 c GLOBAL",
                    "203.0.113.9/32 c x",
                    "::1/128 c GLOBAL",
                ],
            ),
        ] {
            let expected: Vec<_> = expected.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(read(format, text), Ok(expected), "{format}");
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("azure".parse::<Format>().is_err());
    }

    #[test]
    fn a_list_may_begin_with_a_byte_order_mark() {
        let gcp = "\u{feff}{\"prefixes\": [{\"ipv4Prefix\": \"34.1.208.0/20\", \"scope\": \"x\"}]}";
        for (format, text) in [(Format::Gcp, gcp), (Format::Cidr, "\u{feff}34.1.208.0/20 x")] {
            assert_eq!(parse(format, "c", text.as_bytes()).expect(text).len(), 1);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        let goog = r#"{"prefixes": [{"ipv4Prefix": "34.1.208.0/20"}]}"#;
        let both =
            r#"{"prefixes": [{"ipv4Prefix": "1.0.0.0/8", "ipv6Prefix": "::/8", "scope": "x"}]}"#;
        let long = "é".repeat(200);
        let cut = format!("`{}…`", "é".repeat(40));
        let behind = format!("10.0.0.0/8 a {long}");
        let in_json = format!("{{\"prefixes\": \"{long}\"}}");
        let bad_net = "{\"prefixes\": [\n{\"ip_prefix\": \"3.4.12.4/33\", \"region\": \"x\"}], \"ipv6_prefixes\": []}";
        for (format, text, expected) in [
            (Format::Aws, "", "line 1 column 0"),
            (Format::Aws, "<html>", "line 1 column 1"),
            (Format::Aws, "{}", "missing field `prefixes`"),
            (Format::Aws, r#"{"prefixes": []}"#, "missing field `ipv6_prefixes`"),
            (Format::Aws, r#"{"prefixes": [], "ipv6_prefixes": []}"#, "it has no prefixes"),
            (
                Format::Aws,
                bad_net,
                "`3.4.12.4/33` is not an address prefix such as 192.0.2.0/24 or 2001:db8::/32 at line 2 column 27",
            ),
            (Format::Aws, goog, "missing field `ip_prefix`"),
            (Format::Gcp, goog, "missing field `scope`"),
            (Format::Gcp, both, "duplicate field"),
            (Format::Gcp, "[1]", "line 1 column"),
            (Format::Cidr, "", "it has no prefixes"),
            (Format::Cidr, "\n# nothing\n", "it has no prefixes"),
            (Format::Cidr, "10.0.0.0/8\n10.0.0/8 x", "line 2: `10.0.0/8` is not"),
            (Format::Cidr, "10.0.0.0/8,x", "line 1: `10.0.0.0/8,x` is not"),
            (Format::Cidr, "10.0.0.0/8 a b", "line 1: unexpected `b` after the region"),
            (Format::Cidr, &long, &*cut),
            (Format::Cidr, &behind, &*cut),
            (Format::Gcp, &in_json, "… at line 1 column"),
        ] {
            let error = read(format, text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains(&"é".repeat(41)), "{text}: {error}");
        }
        let not_text = parse(Format::Cidr, "c", b"10.0.0.0/8\n\xff");
        assert!(matches!(not_text, Err(ParseError::NotText { line: 2, .. })));
    }
}
