//! Python's `message % arguments`, of values that are known by their text alone.

use super::literal::{Argument, Arguments};

/// The longest message (bytes) that formatting may make.
const MAX_MESSAGE: usize = 256 << 10;

/// One conversion, such as `%-5.2f`.
#[derive(Debug, Default)]
struct Conversion {
    left: bool,
    sign: bool,
    blank: bool,
    zeros: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

/// Puts the arguments into a message, as Python does.
///
/// # Errors
/// They don't fit together, or the result is too long.
pub(super) fn format(message: &str, arguments: &Arguments<'_>) -> Result<String, String> {
    let whole;
    let (tuple, dict) = match arguments {
        Arguments::Tuple(tuple) => (tuple.as_slice(), None),
        // `"%s" % {…}` shows the dict.
        Arguments::Dict(text, entries) => {
            whole = [Argument { repr: text, string: None }];
            (&whole[..], Some(entries))
        }
    };
    let mut positional = tuple.iter();
    let mut made = String::new();
    let mut rest = message;
    while let Some((before, behind)) = rest.split_once('%') {
        made.push_str(before);
        let mut reader = SpecReader { rest: behind };
        let named = reader.name()?;
        let named = match named {
            Some(name) => {
                let known = dict.and_then(|dict| dict.iter().find(|(known, _)| known == name));
                Some(known.map(|(_, value)| value).ok_or_else(|| format!("there is no '{name}'"))?)
            }
            None => None,
        };
        let mut next = || positional.next().ok_or_else(|| "there are too few".to_owned());
        let conversion = reader.conversion(&mut next)?;
        match reader.letter()? {
            '%' => made.push('%'),
            letter => {
                let argument = named.map_or_else(next, Ok)?;
                conversion.push(&mut made, letter, argument)?;
            }
        }
        rest = reader.rest;
        if made.len() > MAX_MESSAGE {
            return Err(format!("the message would be longer than {MAX_MESSAGE} bytes"));
        }
    }
    made.push_str(rest);
    if dict.is_none() && positional.next().is_some() {
        return Err("there are too many".to_owned());
    }
    Ok(made)
}

/// Reads what follows a percent sign.
struct SpecReader<'a> {
    rest: &'a str,
}

impl<'a> SpecReader<'a> {
    /// The name in parentheses, if there is one.
    fn name(&mut self) -> Result<Option<&'a str>, String> {
        let Some(inside) = self.rest.strip_prefix('(') else { return Ok(None) };
        let (name, rest) = inside.split_once(')').ok_or("a name does not end")?;
        self.rest = rest;
        Ok(Some(name))
    }

    fn conversion<'b>(
        &mut self,
        next: &mut impl FnMut() -> Result<&'b Argument<'b>, String>,
    ) -> Result<Conversion, String> {
        let mut conversion = Conversion::default();
        loop {
            let flag = match self.rest.bytes().next() {
                Some(b'-') => &mut conversion.left,
                Some(b'+') => &mut conversion.sign,
                Some(b' ') => &mut conversion.blank,
                Some(b'0') => &mut conversion.zeros,
                Some(b'#') => &mut conversion.alternate,
                _ => break,
            };
            *flag = true;
            self.rest = &self.rest[1..];
        }
        let width = self.number(next)?.unwrap_or_default();
        conversion.left |= width < 0;
        conversion.width = width.unsigned_abs() as usize;
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            conversion.precision = Some(self.number(next)?.unwrap_or_default().max(0) as usize);
        }
        self.rest = self.rest.trim_start_matches(['l', 'h', 'L']);
        let most = conversion.width.max(conversion.precision.unwrap_or_default());
        if most > MAX_MESSAGE {
            return Err(format!("a width of {most} is too much"));
        }
        Ok(conversion)
    }

    /// A number, or a star, which takes it from the arguments.
    fn number<'b>(
        &mut self,
        next: &mut impl FnMut() -> Result<&'b Argument<'b>, String>,
    ) -> Result<Option<i32>, String> {
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            return next()?.repr.parse().map(Some).map_err(|_| "a width is not a number".to_owned());
        }
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if digits == 0 {
            return Ok(None);
        }
        number.parse().map(Some).map_err(|_| format!("a width of {digits} digits is too much"))
    }

    fn letter(&mut self) -> Result<char, String> {
        let letter = self.rest.chars().next().ok_or("a conversion does not end")?;
        self.rest = &self.rest[letter.len_utf8()..];
        Ok(letter)
    }
}

