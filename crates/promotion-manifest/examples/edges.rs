//! Parses a thin manifest directory and makes its edges: `edges DIRECTORY` prints how many, and how many problems.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use promotion_manifest::{EdgeSet, parse_thin, thin_layout};

fn main() -> io::Result<()> {
    let Some(tree) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("give a thin manifest directory"));
    };
    let mut files = Vec::new();
    list(&tree, Path::new(""), &mut files)?;
    let (projects, mut problems) = thin_layout(&files);
    let mut manifests = Vec::new();
    for project in projects {
        let registries = fs::read_to_string(tree.join(&project.registries_file))?;
        let images = fs::read_to_string(tree.join(&project.images_file))?;
        let registries = (project.registries_file.as_str(), registries.as_str());
        let parsed = parse_thin(&project.project, registries, (&project.images_file, &images));
        manifests.extend(parsed.manifest);
        problems.extend(parsed.problems);
    }
    let edges = EdgeSet::new(manifests);
    writeln!(io::stdout(), "{} edges, {} problems", edges.len(), problems.len())
}

fn list(root: &Path, below: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else {
            files.push(path.display().to_string());
        }
    }
    Ok(())
}
