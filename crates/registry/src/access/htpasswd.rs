//! The file of users: one `name:hash` in each line, bcrypt only, since the other hashes of htpasswd are
//! broken or fast to guess.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{NamedText, User, problem::AccessProblem};

/// The word for all clients in a list of users; no user can have this name.
pub(super) const ANONYMOUS: &str = "anonymous";

/// bcrypt ignores what follows in a longer password, so all longer passwords with the same beginning would be
/// accepted.
pub(crate) const MAX_PASSWORD_BYTES: usize = 72;

/// Names and the hashes of passwords. It has no `Debug`.
pub(super) struct Users(HashMap<User, Arc<str>>);

impl Users {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The stored name, if there is such a user.
    pub(super) fn name(&self, name: &str) -> Option<User> {
        self.0.get_key_value(name).map(|(name, _)| Arc::clone(name))
    }

    /// The check of a password, which yields the user if it is right. For an unknown name it takes as long as for
    /// the user with the most expensive hash: if all hashes cost the same, the response time does not reveal which
    /// users exist.
    pub(super) fn check(
        &self,
        name: &str,
        password: String,
    ) -> impl FnOnce() -> Option<User> + Send + 'static {
        let known = self.0.get_key_value(name);
        let user = known.map(|(name, _)| Arc::clone(name));
        let slowest = || self.0.iter().max_by_key(|(_, hash)| cost(hash));
        let any = known.or_else(slowest);
        let hash = any.map(|(_, hash)| Arc::clone(hash)).unwrap_or_default();
        move || {
            let is_right = bcrypt::verify(password, &hash).unwrap_or(false);
            user.filter(|_| is_right)
        }
    }
}

/// The costs that htpasswd accepts. Each step doubles the time; the last one takes seconds.
const COSTS: RangeInclusive<u32> = 4..=17;

fn cost(hash: &str) -> Option<u32> {
    Some(hash.parse::<bcrypt::HashParts>().ok()?.get_cost())
}

/// The users of a file, and its problems.
pub(super) fn parse(file: NamedText<'_>) -> (Users, Vec<AccessProblem>) {
    let (mut users, mut problems) = (HashMap::new(), Vec::new());
    for (at, line) in file.text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match user(line) {
            Ok((name, _)) if users.contains_key(name) => {
                problems.push(AccessProblem::new(
                    file.name,
                    (at + 1, 1),
                    format!("user `{name}` is listed twice; keep one of the lines"),
                ));
            }
            Ok((name, hash)) => {
                users.insert(User::from(name), Arc::<str>::from(hash));
            }
            Err(_) if users.is_empty() && problems.is_empty() && is_of_another_file(line) => {
                let message = "this is not an htpasswd file; `htpasswd -B` writes one".to_owned();
                problems.push(AccessProblem::new(file.name, (at + 1, 1), message));
                break;
            }
            Err(message) => problems.push(AccessProblem::new(file.name, (at + 1, 1), message)),
        }
    }
    if users.is_empty() && problems.is_empty() {
        let message = format!("the file has no users; `htpasswd -B {} NAME` adds one", file.name);
        problems.push(AccessProblem::new(file.name, (1, 1), message));
    }
    (Users(users), problems)
}

/// Whether a line can only be of another kind of file: a name has no blanks, and a hash does not begin with one.
fn is_of_another_file(line: &str) -> bool {
    match line.split_once(':') {
        Some((name, hash)) => {
            name.contains(|it: char| it.is_whitespace() || matches!(it, '{' | '[' | '<' | '"'))
                || hash.is_empty()
                || hash.starts_with(char::is_whitespace)
        }
        None => line.starts_with(['{', '[', '<']) || line == "---",
    }
}

/// The name and the hash in a line. Messages do not contain the hash.
fn user(line: &str) -> Result<(&str, &str), String> {
    let (name, hash) =
        line.split_once(':').ok_or("a line is `name:hash`, as `htpasswd -B` writes it")?;
    if name.is_empty() || matches!(name, ANONYMOUS | "*") {
        return Err(format!("`{name}` cannot be the name of a user"));
    }
    let is_bcrypt = ["$2y$", "$2a$", "$2b$"].iter().any(|prefix| hash.starts_with(prefix));
    match cost(hash).filter(|_| is_bcrypt) {
        None => Err(format!(
            "the password of `{name}` is not hashed with bcrypt; set it again with `htpasswd -B`"
        )),
        Some(cost) if !COSTS.contains(&cost) => Err(format!(
            "the hash of `{name}` has the cost {cost}; take one from {} to {}, such as `htpasswd -B -C 10`",
            COSTS.start(),
            COSTS.end()
        )),
        Some(_) => Ok((name, hash)),
    }
}

/// The name and password of an `Authorization` header.
pub(super) fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    // Neither may contain control characters (RFC 7617 §2), and bcrypt ends at a zero byte.
    let (name, password) = text.split_once(':').filter(|_| !text.contains(char::is_control))?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_faults_named() {
        let hash = bcrypt::hash("secret", 4).expect("it is hashed");
        let text = format!(
            "# users\n\nalice:{hash}\nbob:$apr1$x$y\nalice:{hash}\nnobody\n:{hash}\nanonymous:{hash}\nz:$2y$\n"
        );
        let (users, problems) = parse(NamedText { name: "users", text: &text });
        let places: Vec<_> = problems.iter().map(AccessProblem::line).collect();
        assert_eq!(places, [4, 5, 6, 7, 8, 9]);
        assert!(!problems.iter().any(|problem| problem.to_string().contains("$2y$04")));
        assert!(users.check("alice", "secret".into())().is_some());
        for (name, password) in [("alice", "Secret"), ("alice", ""), ("carol", "secret")] {
            assert!(users.check(name, password.into())().is_none(), "{name} {password}");
        }
        let (_, problems) = parse(NamedText { name: "users", text: "# none\n" });
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn credentials_are_read() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let read =
            |header: &str| basic(header).map(|(name, password)| format!("{name}|{password}"));
        for (text, found) in [("a:b", "a|b"), ("a:b:c", "a|b:c"), (":", "|"), ("a:ü", "a|ü")] {
            assert_eq!(read(&header(text)).as_deref(), Some(found));
        }
        assert_eq!(read(&header("a:b").replace("Basic", "bAsIc")).as_deref(), Some("a|b"));
        let zero = header("a:x\0x");
        for bad in ["", "Basic", "Basic !", "Bearer YTpi", &header("ab"), &zero] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
