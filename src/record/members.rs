//! The members of another logger's record, in order, as they are taken out by what they mean.

use serde_json::{Map, Value};

/// The members of an object that are not understood yet. A key may stand there twice.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<(String, Value)>);

impl Members {
    pub(super) fn new(members: Vec<(String, Value)>) -> Self {
        Self(members)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find_map(|(known, value)| (known == name).then_some(value))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.take_if(name, |_| true)
    }

    /// Takes the first member of this name out if its value fits.
    pub(super) fn take_if(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        fits(&self.0[at].1).then(|| self.0.remove(at).1)
    }

    /// Takes a text that is not blank out; any other value stays.
    pub(super) fn take_text(&mut self, name: &str) -> Option<String> {
        match self.take_if(name, |value| value.as_str().is_some_and(|text| !text.trim().is_empty()))? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Takes all members of this name out.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<Value> {
        self.0.extract_if(.., |(known, _)| known == name).map(|(_, value)| value).collect()
    }

    pub(super) fn push(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    pub(super) fn extend(&mut self, members: Map<String, Value>) {
        self.0.extend(members);
    }

    /// Drops the members without a value.
    pub(super) fn drop_nulls(&mut self) {
        self.0.retain(|(_, value)| !value.is_null());
    }

    /// The members as a map. Of a repeated key the first counts; the others are kept beside it.
    pub(super) fn fold(self) -> Map<String, Value> {
        let mut map = Map::with_capacity(self.0.len());
        for (name, value) in self.0 {
            map.insert(free(&map, name), value);
        }
        map
    }
}

/// A key that the map has not: the name itself, else with marks behind it.
pub(super) fn free(map: &Map<String, Value>, mut name: String) -> String {
    while map.contains_key(&name) {
        name.push('\'');
    }
    name
}
