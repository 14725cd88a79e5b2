//! The only functions that a state dict's pickle may call, and the storages that it may name.

use std::rc::Rc;

use super::PickleError;
use super::machine::Machine;
use super::value::{Global, Storage, Value, View};
use files::text::excerpt;

/// The most sides that a tensor may have; models have four.
const MOST_SIDES: usize = 16;

impl Machine<'_, '_> {
    /// The values that a tuple names, as many as any function takes.
    fn items(&self, places: &[u32]) -> Vec<&Value> {
        let values = places.iter().take(9);
        values.map(|place| &self.values[*place as usize]).collect()
    }

    /// A persistent id is how PyTorch names a storage.
    pub(super) fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let items = match &self.values[id as usize] {
            Value::Tuple(items) => self.items(items),
            _ => Vec::new(),
        };
        let [
            Value::Text(tag),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_),
            Value::Int(count),
            ref view @ ..,
        ] = items[..]
        else {
            return Err(self.damaged("a storage is described wrongly"));
        };
        let first = match view {
            [] | [Value::None] => Some(0),
            [Value::Tuple(view)] => match self.items(view)[..] {
                [Value::Text(_), Value::Int(first), Value::Int(_)] if *first >= 0 => Some(*first),
                _ => None,
            },
            _ => None,
        };
        let first = first.filter(|_| &**tag == "storage");
        let Some(first) = first else {
            return Err(self.damaged("a storage is described wrongly"));
        };
        let storage = Rc::new(Storage { key: key.clone(), dtype: *dtype, count: *count, first });
        let known = self.storages.insert(storage.key.clone(), storage.clone());
        if known.is_some_and(|known| !known.agrees(&storage)) {
            let key = excerpt(&storage.key);
            return Err(self.damaged(format!("storage {key} is described in two ways")));
        }
        self.push(Value::Storage(storage))
    }

    /// Calls a function.
    pub(super) fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let values = &self.values;
        let (Value::Tuple(items), Value::Global(function)) =
            (&values[arguments as usize], &values[function as usize])
        else {
            return Err(self.damaged("something is called that is no function"));
        };
        let arguments = self.items(items);
        let made = match (function, &arguments[..]) {
            (Global::Plain(what), _) => {
                let what = *what;
                return self.push_plain(what);
            }
            // Python 2 gives the entries of an OrderedDict to its constructor.
            (Global::Dict, [Value::List(pairs)]) => Some(Value::Dict(self.pairs(pairs)?)),
            (Global::Dict, _) => Some(Value::Dict(Vec::new())),
            (
                Global::RebuildTensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    rest @ ..,
                ],
            ) if is_rest(rest) => self.view(storage, *offset, shape, strides)?,
            (
                Global::RebuildParameter,
                [Value::Tensor(tensor), Value::Bool, Value::Dict(_), ..],
            ) => Some(Value::Tensor(tensor.clone())),
            _ => None,
        };
        match made {
            Some(made) => self.push(made),
            None => Err(self.damaged("a function has unknown arguments")),
        }
    }

    fn view(
        &self,
        storage: &Rc<Storage>,
        offset: i64,
        shape: &[u32],
        strides: &[u32],
    ) -> Result<Option<Value>, PickleError> {
        let sides = (self.sides(shape), self.sides(strides));
        let (Some(shape), Some(strides)) = sides else {
            return Err(self.damaged("a tensor's shape is no short tuple of integers"));
        };
        Ok(offset.checked_add(storage.first).map(|offset| {
            Value::Tensor(Rc::new(View { storage: storage.clone(), offset, shape, strides }))
        }))
    }

    fn sides(&self, items: &[u32]) -> Option<Vec<i64>> {
        let side = |item: &u32| match self.values[*item as usize] {
            Value::Int(side) => Some(side),
            _ => None,
        };
        (items.len() <= MOST_SIDES).then(|| items.iter().map(side).collect()).flatten()
    }

    /// The entries of a dict that are written as a list of lists.
    fn pairs(&self, pairs: &[u32]) -> Result<Vec<(u32, u32)>, PickleError> {
        let pair = |pair: &u32| match &self.values[*pair as usize] {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(self.damaged("an entry of a dict is no pair")),
        };
        pairs.iter().map(pair).collect()
    }

    /// Makes an object without calling anything: of classes whose values are not looked into.
    pub(super) fn make(&mut self) -> Result<(), PickleError> {
        let (_, class) = (self.pop()?, self.pop()?);
        match self.values[class as usize] {
            Value::Global(Global::Plain(what)) => self.push_plain(what),
            Value::Global(Global::Module) => self.push(Value::Module(None)),
            Value::Global(Global::Dict) => self.push(Value::Dict(Vec::new())),
            _ => Err(PickleError::Opcode("NEWOBJ of another class".to_owned())),
        }
    }

    /// Gives an object its attributes. A module's dict carries the versions of its layers, which say nothing about its
    /// tensors.
    pub(super) fn build(&mut self) -> Result<(), PickleError> {
        let (state, target) = (self.pop()?, self.pop()?);
        let attributes = matches!(self.values[state as usize], Value::Dict(_)).then_some(state);
        match &mut self.values[target as usize] {
            Value::Dict(_) | Value::Plain(_) => self.push_place(target),
            Value::Module(module) => {
                *module = attributes;
                self.push_place(target)
            }
            _ => Err(PickleError::Opcode("BUILD on an object".to_owned())),
        }
    }
}

/// Whether a tensor has gradients, its hooks, and its metadata, each of which older versions lack.
fn is_rest(rest: &[&Value]) -> bool {
    matches!(
        rest,
        [] | [Value::Bool, Value::Dict(_) | Value::None]
            | [Value::Bool, Value::Dict(_) | Value::None, Value::None]
    )
}