impl Conversion {
    fn push(&self, made: &mut String, letter: char, argument: &Argument<'_>) -> Result<(), String> {
        match letter {
            's' => self.text(made, argument.text()),
            'r' | 'a' => self.text(made, argument.repr),
            'c' => match (&argument.string, argument.repr.parse().ok().and_then(char::from_u32)) {
                (Some(string), _) if string.chars().count() == 1 => self.text(made, string),
                (None, Some(character)) => self.text(made, &character.to_string()),
                _ => return Err(wrong(letter, argument)),
            },
            'd' | 'i' | 'u' => {
                let whole = whole(argument).ok_or_else(|| wrong(letter, argument))?;
                let (minus, digits) = sign_of(&whole);
                self.number(made, minus, "", &self.at_least(digits));
            }
            'x' | 'X' | 'o' => {
                let number = whole(argument).and_then(|whole| whole.parse::<i128>().ok());
                let number = number.ok_or_else(|| wrong(letter, argument))?;
                let size = number.unsigned_abs();
                let (prefix, digits) = match letter {
                    'x' => ("0x", format!("{size:x}")),
                    'X' => ("0X", format!("{size:X}")),
                    _ => ("0o", format!("{size:o}")),
                };
                let prefix = if self.alternate { prefix } else { "" };
                self.number(made, number < 0, prefix, &self.at_least(&digits));
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = float(argument).ok_or_else(|| wrong(letter, argument))?;
                let digits = self.float(letter.to_ascii_lowercase(), number.abs());
                let digits = if letter.is_ascii_uppercase() { digits.to_uppercase() } else { digits };
                self.number(made, number.is_sign_negative() && !number.is_nan(), "", &digits);
            }
            _ => return Err(format!("unknown conversion %{letter}")),
        }
        Ok(())
    }

    fn text(&self, made: &mut String, text: &str) {
        let cut = self.precision.and_then(|most| text.char_indices().nth(most));
        let text = cut.map_or(text, |(end, _)| &text[..end]);
        self.pad(made, "", text, false);
    }

    fn number(&self, made: &mut String, minus: bool, prefix: &str, digits: &str) {
        let sign = match (minus, self.sign, self.blank) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (.., true) => " ",
            _ => "",
        };
        self.pad(made, &format!("{sign}{prefix}"), digits, self.zeros);
    }

    fn pad(&self, made: &mut String, before: &str, text: &str, zeros: bool) {
        let missing = self.width.saturating_sub(before.len() + text.chars().count());
        let pad = |sign: &str| sign.repeat(missing);
        let (left, between, right) = match (self.left, zeros) {
            (true, _) => (String::new(), String::new(), pad(" ")),
            (_, true) => (String::new(), pad("0"), String::new()),
            _ => (pad(" "), String::new(), String::new()),
        };
        made.extend([&left, before, &between, text, &right]);
    }

    /// The digits of a whole number, with zeros before them up to the precision.
    fn at_least(&self, digits: &str) -> String {
        let least = self.precision.unwrap_or_default();
        format!("{digits:0>least$}")
    }

    fn float(&self, letter: char, number: f64) -> String {
        if !number.is_finite() {
            return if number.is_nan() { "nan" } else { "inf" }.to_owned();
        }
        let precision = self.precision.unwrap_or(6);
        match letter {
            'f' => format!("{number:.precision$}"),
            'e' => exponent(number, precision),
            _ => {
                let precision = precision.max(1);
                let scientific = exponent(number, precision - 1);
                let (_, power) = scientific.split_once('e').expect("written with its exponent");
                let power: i32 = power.parse().expect("written as a number");
                if power < -4 || power >= precision as i32 {
                    let (digits, power) = scientific.split_once('e').expect("as above");
                    return format!("{}e{power}", self.shortened(digits));
                }
                let places = (precision as i32 - 1 - power) as usize;
                self.shortened(&format!("{number:.places$}")).to_owned()
            }
        }
    }

    /// Without zeros at the end of a fraction, which `%g` does not write.
    fn shortened<'a>(&self, digits: &'a str) -> &'a str {
        if self.alternate || !digits.contains('.') {
            return digits;
        }
        digits.trim_end_matches('0').trim_end_matches('.')
    }
}

