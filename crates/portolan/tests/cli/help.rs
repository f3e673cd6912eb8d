//! `portolan --help`, `portolan help VERB` and `portolan --version`.

use std::collections::BTreeSet;

use crate::harness::run;

/// The program or a command of it: the words that call it, and its help.
pub(crate) struct CommandHelp {
    pub(crate) path: Vec<String>,
    pub(crate) help: String,
}

impl CommandHelp {
    /// Whether it only groups other commands.
    pub(crate) fn has_commands(&self) -> bool {
        subcommands(&self.help).next().is_some()
    }

    /// Its words after `before`, as arguments.
    fn arguments<'c>(&'c self, before: &'c [&'c str]) -> Vec<&'c str> {
        before.iter().copied().chain(self.path.iter().map(String::as_str)).collect()
    }
}

/// The program itself and every command of it, as clap lists them.
pub(crate) async fn commands() -> Vec<CommandHelp> {
    let (mut found, mut left) = (Vec::new(), vec![Vec::new()]);
    while let Some(path) = left.pop() {
        let mut command = CommandHelp { path, help: String::new() };
        command.help = run(&command.arguments(&["help"])).await.expect(0).stdout;
        let below = |name: &str| [&command.path[..], &[name.to_owned()]].concat();
        left.extend(subcommands(&command.help).map(below));
        found.push(command);
    }
    found
}

/// The commands that a help text lists, but for `help` itself.
fn subcommands(help: &str) -> impl Iterator<Item = &str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help")
}

/// The long options of a help text.
pub(crate) fn options(help: &str) -> BTreeSet<&str> {
    sections(help).into_iter().flat_map(|(_, options)| options).collect()
}

/// The headings of a help text, each with the long options below it.
fn sections(help: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in help.lines().take_while(|line| *line != "Examples:") {
        let option = line.trim_start().split([' ', '=']).find(|word| word.starts_with("--"));
        // Possible values of an option stand behind `- `.
        let is_option = line.trim_start().starts_with('-') && !line.trim_start().starts_with("- ");
        let is_option = is_option && line.starts_with("  ");
        match (line.strip_suffix(':'), option, sections.last_mut()) {
            (Some(heading), ..) if !line.starts_with(' ') => sections.push((heading, Vec::new())),
            (_, Some(option), Some((_, options))) if is_option => options.push(option),
            _ => {}
        }
    }
    sections
}

#[tokio::test]
async fn global_options_come_last_in_every_help() {
    for command in commands().await.iter().filter(|command| !command.has_commands()) {
        let help = &command.help;
        let mut with_flag = command.arguments(&[]);
        with_flag.push("--help");
        assert_eq!(*help, run(&with_flag).await.expect(0).stdout);
        let mut sections = sections(help);
        sections.retain(|(_, options)| !options.is_empty());
        let global = sections.pop().expect("options");
        assert_eq!(
            global,
            ("Global options", vec!["--quiet", "--log", "--help", "--version"]),
            "{help}"
        );
        for (heading, options) in sections {
            assert!(!options.contains(&"--quiet"), "{:?}, {heading}: {help}", command.path);
        }
    }
}

#[tokio::test]
async fn the_help_of_promote_groups_its_options() {
    let help = run(&["help", "promote"]).await.expect(0).stdout;
    let sections = sections(&help);
    let headings: Vec<_> = sections.iter().map(|(heading, _)| *heading).collect();
    let expected =
        ["Options", "Selection", "Attachments", "Output", "Registry access", "Global options"];
    assert_eq!(headings, expected, "{help}");
    assert_eq!(sections[0].1[..3], ["--manifest", "--thin-manifest-dir", "--confirm"], "{help}");
}

#[tokio::test]
async fn the_help_of_completions_says_how_to_install_them_for_every_shell() {
    let help = run(&["help", "completions"]).await.expect(0).stdout;
    let (_, shells) = help.split_once("[possible values: ").expect(&help);
    let (shells, _) = shells.split_once(']').expect(&help);
    let shells: Vec<_> = shells.split(", ").collect();
    for shell in ["bash", "zsh", "fish"].iter().chain(&shells) {
        assert!(help.contains(&format!("portolan completions {shell}")), "{shell}: {help}");
        let script = run(&["completions", shell]).await.expect(0).stdout;
        assert!(script.contains("portolan"), "{shell}");
    }
    for place in [".local/share/bash-completion/completions/portolan", "_portolan", "portolan.fish"]
    {
        assert!(help.contains(place), "{help}");
    }
}
