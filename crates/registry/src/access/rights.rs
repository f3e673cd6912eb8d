//! The file of rights: which users may pull from and push to which repositories. Without a matching rule a request
//! is denied.

use std::str::FromStr;

use oci::Repository;
use yaml::{Aliases, Span, YamlNode, YamlReport, YamlRule};

use super::{
    NamedText, Right,
    htpasswd::{self, ANONYMOUS, Users},
    problem::AccessProblem,
};

/// The rules of a file of rights.
#[derive(Debug)]
pub(super) struct Rules(Vec<AccessRule>);

#[derive(Debug)]
struct AccessRule {
    users: Vec<UserPattern>,
    repositories: Vec<RepositoryPattern>,
    rights: Vec<Right>,
}

#[derive(Debug, PartialEq, Eq)]
enum UserPattern {
    Anyone,
    Authenticated,
    Named(String),
}

impl Rules {
    pub(super) fn grant(&self, user: Option<&str>, right: Right, repository: &Repository) -> bool {
        let here =
            |rule: &AccessRule| rule.repositories.iter().any(|pattern| pattern.matches(repository));
        self.rules_of(user, right).any(here)
    }

    /// Whether some rule grants it everywhere.
    pub(super) fn grant_everything(&self, user: Option<&str>, right: Right) -> bool {
        let everywhere =
            |rule: &AccessRule| rule.repositories.iter().any(RepositoryPattern::is_everything);
        self.rules_of(user, right).any(everywhere)
    }

    /// Whether no rule grants anything: there is none, or each lacks users, repositories or rights.
    pub(super) fn grant_nothing(&self) -> bool {
        let is_empty = |rule: &AccessRule| {
            rule.users.is_empty() || rule.repositories.is_empty() || rule.rights.is_empty()
        };
        self.0.iter().all(is_empty)
    }

    pub(super) fn include_anonymous_users(&self) -> bool {
        self.0.iter().any(|rule| rule.users.contains(&UserPattern::Anyone))
    }

    fn rules_of(&self, user: Option<&str>, right: Right) -> impl Iterator<Item = &AccessRule> {
        self.0.iter().filter(move |rule| {
            let is_meant = |who: &UserPattern| match who {
                UserPattern::Anyone => true,
                UserPattern::Authenticated => user.is_some(),
                UserPattern::Named(name) => user == Some(name),
            };
            rule.rights.contains(&right) && rule.users.iter().any(is_meant)
        })
    }
}

/// A pattern of repository names: components, `*` for any one, and `**` at the end for any number.
#[derive(Debug)]
struct RepositoryPattern {
    components: Vec<String>,
    goes_on: bool,
}

impl RepositoryPattern {
    fn matches(&self, repository: &Repository) -> bool {
        let mut found = repository.as_str().split('/');
        let begins = self.components.iter().all(|component| {
            found.next().is_some_and(|found| component == "*" || component == found)
        });
        begins && (self.goes_on || found.next().is_none())
    }

    const fn is_everything(&self) -> bool {
        self.components.is_empty() && self.goes_on
    }
}

impl FromStr for RepositoryPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut components: Vec<_> = text.split('/').map(str::to_owned).collect();
        let goes_on = components.pop_if(|last| last == "**").is_some();
        // With a valid component for each `*`, the pattern must be a repository name.
        let plain: Vec<_> =
            components.iter().map(|part| if part == "*" { "x" } else { part }).collect();
        if components.is_empty() {
            return if goes_on { Ok(Self { components, goes_on }) } else { Err(bad(text)) };
        }
        match plain.join("/").parse::<Repository>() {
            Ok(_) => Ok(Self { components, goes_on }),
            Err(_) => Err(bad(text)),
        }
    }
}

fn bad(text: &str) -> String {
    format!(
        "`{text}` is not a repository pattern; write a repository name, in which `*` may stand for one whole \
         component (`team/*`) and `**` for all that follow (`team/**`)"
    )
}

/// The shortest file of rights that grants something.
pub(crate) const MINIMUM: &str = r#"rules: [{users: ["*"], repositories: ["**"], rights: [pull]}]"#;

/// The keys of a rule. All are required.
const KEYS: [&str; 3] = ["users", "repositories", "rights"];

/// The rules of a file, or all its problems.
pub(super) fn parse(file: NamedText<'_>, users: &Users) -> Result<Rules, Vec<AccessProblem>> {
    if !is_of_rights(file.text) {
        return Err(vec![AccessProblem::new(file.name, (1, 1), not_rights(file.text))]);
    }
    let mut report = RightsReport { file: file.name, problems: Vec::new() };
    let root = yaml::read(file.text, Aliases::Copied, &mut report);
    let rules = root.and_then(|root| rules(&root, users, &mut report));
    let RightsReport { mut problems, .. } = report;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    rules.filter(|_| problems.is_empty()).ok_or(problems)
}

