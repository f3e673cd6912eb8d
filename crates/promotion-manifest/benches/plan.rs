//! What planning the Kubernetes tree costs: `cargo bench -p promotion-manifest`.
//!
//! Reads the files first, then times parse and edges, on one thread; prints the first run, which
//! finds cold caches, the median and the best, and the process's peak memory. Not a statistical
//! harness: the mark (0.25 s, 100 MB) is coarse.

use std::{
    error::Error,
    fs,
    io::{Write as _, stdout},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use promotion_manifest::{EdgeSet, ThinProject, parse_thin, thin_layout};

/// Enough for a median; the whole takes seconds.
const RUNS: usize = 25;

fn main() -> Result<(), Box<dyn Error>> {
    let root = data();
    if !root.is_dir() {
        writeln!(stdout(), "skipped: {} is not there", root.display())?;
        return Ok(());
    }
    let projects = read(&root)?;
    let bytes: usize = projects.iter().map(|(_, a, b)| a.len() + b.len()).sum();
    let (mut parse, mut edges, mut total) = (Vec::new(), Vec::new(), Vec::new());
    let (mut len, mut peak_of_first) = (0, None);
    for _ in 0..RUNS {
        let start = Instant::now();
        let manifests: Vec<_> = projects
            .iter()
            .filter_map(|(project, registries, images)| {
                let registries = (&*project.registries_file, &**registries);
                let images = (&*project.images_file, &**images);
                parse_thin(&project.project, registries, images).manifest
            })
            .collect();
        let parsed = start.elapsed();
        let set = EdgeSet::new(manifests);
        let done = start.elapsed();
        len = set.len();
        parse.push(parsed);
        edges.push(done - parsed);
        total.push(done);
        peak_of_first = peak_of_first.or_else(peak);
    }
    let mut out = stdout();
    writeln!(
        out,
        "{} projects, {bytes} bytes, {len} edges; ms: first, median, best",
        projects.len()
    )?;
    for (name, times) in [("parse", parse), ("edges", edges), ("total", total)] {
        writeln!(out, "{name:6} {}", summary(times))?;
    }
    let peak_of_first = peak_of_first.unwrap_or_else(|| "unknown".to_owned());
    writeln!(
        out,
        "peak memory of the process, texts included, after the first run: {peak_of_first}"
    )?;
    Ok(())
}

/// A project with the texts of its registries and of its images.
type Texts = (ThinProject, String, String);

fn data() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a bench has no environment file")]
    let data = std::env::var("PORTOLAN_DATA").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").to_owned()
    });
    Path::new(&data).join("k8s.io/registry.k8s.io")
}

fn read(root: &Path) -> Result<Vec<Texts>, Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in ["images", "manifests"] {
        for project in fs::read_dir(root.join(folder))? {
            for file in fs::read_dir(project?.path())? {
                let path = file?.path();
                files.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
            }
        }
    }
    let text = |file: &str| fs::read_to_string(root.join(file));
    let projects = thin_layout(&files).0.into_iter();
    projects
        .map(|project| {
            let texts = (text(&project.registries_file)?, text(&project.images_file)?);
            Ok((project, texts.0, texts.1))
        })
        .collect()
}

fn summary(mut times: Vec<Duration>) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let first = ms(times[0]);
    times.sort_unstable();
    format!("{first:8.1} {:8.1} {:8.1}", ms(times[times.len() / 2]), ms(times[0]))
}

/// The peak resident memory so far, if the system reports it.
fn peak() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
