//! Makes JSON values of nodes.

use serde_json::{Map, Number, Value};

use super::arena::{Arena, Costs, Id, Node};
use super::text;
use crate::record::plain;

/// Deepest nesting of values.
const DEEPEST: usize = 64;
/// With more members than this, repeated keys are looked for by hashing.
const FEW: usize = 64;

/// The members of a dict, in order. As in Python, the last value of a repeated key counts.
pub(super) fn members(
    arena: &mut Arena,
    pickle: &[u8],
    root: Id,
) -> Result<Vec<(String, Value)>, &'static str> {
    let (nodes, costs) = arena.split();
    let Node::Dict(pairs) = &nodes[root as usize] else { return Err("it is not a pickled dict") };
    let mut renderer = Renderer { nodes, pickle, costs, open: vec![root] };
    if pairs.len() > FEW {
        return Ok(renderer.map(pairs)?.into_iter().collect());
    }
    let mut members: Vec<(String, Value)> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let (key, value) = (renderer.key(*key)?, renderer.value(*value)?);
        match members.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => members.push((key, value)),
        }
    }
    Ok(members)
}

/// Writes nodes as values, each as often as it is referred to.
pub(super) struct Renderer<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) pickle: &'a [u8],
    pub(super) costs: &'a mut Costs,
    /// The nodes around the one that is written.
    open: Vec<Id>,
}

impl<'a> Renderer<'a> {
    pub(super) fn node(&self, id: Id) -> &'a Node {
        &self.nodes[id as usize]
    }

    pub(super) fn value(&mut self, id: Id) -> Result<Value, &'static str> {
        let node = self.node(id);
        match node {
            Node::None => self.costs.charge_value(4).map(|()| Value::Null),
            Node::Bool(value) => self.costs.charge_value(5).map(|()| Value::Bool(*value)),
            Node::Whole(whole) => self.costs.charge_value(8).map(|()| (*whole).into()),
            Node::Digits(digits) => self.digits(digits),
            Node::Float(float) => self.costs.charge_value(8).map(|()| of_float(*float)),
            Node::Text(part) => self.said(str::from_utf8(part.of(self.pickle)).unwrap_or_default()),
            Node::OwnText(text) => self.said(text),
            Node::Bytes(part) => self.bytes(part.of(self.pickle)),
            Node::Global(..) => match self.name(id) {
                Some((module, name)) => self.class(module, &name),
                None => self.said("<object>"),
            },
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => {
                self.inside(id, "[...]", |renderer| renderer.list(items))
            }
            Node::Dict(pairs) => self.inside(id, "{...}", |renderer| renderer.map(pairs).map(Value::Object)),
            Node::Object(object) => self.inside(id, "<...>", |renderer| renderer.object(object)),
        }
    }

    /// Writes what is inside of a node; a node inside of itself is only hinted at.
    fn inside(
        &mut self,
        id: Id,
        hint: &str,
        write: impl FnOnce(&mut Self) -> Result<Value, &'static str>,
    ) -> Result<Value, &'static str> {
        if self.open.contains(&id) {
            return self.said(hint);
        }
        if self.open.len() >= DEEPEST {
            return self.said("[nested too deep]");
        }
        self.open.push(id);
        let written = write(self);
        self.open.pop();
        written
    }

    pub(super) fn list(&mut self, items: &[Id]) -> Result<Value, &'static str> {
        self.costs.charge_value(2)?;
        let values: Result<Vec<Value>, _> = items.iter().map(|item| self.value(*item)).collect();
        values.map(Value::Array)
    }

    pub(super) fn map(&mut self, pairs: &[(Id, Id)]) -> Result<Map<String, Value>, &'static str> {
        self.costs.charge_value(2)?;
        let mut map = Map::new();
        for (key, value) in pairs {
            let (key, value) = (self.key(*key)?, self.value(*value)?);
            map.insert(key, value);
        }
        Ok(map)
    }

    /// A key, which in JSON is a text.
    fn key(&mut self, id: Id) -> Result<String, &'static str> {
        Ok(match self.node(id) {
            Node::None => "None".to_owned(),
            Node::Bool(true) => "True".to_owned(),
            Node::Bool(false) => "False".to_owned(),
            Node::Text(_) | Node::OwnText(_) => plain(self.value(id)?),
            _ => {
                let before = self.costs.output();
                let value = self.value(id)?;
                // As JSON, a character may take six bytes.
                self.costs.charge(6 * (self.costs.output() - before))?;
                plain(value)
            }
        })
    }

    /// Text of the output.
    pub(super) fn said(&mut self, text: &str) -> Result<Value, &'static str> {
        self.costs.charge_value(text.len())?;
        Ok(text.into())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<Value, &'static str> {
        self.costs.charge_value(bytes.len())?;
        self.costs.charge(3 * bytes.len())?;
        Ok(text::shown(bytes).into())
    }

    /// A class that means nothing to us.
    pub(super) fn class(&mut self, module: &str, name: &str) -> Result<Value, &'static str> {
        self.costs.charge_value(module.len() + name.len() + 3)?;
        Ok(format!("<{module}.{name}>").into())
    }

    fn digits(&mut self, digits: &str) -> Result<Value, &'static str> {
        match digits.parse::<u64>() {
            Ok(whole) => self.costs.charge_value(8).map(|()| whole.into()),
            Err(_) => self.said(digits),
        }
    }

    /// The text of a node, if it is one.
    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.node(id) {
            Node::Text(part) => str::from_utf8(part.of(self.pickle)).ok(),
            Node::OwnText(text) => Some(text),
            _ => None,
        }
    }
}

/// A float; values without a JSON number become text.
fn of_float(float: f64) -> Value {
    Number::from_f64(float).map_or_else(
        || {
            let text =
                if float.is_nan() { "NaN" } else { ["Infinity", "-Infinity"][usize::from(float < 0.0)] };
            text.into()
        },
        Value::Number,
    )
}
