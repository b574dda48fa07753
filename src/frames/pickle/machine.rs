//! The machine that runs a pickle: its opcodes, stack, marks and memo.

use serde_json::Value;

use super::arena::{Arena, Excerpt, Id, Node, Opaque};
use super::tape::Tape;
use super::{number, render, text};

/// Highest index into the memo; Python's picklers count from 0.
const MAX_MEMO: usize = 1 << 17;
/// Marks a free place in the memo.
const FREE: Id = Id::MAX;

const NOTHING_THERE: &str = "it takes from an empty stack";
const WRONG_KIND: &str = "it treats a value as what it is not";

/// Reads pickles as data. It keeps its buffers from one pickle to the next.
#[derive(Debug, Default)]
pub struct Machine {
    arena: Arena,
    stack: Vec<Id>,
    /// Where the marks stand in the stack.
    marks: Vec<usize>,
    memo: Vec<Id>,
}

impl Machine {
    /// The members of a pickled dict, in order.
    ///
    /// # Errors
    /// It is not a pickle, not one of a dict, refers to something outside of itself, or costs too much.
    pub fn read(&mut self, pickle: &[u8]) -> Result<Vec<(String, Value)>, &'static str> {
        if u32::try_from(pickle.len()).is_err() {
            return Err("it is longer than 4 GiB");
        }
        self.arena.begin(pickle.len());
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        let root = self.run(pickle)?;
        render::members(&mut self.arena, pickle, root)
    }

    /// What the last pickle cost, in bytes.
    #[cfg(test)]
    pub(super) fn granted(&self) -> usize {
        self.arena.costs.granted()
    }

    fn run(&mut self, pickle: &[u8]) -> Result<Id, &'static str> {
        let tape = &mut Tape::new(pickle);
        loop {
            match tape.byte()? {
                b'.' => return self.pop(),
                b'(' => {
                    self.arena.costs.charge_references(1)?;
                    self.marks.push(self.stack.len());
                }
                b'0' => self.pop_or_unmark()?,
                b'1' => drop(self.since_mark()?),
                b'2' => self.push_again(*self.stack.last().ok_or(NOTHING_THERE)?)?,

                b'N' => self.push(Node::None)?,
                0x88 => self.push(Node::Bool(true))?,
                0x89 => self.push(Node::Bool(false))?,
                b'K' => self.push(Node::Whole(tape.byte()?.into()))?,
                b'M' => self.push(Node::Whole(u16::from_le_bytes(tape.array()?).into()))?,
                b'J' => self.push(Node::Whole(i32::from_le_bytes(tape.array()?).into()))?,
                b'I' => match tape.word()? {
                    "00" => self.push(Node::Bool(false))?,
                    "01" => self.push(Node::Bool(true))?,
                    word => self.push_number(word)?,
                },
                b'L' => self.push_number(tape.word()?)?,
                0x8a => self.push_bytes_as_number(tape.counted::<1>()?, pickle)?,
                0x8b => self.push_bytes_as_number(tape.counted::<4>()?, pickle)?,
                b'G' => self.push(Node::Float(f64::from_be_bytes(tape.array()?)))?,
                b'F' => {
                    let float = tape.word()?.parse().map_err(|_| "it has a number that is none")?;
                    self.push(Node::Float(float))?;
                }

                b'X' => self.push_text(tape.counted::<4>()?, pickle)?,
                0x8c => self.push_text(tape.counted::<1>()?, pickle)?,
                0x8d => self.push_text(tape.counted::<8>()?, pickle)?,
                b'U' => self.push_text(tape.counted::<1>()?, pickle)?,
                b'T' => self.push_text(tape.counted::<4>()?, pickle)?,
                b'V' => {
                    let line = tape.line()?.of(pickle);
                    self.arena.costs.charge(2 * line.len())?;
                    let text = text::from_raw_unicode(line)?;
                    self.push(Node::OwnText(text.into()))?;
                }
                b'S' => {
                    let line = tape.line()?.of(pickle);
                    self.arena.costs.charge(5 * line.len())?;
                    let text = text::from_almost_utf8(&text::from_quoted(line)?);
                    self.push(Node::OwnText(text.into()))?;
                }
                b'B' => self.push(Node::Bytes(tape.counted::<4>()?))?,
                b'C' => self.push(Node::Bytes(tape.counted::<1>()?))?,
                0x8e | 0x96 => self.push(Node::Bytes(tape.counted::<8>()?))?,

                b']' => self.push(Node::List(Vec::new()))?,
                b')' => self.push(Node::Tuple(Vec::new()))?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                0x8f => self.push(Node::Set(Vec::new()))?,
                b'l' => self.gather(Node::List)?,
                b't' => self.gather(Node::Tuple)?,
                0x91 => self.gather(Node::Set)?,
                count @ 0x85..=0x87 => {
                    let from = self.least(usize::from(count - 0x84))?;
                    self.gather_from(from, Node::Tuple)?;
                }
                b'd' => {
                    let from = self.mark()?;
                    let pairs = self.pairs_from(from)?;
                    self.push(Node::Dict(pairs))?;
                }
                b'a' => {
                    let from = self.least(2)? + 1;
                    self.append(from)?;
                }
                b'e' | 0x90 => {
                    let from = self.mark()?;
                    self.append(from)?;
                }
                b's' => {
                    let from = self.least(3)? + 1;
                    self.set_items(from)?;
                }
                b'u' => {
                    let from = self.mark()?;
                    self.set_items(from)?;
                }

                b'p' => self.remember(index(tape.word()?)?)?,
                b'q' => self.remember(tape.byte()?.into())?,
                b'r' => self.remember(u32::from_le_bytes(tape.array()?) as usize)?,
                0x94 => self.remember(self.memo.len())?,
                b'g' => self.recall(index(tape.word()?)?)?,
                b'h' => self.recall(tape.byte()?.into())?,
                b'j' => self.recall(u32::from_le_bytes(tape.array()?) as usize)?,

                b'c' => self.push_global(tape.line()?, tape.line()?)?,
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    self.push(Node::Global(module, name))?;
                }
                b'R' | 0x81 => {
                    let (arguments, callable) = (self.pop()?, self.pop()?);
                    self.build(callable, arguments)?;
                }
                0x92 => {
                    let (_keywords, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                    self.build(callable, arguments)?;
                }
                b'i' => {
                    let (module, name) = (tape.line()?, tape.line()?);
                    self.gather(Node::Tuple)?;
                    let arguments = self.pop()?;
                    self.push_global(module, name)?;
                    let callable = self.pop()?;
                    self.build(callable, arguments)?;
                }
                b'o' => {
                    let from = self.mark()?;
                    let callable = *self.stack.get(from).ok_or(NOTHING_THERE)?;
                    self.gather_from(from + 1, Node::Tuple)?;
                    let arguments = self.pop()?;
                    self.pop()?;
                    self.build(callable, arguments)?;
                }
                b'b' => self.set_state()?,

                0x80 => {
                    if tape.byte()? > 5 {
                        return Err("its protocol is unknown");
                    }
                }
                // The length of a part that Python reads at once.
                0x95 => drop(tape.array::<8>()?),

                b'P' | b'Q' => return Err("it refers to an object of its sender"),
                0x82..=0x84 => return Err("it uses a code of its sender"),
                0x97 | 0x98 => return Err("it refers to a buffer of its sender"),
                _ => return Err("it is not a pickle"),
            }
        }
    }

    fn push(&mut self, node: Node) -> Result<(), &'static str> {
        let id = self.arena.add(node)?;
        self.push_again(id)
    }

    fn push_again(&mut self, id: Id) -> Result<(), &'static str> {
        self.arena.costs.charge_references(1)?;
        self.stack.push(id);
        Ok(())
    }

    fn push_text(&mut self, part: Excerpt, pickle: &[u8]) -> Result<(), &'static str> {
        let bytes = part.of(pickle);
        if str::from_utf8(bytes).is_ok() {
            return self.push(Node::Text(part));
        }
        self.arena.costs.charge(4 * bytes.len())?;
        self.push(Node::OwnText(text::from_almost_utf8(bytes).into()))
    }

    fn push_number(&mut self, word: &str) -> Result<(), &'static str> {
        let node = number::from_decimal(word, &mut self.arena.costs)?;
        self.push(node)
    }

    fn push_bytes_as_number(&mut self, part: Excerpt, pickle: &[u8]) -> Result<(), &'static str> {
        let node = number::from_bytes(part.of(pickle), &mut self.arena.costs)?;
        self.push(node)
    }

    fn push_global(&mut self, module: Excerpt, name: Excerpt) -> Result<(), &'static str> {
        let (module, name) = (self.arena.add(Node::Text(module))?, self.arena.add(Node::Text(name))?);
        self.push(Node::Global(module, name))
    }

    /// The lowest place in the stack above the last mark, …
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    /// … and the place of the last so many values, which must be above it.
    fn least(&self, count: usize) -> Result<usize, &'static str> {
        self.stack.len().checked_sub(count).filter(|from| *from >= self.floor()).ok_or(NOTHING_THERE)
    }

    fn pop(&mut self) -> Result<Id, &'static str> {
        self.least(1)?;
        self.stack.pop().ok_or(NOTHING_THERE)
    }

    fn pop_or_unmark(&mut self) -> Result<(), &'static str> {
        match self.pop() {
            Err(_) if self.marks.pop().is_some() => Ok(()),
            popped => popped.map(drop),
        }
    }

    fn mark(&mut self) -> Result<usize, &'static str> {
        self.marks.pop().ok_or("it looks for a mark that is not there")
    }

    fn since_mark(&mut self) -> Result<std::vec::Drain<'_, Id>, &'static str> {
        let from = self.mark()?;
        Ok(self.stack.drain(from..))
    }

    fn gather(&mut self, node: fn(Vec<Id>) -> Node) -> Result<(), &'static str> {
        let from = self.mark()?;
        self.gather_from(from, node)
    }

    fn gather_from(&mut self, from: usize, node: fn(Vec<Id>) -> Node) -> Result<(), &'static str> {
        self.arena.costs.charge_references(self.stack.len() - from)?;
        let items = self.stack.drain(from..).collect();
        self.push(node(items))
    }

    fn pairs_from(&mut self, from: usize) -> Result<Vec<(Id, Id)>, &'static str> {
        self.arena.costs.charge_references(self.stack.len() - from)?;
        let (pairs, []) = self.stack[from..].as_chunks::<2>() else {
            return Err("it has a key without a value");
        };
        let pairs = pairs.iter().map(|[key, value]| (*key, *value)).collect();
        self.stack.truncate(from);
        Ok(pairs)
    }

    /// Appends the values from there on to the one in front of them.
    fn append(&mut self, from: usize) -> Result<(), &'static str> {
        self.arena.costs.charge_references(self.stack.len() - from)?;
        let target = *self.stack[self.floor()..from].last().ok_or(NOTHING_THERE)?;
        let items = self.stack.drain(from..);
        match self.arena.get_mut(target) {
            Node::List(list) | Node::Set(list) => list.extend(items),
            Node::Object(object) => object.items.extend(items),
            _ => return Err(WRONG_KIND),
        }
        Ok(())
    }

    /// Puts the pairs from there on into the value in front of them.
    fn set_items(&mut self, from: usize) -> Result<(), &'static str> {
        let new = self.pairs_from(from)?;
        match self.arena.get_mut(self.stack[self.least(1)?]) {
            Node::Dict(pairs) if pairs.is_empty() => *pairs = new,
            Node::Dict(pairs) => pairs.extend(new),
            Node::Object(object) => object.pairs.extend(new),
            _ => return Err(WRONG_KIND),
        }
        Ok(())
    }

    fn remember(&mut self, index: usize) -> Result<(), &'static str> {
        let top = *self.stack.get(self.least(1)?).ok_or(NOTHING_THERE)?;
        if index >= self.memo.len() {
            if index >= MAX_MEMO {
                return Err("it remembers too much");
            }
            self.arena.costs.charge_references(index + 1 - self.memo.len())?;
            self.memo.resize(index + 1, FREE);
        }
        self.memo[index] = top;
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), &'static str> {
        match self.memo.get(index) {
            Some(id) if *id != FREE => self.push_again(*id),
            _ => Err("it recalls what it did not remember"),
        }
    }

    fn build(&mut self, callable: Id, arguments: Id) -> Result<(), &'static str> {
        self.arena.costs.charge(size_of::<Opaque>())?;
        self.push(Node::Object(Box::new(Opaque { callable, arguments, ..Opaque::default() })))
    }

    fn set_state(&mut self) -> Result<(), &'static str> {
        let state = self.pop()?;
        match self.arena.get_mut(self.stack[self.least(1)?]) {
            Node::Object(object) => object.state = Some(state),
            _ => return Err(WRONG_KIND),
        }
        Ok(())
    }
}

fn index(word: &str) -> Result<usize, &'static str> {
    word.parse().map_err(|_| "it has a number that is none")
}
