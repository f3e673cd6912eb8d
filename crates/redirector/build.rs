//! Embeds a snapshot of published address ranges, if the builder has one: `PORTOLAN_EMBED_RANGES`
//! names a directory with `aws-ip-ranges.json` and `gcp-cloud.json`. Without it, empty files are
//! embedded, which stand for none.

use std::{env, error::Error, fs, path::PathBuf};

const VARIABLE: &str = "PORTOLAN_EMBED_RANGES";
const FILES: [&str; 2] = ["aws-ip-ranges.json", "gcp-cloud.json"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for name in FILES {
        let content = match env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
            None => Vec::new(),
            Some(dir) => {
                let path = PathBuf::from(dir).join(name);
                println!("cargo::rerun-if-changed={}", path.display());
                fs::read(&path).map_err(|e| format!("{VARIABLE}: {}: {e}", path.display()))?
            }
        };
        fs::write(out.join(name), content)?;
    }
    Ok(())
}
