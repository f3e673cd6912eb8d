//! Puts `git describe` and the commit's date into the binary, for `--version`. Without git or outside a
//! checkout the version number stands alone.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/refs");
    let version = env!("CARGO_PKG_VERSION");
    let described = git(&["describe", "--tags", "--always", "--dirty"]);
    let date = git(&["log", "-1", "--format=%cs"]);
    let text = match (described, date) {
        (Some(described), Some(date)) => format!("{version} ({described}, {date})"),
        _ => version.to_owned(),
    };
    println!("cargo:rustc-env=PORTOLAN_VERSION={text}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
