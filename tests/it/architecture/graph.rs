//! Which file uses which, and the circles among them.
//!
//! A name is followed to the file that owns it: through imports, and through the `use` of a `mod.rs` that
//! hands it on. So `crate::spool::Journal` is a use of `spool/journal.rs`, whoever re-exports it, and a
//! `mod.rs` that declares or hands on its children uses none of them by that.
//!
//! A file may use what its own ancestors hold: a room's `mod.rs` has the words that its files share, and
//! calls those files to do their part, which is no circle that anybody trips over. So a way down from a
//! `mod.rs` into a child counts, a way up from a child to its own ancestor does not, and every other circle
//! is a fault: between siblings, between rooms, and from a child through somebody else back to its
//! ancestor. What this cannot see are methods, and a sibling that is reached through a function of the
//! `mod.rs` alone.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, all_sources};

/// Circles that are known and still have to go. One that is gone fails the test until it is taken out here.
const KNOWN: &[&[&str]] = &[];

/// The modules of the crate, and who uses whom.
pub(super) struct Graph {
    sources: BTreeMap<Vec<String>, Source>,
}

type Module = [String];

impl Graph {
    pub(super) fn of(sources: impl Iterator<Item = Source>) -> Self {
        Self { sources: sources.map(|source| (source.module.clone(), source)).collect() }
    }

    /// The modules that a module uses, with every name followed to its owner.
    pub(super) fn uses(&self, module: &Module) -> BTreeSet<Vec<String>> {
        let code = &self.sources[module].code;
        let handed_on: Vec<_> = code.reexports.iter().collect();
        let used = code.paths.iter().filter_map(|path| {
            let owner = self.owner(module, path, 0)?;
            let hands_on_child = owner.starts_with(module) && handed_on.contains(&path);
            (owner != *module && !hands_on_child).then_some(owner)
        });
        used.collect()
    }

    /// The module that owns what a path names; `None` for what is outside of the crate, or local.
    fn owner(&self, from: &Module, path: &[String], depth: u32) -> Option<Vec<String>> {
        assert!(depth < 32, "{from:?} imports {path:?} in a circle");
        let (first, mut rest) = path.split_first()?;
        let mut here = match first.as_str() {
            "crate" | "parselog" => Vec::new(),
            "self" => from.to_vec(),
            "super" => from[..from.len() - 1].to_vec(),
            name => match self.child(from, name) {
                Some(child) => child,
                None => return self.imported(from, name, rest, depth),
            },
        };
        while let Some((name, further)) = rest.split_first() {
            if name == "super" {
                here.pop();
            } else if let Some(child) = self.child(&here, name) {
                here = child;
            } else {
                return self.imported(&here, name, further, depth).or(Some(here));
            }
            rest = further;
        }
        Some(here)
    }

    /// The owner of a name that a module imports.
    fn imported(&self, module: &Module, name: &str, rest: &[String], depth: u32) -> Option<Vec<String>> {
        let target = self.sources.get(module)?.code.imports.get(name)?;
        // An outside crate under its own name.
        if target[0] == name {
            return None;
        }
        self.owner(module, &[target, rest].concat(), depth + 1)
    }

    fn child(&self, module: &Module, name: &str) -> Option<Vec<String>> {
        let child = [module, &[name.to_owned()]].concat();
        self.sources.contains_key(&child).then_some(child)
    }

    /// The circles: each the modules that reach each other, in order.
    fn circles(&self) -> BTreeSet<Vec<String>> {
        let edges: BTreeMap<&Module, BTreeSet<Vec<String>>> = self
            .sources
            .keys()
            .map(|module| {
                let mut used = self.uses(module);
                used.retain(|used| !module.starts_with(used));
                (&module[..], used)
            })
            .collect();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = edges
            .keys()
            .map(|module| {
                let mut seen = BTreeSet::new();
                let mut next: Vec<&Module> = vec![module];
                while let Some(at) = next.pop() {
                    next.extend(edges[at].iter().map(|used| &used[..]).filter(|used| seen.insert(*used)));
                }
                (*module, seen)
            })
            .collect();
        let circle_of = |module: &&Module| {
            let back = reached[module].iter().filter(|other| reached[*other].contains(module));
            back.map(|other| other.join("/")).collect::<Vec<_>>()
        };
        edges.keys().map(circle_of).filter(|circle| !circle.is_empty()).collect()
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let found = Graph::of(all_sources()).circles();
    let known: BTreeSet<Vec<String>> =
        KNOWN.iter().map(|circle| circle.iter().map(|name| (*name).to_owned()).collect()).collect();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "these files use each other in a circle: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "take these circles out of KNOWN, they are gone: {gone:#?}");
}

#[test]
fn no_import_hides_what_it_imports() {
    let globs: Vec<_> = all_sources()
        .flat_map(|source| source.code.globs.into_iter().map(move |glob| (source.path.clone(), glob)))
        .collect();
    assert!(globs.is_empty(), "say what you import, so that a circle can be seen: {globs:?}");
}

#[test]
fn circles_are_found_through_imports_and_reexports() {
    let file = |path: &str, text: &str| {
        let module = path.split('/').map(str::to_owned).collect();
        let syntax = syn::parse_file(text).unwrap();
        let code = super::source::Code::of(&syntax);
        Source { room: String::new(), path: path.into(), module, text: text.into(), syntax, code }
    };
    let graph = Graph::of(
        [
            file("a", "mod x; mod y; pub use x::X; pub(crate) use y::Y; pub struct A; fn f() { x::go() }"),
            file("a/x", "use super::{A, Y}; fn f() -> A { Y::new() }"),
            file("a/y", "fn f() { crate::a::X::new() }"),
            file("b", "use crate::a; fn f(s: a::A) {}"),
            file("c", "mod z; use z::Z; struct C;"),
            file("c/z", "fn f() { super::C; crate::d::D }"),
            file("d", "fn f() { write!(s, \"{}\", crate::c::C) }"),
        ]
        .into_iter(),
    );
    let circles: Vec<String> = graph.circles().iter().map(|circle| circle.join(" ")).collect();
    assert_eq!(circles, ["a/x a/y", "c c/z d"]);
    assert_eq!(graph.uses(&["b".to_owned()]), [vec!["a".to_owned()]].into());
}