/// Whether a text may be meant as rights. Anything else may be a file of secrets, of which no message quotes a line.
fn is_of_rights(text: &str) -> bool {
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    text.contains("rules") || text.lines().all(is_blank)
}

fn not_rights(text: &str) -> String {
    let (users, _) = htpasswd::parse(NamedText { name: "", text });
    let is = if users.is_empty() {
        "this is not a file of rights"
    } else {
        "this is an htpasswd file, and belongs to --htpasswd"
    };
    format!("{is}; a file of rights has at least `{MINIMUM}`")
}

/// The problems of a file of rights.
struct RightsReport<'f> {
    file: &'f str,
    problems: Vec<AccessProblem>,
}

impl RightsReport<'_> {
    fn problem(&mut self, span: Span, message: String) {
        let position = (span.start.line as usize, span.start.column as usize);
        self.problems.push(AccessProblem::new(self.file, position, message));
    }
}

impl YamlReport for RightsReport<'_> {
    fn add(&mut self, _: YamlRule, span: Span, message: String) {
        self.problem(span, message);
    }
}

fn rules(root: &YamlNode<'_>, users: &Users, report: &mut RightsReport<'_>) -> Option<Rules> {
    if root.is_null() {
        let message = format!("the file is empty; write at least `{MINIMUM}`");
        report.problem(root.span(), message);
        return None;
    }
    let names = ["rules"];
    let [list] = root.written_fields("the file must be a mapping with `rules`", names, report)?;
    let expected = "`rules` must be a list of mappings with `users`, `repositories` and `rights`";
    let items = items(root, (list, "rules", &names), expected, report);
    Some(Rules(items.iter().filter_map(|item| access_rule(item, users, report)).collect()))
}

fn access_rule(
    rule: &YamlNode<'_>,
    users: &Users,
    report: &mut RightsReport<'_>,
) -> Option<AccessRule> {
    let expected = "a rule must be a mapping with `users`, `repositories` and `rights`";
    let [names, repositories, rights] = rule.written_fields(expected, KEYS, report)?;
    Some(AccessRule {
        users: each(rule, ("users", names), |name| user_pattern(name, users), report),
        repositories: each(rule, ("repositories", repositories), str::parse, report),
        rights: each(rule, ("rights", rights), right, report),
    })
}

/// The items of a required list of `mapping`; none after a problem was reported. A key without a value is an empty list.
fn items<'n, 't>(
    mapping: &YamlNode<'_>,
    (list, key, names): (Option<&'n YamlNode<'t>>, &str, &[&str]),
    expected: &str,
    report: &mut RightsReport<'_>,
) -> &'n [YamlNode<'t>] {
    if list.is_none() && !mapping.has_misspelled(key, names) {
        report.problem(mapping.span(), format!("missing key `{key}`; add a list (`- item`)"));
    }
    let list = list.and_then(YamlNode::present);
    list.and_then(|list| list.items(expected, report)).unwrap_or_default()
}

