//! `file://` URLs of directories: the one parser of the workspace.

use std::path::PathBuf;

use url::{ParseError, Url};

/// Why a text is not the URL of a directory. The caller names the text, and the flag it came from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{mistake}; write {instead}")]
pub struct UrlError {
    mistake: UrlMistake,
    instead: String,
}

impl UrlError {
    /// What is wrong, unless it is a path or a word instead of a URL.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        (self.mistake != UrlMistake::NoScheme).then(|| self.mistake.to_string())
    }

    /// The URL to write instead.
    #[must_use]
    pub fn instead(&self) -> &str {
        &self.instead
    }
}

/// What is wrong with such a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum UrlMistake {
    #[error("not a URL")]
    NoScheme,
    #[error("not a URL ({0})")]
    Syntax(ParseError),
    #[error("the scheme `{0}` is not supported")]
    Scheme(String),
    #[error("a directory has no `?` and no `#` (write %3F, %23)")]
    Query,
    #[error("it names another machine")]
    Host,
}

/// The directory that `file:///absolute/directory` names, with `%20` and the like decoded.
///
/// # Errors
/// When the text is not such a URL.
pub fn directory(url: &str) -> Result<PathBuf, UrlError> {
    parse(url).map(|(_, path)| path)
}

pub(crate) fn parse(url: &str) -> Result<(Url, PathBuf), UrlError> {
    parse_directory_url(url).map_err(|mistake| {
        let of_path = Url::from_file_path(url).ok().map(String::from);
        let instead = of_path.unwrap_or_else(|| "file:///absolute/directory".to_owned());
        UrlError { mistake, instead }
    })
}

fn parse_directory_url(url: &str) -> Result<(Url, PathBuf), UrlMistake> {
    let parsed = Url::parse(url).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => UrlMistake::NoScheme,
        error => UrlMistake::Syntax(error),
    })?;
    if parsed.scheme() != "file" {
        return Err(UrlMistake::Scheme(parsed.scheme().to_owned()));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(UrlMistake::Query);
    }
    let path = parsed.to_file_path().map_err(|()| UrlMistake::Host)?;
    Ok((parsed, path))
}
