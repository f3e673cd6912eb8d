//! What a request needs to be allowed to do, as tokens say it.
//!
//! Source: Docker's token scope documentation ("Token Scope", "Resource Actions").

use std::collections::BTreeSet;

use oci::Repository;

/// What is done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Action {
    Pull,
    /// A push reads first.
    Push,
    Delete,
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
            Self::Delete => "delete",
        }
    }
}

/// What a token is good for: texts such as `repository:a/b:pull`, each once and in order, so that equal
/// ones are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scopes(BTreeSet<String>);

impl Scopes {
    /// For requests that concern no repository.
    pub(crate) const fn none() -> Self {
        Self(BTreeSet::new())
    }

    pub(crate) fn of(repository: &Repository, action: Action) -> Self {
        Self::none().and(repository, action)
    }

    /// For listing all repositories.
    pub(crate) fn catalog() -> Self {
        Self(BTreeSet::from(["registry:catalog:*".to_owned()]))
    }

    #[must_use]
    pub(crate) fn and(mut self, repository: &Repository, action: Action) -> Self {
        self.0.insert(format!("repository:{repository}:{}", action.as_str()));
        self.without_covered()
    }

    /// With those that a challenge names, parted by blanks.
    #[must_use]
    pub(crate) fn and_requested(mut self, scopes: &str) -> Self {
        self.0.extend(scopes.split_ascii_whitespace().map(str::to_owned));
        self.without_covered()
    }

    /// Without `pull` beside `pull,push` of the same: a realm may refuse the one, for a repository that does not exist,
    /// and give the other.
    fn without_covered(mut self) -> Self {
        let pushed = self.0.iter().filter_map(|scope| scope.strip_suffix(",push"));
        let covered: Vec<_> = pushed.map(str::to_owned).collect();
        self.0.retain(|scope| !covered.contains(scope));
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_is_named_once() {
        let name = |text: &str| text.parse::<Repository>().expect("a name");
        let scopes = Scopes::of(&name("b/c"), Action::Push)
            .and(&name("a"), Action::Pull)
            .and(&name("b/c"), Action::Pull)
            .and_requested("repository:a:pull repository:d:delete repository:b/c:pull");
        let listed: Vec<_> = scopes.iter().collect();
        let all = ["repository:a:pull", "repository:b/c:pull,push", "repository:d:delete"];
        assert_eq!(listed, all);
        assert_eq!(Scopes::none().iter().count(), 0);
    }
}
