//! The source as the rules see it: each file parsed, with every path, name and macro that its code uses.
//!
//! What stands under `#[cfg(test)]` is left out: a unit test may use more than the file itself. The
//! contents of macros are read as names and paths, since nobody but the macro knows their grammar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// One source file.
pub(super) struct Source {
    pub(super) room: String,
    /// Below `src`.
    pub(super) path: String,
    /// The module that the file is, as names below the crate; none for `lib.rs`.
    pub(super) module: Vec<String>,
    pub(super) text: String,
    pub(super) syntax: syn::File,
    pub(super) code: Code,
}

/// What the code of a file names.
#[derive(Default)]
pub(super) struct Code {
    /// Every path of two names or more, as written, and every import in full.
    pub(super) paths: Vec<Vec<String>>,
    /// Imports that hand on a child's item under the module's own name.
    pub(super) reexports: Vec<Vec<String>>,
    /// What each imported name stands for.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    pub(super) names: BTreeSet<String>,
    pub(super) macros: BTreeSet<String>,
    /// Lines of `use …::*`, which hide what is imported.
    pub(super) globs: Vec<Vec<String>>,
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file.
pub(super) fn all_sources() -> impl Iterator<Item = Source> {
    let paths = files(&root());
    assert!(!paths.is_empty(), "src holds no file");
    paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a readable source file");
        let path = path.strip_prefix(root()).expect("a path below src").to_str().expect("UTF-8").to_owned();
        let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let room = module[0].clone();
        if module.last().is_some_and(|name| name == "mod") || module == ["lib"] {
            module.pop();
        }
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let code = Code::of(&syntax);
        Source { room, path, module, text, syntax, code }
    })
}

/// Every source file but `lib.rs`, which belongs to no room.
pub(super) fn sources() -> impl Iterator<Item = Source> {
    all_sources().filter(|source| source.path != "lib.rs")
}

/// The Rust files in a folder and below it, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

impl Code {
    pub(super) fn of(file: &syn::File) -> Self {
        let mut code = Self::default();
        code.visit_file(file);
        code
    }

    /// Whether the code uses an outside crate: a path that begins with it and is not one of our own modules.
    pub(super) fn names_crate(&self, name: &str) -> bool {
        let is_ours = self.imports.get(name).is_some_and(|path| path[0] != name);
        !is_ours && self.paths.iter().any(|path| path[0] == name)
    }

    fn import(&mut self, tree: &syn::UseTree, before: &mut Vec<String>, hands_on: bool) {
        let mut add = |name: Option<String>, path: Vec<String>| {
            if let Some(name) = name.filter(|name| name != "_") {
                self.imports.insert(name, path.clone());
            }
            if hands_on {
                self.reexports.push(path.clone());
            }
            self.names.extend(path.iter().cloned());
            self.paths.push(path);
        };
        let joined = |before: &[String], name: &syn::Ident| {
            let own = (*name != "self").then(|| name.to_string());
            before.iter().cloned().chain(own).collect::<Vec<_>>()
        };
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before, hands_on);
                before.pop();
            }
            syn::UseTree::Name(name) => {
                let path = joined(before, &name.ident);
                add(path.last().cloned(), path);
            }
            syn::UseTree::Rename(renamed) => {
                add(Some(renamed.rename.to_string()), joined(before, &renamed.ident));
            }
            syn::UseTree::Glob(_) => {
                self.globs.push(before.clone());
                self.paths.push(before.clone());
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, hands_on);
                }
            }
        }
    }

    /// The names, macros and paths in what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        // Colons seen behind the last name of the path: two of them lead on.
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    self.names.insert(name.to_string());
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Punct(mark) if mark.as_char() == '!' && mark.spacing() == Spacing::Alone => {
                    self.macros.extend(path.last().cloned());
                    self.end(&mut path);
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    colons = 0;
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.paths.push(std::mem::take(path));
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Code {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &mut Vec::new(), !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // `pub(in crate::x)` says who may see an item, and uses nothing.
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.macros.extend(called.path.segments.last().map(|segment| segment.ident.to_string()));
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }

    fn visit_ident(&mut self, name: &'ast syn::Ident) {
        self.names.insert(name.to_string());
    }
}

/// Whether an item stands under `#[cfg(test)]`.
pub(super) fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

#[test]
fn the_reading_of_source_sees_code_and_nothing_else() {
    let text = "use crate::{ids::RunId, store, diff as other}; /* crate::worker */
        // crate::cli
        pub use recover::{a, b};
        fn f<'a>(x: &'a str) -> crate::spool::Journal { let s = \"crate::http\"; crate::queue::claim() }
        fn g() { tracing::info!(target: crate::record::TARGET, \"{}\", crate::reader::select(x != 1)); store::put() }
        #[derive(sqlx::Type)] struct S;
        #[cfg(test)] mod tests { use crate::hidden; }";
    let code = Code::of(&syn::parse_file(text).unwrap());
    let paths: BTreeSet<String> = code.paths.iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::diff",
        "crate::ids::RunId",
        "crate::queue::claim",
        "crate::reader::select",
        "crate::record::TARGET",
        "crate::spool::Journal",
        "crate::store",
        "recover::a",
        "recover::b",
        "sqlx::Type",
        "store::put",
        "tracing::info",
    ];
    assert_eq!(paths, expected.map(str::to_owned).into());
    assert_eq!(code.imports["other"], ["crate", "diff"]);
    assert_eq!(code.reexports.len(), 2);
    assert!(code.names_crate("sqlx") && !code.names_crate("store"));
    assert!(code.macros.contains("info") && !code.macros.contains("x"));
}
