//! `portolan --help`, `portolan help VERB` and `portolan --version`.

use crate::harness::run;

/// Every command that has options.
const COMMANDS: [&[&str]; 10] = [
    &["promote"],
    &["mirror"],
    &["serve"],
    &["explain"],
    &["store", "serve"],
    &["registry", "serve"],
    &["demo"],
    &["schema", "front"],
    &["schema", "report"],
    &["completions"],
];

/// The headings of a help text, each with the long options below it.
fn sections(help: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in help.lines().take_while(|line| *line != "Examples:") {
        let option = line.trim_start().split([' ', '=']).find(|word| word.starts_with("--"));
        let is_option = line.trim_start().starts_with('-') && line.starts_with("  ");
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
    for command in COMMANDS {
        let help = run(&[&["help"], command].concat()).await.expect(0).stdout;
        assert_eq!(help, run(&[command, &["--help"]].concat()).await.expect(0).stdout);
        let mut sections = sections(&help);
        sections.retain(|(_, options)| !options.is_empty());
        let global = sections.pop().expect("options");
        assert_eq!(
            global,
            ("Global options", vec!["--quiet", "--log", "--help", "--version"]),
            "{help}"
        );
        for (heading, options) in sections {
            assert!(!options.contains(&"--quiet"), "{command:?}, {heading}: {help}");
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
