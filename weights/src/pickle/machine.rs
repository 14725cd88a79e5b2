//! The machine that runs a state dict's pickle. All values live in one list and name each other by their place in it,
//! so neither depth nor a value that holds itself can hurt.

use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Global, Storage, Value, View};
use super::{PickleError, opcodes};
use crate::error::shown;

/// The most sides that a tensor may have; models have four.
const MOST_SIDES: usize = 16;

/// Runs a pickle that must leave a dict of tensors, or a dict whose `state_dict` is one: its entries, in order.
pub(super) fn run(program: &[u8]) -> Result<Vec<(Rc<str>, View)>, PickleError> {
    let mut machine = Machine {
        program,
        at: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let result = loop {
        if let Some(result) = machine.step()? {
            break result;
        }
    };
    machine.tensors(result)
}

struct Machine<'a> {
    program: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
}

impl Machine<'_> {
    fn damaged(&self, reason: impl Into<String>) -> PickleError {
        let reason = reason.into();
        PickleError::Program {
            at: self.at,
            reason,
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], PickleError> {
        let end = self.at.checked_add(count);
        match end.and_then(|end| self.program.get(self.at..end)) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => Err(self.damaged("it ends too early")),
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes were taken"))
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.bytes().map(|[byte]| byte)
    }

    fn text(&mut self, length: usize) -> Result<Rc<str>, PickleError> {
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(self.damaged("a string is not UTF-8")),
        }
    }

    fn line(&mut self) -> Result<Rc<str>, PickleError> {
        let rest = &self.program[self.at..];
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(self.damaged("it ends within a name"));
        };
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<usize, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.damaged("its stack is empty"));
        }
        Ok(self.stack.pop().expect("the stack is above its floor"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<usize>, PickleError> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.damaged("a mark is missing")),
        }
    }

    fn pop_text(&mut self) -> Result<Rc<str>, PickleError> {
        let value = self.pop()?;
        match &self.values[value] {
            Value::Text(text) => Ok(text.clone()),
            other => Err(self.damaged(format!("{} stands where a string should", other.what()))),
        }
    }

    fn tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let mut items: Vec<usize> = (0..count).map(|_| self.pop()).collect::<Result<_, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    /// Runs one instruction; the last gives the place of the result.
    fn step(&mut self) -> Result<Option<usize>, PickleError> {
        let opcode = self.byte()?;
        match opcode {
            opcodes::PROTO => drop(self.byte()?),
            opcodes::FRAME => drop(self.bytes::<8>()?),
            opcodes::STOP => return self.pop().map(Some),
            opcodes::MARK => self.marks.push(self.stack.len()),
            opcodes::NONE => self.push(Value::None),
            opcodes::NEWTRUE | opcodes::NEWFALSE => self.push(Value::Bool),
            opcodes::BININT => {
                let int = i32::from_le_bytes(self.bytes()?);
                self.push(Value::Int(int.into()));
            }
            opcodes::BININT1 => {
                let int = self.byte()?;
                self.push(Value::Int(int.into()));
            }
            opcodes::BININT2 => {
                let int = u16::from_le_bytes(self.bytes()?);
                self.push(Value::Int(int.into()));
            }
            opcodes::LONG1 => self.long()?,
            opcodes::BINFLOAT => {
                self.take(8)?;
                self.push(Value::Float);
            }
            opcodes::SHORT_BINUNICODE | opcodes::BINUNICODE => {
                let length = match opcode {
                    opcodes::BINUNICODE => u32::from_le_bytes(self.bytes()?) as usize,
                    _ => self.byte()?.into(),
                };
                let text = self.text(length)?;
                self.push(Value::Text(text));
            }
            opcodes::EMPTY_TUPLE => self.tuple(0)?,
            opcodes::TUPLE1 => self.tuple(1)?,
            opcodes::TUPLE2 => self.tuple(2)?,
            opcodes::TUPLE3 => self.tuple(3)?,
            opcodes::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            opcodes::EMPTY_LIST => self.push(Value::List),
            opcodes::APPEND => {
                self.pop()?;
                self.append()?;
            }
            opcodes::APPENDS => {
                self.pop_to_mark()?;
                self.append()?;
            }
            opcodes::EMPTY_DICT => self.push(Value::Dict(Vec::new())),
            opcodes::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            opcodes::SETITEMS => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            opcodes::BINPUT => {
                let place = self.byte()?;
                self.put(place.into())?;
            }
            opcodes::LONG_BINPUT => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.put(place)?;
            }
            opcodes::MEMOIZE => self.put(self.memo.len() as u32)?,
            opcodes::BINGET => {
                let place = self.byte()?;
                self.get(place.into())?;
            }
            opcodes::LONG_BINGET => {
                let place = u32::from_le_bytes(self.bytes()?);
                self.get(place)?;
            }
            opcodes::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::named(&module, &name)?));
            }
            opcodes::STACK_GLOBAL => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.push(Value::Global(Global::named(&module, &name)?));
            }
            opcodes::BINPERSID => self.storage()?,
            opcodes::REDUCE => self.call()?,
            opcodes::BUILD => {
                // A module's dict carries the versions of its layers, which say nothing about its tensors.
                self.pop()?;
                let target = self.pop()?;
                if !matches!(self.values[target], Value::Dict(_)) {
                    return Err(PickleError::Opcode("BUILD on an object".to_owned()));
                }
                self.stack.push(target);
            }
            other => return Err(PickleError::Opcode(opcodes::name(other))),
        }
        Ok(None)
    }

    fn long(&mut self) -> Result<(), PickleError> {
        let length = usize::from(self.byte()?);
        let mut bytes = [0; 8];
        if length > bytes.len() {
            return Err(self.damaged("an integer has more than 64 bits"));
        }
        bytes[..length].copy_from_slice(self.take(length)?);
        // The topmost bit given is the sign.
        let unused = 8 * (8 - length as u32);
        let int = i64::from_le_bytes(bytes);
        let int = int.checked_shl(unused).unwrap_or(0) >> unused.min(63);
        self.push(Value::Int(int));
        Ok(())
    }

    fn append(&mut self) -> Result<(), PickleError> {
        match self.stack.last().map(|list| &self.values[*list]) {
            Some(Value::List) => Ok(()),
            _ => Err(self.damaged("something is appended to what is no list")),
        }
    }

    fn set(&mut self, items: &[usize]) -> Result<(), PickleError> {
        let dict = self.pop()?;
        self.stack.push(dict);
        if !items.len().is_multiple_of(2) {
            return Err(self.damaged("a key has no value"));
        }
        let Value::Dict(entries) = &mut self.values[dict] else {
            return Err(self.damaged("an entry is set in what is no dict"));
        };
        entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn put(&mut self, place: u32) -> Result<(), PickleError> {
        let value = self.pop()?;
        self.stack.push(value);
        self.memo.insert(place, value);
        Ok(())
    }

    fn get(&mut self, place: u32) -> Result<(), PickleError> {
        match self.memo.get(&place) {
            Some(value) => self.stack.push(*value),
            None => return Err(self.damaged(format!("nothing was remembered as {place}"))),
        }
        Ok(())
    }

    /// A persistent id is how PyTorch names a storage.
    fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let values = &self.values;
        let storage = match &values[id] {
            Value::Tuple(items) => {
                match items.iter().map(|item| &values[*item]).collect::<Vec<_>>()[..] {
                    [
                        Value::Text(tag),
                        Value::Global(Global::Storage(dtype)),
                        Value::Text(key),
                        Value::Text(_),
                        Value::Int(count),
                    ] if &**tag == "storage" => Storage {
                        key: key.clone(),
                        dtype: *dtype,
                        count: *count,
                    },
                    _ => return Err(self.damaged("a storage is described wrongly")),
                }
            }
            _ => return Err(self.damaged("a storage is described wrongly")),
        };
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// Calls the only functions that there are.
    fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let values = &self.values;
        let (Value::Tuple(items), Value::Global(function)) =
            (&values[arguments], &values[function])
        else {
            return Err(self.damaged("something is called that is no function"));
        };
        let arguments: Vec<&Value> = items.iter().take(8).map(|item| &values[*item]).collect();
        let made = match (function, &arguments[..]) {
            (Global::OrderedDict, []) => Value::Dict(Vec::new()),
            (
                Global::RebuildTensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    Value::Bool,
                    Value::Dict(_) | Value::None,
                ]
                | [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    Value::Bool,
                    Value::Dict(_) | Value::None,
                    Value::None,
                ],
            ) => {
                let (Some(shape), Some(strides)) = (self.sides(shape), self.sides(strides)) else {
                    return Err(self.damaged("a tensor's shape is no short tuple of integers"));
                };
                Value::Tensor(View {
                    storage: storage.clone(),
                    offset: *offset,
                    shape,
                    strides,
                })
            }
            (Global::RebuildParameter, [Value::Tensor(tensor), Value::Bool, Value::Dict(_)]) => {
                Value::Tensor(tensor.clone())
            }
            _ => return Err(self.damaged("a function has unknown arguments")),
        };
        self.push(made);
        Ok(())
    }

    fn sides(&self, items: &[usize]) -> Option<Vec<i64>> {
        let side = |item: &usize| match self.values[*item] {
            Value::Int(side) => Some(side),
            _ => None,
        };
        (items.len() <= MOST_SIDES)
            .then(|| items.iter().map(side).collect())
            .flatten()
    }

    fn tensors(&self, result: usize) -> Result<Vec<(Rc<str>, View)>, PickleError> {
        let root = self.dict(result)?;
        let inner = root.iter().find_map(|(key, value)| {
            let named = matches!(&self.values[*key], Value::Text(key) if &**key == "state_dict");
            let dict = matches!(self.values[*value], Value::Dict(_));
            (named && dict).then_some(*value)
        });
        let entries = match inner {
            Some(inner) => self.dict(inner)?,
            None => root,
        };
        let entry = |(key, value): &(usize, usize)| match (&self.values[*key], &self.values[*value])
        {
            (Value::Text(name), Value::Tensor(view)) => Ok((name.clone(), view.clone())),
            (Value::Text(name), other) => Err(PickleError::NoTensor {
                entry: shown(name),
                found: other.what(),
            }),
            (other, _) => Err(PickleError::NoDict(match other {
                Value::Int(_) => "a dict with numbers for names",
                _ => "a dict with other names than strings",
            })),
        };
        entries.iter().map(entry).collect()
    }

    fn dict(&self, value: usize) -> Result<&[(usize, usize)], PickleError> {
        match &self.values[value] {
            Value::Dict(entries) => Ok(entries),
            other => Err(PickleError::NoDict(other.what())),
        }
    }
}
