//! A page as a browser would read it: its elements, its texts, and whether it keeps to the rules of all pages.

use std::collections::BTreeMap;

use html5gum::Tokenizer;

/// What every page may be made of; nothing else comes from parselog.
const KNOWN: &[&str] = &[
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "a",
    "header",
    "nav",
    "ul",
    "li",
    "main",
    "p",
    "form",
    "label",
    "input",
    "select",
    "option",
    "button",
    "log-viewer",
    "stream-viewer",
    "div",
    "ol",
    "span",
    "h1",
    "h2",
    "footer",
    "time",
    "dl",
    "dt",
    "dd",
    "section",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
];

/// An element's beginning.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The text directly behind its beginning, and all of it up to its end where it has one.
    pub(crate) text: String,
}

/// A page.
#[derive(Debug, Clone)]
pub(crate) struct Html {
    pub(crate) elements: Vec<Element>,
    pub(crate) text: String,
}

impl Html {
    /// Reads a page, and checks what holds for all.
    pub(crate) fn of(path: &str, html: &str) -> Self {
        let mut elements: Vec<Element> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut text = String::new();
        for token in Tokenizer::new(html) {
            let words = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            match token.unwrap() {
                html5gum::Token::StartTag(tag) => {
                    let attributes =
                        tag.attributes.iter().map(|(name, value)| (words(name), words(value))).collect();
                    let name = words(&tag.name);
                    elements.push(Element { name: name.clone(), attributes, text: String::new() });
                    if !["meta", "link", "input"].contains(&name.as_str()) {
                        open.push(elements.len() - 1);
                    }
                }
                html5gum::Token::EndTag(tag) => {
                    let name = words(&tag.name);
                    let last = open.pop().unwrap_or_else(|| panic!("{path}: </{name}> ends nothing"));
                    assert_eq!(elements[last].name, name, "{path}: a tag ends another element");
                }
                html5gum::Token::String(said) => {
                    let said = words(&said);
                    open.iter().for_each(|at| elements[*at].text.push_str(&said));
                    text.push_str(&said);
                }
                html5gum::Token::Doctype(_) => {}
                other => panic!("{path}: {other:?}"),
            }
        }
        assert!(open.is_empty(), "{path}: not every element ends");
        let page = Self { elements, text };
        page.check(path);
        page
    }

    fn check(&self, path: &str) {
        for element in &self.elements {
            let Element { name, attributes, text } = element;
            assert!(KNOWN.contains(&name.as_str()), "{path}: <{name}>");
            for (attribute, value) in attributes {
                assert!(!attribute.starts_with("on") && attribute != "style", "{path}: {attribute}={value}");
                if ["href", "src", "action"].contains(&attribute.as_str()) {
                    let is_here = value.starts_with('/') && !value.starts_with("//");
                    assert!(is_here || value.starts_with(['#', '?']), "{path}: {attribute}={value}");
                }
            }
            let is_loaded = attributes.contains_key("src") && text.is_empty();
            assert!(name != "script" || is_loaded, "{path}: a script in the page");
        }
        let one = |name: &str| {
            let found: Vec<_> = self.all(name).collect();
            assert_eq!(found.len(), 1, "{path}: <{name}>");
            found[0].clone()
        };
        assert_eq!(one("html").attributes["lang"], "en");
        for name in ["title", "h1"] {
            assert!(!one(name).text.trim().is_empty(), "{path}: <{name}> is empty");
        }
        let _ = (one("main"), one("header"), one("footer"));
        let ids: Vec<_> = self.elements.iter().filter_map(|element| element.attributes.get("id")).collect();
        let mut once = ids.clone();
        once.sort();
        once.dedup();
        assert_eq!(ids.len(), once.len(), "{path}: an id twice");
        let moves = |c: char| {
            let is_control = c.is_control() && c != '\n' && c != '\t';
            is_control
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!self.text.contains(moves), "{path}: a character that moves or reorders text");
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.elements.iter().filter(move |element| element.name == name)
    }

    /// The addresses that it leads to.
    pub(crate) fn links(&self) -> Vec<String> {
        self.all("a").filter_map(|link| link.attributes.get("href").cloned()).collect()
    }

    /// The address of the link with this text.
    pub(crate) fn link(&self, text: &str) -> String {
        let found = self.all("a").find(|link| link.text.trim() == text);
        found.unwrap_or_else(|| panic!("no link '{text}': {:?}", self.text)).attributes["href"].clone()
    }

    /// Whether these words stand in it, whatever is between lines.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ").contains(words)
    }

    /// The lines of a log that it shows: number and text.
    pub(crate) fn lines(&self) -> Vec<(u64, String)> {
        let of_log = self.all("li").filter_map(|line| {
            let number = line.attributes.get("id")?.strip_prefix('L')?;
            Some((number.parse().ok()?, line.text.strip_prefix(number)?.to_owned()))
        });
        of_log.collect()
    }
}
