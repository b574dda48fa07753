//! SQL is text that can be pasted into psql: a whole statement stands where it is asked, or in a constant.

use std::fmt::Write as _;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::source::{Source, sources};

/// Statements that the program puts together, and why: (file, what is given instead of a text).
const MADE: &[(&str, &str)] = &[
    ("store/migrate.rs", "migration"),     // The text of a migration is a file.
    ("store/indexes.rs", "AssertSqlSafe"), // Each of a list of indexes.
];

/// Finds what is given as SQL and is neither a text nor a constant.
#[derive(Default)]
struct Glued(Vec<String>);

impl<'ast> Visit<'ast> for Glued {
    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(called) = &*call.func {
            let names: Vec<String> =
                called.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let asks = match names.as_slice() {
                [.., room, _] if room == "sqlx" => true,
                [.., owner, new] => owner == "QueryBuilder" && new == "new",
                _ => false,
            };
            if let Some(sql) = call.args.first().filter(|sql| asks && !is_whole(sql)) {
                self.0.push(format!("{}({})", names.join("::"), shape(sql)));
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        if called.path.is_ident("concat") {
            self.0.push("concat!".to_owned());
        }
        visit::visit_macro(self, called);
    }

    /// A macro may make types, but no part of a statement.
    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if item.mac.path.is_ident("macro_rules") && holds_sql(item.mac.tokens.clone()) {
            self.0.push("macro_rules! of SQL".to_owned());
        }
        visit::visit_item_macro(self, item);
    }
}

/// Whether a text among these tokens has a word of a statement.
fn holds_sql(tokens: TokenStream) -> bool {
    const WORDS: [&str; 7] = ["select", "insert", "update", "delete", "where", "from", "join"];
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => holds_sql(group.stream()),
        TokenTree::Literal(text) => text
            .to_string()
            .split(|letter: char| !letter.is_ascii_alphabetic())
            .any(|word| WORDS.contains(&word)),
        TokenTree::Ident(_) | TokenTree::Punct(_) => false,
    })
}

/// Whether an expression is a text, a constant, a file, or a choice among such.
fn is_whole(sql: &syn::Expr) -> bool {
    match sql {
        syn::Expr::Lit(literal) => matches!(literal.lit, syn::Lit::Str(_)),
        syn::Expr::Macro(file) => file.mac.path.is_ident("include_str"),
        syn::Expr::Path(constant) => constant.path.segments.last().is_some_and(|name| {
            name.ident.to_string().chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
        }),
        syn::Expr::If(choice) => {
            choice
                .then_branch
                .stmts
                .iter()
                .all(|one| matches!(one, syn::Stmt::Expr(one, None) if is_whole(one)))
                && choice.else_branch.as_ref().is_some_and(|(_, other)| is_whole(other))
        }
        syn::Expr::Block(block) => {
            block.block.stmts.iter().all(|one| matches!(one, syn::Stmt::Expr(one, None) if is_whole(one)))
        }
        _ => false,
    }
}

/// What is given instead, by its first name.
fn shape(sql: &syn::Expr) -> String {
    struct First(Option<String>);
    impl<'ast> Visit<'ast> for First {
        fn visit_ident(&mut self, name: &'ast syn::Ident) {
            self.0.get_or_insert_with(|| name.to_string());
        }
    }
    let mut first = First(None);
    first.visit_expr(sql);
    first.0.unwrap_or_default()
}

fn glued(source: &Source) -> Vec<String> {
    let mut found = Glued::default();
    found.visit_file(&source.syntax);
    let made = |text: &String| {
        MADE.iter().any(|(path, what)| *path == source.path && text.ends_with(&format!("({what})")))
    };
    found.0.into_iter().filter(|text| !made(text)).collect()
}

#[test]
fn every_statement_can_be_pasted_into_psql() {
    let mut complaints = String::new();
    for source in sources().filter(|source| matches!(source.room.as_str(), "store" | "queue" | "ids")) {
        for text in glued(&source) {
            let _ = writeln!(complaints, "{}: `{text}` is no whole statement", source.path);
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn a_statement_that_is_put_together_is_found() {
    let found = |text: &str| {
        let mut found = Glued::default();
        found.visit_file(&syn::parse_file(text).unwrap());
        found.0
    };
    assert_eq!(
        found("fn f() { sqlx::query(\"select 1\"); sqlx::query_as(if x { ONE } else { OTHER }); }"),
        [""; 0]
    );
    assert_eq!(found("fn f() { sqlx::query(&format!(\"select {x}\")); }"), ["sqlx::query(format)"]);
    assert_eq!(found("fn f() { sqlx::query_scalar::<_, i64>(sql); }"), ["sqlx::query_scalar(sql)"]);
    assert_eq!(found("const A: &str = concat!(\"select\", \" 1\");"), ["concat!"]);
    assert_eq!(found("macro_rules! half { () => { \"from notice where\" }; }"), ["macro_rules! of SQL"]);
}
