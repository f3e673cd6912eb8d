//! Small mistakes in YAML: a missing quote, comma, bracket or space, and the marks of a merge conflict.
//!
//! A parser reports where it cannot continue, which is often a line or more after the mistake. This finds the mistake in a
//! text that a parser refused. For a valid text its result has no meaning.
//!
//! Source: YAML 1.2.2 §7 (quotes, flow collections), §8.2 (block collections).

/// A line and a column in characters, both from 1.
pub(crate) type TextPosition = (usize, usize);

/// A mistake: its position, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlMistake {
    pub(crate) at: TextPosition,
    pub(crate) message: String,
}

/// The first mistake in a text that a parser refused at `refused`.
pub(crate) fn find(text: &str, refused: TextPosition) -> Option<YamlMistake> {
    conflict(text).or_else(|| {
        let mut scan = Scan { refused: refused.0, ..Scan::default() };
        for (number, line) in (1..).zip(text.lines()) {
            scan.line(number, line);
            if scan.mistake.is_some() || scan.is_over {
                break;
            }
        }
        scan.finish()
    })
}

/// The first mark of a merge conflict that git wrote.
fn conflict(text: &str) -> Option<YamlMistake> {
    let is_mark = |line: &str| {
        let rest = line.strip_prefix("<<<<<<<").or_else(|| line.strip_prefix(">>>>>>>"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let line = text.lines().position(is_mark)?;
    let message = "this is a git conflict marker; resolve the conflict and remove the markers";
    Some(YamlMistake { at: (line + 1, 1), message: message.to_owned() })
}

/// A bracket or a quote that is open.
#[derive(Clone, Copy, Debug)]
struct OpenMark {
    mark: char,
    at: TextPosition,
    /// The indentation of its line.
    indent: usize,
}

/// What comes next in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NextToken {
    /// A value or a key.
    #[default]
    Value,
    /// A separator: a value has ended, by a quote or not.
    Separator,
}

/// The state after the lines that were read so far.
#[derive(Debug, Default)]
struct Scan {
    /// The line where the parser could not go on.
    refused: usize,
    brackets: Vec<OpenMark>,
    quote: Option<OpenMark>,
    expected: NextToken,
    /// A mistake that is certain.
    mistake: Option<YamlMistake>,
    /// Possible mistakes in the last two lines with content: they count if the parser stopped at the second line.
    doubtful: [Option<YamlMistake>; 2],
    /// The rest of the text is not read.
    is_over: bool,
}

impl Scan {
    fn line(&mut self, number: usize, text: &str) {
        let line: Vec<char> = text.trim_end().chars().collect();
        let indent = line.iter().take_while(|it| **it == ' ').count();
        if self.quote.is_none() && line.get(indent).is_none_or(|it| *it == '#') {
            return;
        }
        if number > self.refused && self.quote.is_none() {
            self.is_over = true;
            return;
        }
        if let Some(bracket) = self.brackets.last()
            && self.quote.is_none()
            && indent <= bracket.indent
            && !matches!(line[indent], ']' | '}')
        {
            self.mistake = Some(unclosed(*bracket));
            return;
        }
        let is_block = self.brackets.is_empty() && self.quote.is_none();
        if is_block {
            self.expected = NextToken::Value;
            self.doubtful = [self.doubtful[1].take(), doubtful(number, &line, indent)];
        }
        let mut at = if self.quote.is_some() { 0 } else { indent };
        while at < line.len() && self.mistake.is_none() && !self.is_over {
            at = self.token(number, &line, (at, indent));
        }
    }

    /// Reads the token at `at`. Returns the column of the next one.
    fn token(&mut self, number: usize, line: &[char], (at, indent): (usize, usize)) -> usize {
        if let Some(quote) = self.quote {
            return self.quoted(quote, line, at);
        }
        let here = (number, at + 1);
        let in_flow = !self.brackets.is_empty();
        match line[at] {
            ' ' | '\t' => at + 1,
            '#' if at == 0 || matches!(line[at - 1], ' ' | '\t') => line.len(),
            ',' if in_flow => self.expect_value(at),
            ':' if in_flow || is_end(line, at + 1) => self.expect_value(at),
            ']' | '}' if in_flow => {
                self.brackets.pop();
                self.expected = NextToken::Separator;
                at + 1
            }
            _ if in_flow && self.expected == NextToken::Separator => {
                self.mistake = mistake(here, "a comma is missing before this value; add it");
                at
            }
            mark @ ('[' | '{') => {
                self.brackets.push(OpenMark { mark, at: here, indent });
                self.expect_value(at)
            }
            mark @ ('"' | '\'') => {
                self.quote = Some(OpenMark { mark, at: here, indent });
                at + 1
            }
            '-' if !in_flow && is_end(line, at + 1) => at + 1,
            '|' | '>' if !in_flow => {
                self.is_over = true;
                at
            }
            _ => self.plain(number, line, at),
        }
    }

    fn expect_value(&mut self, at: usize) -> usize {
        self.expected = NextToken::Value;
        at + 1
    }

    /// Reads the rest of a quoted text, and checks the character after it.
    fn quoted(&mut self, quote: OpenMark, line: &[char], from: usize) -> usize {
        let Some(end) = end_of_quote(quote.mark, line, from) else { return line.len() };
        self.quote = None;
        self.expected = NextToken::Separator;
        match line.get(end) {
            None | Some(' ' | '\t' | ',' | ']' | '}') => {}
            Some(':') if !self.brackets.is_empty() || is_end(line, end + 1) => {}
            // As in `"sha256:…":["1.0"]`, or as in `"sha256:…: ["1.0"]` if the text has a `: `.
            Some(':') => self.mistake = mistake((quote.at.0, end + 2), &space_after(None)),
            Some(_) => self.mistake = Some(unclosed(quote)),
        }
        end
    }

    /// Reads a plain text to its end.
    fn plain(&mut self, number: usize, line: &[char], from: usize) -> usize {
        let in_flow = !self.brackets.is_empty();
        let is_over = |at: usize| match line[at] {
            ':' => is_end(line, at + 1),
            '#' => matches!(line[at - 1], ' ' | '\t'),
            ',' | '[' | ']' | '{' | '}' => in_flow,
            _ => false,
        };
        let end = (from + 1..line.len()).find(|at| is_over(*at)).unwrap_or(line.len());
        let opens = |at: &usize| {
            line[*at] == ':' && matches!(line.get(at + 1), Some('[' | '{' | '"' | '\''))
        };
        if let Some(colon) = (from..end).find(opens) {
            let key: String = line[from..colon].iter().collect();
            self.mistake = mistake((number, colon + 2), &space_after(Some(&key)));
        }
        end
    }

    /// The mistake, once the text was read.
    fn finish(self) -> Option<YamlMistake> {
        let open = self.quote.or(self.brackets.first().copied().filter(|_| !self.is_over));
        let [before, last] = self.doubtful;
        self.mistake.or(open.map(unclosed)).or(before).or(last)
    }
}

fn mistake(at: TextPosition, message: &str) -> Option<YamlMistake> {
    Some(YamlMistake { at, message: format!("not valid YAML: {message}") })
}

fn unclosed(OpenMark { mark, at, .. }: OpenMark) -> YamlMistake {
    let message = match mark {
        '[' => "unclosed `[`; add the closing `]`".to_owned(),
        '{' => "unclosed `{`; add the closing `}`".to_owned(),
        quote => format!("unclosed quote; add the closing `{quote}`"),
    };
    YamlMistake { at, message: format!("not valid YAML: {message}") }
}

/// The message for a `:` without a space. It names the key if that is short.
fn space_after(key: Option<&str>) -> String {
    /// Longer than any key of ours, and shorter than a digest.
    const SHOWN: usize = 40;
    match key.filter(|key| key.len() <= SHOWN) {
        Some(key) => format!("a space is missing after `{key}:`; add it"),
        None => "a space is missing after the `:`; add it".to_owned(),
    }
}

/// Whether a blank or the end of the line is at this column.
fn is_end(line: &[char], at: usize) -> bool {
    line.get(at).is_none_or(|it| matches!(it, ' ' | '\t'))
}

/// The column after the closing quote.
fn end_of_quote(mark: char, line: &[char], from: usize) -> Option<usize> {
    let mut at = from;
    while at < line.len() {
        match line[at] {
            '\\' if mark == '"' => at += 1,
            '\'' if mark == '\'' && line.get(at + 1) == Some(&'\'') => at += 1,
            it if it == mark => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A line of a block collection that is valid, but probably a mistake: `name:app` and `-1.0` are plain text.
fn doubtful(number: usize, line: &[char], indent: usize) -> Option<YamlMistake> {
    let mut from = indent;
    while line.get(from) == Some(&'-') && line.get(from + 1) == Some(&' ') {
        from += 1 + line[from + 1..].iter().take_while(|it| **it == ' ').count();
    }
    let content = &line[from..];
    if let ['-', next, ..] = content
        && *next != '-'
    {
        return mistake((number, from + 2), "a space is missing after the `-`; add it");
    }
    let key = content.iter().position(|it| !it.is_alphanumeric() && !"-_".contains(*it))?;
    let has_key = (0..content.len()).any(|at| content[at] == ':' && is_end(content, at + 1));
    let value = content.get(key + 1..)?;
    // `localhost:5000` in a list, a URL and a digest are not mistakes.
    let is_item = from > indent;
    let is_text = value.first().is_none_or(|it| *it == '/' || is_item && it.is_ascii_digit());
    if content[key] != ':' || key == 0 || has_key || is_text {
        return None;
    }
    let name: String = content[..key].iter().collect();
    let is_digest = name == "sha256" || name == "sha512";
    let after = if is_digest { value.iter().position(|it| *it == ':')? + 1 } else { 0 };
    mistake((number, from + key + 2 + after), &space_after((!is_digest).then_some(&name)))
}
