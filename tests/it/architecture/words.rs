//! Each name one concept: no type of the source has a name that another one has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use syn::visit::{self, Visit};

use super::source::{is_test, sources};

/// The names of the structs, enums, unions, traits and aliases that a file defines. What a trait asks an
/// implementation to name, such as `Err`, is no name of ours.
#[derive(Default)]
struct Types(Vec<String>);

impl<'ast> Visit<'ast> for Types {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test(item) {
            return;
        }
        self.0.extend(match item {
            syn::Item::Struct(item) => Some(item.ident.to_string()),
            syn::Item::Enum(item) => Some(item.ident.to_string()),
            syn::Item::Union(item) => Some(item.ident.to_string()),
            syn::Item::Trait(item) => Some(item.ident.to_string()),
            syn::Item::Type(item) => Some(item.ident.to_string()),
            _ => None,
        });
        visit::visit_item(self, item);
    }
}

#[test]
fn no_two_types_have_one_name() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        let mut types = Types::default();
        types.visit_file(&source.syntax);
        for name in types.0 {
            defined.entry(name).or_default().push(source.path.clone());
        }
    }
    let mut complaints = String::new();
    for (name, files) in defined.iter().filter(|(_, files)| files.len() > 1) {
        let _ = writeln!(complaints, "`{name}` is defined in {}", files.join(", "));
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}
