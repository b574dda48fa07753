//! What Python would have built: its class, its arguments, and how it is shown.

use std::borrow::Cow;

use serde_json::Value;

use super::arena::{Id, Node, Opaque};
use super::render::Renderer;

/// Longer names (bytes) name nothing.
const LONGEST_NAME: usize = 256;

/// What would have been called, and with which arguments.
pub(super) struct Call<'a> {
    /// The module; those of Python 2 have the names of Python 3.
    pub(super) module: &'a str,
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: &'a [Id],
}

impl<'a> Renderer<'a> {
    /// Writes an object as people write it if its class is known, else its class alone.
    pub(super) fn object(&mut self, object: &'a Opaque) -> Result<Value, &'static str> {
        let Some(call) = self.call(object) else { return self.said("<object>") };
        if let Some(known) = self.known(&call, object)? {
            return Ok(known);
        }
        match *call.arguments {
            // An enum is called with its value.
            [argument] if object.state.is_none() && self.is_scalar(argument) => {
                let argument = repr(&self.value(argument)?);
                self.costs.charge_value(call.module.len() + call.name.len() + argument.len())?;
                Ok(format!("{}.{}({argument})", call.module, call.name).into())
            }
            _ => self.class(call.module, &call.name),
        }
    }

    /// What an object's pickle calls. The helpers of Python's picklers stand for the class that they build.
    pub(super) fn call(&self, object: &'a Opaque) -> Option<Call<'a>> {
        let arguments = self.arguments(object)?;
        let (module, name) = self.name(object.callable)?;
        match (module, &*name, arguments) {
            ("copyreg", "_reconstructor", [class, _base, state]) => {
                let (module, name) = self.name(*class)?;
                let is_none = matches!(self.node(*state), Node::None);
                let arguments = if is_none { &[] } else { std::slice::from_ref(state) };
                Some(Call { module, name, arguments })
            }
            ("copyreg", "__newobj__" | "__newobj_ex__", [class, arguments @ ..]) => {
                let (module, name) = self.name(*class)?;
                Some(Call { module, name, arguments })
            }
            _ => Some(Call { module, name, arguments }),
        }
    }

    fn arguments(&self, object: &Opaque) -> Option<&'a [Id]> {
        match self.node(object.arguments) {
            Node::Tuple(arguments) => Some(arguments),
            _ => None,
        }
    }

    /// The module and the name of a class or function. A member of a class is looked up by `getattr`.
    pub(super) fn name(&self, id: Id) -> Option<(&'a str, Cow<'a, str>)> {
        match self.node(id) {
            Node::Global(module, name) => {
                let module = modern(self.name_of(*module)?);
                let name = match (module, self.name_of(*name)?) {
                    ("builtins", "long") => "int",
                    ("builtins", "unicode") => "str",
                    ("builtins", "xrange") => "range",
                    (_, name) => name,
                };
                Some((module, name.into()))
            }
            Node::Object(object) => {
                let Node::Global(module, name) = self.node(object.callable) else { return None };
                let is_getattr =
                    modern(self.name_of(*module)?) == "builtins" && self.name_of(*name)? == "getattr";
                let [class, member] = self.arguments(object)? else { return None };
                let (Node::Global(module, class), true) = (self.node(*class), is_getattr) else {
                    return None;
                };
                let name = format!("{}.{}", self.name_of(*class)?, self.name_of(*member)?);
                Some((modern(self.name_of(*module)?), name.into()))
            }
            _ => None,
        }
    }

    /// A text that is short enough for a name.
    pub(super) fn name_of(&self, id: Id) -> Option<&'a str> {
        match self.node(id) {
            Node::Text(part) if part.of(self.pickle).len() > LONGEST_NAME => None,
            _ => self.text(id).filter(|text| text.len() <= LONGEST_NAME),
        }
    }

    pub(super) fn is_scalar(&self, id: Id) -> bool {
        matches!(
            self.node(id),
            Node::None
                | Node::Bool(_)
                | Node::Whole(_)
                | Node::Digits(_)
                | Node::Float(_)
                | Node::Text(_)
                | Node::OwnText(_)
        )
    }
}

/// The names of Python 2's modules, which old protocols use, in Python 3.
fn modern(module: &str) -> &str {
    match module {
        "__builtin__" | "exceptions" => "builtins",
        "copy_reg" => "copyreg",
        module => module,
    }
}

/// A value in Python's notation.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => format!("'{text}'"),
        value => value.to_string(),
    }
}
