//! What a run cost at each host, or will cost at most, and what the public name does not answer for, in words.

use std::{
    io::{self, Write},
    time::Duration,
};

use crate::Ending;

/// Writes both, as far as there is something to tell.
pub(super) fn write(out: &mut impl Write, ending: &Ending) -> io::Result<()> {
    match &ending.estimate {
        Some(estimate) if !estimate.hosts.is_empty() => {
            let rows = estimate.hosts.iter().map(|it| {
                let time = in_time(it.time);
                let bytes = [it.bytes_received, it.bytes_sent];
                (it.host.to_string(), [it.reads, it.writes], bytes, Some(time))
            });
            writeln!(out, "\nCarrying it out will cost at most")?;
            table(out, rows)?;
            if !estimate.time().is_zero() {
                let time = in_time(estimate.time());
                writeln!(out, "and, as the quotas allow, take {time} at best")?;
            }
        }
        Some(_) => {}
        None => {
            let asked = ending.hosts.iter().filter(|it| it.reads + it.writes > 0);
            let rows = asked.map(|it| {
                let bytes = [it.bytes_received, it.bytes_sent];
                (it.host.clone(), [it.reads, it.writes], bytes, None)
            });
            writeln!(out, "\nIt cost")?;
            table(out, rows)?;
        }
    }
    if !ending.unanswered.is_empty() {
        writeln!(out, "\nNot answered through the public name")?;
    }
    for unanswered in &ending.unanswered {
        writeln!(out, "  {}  {}: {}", unanswered.name, unanswered.digest, unanswered.reason)?;
    }
    Ok(())
}

/// A host; requests that read and that write; bytes that came and that were sent; the least time.
type Row = (String, [u64; 2], [u64; 2], Option<String>);

fn table(out: &mut impl Write, rows: impl Iterator<Item = Row>) -> io::Result<()> {
    let rows: Vec<Row> = rows.collect();
    let width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0).max(4);
    writeln!(
        out,
        "  {:width$}  {:>9}  {:>9}  {:>10}  {:>10}",
        "host", "reads", "writes", "received", "sent"
    )?;
    for (host, [reads, writes], [received, sent], time) in rows {
        let [received, sent] = [received, sent].map(in_bytes);
        write!(out, "  {host:width$}  {reads:>9}  {writes:>9}  {received:>10}  {sent:>10}")?;
        match time {
            Some(time) => writeln!(out, "  {time}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
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