/// Rust writes `1.5e2` where Python writes `1.5e+02`.
fn exponent(number: f64, precision: usize) -> String {
    let written = format!("{number:.precision$e}");
    let (digits, power) = written.split_once('e').expect("written with its exponent");
    let (minus, power) = sign_of(power);
    format!("{digits}e{}{power:0>2}", if minus { '-' } else { '+' })
}

/// A whole number in decimal digits; a fraction is cut off.
fn whole(argument: &Argument<'_>) -> Option<String> {
    match argument.repr {
        "True" => return Some("1".to_owned()),
        "False" => return Some("0".to_owned()),
        _ => {}
    }
    let (_, digits) = sign_of(argument.repr);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(argument.repr.to_owned());
    }
    let number = float(argument).filter(|number| number.is_finite())?;
    Some(format!("{:.0}", number.trunc() + 0.0))
}

/// A number; a string is none, whatever it says.
fn float(argument: &Argument<'_>) -> Option<f64> {
    match argument.repr {
        "True" => Some(1.0),
        "False" => Some(0.0),
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        repr if repr.ends_with(|last: char| last.is_ascii_digit()) => repr.parse().ok(),
        _ => None,
    }
}

fn sign_of(number: &str) -> (bool, &str) {
    number.strip_prefix('-').map_or((false, number), |digits| (true, digits))
}

fn wrong(letter: char, argument: &Argument<'_>) -> String {
    let shown: String = argument.repr.chars().take(40).collect();
    format!("%{letter} does not fit {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn makes(message: &str, arguments: &str, made: &str) {
        let arguments = Arguments::read(arguments).expect("arguments");
        assert_eq!(format(message, &arguments).as_deref(), Ok(made), "{message}");
    }

    #[test]
    fn messages_are_as_python_formats_them() {
        // What CPython 3.11 makes of them.
        makes("%s has %d rows", "('wörld', 3)", "wörld has 3 rows");
        makes("%s %r %s", "('a', 'a', ('a', 1))", "a 'a' ('a', 1)");
        makes("%5s|%-5s|%.2s|%05d|%+d|% d", "('ab', 'ab', 'abc', -42, 7, 7)", "   ab|ab   |ab|-0042|+7| 7");
        makes("%x %X %#x %o %#o", "(255, 255, -255, 8, 8)", "ff FF -0xff 10 0o10");
        makes(
            "%f %.2f %8.3f %e %.1E",
            "(1.5, 2.345, 3.14159, 12345.678, 0.00012)",
            "1.500000 2.35    3.142 1.234568e+04 1.2E-04",
        );
        makes(
            "%g %g %g %g %#g",
            "(0.0001, 1e-05, 1000000.0, 123456.0, 1.5)",
            "0.0001 1e-05 1e+06 123456 1.50000",
        );
        makes("%d %d %s %d", "(3.99, True, True, -0.5)", "3 1 True 0");
        makes("%c%c %5.1f%%", "('é', 65, 99.5)", "éA  99.5%");
        makes("%*d|%-*d|%.*f", "(5, 42, 5, 42, 2, 3.14159)", "   42|42   |3.14");
        makes("%(name)s is %(count)03d", "{'count': 7, 'name': 'x'}", "x is 007");
        makes("%s", "{'a': 1}", "{'a': 1}");
        makes("%d", "(123456789012345678901234567890,)", "123456789012345678901234567890");
        makes("%.3d %s %f", "(5, None, inf)", "005 None inf");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_grows_without_bound() {
        for (message, arguments) in [
            ("%s", "()"),
            ("no place", "(1,)"),
            ("%d", "('3',)"),
            ("%y", "(1,)"),
            ("100%", "(1,)"),
            ("%(a)s", "(1,)"),
            ("%(b)s", "{'a': 1}"),
            ("%(a", "{'a': 1}"),
            ("%999999999d", "(1,)"),
            ("%99999999999d", "(1,)"),
            ("%.*f", "('x', 1.0)"),
        ] {
            let arguments = Arguments::read(arguments).expect("arguments");
            assert!(format(message, &arguments).is_err(), "{message}");
        }
        let long = format!("{{'a': '{}'}}", "x".repeat(1000));
        let arguments = Arguments::read(&long).expect("a dict");
        assert!(format(&"%(a)s".repeat(100_000), &arguments).is_err());
    }
}
