//! Python's arguments of a log call, from their text: `('wörld', 3)` or `{'name': 'x'}`.
//!
//! Nothing is evaluated. An argument is its text, and if it is a string, what the string says.

/// The arguments of a log call.
#[derive(Debug, PartialEq)]
pub(super) enum Arguments<'a> {
    /// A tuple.
    Tuple(Vec<Argument<'a>>),
    /// A dict, with its text.
    Dict(&'a str, Vec<(String, Argument<'a>)>),
}

/// One argument.
#[derive(Debug, PartialEq)]
pub(super) struct Argument<'a> {
    /// As Python's `repr` writes it.
    pub(super) repr: &'a str,
    /// What it says, if it is a string.
    pub(super) string: Option<String>,
}

impl<'a> Arguments<'a> {
    /// Reads the text of a tuple or a dict.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let text = text.trim();
        let inside = |open: char, close: char| text.strip_prefix(open)?.strip_suffix(close);
        if let Some(inside) = inside('(', ')') {
            return Ok(Self::Tuple(elements(inside)?.into_iter().map(Argument::of).collect()));
        }
        let inside = inside('{', '}').ok_or("they are neither a tuple nor a dict")?;
        let entries = elements(inside)?.into_iter().map(|entry| {
            let end = end_of(entry, ':').filter(|end| *end < entry.len());
            let (name, value) = entry.split_at(end.ok_or("a value has no name")?);
            let name = string_of(name.trim()).ok_or("a name is not a string")?;
            Ok((name, Argument::of(value[1..].trim())))
        });
        Ok(Self::Dict(text, entries.collect::<Result<_, String>>()?))
    }
}

impl<'a> Argument<'a> {
    fn of(repr: &'a str) -> Self {
        Self { repr, string: string_of(repr) }
    }

    /// As Python's `str` writes it.
    pub(super) fn text(&self) -> &str {
        self.string.as_deref().unwrap_or(self.repr)
    }
}

/// The elements between commas; a comma at the end is not followed by one.
fn elements(mut text: &str) -> Result<Vec<&str>, String> {
    let mut elements = Vec::new();
    while !text.trim().is_empty() {
        let end = end_of(text, ',').ok_or("a bracket or a quote is not closed")?;
        elements.push(text[..end].trim());
        text = text.get(end + 1..).unwrap_or_default();
    }
    Ok(elements)
}

/// The place of the first `stop` outside of brackets and quotes, or the end of the text; `None` when one of
/// these is not closed.
fn end_of(text: &str, stop: char) -> Option<usize> {
    let (mut open, mut quote, mut escaped) = (0_usize, None, false);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), _) if character == mark => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(' | '[' | '{') => open += 1,
            (None, ')' | ']' | '}') => open = open.checked_sub(1)?,
            (None, _) if character == stop && open == 0 => return Some(at),
            (None, _) => {}
        }
    }
    (open == 0 && quote.is_none()).then_some(text.len())
}

/// What a string says; `None` for every other value.
fn string_of(repr: &str) -> Option<String> {
    let mark = repr.chars().next().filter(|mark| matches!(mark, '\'' | '"'))?;
    let mut inside = repr[1..].strip_suffix(mark)?.chars();
    let mut string = String::new();
    while let Some(character) = inside.next() {
        if character == mark {
            return None;
        }
        if character != '\\' {
            string.push(character);
            continue;
        }
        match inside.next()? {
            'n' => string.push('\n'),
            'r' => string.push('\r'),
            't' => string.push('\t'),
            'x' => push_code(&mut string, &mut inside, 2)?,
            'u' => push_code(&mut string, &mut inside, 4)?,
            'U' => push_code(&mut string, &mut inside, 8)?,
            other => string.push(other),
        }
    }
    Some(string)
}

/// Half of a surrogate pair stays an escape.
fn push_code(string: &mut String, inside: &mut std::str::Chars<'_>, digits: usize) -> Option<()> {
    let rest = inside.as_str();
    let code = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
    *inside = rest[digits..].chars();
    match char::from_u32(code) {
        Some(character) => string.push(character),
        None => string.push_str(&format!("\\u{{{code:x}}}")),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(text: &str) -> Vec<(String, String)> {
        let Ok(Arguments::Tuple(all)) = Arguments::read(text) else { panic!("{text}") };
        all.iter().map(|argument| (argument.text().to_owned(), argument.repr.to_owned())).collect()
    }

    #[test]
    fn strings_say_what_is_in_them_and_all_else_is_its_text() {
        let said =
            tuple(r#"('wörld', "it's", 'a\n\x41\u00e9\\', -3, None, (1, ['x,)']), b'y', Decimal('1.5'),)"#);
        let texts: Vec<&str> = said.iter().map(|(text, _)| text.as_str()).collect();
        let expected = ["wörld", "it's", "a\nAé\\", "-3", "None", "(1, ['x,)'])", "b'y'", "Decimal('1.5')"];
        assert_eq!(texts, expected);
        assert_eq!(said[0].1, "'wörld'");
        assert_eq!(tuple(r"('\ud800x',)")[0].0, "\\u{d800}x");
        assert!(tuple("()").is_empty());
    }

    #[test]
    fn a_dict_has_names() {
        let read = Arguments::read("{'a': 'x: y', 'b': {'c': 1}}").expect("a dict");
        let Arguments::Dict(whole, entries) = read else { panic!("a dict") };
        assert_eq!(whole, "{'a': 'x: y', 'b': {'c': 1}}");
        let said: Vec<_> = entries.iter().map(|(name, value)| (name.as_str(), value.text())).collect();
        assert_eq!(said, [("a", "x: y"), ("b", "{'c': 1}")]);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "3", "(", "('a", "(1))", "{1, 2}", "{'a'}", "([)", "{'a': }x", "{1: 2}"] {
            assert!(Arguments::read(text).is_err(), "{text}");
        }
    }
}
