//! Parses the texts of a project into its promotion manifest, or into problems.
//!
//! It reads no files. Source: the plain and thin manifests of Kubernetes' promo-tools.

use std::sync::Arc;

use yaml::YamlNode;

use crate::{
    ImageEntry, Problem, PromotionManifest, Provenance, Rule, images,
    problem::Problems,
    provenance,
    registries::{self, Registries},
    text,
};

/// A parsed project.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The project without the entries that have problems; `None` if the whole project is left out.
    pub manifest: Option<PromotionManifest>,
    /// The problems, by file and then by position.
    pub problems: Vec<Problem>,
}

/// Parses a plain promotion manifest: one file with registries and images. The project has the name of the file.
#[must_use]
pub fn parse_plain(file: &str, text: &str) -> Parsed {
    let name: Arc<str> = file.into();
    let mut problems = Problems::new(file, &name);
    let (mut found, mut list) = (None, Vec::new());
    let minimum = "write `registries:` and `images:`";
    let root = text::read(text, &mut problems);
    let root = root.filter(|root| has_keys(root, minimum, &mut problems));
    if let Some(root) = root.filter(|root| is_no_list(root, &mut problems)) {
        let expected = "the file must be a mapping with `registries` and `images`";
        let names = ["images", "registries", "imagesPath", "provenance"];
        if let Some([images, rest @ ..]) = root.fields(expected, names, &mut problems) {
            found = frame(&root, rest, &mut problems);
            if !root.has("images") && found.is_some() {
                let message = "no `images`: this looks like a thin promoter-manifest.yaml; use --thin-manifest-dir, \
                               or add `images:`";
                problems.leave_out_project(Rule::ThinFileAsPlain, root.span(), message);
            }
            list = images.map_or_else(Vec::new, |images| images::read(images, &mut problems));
        }
    }
    assemble([Arc::clone(&name), name], found, list, vec![problems])
}

/// Parses the two files of a project of a thin manifest directory, each given as its name and its text.
#[must_use]
pub fn parse_thin(project: &str, registries: (&str, &str), images: (&str, &str)) -> Parsed {
    let files: [Arc<str>; 2] = [registries.0.into(), images.0.into()];
    let [mut in_registries, mut in_images] =
        files.each_ref().map(|file| Problems::new(project, file));
    let found = text::read(registries.1, &mut in_registries).and_then(|root| {
        if !has_keys(&root, "write `registries:`", &mut in_registries) {
            return None;
        }
        let expected = "the file must be a mapping with `registries`";
        let names = ["registries", "imagesPath", "provenance"];
        let fields = root.fields(expected, names, &mut in_registries)?;
        frame(&root, fields, &mut in_registries)
    });
    let list = text::read(images.1, &mut in_images)
        .and_then(|root| Some(images::read(root.present()?, &mut in_images)));
    assemble(files, found, list.unwrap_or_default(), vec![in_registries, in_images])
}

/// Whether the file has content. An empty file is reported, with the `minimum` to write.
fn has_keys(root: &YamlNode<'_>, minimum: &str, problems: &mut Problems) -> bool {
    let is_empty = root.present().is_none();
    if is_empty {
        problems.leave_out_project(
            Rule::EmptyFile,
            root.span(),
            format!("the file is empty; {minimum}"),
        );
    }
    !is_empty
}

/// Whether the file is not a list. A list is reported: it is probably the images of a thin manifest.
fn is_no_list(root: &YamlNode<'_>, problems: &mut Problems) -> bool {
    let is_list = root.is_list();
    if is_list {
        let message = "this looks like a thin images.yaml; use --thin-manifest-dir";
        problems.leave_out_project(Rule::ThinFileAsPlain, root.span(), message);
    }
    !is_list
}

/// The keys beside the images.
struct Frame {
    registries: Registries,
    provenance: Option<Provenance>,
}

/// The registries of `root`, and the keys beside them.
fn frame(
    root: &YamlNode<'_>,
    [list, path, provenance]: [Option<&YamlNode<'_>>; 3],
    problems: &mut Problems,
) -> Option<Frame> {
    // Real files have it, but it is not used.
    path.map(|path| path.text("`imagesPath` must be text", problems));
    let provenance = provenance.and_then(|block| provenance::read(block, problems));
    let registries = registries::read(list, root.position(), problems)?;
    Some(Frame { registries, provenance })
}

fn assemble(
    [registries_file, images_file]: [Arc<str>; 2],
    frame: Option<Frame>,
    images: Vec<ImageEntry>,
    reports: Vec<Problems>,
) -> Parsed {
    let is_out = reports.iter().any(Problems::project_is_out);
    let project = reports[0].project().to_owned();
    let problems = reports.into_iter().flat_map(Problems::into_problems).collect();
    let manifest = frame.filter(|_| !is_out).map(|Frame { registries, provenance }| {
        let Registries { source, destinations } = registries;
        PromotionManifest {
            project,
            registries_file,
            images_file,
            source,
            destinations,
            images,
            provenance,
        }
    });
    Parsed { manifest, problems }
}
