//! The way to a value of a file.

use std::str::FromStr;

/// The way to a value, such as `images[3].dmap["sha256:…"][0]`: keys, in quotes or not, and indices of items from 0. A
/// quoted key ends at `"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlPath(pub Vec<PathStep>);

/// One step of a [`YamlPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// To the value of this key.
    Key(String),
    /// To the item at this index.
    Item(usize),
}

/// A text that is no [`YamlPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid path `{path}`: write it as `images[3].dmap[\"sha256:…\"][0]`")]
pub struct InvalidYamlPath {
    /// The text.
    pub path: String,
}

impl FromStr for YamlPath {
    type Err = InvalidYamlPath;

    fn from_str(path: &str) -> Result<Self, InvalidYamlPath> {
        let (mut steps, mut rest) = (Vec::new(), path);
        while !rest.is_empty() {
            // A dot separates a key from what is before it.
            let key = if steps.is_empty() { Some(rest) } else { rest.strip_prefix('.') };
            let next = in_brackets(rest).or_else(|| plain_key(key?));
            let (step, behind) = next.ok_or_else(|| InvalidYamlPath { path: path.to_owned() })?;
            steps.push(step);
            rest = behind;
        }
        Ok(Self(steps))
    }
}

/// The step in brackets at the beginning of a path, and what follows it.
fn in_brackets(path: &str) -> Option<(PathStep, &str)> {
    if let Some(quoted) = path.strip_prefix("[\"") {
        let (key, behind) = quoted.split_once("\"]")?;
        return Some((PathStep::Key(key.to_owned()), behind));
    }
    let (index, behind) = path.strip_prefix('[')?.split_once(']')?;
    Some((PathStep::Item(index.parse().ok()?), behind))
}

fn plain_key(path: &str) -> Option<(PathStep, &str)> {
    let (key, behind) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    (!key.is_empty()).then(|| (PathStep::Key(key.to_owned()), behind))
}
