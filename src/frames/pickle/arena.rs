//! The nodes of a pickle while it is read, and the bounds of what one pickle may cost.

/// Most nodes, and most values in the output.
const MAX_NODES: usize = 65_536;
/// Most memory (bytes) for a pickle of up to a quarter of it; a larger one may cost four times its size.
const MEMORY: usize = 4 << 20;
/// Bytes of output beyond four times those of the pickle: a short one may well refer to its texts a few times.
const OUTPUT_SLACK: usize = 16 << 10;
/// Most digits of a whole number, as in Python.
pub(super) const MAX_DIGITS: usize = 4300;
/// Most steps in the conversion of long numbers.
const MAX_WORK: usize = 1 << 20;

/// A node takes this much (bytes).
const NODE: usize = size_of::<Node>();
/// A reference takes this much, with the growth of the vector that it is in.
const REFERENCE: usize = 8;
/// A value of the output takes this much, apart from its text.
const VALUE: usize = size_of::<serde_json::Value>();

/// Names a node.
pub(super) type Id = u32;

/// A part of the pickle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Excerpt {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Excerpt {
    pub(super) fn of(self, pickle: &[u8]) -> &[u8] {
        &pickle[self.from as usize..self.to as usize]
    }
}

/// A value that the pickle names or makes.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Whole(i64),
    /// A whole number beyond 64 bits, in decimal.
    Digits(Box<str>),
    Float(f64),
    /// Text that stands in the pickle as UTF-8.
    Text(Excerpt),
    /// Text that is written in another way.
    OwnText(Box<str>),
    Bytes(Excerpt),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or a function: its module and its name.
    Global(Id, Id),
    Object(Box<Opaque>),
}

/// What Python would build by a call.
#[derive(Debug, Default)]
pub(super) struct Opaque {
    /// What would be called.
    pub(super) callable: Id,
    /// The tuple of its arguments.
    pub(super) arguments: Id,
    pub(super) state: Option<Id>,
    pub(super) items: Vec<Id>,
    pub(super) pairs: Vec<(Id, Id)>,
}

/// The nodes, and what the pickle has cost so far.
#[derive(Debug, Default)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    pub(super) costs: Costs,
}

/// What a pickle has cost so far, and may cost. Everything is charged before it is made.
#[derive(Debug, Default)]
pub(super) struct Costs {
    most_memory: usize,
    most_output: usize,
    memory: usize,
    output: usize,
    values: usize,
    work: usize,
}

impl Arena {
    /// Begins anew, with the bounds of a pickle of so many bytes.
    pub(super) fn begin(&mut self, bytes: usize) {
        self.nodes.clear();
        self.costs = Costs {
            most_memory: MEMORY.max(4 * bytes),
            most_output: 4 * bytes + OUTPUT_SLACK,
            ..Costs::default()
        };
    }

    pub(super) fn add(&mut self, node: Node) -> Result<Id, &'static str> {
        if self.nodes.len() >= MAX_NODES {
            return Err("it has more than 65,536 nodes");
        }
        self.costs.charge(NODE)?;
        self.nodes.push(node);
        Ok((self.nodes.len() - 1) as Id)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn split(&mut self) -> (&[Node], &mut Costs) {
        (&self.nodes, &mut self.costs)
    }
}

impl Costs {
    /// Charges memory.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), &'static str> {
        if bytes > self.most_memory - self.memory {
            return Err("it needs too much memory");
        }
        self.memory += bytes;
        Ok(())
    }

    pub(super) fn charge_references(&mut self, count: usize) -> Result<(), &'static str> {
        self.charge(count * REFERENCE)
    }

    /// Charges a value of the output with so much text.
    pub(super) fn charge_value(&mut self, text: usize) -> Result<(), &'static str> {
        self.values += 1;
        if self.values > MAX_NODES {
            return Err("it stands for more than 65,536 values");
        }
        if text > self.most_output - self.output {
            return Err("it stands for more than four times its size");
        }
        self.output += text;
        self.charge(VALUE + text)
    }

    /// Text of the output so far, in bytes.
    pub(super) fn output(&self) -> usize {
        self.output
    }

    /// Charges steps.
    pub(super) fn charge_work(&mut self, steps: usize) -> Result<(), &'static str> {
        self.work += steps;
        if self.work > MAX_WORK { Err("its numbers are too long") } else { Ok(()) }
    }

    /// What was charged and granted so far, in bytes.
    #[cfg(test)]
    pub(super) fn granted(&self) -> usize {
        self.memory
    }
}