/// Parses each text of a list of a rule, and reports those that are not valid.
fn each<T>(
    rule: &YamlNode<'_>,
    (key, list): (&str, Option<&YamlNode<'_>>),
    meaning: impl Fn(&str) -> Result<T, String>,
    report: &mut RightsReport<'_>,
) -> Vec<T> {
    let expected = format!("`{key}` must be a list of text");
    let mut found = Vec::new();
    for item in items(rule, (list, key, &KEYS), &expected, report) {
        let Some(text) = item.text(&expected, report) else { continue };
        match meaning(text) {
            Ok(value) => found.push(value),
            Err(message) => report.problem(item.span(), message),
        }
    }
    found
}

fn user_pattern(name: &str, users: &Users) -> Result<UserPattern, String> {
    match name {
        ANONYMOUS => Ok(UserPattern::Anyone),
        "*" => Ok(UserPattern::Authenticated),
        name if users.name(name).is_some() => Ok(UserPattern::Named(name.to_owned())),
        name => {
            Err(format!("unknown user `{name}`; add it to the htpasswd file, or correct the name"))
        }
    }
}

fn right(text: &str) -> Result<Right, String> {
    match text {
        "pull" => Ok(Right::Pull),
        "push" => Ok(Right::Push),
        other => Err(format!("unknown right `{other}`; use `pull` or `push`")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::htpasswd, *};

    fn users() -> Users {
        let hash = bcrypt::hash("secret", 4).expect("it is hashed");
        let text = format!("alice:{hash}\nci:{hash}\n");
        htpasswd::parse(NamedText { name: "users", text: &text }).0
    }

    #[test]
    fn rules_grant_what_they_say_and_nothing_else() {
        let text = "rules:
- {users: [ci], repositories: [\"team/**\", one], rights: [pull, push]}
- {users: [\"*\"], repositories: [\"**\"], rights: [pull]}
- {users: [anonymous], repositories: [\"public/*\"], rights: [pull]}
";
        let rules = parse(NamedText { name: "rights", text }, &users()).expect("it is right");
        for (user, right, repository, granted) in [
            (Some("ci"), Right::Push, "team", true),
            (Some("ci"), Right::Push, "team/a/b", true),
            (Some("ci"), Right::Push, "teams/a", false),
            (Some("ci"), Right::Push, "one", true),
            (Some("ci"), Right::Push, "one/two", false),
            (Some("alice"), Right::Push, "team/a", false),
            (Some("alice"), Right::Pull, "anything/at/all", true),
            (None, Right::Pull, "team/a", false),
            (None, Right::Pull, "public/a", true),
            (None, Right::Pull, "public", false),
            (None, Right::Pull, "public/a/b", false),
            (None, Right::Push, "public/a", false),
        ] {
            let name = repository.parse().expect("a name");
            assert_eq!(rules.grant(user, right, &name), granted, "{user:?} {right:?} {repository}");
        }
        assert!(rules.include_anonymous_users());
        assert!(rules.grant_everything(Some("alice"), Right::Pull));
        assert!(!rules.grant_everything(Some("ci"), Right::Push));
        assert!(!rules.grant_everything(None, Right::Pull));
    }

    #[test]
    fn the_shortest_file_that_messages_advise_grants_something_and_one_without_grants_is_known() {
        for (text, grants_nothing) in [
            (MINIMUM, false),
            ("rules: []", true),
            ("rules: [{users: [], repositories: [\"**\"], rights: [pull]}]", true),
            ("rules: [{users: [ci], repositories: [], rights: [pull]}]", true),
            ("rules: [{users: [ci], repositories: [a], rights: []}]", true),
        ] {
            let rules = parse(NamedText { name: "rights", text }, &users()).expect(text);
            assert_eq!(rules.grant_nothing(), grants_nothing, "{text}");
        }
    }

    #[test]
    fn missing_unknown_and_mistyped_keys_are_all_named_at_once() {
        let text = "rules:
- {users: ci, repositories: [a], rihgts: [pull]}
- {users: [carol, [ci]], rights: [pull, delete]}
- pull
extra: 1
";
        let problems = parse(NamedText { name: "rights", text }, &users()).expect_err("mistakes");
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let expected = [
            "rights:2:11: `users` must be a list of text, but it is `ci`",
            "rights:2:34: unknown key `rihgts`; did you mean `rights`?",
            "rights:3:3: missing key `repositories`; add a list (`- item`)",
            "rights:3:12: unknown user `carol`; add it to the htpasswd file, or correct the name",
            "rights:3:19: `users` must be a list of text, but it is a list",
            "rights:3:41: unknown right `delete`; use `pull` or `push`",
            "rights:4:3: a rule must be a mapping with `users`, `repositories` and `rights`, but it is `pull`",
            "rights:5:1: unknown key `extra`; use one of `rules`",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let text = "rules:
- users: [carol, alice]
  repositories: [\"a/**/b\", \"A\", \"\", \"a**\"]
  rights: [pull, delete]
";
        let problems = parse(NamedText { name: "rights", text }, &users()).expect_err("faults");
        let places: Vec<_> =
            problems.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(2, 11), (3, 18), (3, 28), (3, 33), (3, 37), (4, 18)]);
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let pattern = "is not a repository pattern; write a repository name, in which `*` may stand for one whole";
        for (problem, expected) in said.iter().zip([
            "rights:2:11: unknown user `carol`; add it to the htpasswd file, or correct the name",
            &format!("rights:3:18: `a/**/b` {pattern}"),
            &format!("rights:3:28: `A` {pattern}"),
            &format!("rights:3:33: `` {pattern}"),
            &format!("rights:3:37: `a**` {pattern}"),
            "rights:4:18: unknown right `delete`; use `pull` or `push`",
        ]) {
            assert!(problem.starts_with(expected), "{problem}");
        }
        for (text, expected) in [
            (
                "rules:\n- {users: [], repositories: []}\n",
                "rights:2:3: missing key `rights`; add a list (`- item`)",
            ),
            ("rules: []\nx: 1\n", "rights:2:1: unknown key `x`; use one of `rules`"),
            ("rules: [", "rights:1:8: not valid YAML: "),
            // A key one column short of its siblings.
            (
                "rules:\n  - users: [ci]\n    repositories: [a]\n   rights: [pull]\n",
                "rights:4:4: not valid YAML: wrong indentation; align this line with the keys beside it",
            ),
            (
                "",
                "rights:1:1: the file is empty; write at least `rules: [{users: [\"*\"], repositories: \
                 [\"**\"], rights: [pull]}]`",
            ),
        ] {
            let problems = parse(NamedText { name: "rights", text }, &users()).expect_err(text);
            assert_eq!(problems.len(), 1, "{text}");
            assert!(problems[0].to_string().starts_with(expected), "{text}: {}", problems[0]);
        }
    }
}
