//! The cost of a run at each host, or its estimate, and the tags that the public name does not serve, as text.

use std::{
    io::{self, Write},
    time::Duration,
};

use wording::{Width, row};

use super::table::TextTable;
use crate::{Ending, PublicNameFailure};

/// Writes both, if there is anything to report.
pub(super) fn write(out: &mut impl Write, ending: &Ending, width: Width) -> io::Result<()> {
    match &ending.estimate {
        Some(estimate) if !estimate.hosts.is_empty() => {
            writeln!(out, "\nA confirmed run will cost about")?;
            let mut table = TextTable::new(COLUMNS.into_iter().chain(["time"]));
            for it in &estimate.hosts {
                let bytes = [it.bytes_received, it.bytes_sent];
                let cells = cells(it.host.as_str(), [it.reads, it.writes], bytes);
                table.add(cells.into_iter().chain([in_time(it.time)]));
            }
            table.write(out, 2, width)?;
            writeln!(out, "{}", row(2, &[NOT_COUNTED], width))?;
            if !estimate.time().is_zero() {
                let time = in_time(estimate.time());
                writeln!(out, "and take at least {time}, given the quotas")?;
            }
        }
        Some(_) => {}
        None => {
            writeln!(out, "\nThe run cost")?;
            let has_repeated = ending.hosts.iter().any(|it| it.retries + it.throttled > 0);
            let more = if has_repeated { &REPEATED[..] } else { &[] };
            let mut table = TextTable::new(COLUMNS.iter().chain(more).copied());
            for it in ending.hosts.iter().filter(|it| it.reads + it.writes > 0) {
                let bytes = [it.bytes_received, it.bytes_sent];
                let repeated = [it.retries, it.throttled].map(|number| number.to_string());
                let repeated = repeated.into_iter().take(more.len());
                table
                    .add(cells(&it.host, [it.reads, it.writes], bytes).into_iter().chain(repeated));
            }
            table.write(out, 2, width)?;
        }
    }
    if !ending.public_name_failures.is_empty() {
        writeln!(out, "\nNot served by the public name")?;
    }
    for PublicNameFailure { name, digest, reason } in &ending.public_name_failures {
        let parts = [name.clone(), format!("{digest}:"), reason.to_string()];
        writeln!(out, "{}", row(2, &parts, width))?;
    }
    Ok(())
}

/// What an estimate does not count. A run can cost more.
const NOT_COUNTED: &str = "not counted: reading the registries again, the bytes of manifests and attachments, and retries";

const COLUMNS: [&str; 5] = ["host", "reads", "writes", "received", "sent"];

/// The columns that follow if a request was retried, or throttled by its host.
const REPEATED: [&str; 2] = ["retries", "throttled"];

/// A host, its requests that read and that write, and the bytes that were received and sent.
fn cells(host: &str, [reads, writes]: [u64; 2], bytes: [u64; 2]) -> [String; 5] {
    let [received, sent] = bytes.map(in_bytes);
    [host.to_owned(), reads.to_string(), writes.to_string(), received, sent]
}

/// A number of bytes for people.
#[must_use]
pub fn in_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A time for people: in seconds, or minutes and hours.
fn in_time(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
