//! The modules of a crate, and which of them each one names: read from the source, without its tests.
//!
//! A name is followed through re-exports to the module that has the item. Not seen: methods, since no path leads to
//! them, and names that a macro makes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, spanned::Spanned as _, visit::Visit};

/// A module, by its names from the root of the crate.
pub(crate) type ModulePath = Vec<String>;

/// The modules of one crate.
#[derive(Debug, Default)]
pub(crate) struct Modules(BTreeMap<ModulePath, Module>);

#[derive(Debug, Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// What is defined here, other modules aside.
    items: BTreeSet<String>,
    /// What is imported, by the name that it has here.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// The paths that the code has, with their lines.
    paths: Vec<(Vec<String>, usize)>,
}

/// That the code of one module names an item of another one.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) from: ModulePath,
    pub(crate) to: ModulePath,
    pub(crate) line: usize,
    /// The path as it is written.
    pub(crate) path: String,
}

/// How many re-exports are followed, so that two that name each other end somewhere.
const MOST_STEPS: usize = 32;

impl Modules {
    /// The modules of the files below `src`, which ends with `/`.
    ///
    /// # Errors
    /// When a file is not Rust.
    pub(crate) fn read<'a>(
        src: &str,
        files: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> anyhow::Result<Self> {
        let mut this = Self::default();
        let mut of_tests = Vec::new();
        for (file, text) in files {
            let Some(path) = file.strip_prefix(src).and_then(module_path) else { continue };
            let parsed = syn::parse_file(text).with_context(|| format!("{file} is not Rust"))?;
            this.read_items(file, path, &parsed.items, &mut of_tests);
        }
        this.0.retain(|path, _| !of_tests.iter().any(|tests| path.starts_with(tests)));
        Ok(this)
    }

    fn read_items(
        &mut self,
        file: &str,
        path: ModulePath,
        items: &[Item],
        of_tests: &mut Vec<ModulePath>,
    ) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let below = [&path[..], std::slice::from_ref(&name)].concat();
                    if is_for_tests(&child.attrs) {
                        of_tests.push(below);
                        continue;
                    }
                    module.children.insert(name);
                    if let Some((_, items)) = &child.content {
                        self.read_items(file, below, items, of_tests);
                    }
                }
                item => module.visit_item(item),
            }
        }
        self.0.insert(path, module);
    }

    /// The file of a module.
    pub(crate) fn file(&self, path: &ModulePath) -> &str {
        self.0.get(path).map_or("", |module| &module.file)
    }

    /// Where the code of a module names an item of another one.
    pub(crate) fn mentions(&self) -> impl Iterator<Item = Mention> {
        self.0.iter().flat_map(move |(from, module)| {
            module.paths.iter().filter_map(move |(path, line)| {
                let to = self.resolve(from, path, MOST_STEPS)?;
                let (from, path) = (from.clone(), path.join("::"));
                (to != from).then_some(Mention { from, to, line: *line, path })
            })
        })
    }

    /// The module that has the item at `path`, as it is named in `from`; none of another crate's.
    fn resolve(&self, from: &[String], path: &[String], steps: usize) -> Option<ModulePath> {
        let steps = steps.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        let here = self.0.get(from)?;
        match first.as_str() {
            "crate" => self.below(Vec::new(), rest, steps),
            "self" => self.below(from.to_vec(), rest, steps),
            "super" => {
                let (_, parent) = from.split_last()?;
                match rest.first().is_some_and(|next| next == "super") {
                    true => self.resolve(parent, rest, steps),
                    false => self.below(parent.to_vec(), rest, steps),
                }
            }
            name if here.children.contains(name) || here.imports.contains_key(name) => {
                self.below(from.to_vec(), path, steps)
            }
            _ => None,
        }
    }

    /// The module that has the item at `path` below the module `at`.
    fn below(&self, at: ModulePath, path: &[String], steps: usize) -> Option<ModulePath> {
        let Some((name, rest)) = path.split_first() else { return Some(at) };
        let module = self.0.get(&at)?;
        if module.children.contains(name) {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            // Without a file it is one of tests.
            return self.0.contains_key(&child).then(|| self.below(child, rest, steps))?;
        }
        if let Some(imported) = module.imports.get(name) {
            let path = [&imported[..], rest].concat();
            return self.resolve(&at, &path, steps);
        }
        let from_globs = || {
            let globs = module.globs.iter().filter_map(|glob| self.resolve(&at, glob, steps));
            globs.into_iter().find(|found| self.0.get(found).is_some_and(|it| it.has(name)))
        };
        match module.items.contains(name) {
            true => Some(at),
            false => from_globs().or(Some(at)),
        }
    }
}

impl Module {
    fn has(&self, name: &str) -> bool {
        self.items.contains(name) || self.imports.contains_key(name)
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let line = tree.span().start().line;
        let (name, path) = match tree {
            UseTree::Path(path) => return self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, before));
            }
            UseTree::Glob(_) => {
                self.globs.push(before.to_vec());
                self.paths.push((before.to_vec(), line));
                return;
            }
            UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned().unwrap_or_default(), before.to_vec())
            }
            UseTree::Name(name) => (name.ident.to_string(), with(&name.ident)),
            UseTree::Rename(renamed) => (renamed.rename.to_string(), with(&renamed.ident)),
        };
        self.paths.push((path.clone(), line));
        // A name that is imported by its own is another crate's.
        if path.len() > 1 {
            self.imports.insert(name, path);
        }
    }

    /// Paths from the root, from here or from the parent, among the tokens of a macro.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while let [TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(next), ..] =
                        tokens.get(at..).unwrap_or_default()
                        && (a.as_char(), b.as_char()) == (':', ':')
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.paths.push((path, first.span().start().line));
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Const(it) => Some((&it.ident, &it.attrs)),
            Item::Enum(it) => Some((&it.ident, &it.attrs)),
            Item::Fn(it) => Some((&it.sig.ident, &it.attrs)),
            Item::Static(it) => Some((&it.ident, &it.attrs)),
            Item::Struct(it) => Some((&it.ident, &it.attrs)),
            Item::Trait(it) => Some((&it.ident, &it.attrs)),
            Item::Type(it) => Some((&it.ident, &it.attrs)),
            Item::Union(it) => Some((&it.ident, &it.attrs)),
            _ => None,
        };
        let attributes = match item {
            Item::Impl(it) => Some(&it.attrs),
            Item::Use(it) => Some(&it.attrs),
            Item::Mod(it) => Some(&it.attrs),
            _ => name.map(|(_, attributes)| attributes),
        };
        if attributes.is_some_and(|attributes| is_for_tests(attributes)) {
            return;
        }
        self.items.extend(name.map(|(name, _)| name.to_string()));
        syn::visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string());
        self.paths.push((names.collect(), path.span().start().line));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.read_tokens(called.tokens.clone());
        syn::visit::visit_macro(self, called);
    }
}

/// The module of a file below `src`; none of a binary beside the crate.
fn module_path(file: &str) -> Option<ModulePath> {
    let path = file.strip_suffix(".rs")?;
    let mut names: ModulePath = path.split('/').map(str::to_owned).collect();
    if names.first().is_some_and(|first| first == "bin") {
        return None;
    }
    let is_root = names.len() == 1 && matches!(path, "lib" | "main");
    if is_root || names.last().is_some_and(|last| last == "mod") {
        names.pop();
    }
    Some(names)
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = |list: &syn::MetaList| list.tokens.to_string() == "test";
        attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(is_test)
    })
}
